//! `cargo xtask bench`
use anyhow::{Context, Result, ensure};

use crate::{cargo, screen::Screen, setup};

/// Measures nanoseconds per packet in the kernel, beside the floors of the same run; with `--lab`
/// the whole way, beside nftables, haproxy and nginx, which are installed if they are missing.
#[derive(Debug, clap::Args)]
pub(crate) struct Bench {
    /// Arguments of the benchmark, such as `--quick`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
}

impl Bench {
    pub(crate) fn run(self) -> Result<()> {
        if self.arguments.iter().any(|argument| argument == "--lab") {
            setup::prepare_peers(&mut Screen::new(), "bench")?;
        }
        let mut command =
            cargo::command(&["run", "--quiet", "--release", "--package", "lvs-bench", "--"]);
        let status = command.args(self.arguments).status().context("run cargo")?;
        ensure!(status.success(), "the benchmark failed");
        Ok(())
    }
}
