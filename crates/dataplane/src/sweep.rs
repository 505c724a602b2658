//! Forgets what is over.
use std::collections::HashSet;

use crate::{
    connections::slots,
    dataplane::Dataplane,
    draft::{Draft, Drafter},
    error::Error,
};

/// So many sweeps make one pass of [`crate::spill`] and [`crate::moved`], which read the table too.
const SWEEPS_PER_PASS: u32 = 8;

/// What a sweep found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Connections that there are.
    pub connections: u64,
    /// Connections that had expired and are forgotten.
    pub expired: u64,
    /// Servers that were removed and whose last connection has ended.
    pub servers: usize,
}

impl Dataplane {
    /// Forgets expired connections, and the servers and services that were removed and have none
    /// left. To be called about once a second; nothing that packets meet depends on it.
    ///
    /// # Errors
    /// No room for what changes of rings or servers that share an address need; the next sweep tries
    /// again.
    pub fn sweep(&mut self) -> Result<Swept, Error> {
        let mut swept = Swept::default();
        let now = self.now();
        let mut held = HashSet::new();
        let waiting = self.mirror.servers.values().any(|server| !server.planned);
        for seen in slots(&self.memory) {
            if seen.word.expires().since(now) <= 0 && seen.end(&self.memory) {
                swept.expired += 1;
                continue;
            }
            swept.connections += 1;
            if waiting {
                held.insert(seen.word.server());
            }
        }
        self.sweeps = self.sweeps.wrapping_add(1);
        if self.sweeps.is_multiple_of(SWEEPS_PER_PASS) {
            self.spill.pass(&self.memory);
            self.settle()?;
        }
        if waiting {
            held.extend(self.held_by_rings());
            let forgotten = self.over(&held);
            swept.servers = forgotten.len();
            self.forget(forgotten)?;
        }
        Ok(swept)
    }

    /// Servers that were removed and that no slot holds: not now, and not a sweep ago either, so
    /// that no packet is under way that still counts one of them.
    fn over(&mut self, held: &HashSet<u32>) -> HashSet<u32> {
        let mut over = HashSet::new();
        for (number, server) in &mut self.mirror.servers {
            if server.planned || held.contains(number) {
                server.unheld = false;
            } else if std::mem::replace(&mut server.unheld, true) {
                over.insert(*number);
            }
        }
        over
    }

    fn forget(&mut self, forgotten: HashSet<u32>) -> Result<(), Error> {
        if forgotten.is_empty() {
            return Ok(());
        }
        let now = self.now();
        let Self { memory, mirror, grace, .. } = self;
        let draft = Draft { forgotten, ..Draft::default() };
        let mut drafter = Drafter { memory, mirror, draft, now, grace: &**grace };
        let prepared = drafter.relink();
        let draft = drafter.draft;
        if let Err(error) = prepared {
            mirror.give(memory, draft.taken.into_iter().rev());
            return Err(error);
        }
        self.publish(&draft);
        self.commit(draft);
        Ok(())
    }
}
