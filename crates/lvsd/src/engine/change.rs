//! Changes of the desired state: from the API, and from the file.
use lvs_api::{
    error::{ApiError, Code},
    types::{Changed, Diff, LastReload, Reloaded},
};
use lvs_model::{
    change::{Change, ChangeError, Prepared},
    diff::{diff, diff_service},
};
use tracing::{info, warn};

use super::{Engine, Tables, Watch};
use crate::state::Event;

impl<T: Tables, W: Watch> Engine<T, W> {
    /// Makes a change, in the file too when asked to.
    pub(super) fn change(&mut self, change: &Change, persist: bool) -> Result<Changed, ApiError> {
        let prepared = self.running.prepare(change).map_err(|error| refused(&error))?;
        // Everything that can be refused is refused before anything is changed.
        let edited = if persist { Some(self.edited_file(change)?) } else { None };
        let before = self.running.services.get(prepared.place());
        let mut differences = Vec::new();
        diff_service(before, prepared.after(), &mut differences);
        self.put_one(prepared)?;
        for difference in &differences {
            info!(change = %difference, "changed");
        }
        let mut persisted = None;
        if let Some((text, loaded)) = edited {
            let mut file = self.loaded.desired.clone();
            file.commit(loaded);
            // Before the file says so: a successor would take it for an edited one.
            self.unsaved.push(Event::base(&file));
            self.save_events();
            self.file.write(&text).map_err(|error| {
                error.remedy("the change runs until the next reload; make the file writable")
            })?;
            self.loaded.desired = file;
            self.save();
            persisted = Some(self.file.path().to_owned());
        }
        Ok(Changed { differences, persisted, warnings: Vec::new() })
    }

    /// The file's text with a change, and what that changes of the file as it was loaded.
    fn edited_file(&self, change: &Change) -> Result<(String, Prepared), ApiError> {
        let prepared = self.loaded.desired.prepare(change).map_err(|error| {
            let refused = refused(&error);
            let message = format!("the file cannot take the change: {refused}");
            ApiError::new(refused.code, message)
                .remedy("make the changes that it builds on with --persist too")
        })?;
        Ok((self.file.with(change)?, prepared))
    }

    /// Reads the file again. A file with errors changes nothing.
    pub(crate) fn reload(&mut self, now: u64) -> Result<Reloaded, ApiError> {
        let reloaded = self.try_reload();
        match &reloaded {
            Ok(reloaded) => {
                let changes = reloaded.differences.len();
                info!(file = %reloaded.config.display(), changes, "reloaded");
                for difference in &reloaded.differences {
                    info!(change = %difference, "changed");
                }
                for setting in &reloaded.restart {
                    warn!(setting, "takes effect when lvsd starts again");
                }
            }
            Err(error) => {
                let details = error.details.join("\n");
                warn!("reload refused, what runs is unchanged: {error}\n{details}");
            }
        }
        self.last_reload = Some(LastReload { at: now, error: reloaded.as_ref().err().cloned() });
        reloaded
    }

    fn try_reload(&mut self) -> Result<Reloaded, ApiError> {
        let fresh = self.file.load(&self.watch.interfaces())?;
        let differences = diff(&self.running, &fresh.desired);
        let restart = crate::file::needs_restart(&self.settings, &fresh.daemon);
        if fresh.desired != self.running || self.apply_trouble.is_some() {
            self.put(fresh.desired.clone())?;
        }
        self.loaded = fresh;
        self.save();
        let config = self.file.path().to_owned();
        Ok(Reloaded { config, differences, restart, warnings: Vec::new() })
    }

    /// How what runs differs from the file as it was last loaded.
    pub(super) fn diff(&self) -> Diff {
        let differences = diff(&self.loaded.desired, &self.running);
        Diff { config: self.file.path().to_owned(), differences }
    }

    /// What runs, as a file.
    pub(super) fn config(&self) -> String {
        let mut config = self.loaded.clone();
        config.desired = self.running.clone();
        crate::file::text(&config)
    }
}

fn refused(error: &ChangeError) -> ApiError {
    let code = match error {
        ChangeError::UnknownService { .. } | ChangeError::UnknownServer { .. } => Code::NotFound,
        ChangeError::ServiceExists { .. }
        | ChangeError::KeyTaken { .. }
        | ChangeError::ServerExists { .. }
        | ChangeError::Flag { .. }
        | ChangeError::Rule { .. } => Code::Refused,
    };
    ApiError::new(code, error.to_string()).remedy(error.remedy())
}
