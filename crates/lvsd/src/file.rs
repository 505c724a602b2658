//! The configuration file, with refusals as the API tells them.
use std::{
    fs,
    path::{Path, PathBuf},
};

use lvs_api::error::{ApiError, Code};
use lvs_config::{Config, Daemon, Errors, Room};
use lvs_model::change::Change;

/// The daemon's configuration file.
#[derive(Clone, Debug)]
pub(crate) struct ConfigFile {
    path: PathBuf,
}

impl ConfigFile {
    /// The file at this path, which need not exist yet.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file; its interfaces must be among the existing ones.
    pub(crate) fn load(&self, existing: &[String]) -> Result<Config, ApiError> {
        let config = lvs_config::load(&self.path).map_err(|errors| self.refusal(&errors))?;
        match missing_interface(&config, existing) {
            Some(errors) => Err(self.refusal(&errors)),
            None => Ok(config),
        }
    }

    /// The file's text with a change; comments and order stay.
    pub(crate) fn with(&self, change: &Change) -> Result<String, ApiError> {
        let unreadable = |error: std::io::Error| {
            let message = format!("cannot read {}", self.path.display());
            ApiError::new(Code::Config, message).details([error.to_string()])
        };
        let text = fs::read_to_string(&self.path).map_err(unreadable)?;
        let changes = std::slice::from_ref(change);
        lvs_config::persist(&self.path, &text, changes).map_err(|error| {
            let message = format!("the change does not fit {}", self.path.display());
            ApiError::new(Code::Config, message)
                .details([crate::engine::chain(&error)])
                .remedy("reload the file or mend it, then make the change again")
        })
    }

    /// Replaces the file.
    pub(crate) fn write(&self, text: &str) -> Result<(), ApiError> {
        lvs_config::write_atomically(&self.path, text).map_err(|error| {
            ApiError::new(Code::Config, "the configuration file could not be written")
                .details([crate::engine::chain(&error)])
        })
    }

    fn refusal(&self, errors: &Errors) -> ApiError {
        let message = match errors.iter().count() {
            1 => format!("{} has an error", self.path.display()),
            count => format!("{} has {count} errors", self.path.display()),
        };
        ApiError::new(Code::Config, message)
            .details([errors.to_string()])
            .remedy("mend the file; what runs is unchanged")
    }
}

/// The error of the first interface that does not exist.
pub(crate) fn missing_interface(config: &Config, existing: &[String]) -> Option<Errors> {
    let missing = config.daemon.interfaces.iter().find(|name| !existing.contains(name))?;
    Some(config.interface_error(missing, existing))
}

/// Names of the settings that take effect with the next start only.
pub(crate) fn needs_restart(old: &Daemon, new: &Daemon) -> Vec<String> {
    // A successor keeps tables whose size nobody wrote down as long as they have room.
    let room_differs =
        |old: Room, new: Room| old != new && (old.least().is_none() || new.least().is_none());
    [
        ("interfaces", old.interfaces != new.interfaces),
        ("xdp_mode", old.xdp_mode != new.xdp_mode),
        ("connections", old.connections != new.connections),
        ("services", room_differs(old.services, new.services)),
        ("servers", room_differs(old.servers, new.servers)),
        ("socket", old.socket != new.socket),
        ("pin_dir", old.pin_dir != new.pin_dir),
        ("log", old.log != new.log),
    ]
    .into_iter()
    .filter(|(_, differs)| *differs)
    .map(|(name, _)| name.to_owned())
    .collect()
}

/// A configuration as the text of a file.
pub(crate) fn text(config: &Config) -> String {
    lvs_config::to_toml(config)
}

#[cfg(test)]
mod tests {
    use lvs_model::desired::Desired;

    use super::*;

    #[test]
    fn room_that_nobody_wrote_down_needs_no_restart() {
        let few = Daemon::new(vec!["lo".to_owned()], &Desired::default());
        let many = Daemon { services: Room::Default { new: 8192, least: 2049 }, ..few.clone() };
        let written = Daemon { services: Room::Written(8192), ..few.clone() };
        assert_eq!(needs_restart(&few, &many), Vec::<String>::new());
        assert_eq!(needs_restart(&few, &written), ["services"]);
        assert_eq!(needs_restart(&written, &many), ["services"]);
    }
}
