//! Forgets what is over.
use std::{
    collections::HashSet,
    sync::{Arc, PoisonError},
};

use lvs_core::{
    clock::Ticks,
    connection::{Set, Slot},
};

use crate::{
    bits::Bits,
    connections::end,
    dataplane::Dataplane,
    draft::{Draft, Drafter},
    entries::taken,
    error::Error,
    memory::Memory,
};

/// So many sweeps make one pass of [`crate::moved`], which reads the table too.
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
        let waiting = self.mirror.servers.values().any(|server| !server.planned);
        let mut held = waiting.then(Bits::default);
        let memory = &*self.memory;
        expire(memory, memory.narrow.all(), now, &mut swept, &mut held);
        expire(memory, memory.wide.all(), now, &mut swept, &mut held);
        self.spill.step(memory);
        self.sweeps = self.sweeps.wrapping_add(1);
        if self.sweeps.is_multiple_of(SWEEPS_PER_PASS) {
            self.settle()?;
        }
        if let Some(mut held) = held {
            for server in self.held_by_rings() {
                held.set(server, self.memory.sizes.server_numbers);
            }
            let forgotten = self.over(&held);
            swept.servers = forgotten.len();
            self.forget(forgotten)?;
        }
        Ok(swept)
    }

    /// Servers that were removed and that no slot holds: not now, and not a sweep ago either, so
    /// that no packet is under way that still counts one of them.
    fn over(&mut self, held: &Bits) -> HashSet<u32> {
        let mut over = HashSet::new();
        for (number, server) in &mut self.mirror.servers {
            if server.planned || held.has(*number) {
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
        let memory = Arc::clone(&self.memory);
        let _nobody_ends = memory.ending.lock().unwrap_or_else(PoisonError::into_inner);
        let Self { memory, mirror, grace, .. } = self;
        let draft = Draft { forgotten, ..Draft::default() };
        let mut drafter = Drafter { memory, mirror, draft, now, grace: &**grace };
        let prepared = drafter.relink();
        let draft = drafter.draft;
        if let Err(error) = prepared {
            mirror.give(memory, draft.taken.into_iter().rev());
            return Err(error);
        }
        self.memory.forget();
        self.publish(&draft);
        self.commit(draft);
        Ok(())
    }
}

/// Frees the slots of what has expired, and notes which servers hold the others.
fn expire<S: Slot>(
    memory: &Memory,
    sets: &[Set<S>],
    now: Ticks,
    swept: &mut Swept,
    held: &mut Option<Bits>,
) {
    for (slot, word) in taken(sets) {
        if word.expires().since(now) <= 0 && end(memory, slot, word) {
            swept.expired += 1;
            continue;
        }
        swept.connections += 1;
        if let Some(held) = held {
            held.set(word.server(), memory.sizes.server_numbers);
        }
    }
}
