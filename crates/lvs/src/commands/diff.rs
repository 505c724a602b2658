//! `lvs diff`
use super::Context;
use crate::{error::CliError, output::Format};

/// Shows how what runs differs from the configuration file as it was last loaded.
///
/// `+` only runs, `-` only in the file, `~` differs: what a reload would undo.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  lvs diff")]
pub(crate) struct Diff {}

impl Diff {
    pub(crate) fn run(context: &mut Context) -> Result<(), CliError> {
        let diff = context.client.diff()?;
        if context.out.format() == Format::Json {
            return Ok(context.out.json(&diff)?);
        }
        if diff.differences.is_empty() {
            let file = diff.config.display();
            return Ok(context.out.line(format_args!("What runs is what {file} says."))?);
        }
        context.differences(&diff.differences)
    }
}
