//! `lvs save`
use std::{fs, path::PathBuf};

use lvs_api::types::Toml;

use super::Context;
use crate::{error::CliError, output::Format};

/// Writes what runs as a configuration file: to FILE, or to the terminal.
///
/// The daemon's own file keeps its comments when changes are made with --persist instead.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  lvs save
  lvs save /root/lvs-before-the-upgrade.toml")]
pub(crate) struct Save {
    /// File to write; an existing one is replaced as a whole.
    file: Option<PathBuf>,
}

impl Save {
    pub(crate) fn run(self, context: &mut Context) -> Result<(), CliError> {
        let toml = context.client.config()?;
        if let Some(path) = self.file {
            return write(&path, &toml).map_err(|source| CliError::File { path, source });
        }
        match context.out.format() {
            Format::Json => context.out.json(&Toml { toml })?,
            Format::Text => context.out.text(toml.as_bytes())?,
        }
        Ok(())
    }
}

/// Writes beside the file and renames, so that nobody ever reads half of it.
fn write(path: &std::path::Path, toml: &str) -> std::io::Result<()> {
    if path.exists() && !path.is_file() {
        return fs::write(path, toml); // a device or a pipe cannot be replaced
    }
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    fs::write(&fresh, toml)?;
    fs::rename(&fresh, path)
}
