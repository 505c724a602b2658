//! `cargo xtask bench`
use anyhow::{Context, Result, ensure};

use crate::cargo;

/// Measures nanoseconds per packet in the kernel, beside the floors of the same run.
#[derive(Debug, clap::Args)]
pub(crate) struct Bench {
    /// Arguments of the benchmark, such as `--quick`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
}

impl Bench {
    pub(crate) fn run(self) -> Result<()> {
        let mut command =
            cargo::command(&["run", "--quiet", "--release", "--package", "lvs-bench", "--"]);
        let status = command.args(self.arguments).status().context("run cargo")?;
        ensure!(status.success(), "the benchmark failed");
        Ok(())
    }
}
