//! How what is desired and observed reaches the tables. Single changes and events cost time for the
//! services that they are about, not for all.
use std::collections::{HashMap, HashSet};

use lvs_api::error::{ApiError, Code};
use lvs_model::{
    change::Prepared,
    desired::{Desired, Service},
    observed::{Health, Target},
    plan::{is_up, plan, plan_service},
};
use tracing::{error, info};

use super::{
    Engine, Tables, Watch, causes, chain,
    users::{Unused, Users},
};
use crate::state::Event;

impl<T: Tables, W: Watch> Engine<T, W> {
    /// Brings the tables in line with what is desired and observed.
    pub(crate) fn settle(&mut self) {
        if !self.behind && self.touched.is_empty() {
            return;
        }
        // First: a successor must not close what these tables have open.
        self.save_events();
        let mut whole = Ok(());
        if self.behind {
            whole = self.tables.apply(&plan(&self.running, &self.observed));
            self.behind = whole.is_err();
            self.touched.clear();
            if self.behind {
                self.touched.extend(0..self.running.services.len());
            }
        }
        let touched: Vec<_> = std::mem::take(&mut self.touched).into_iter().collect();
        let settled = self.update(&touched);
        let trouble = whole.and(settled).err().map(|error| chain(&error));
        match &trouble {
            None if self.apply_trouble.is_some() => info!("the tables are in line again"),
            Some(trouble) if self.apply_trouble.as_ref() != Some(trouble) => {
                error!("cannot bring the tables in line, trying again: {trouble}");
            }
            Some(_) | None => {}
        }
        self.apply_trouble = trouble;
    }

    /// Brings the services at these places in line: all at once, or, where the tables have no room for
    /// that, in as many steps as it takes. Those for which there is none stay touched.
    fn update(&mut self, places: &[usize]) -> Result<(), T::Error> {
        if places.is_empty() {
            return Ok(());
        }
        let services = places.iter().filter_map(|place| self.running.services.get(*place));
        let planned: Vec<_> = services.map(|s| plan_service(s, &self.observed)).collect();
        match self.tables.update(&planned) {
            Err(_) if places.len() > 1 => {
                let (some, rest) = places.split_at(places.len() / 2);
                let some = self.update(some);
                some.and(self.update(rest))
            }
            Err(error) => {
                self.touched.extend(places);
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }

    /// Replaces the desired state, or leaves everything as it was. [`Engine::save`] is to follow at
    /// once: whoever asked is told that it is done only after a successor would know it.
    pub(super) fn put(&mut self, desired: Desired) -> Result<(), ApiError> {
        let users = Users::of(&desired);
        let new = self.users.unused_of(&users).targets;
        let before: HashMap<_, _> = self.running.services.iter().map(|s| (s.key, s)).collect();
        let known =
            desired.services.iter().filter_map(|after| Some((*before.get(&after.key)?, after)));
        let up = known.flat_map(|(before, after)| self.still_up(before, after)).collect();
        self.watch_new(new.clone(), up);
        if let Err(error) = self.tables.apply(&plan(&desired, &self.observed)) {
            self.forget_targets(&new);
            return Err(refused(&error));
        }
        self.touched.clear();
        self.behind = false;
        self.apply_trouble = None;
        self.forget(&users.unused_of(&self.users));
        self.users = users;
        self.running = desired;
        self.watch_addresses();
        Ok(())
    }

    /// Makes a change of one service and writes it down, or leaves everything as it was.
    pub(super) fn put_one(&mut self, prepared: Prepared) -> Result<(), ApiError> {
        let place = prepared.place();
        let Some(after) = prepared.after() else { return self.remove_one(prepared) };
        let new: Vec<Target> = self.users.new_targets(after).into_iter().collect();
        let before = self.running.services.get(place);
        let up = before.map(|before| self.still_up(before, after)).unwrap_or_default();
        self.watch_new(new.clone(), up);
        if let Err(error) = self.tables.update(&[plan_service(after, &self.observed)]) {
            self.forget_targets(&new);
            return Err(refused(&error));
        }
        let new_address = self.users.has_new_address(after);
        self.users.add(place, after);
        let before = self.running.services.get(place);
        let unused = before.map(|before| self.users.remove(place, before)).unwrap_or_default();
        self.forget(&unused);
        if new_address || !unused.addresses.is_empty() {
            self.watch_addresses();
        }
        self.unsaved.push(Event::Service(after.clone()));
        self.running.commit(prepared);
        self.save_events();
        Ok(())
    }

    fn remove_one(&mut self, prepared: Prepared) -> Result<(), ApiError> {
        let place = prepared.place();
        let Some(before) = self.running.services.get(place) else { return Ok(()) };
        self.tables.remove(before.key).map_err(|error| refused(&error))?;
        let unused = self.users.remove(place, before);
        self.unsaved.push(Event::Removed(before.name.clone()));
        self.running.commit(prepared);
        // The next ones move up.
        self.users.close(place);
        let touched = std::mem::take(&mut self.touched).into_iter();
        let touched = touched.filter(|other| *other != place);
        self.touched = touched.map(|other| other - usize::from(other > place)).collect();
        self.forget(&unused);
        if !unused.addresses.is_empty() {
            self.watch_addresses();
        }
        self.save_events();
        Ok(())
    }

    /// What is checked, after a change, of servers that are up by what was checked before: another
    /// question is no reason to close them until it is answered.
    fn still_up(&self, before: &Service, after: &Service) -> Vec<Target> {
        if before == after {
            return Vec::new();
        }
        let up = before.servers.iter().filter(|server| is_up(before, server, &self.observed));
        let up: HashSet<_> = up.map(|server| server.address).collect();
        let still = after.servers.iter().filter(|server| up.contains(&server.address));
        still.filter_map(|server| after.target_of(server)).collect()
    }

    pub(super) fn watch_new(&mut self, targets: Vec<Target>, up: Vec<Target>) {
        let up = self.watch.add_targets(targets, up);
        self.observed.health.extend(up.into_iter().map(|target| (target, Health::Up)));
    }

    pub(super) fn watch_addresses(&mut self) {
        self.watch.set_addresses(self.users.addresses().copied().collect());
    }

    fn forget(&mut self, unused: &Unused) {
        self.forget_targets(&unused.targets);
        for address in &unused.addresses {
            self.observed.hops.remove(address);
            self.unresolved.remove(address);
            self.inherited.remove(address);
        }
    }

    fn forget_targets(&mut self, targets: &[Target]) {
        self.watch.remove_targets(targets);
        for target in targets {
            self.observed.health.remove(target);
            self.told.remove(target);
        }
    }
}

fn refused(error: &dyn std::error::Error) -> ApiError {
    ApiError::new(Code::Dataplane, "the data plane cannot take the change").details(causes(error))
}
