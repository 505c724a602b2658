//! `cargo xtask lab`
use anyhow::Result;

use crate::{cargo, screen::Screen, setup};

/// Brings up clients, a director and real servers, and tells how to look around in them.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask lab lan direct direct tunnel
  cargo xtask lab two nat nat")]
pub(crate) struct Lab {
    /// How the networks lie.
    #[arg(default_value = "lan", value_parser = ["lan", "routed", "two"])]
    shape: String,
    /// One real server for each, reached by this method; three by direct routing if none is named.
    #[arg(value_parser = ["direct", "tunnel", "nat"])]
    methods: Vec<String>,
}

impl Lab {
    pub(crate) fn run(self) -> Result<()> {
        setup::prepare(&mut Screen::new(), "lab")?;
        let mut arguments =
            vec!["run", "--quiet", "--package", "lvs-lab", "--example", "shell", "--", &self.shape];
        arguments.extend(self.methods.iter().map(String::as_str));
        cargo::run(&arguments)
    }
}
