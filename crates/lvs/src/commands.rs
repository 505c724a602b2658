//! One command a file.
use lvs_api::{client::Client, types::Changed};
use lvs_model::{change::Change, diff::Difference};

use crate::{
    error::CliError,
    output::{Format, Out, Paint},
};

mod check;
pub(crate) mod completions;
pub(crate) mod connection;
pub(crate) mod diff;
pub(crate) mod explain;
pub(crate) mod reload;
pub(crate) mod save;
pub(crate) mod server;
pub(crate) mod service;
pub(crate) mod stats;
pub(crate) mod status;

/// What every command works with.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) out: Out,
}

/// Where a change goes.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Persist {
    /// Write the change to the configuration file too; without it, the next reload undoes it.
    #[arg(long)]
    persist: bool,
}

impl Context {
    /// Asks for a change and shows what it made different.
    pub(crate) fn change(&mut self, change: &Change, persist: Persist) -> Result<(), CliError> {
        let Changed { differences, persisted, warnings } =
            &self.client.change(change, persist.persist)?;
        if self.out.format() == Format::Json {
            return Ok(self.out.json(&Changed {
                differences: differences.clone(),
                persisted: persisted.clone(),
                warnings: warnings.clone(),
            })?);
        }
        if differences.is_empty() {
            self.out.line("Nothing to change: it is so already.")?;
        }
        self.differences(differences)?;
        if let Some(path) = persisted {
            self.out.line(format_args!("Written to {}.", path.display()))?;
        }
        self.warnings(warnings)
    }

    /// One difference a line, green for more, red for less.
    pub(crate) fn differences(&mut self, differences: &[Difference]) -> Result<(), CliError> {
        for difference in differences {
            let text = difference.to_string();
            let paint = match text.as_bytes().first() {
                Some(b'+') => Paint::Good,
                Some(b'-') => Paint::Bad,
                _ => Paint::Notable,
            };
            let text = self.out.paint(&text, paint);
            self.out.line(text)?;
        }
        Ok(())
    }

    pub(crate) fn warnings(&mut self, warnings: &[String]) -> Result<(), CliError> {
        Ok(warnings.iter().try_for_each(|warning| self.out.warning(warning))?)
    }
}
