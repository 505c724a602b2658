//! What survives the daemon: see [`crate::state`].
use std::path::PathBuf;

use lvs_model::observed::Health;
use tracing::{info, warn};

use super::{Engine, Tables, Told, Watch};
use crate::state::{State, Store, Whole};

impl<T: Tables, W: Watch> Engine<T, W> {
    /// Takes over what the predecessor knew: its health, and the changes made at run time, unless
    /// the file was edited since. Before [`Engine::watch_all`].
    pub(crate) fn restore(&mut self, state: &State) {
        for (target, health, since) in state.health() {
            self.observed.health.insert(target.clone(), health);
            self.told.insert(target, Told { since, reason: None });
        }
        self.observed.hops = state.hops();
        self.inherited = self.observed.hops.keys().copied().collect();
        let Some(running) = state.running(&self.loaded.desired) else {
            warn!("the file was edited: changes made at run time are undone");
            return;
        };
        if state.has_changes() {
            info!("changes made at run time are kept; `lvs diff` shows them");
        }
        self.running = running;
    }

    /// Takes every target for up until its checks fail: for a daemon that takes over without
    /// knowing what its predecessor knew. The tables then stay as open as they are likely to be.
    pub(crate) fn trust_all(&mut self) {
        let targets = lvs_model::plan::targets(&self.running);
        self.observed.health.extend(targets.into_iter().map(|target| (target, Health::Up)));
    }

    /// The targets that count as up, for whoever checks them from now on.
    pub(crate) fn up(&self) -> impl Iterator<Item = &lvs_model::observed::Target> {
        let up = self.observed.health.iter().filter(|(_, health)| **health == Health::Up);
        up.map(|(target, _)| target)
    }

    /// Keeps what a successor must know in this file from now on.
    pub(crate) fn save_to(&mut self, path: PathBuf) {
        self.store = Some(Store::new(path));
    }

    /// Writes down what a successor must know.
    pub(crate) fn save(&mut self) {
        self.unsaved.clear();
        let Some(store) = &mut self.store else { return };
        let since = |target| self.told.get(target).map_or(0, |told: &Told| told.since);
        let health = self.observed.health.iter();
        let health = health.map(|(target, health)| (target.clone(), *health, since(target)));
        let whole = Whole::new(&self.loaded.desired, &self.running, health, &self.observed.hops);
        if let Err(error) = store.write(&whole) {
            let path = store.path().display();
            warn!(%error, %path, "the state is not saved: a successor will not know it");
        }
    }

    /// Writes down what happened since the last time.
    pub(super) fn save_events(&mut self) {
        let appended = match &mut self.store {
            Some(store) if !self.unsaved.is_empty() => store.append(&self.unsaved),
            Some(_) | None => Ok(true),
        };
        self.unsaved.clear();
        if !matches!(appended, Ok(true)) {
            self.save();
        }
    }
}
