//! `lvs completions`
use clap::CommandFactory;
use clap_complete::Shell;

use super::Context;
use crate::{cli::Args, error::CliError};

/// Prints a completion script for a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lvs completions bash > /usr/share/bash-completion/completions/lvs
  lvs completions fish > ~/.config/fish/completions/lvs.fish")]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self, context: &mut Context) -> Result<(), CliError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Args::command(), "lvs", &mut script);
        Ok(context.out.text(&script)?)
    }
}
