//! `lvs reload`
use super::Context;
use crate::{error::CliError, output::Format};

/// Has the daemon read its configuration file again.
///
/// Connections, health and everything that did not change stay; changes that were made at run time
/// and not written to the file are undone. A file with errors changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  lvs reload")]
pub(crate) struct Reload {}

impl Reload {
    pub(crate) fn run(context: &mut Context) -> Result<(), CliError> {
        let reloaded = context.client.reload()?;
        if context.out.format() == Format::Json {
            return Ok(context.out.json(&reloaded)?);
        }
        context.differences(&reloaded.differences)?;
        let changes = match reloaded.differences.len() {
            0 => "nothing changed".to_owned(),
            1 => "1 change".to_owned(),
            count => format!("{count} changes"),
        };
        context.out.line(format_args!("Reloaded {}: {changes}.", reloaded.config.display()))?;
        for setting in &reloaded.restart {
            let text = format!("[daemon] {setting} takes effect when lvsd starts again");
            context.out.warning(&text)?;
        }
        context.warnings(&reloaded.warnings)
    }
}
