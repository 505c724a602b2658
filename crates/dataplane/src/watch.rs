//! Tells a watcher what happens to connections.
use std::{collections::HashSet, mem, sync::Arc};

use lvs_core::journal::Change;

use crate::{
    connections::{Connection, Filter},
    crossed::Crossed,
    dataplane::{Dataplane, Shared},
    entries::{Entries, Key},
    host::now,
    journal::{Changed, Journal, Read},
    records::virtual_hash,
};

/// Connections that a look tells, of the journal and of the table each, or what is read at a time more.
const ENOUGH: usize = 4096;
/// How often a look reads some of the journal, if little of it fits: twice what the CPUs' rings hold.
const READINGS: usize = 64;

/// What a watcher is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A connection changed.
    Changed(Change, Connection),
    /// So many changes, or a few less, came too fast to be told, or were of a server that has been
    /// forgotten meanwhile. All connections that there are follow.
    Missed(u64),
    /// A connection that there is: one of those, or one of whose changes the last is not known, since
    /// several CPUs made them.
    Is(Connection),
}

/// What a watcher wants to be told.
#[derive(Debug)]
struct Wanted {
    filter: Filter,
    /// If those of one state are watched: those that were told to be in it, and have not ended since.
    told: HashSet<Key>,
}

impl Wanted {
    /// Whether a connection is to be told, which fits but for its state, and ends or is in that now.
    /// Who has been told that it is in the state that he watches is told as well that it leaves it.
    fn has(&mut self, key: Key, connection: &Connection, ends: bool) -> bool {
        let Some(state) = self.filter.state else { return true };
        let fits = connection.state == state;
        let was_told = match (ends, fits) {
            (true, _) => self.told.remove(&key),
            (false, true) => self.told.insert(key),
            (false, false) => self.told.contains(&key),
        };
        fits || was_told
    }
}

/// Watches connections.
#[derive(Debug)]
pub struct Watch {
    tables: Shared,
    wanted: Wanted,
    journal: Journal,
    /// How often servers had been forgotten before what is read of the journal was written.
    forgotten: u64,
    /// What was read, and told since.
    changes: Vec<Changed>,
    crossed: Crossed,
    /// What was told and may not have been the connection's last change.
    unsure: Vec<(Changed, Connection)>,
    /// The table that is read anew.
    anew: Option<Entries>,
    /// Changes were missed since that began: once more, when it has ended.
    again: bool,
}

impl Watch {
    /// Appends what has happened to connections that fit, since the last look or the beginning.
    pub fn look(&mut self, seen: &mut Vec<Seen>) {
        let enough = seen.len() + ENOUGH;
        for _ in 0..READINGS {
            let Read { missed, is_all } = self.tell(seen);
            if missed > 0 {
                self.begin_anew(missed, seen);
            }
            if is_all || missed > 0 || seen.len() >= enough {
                break;
            }
        }
        self.settle(seen);
        self.list(seen);
        if self.journal.ends_round() {
            self.crossed.next_round();
        }
    }

    /// Reads some of the journal and tells what it has; changes that cannot be told are missed too.
    fn tell(&mut self, seen: &mut Vec<Seen>) -> Read {
        let (memory, begin) = (&*self.tables.0, seen.len());
        let mut read = self.journal.read_some(&mut self.changes);
        let (now, changes, mut untold) = (now(), self.changes.len() as u64, 0);
        for changed in self.changes.drain(..) {
            let Some(connection) = changed.entry.told(memory, now) else {
                untold += 1;
                continue;
            };
            if !self.wanted.filter.fits_but_for_state(&connection) {
                continue;
            }
            let ends = changed.change == Change::Ended;
            if self.wanted.has(changed.entry.key, &connection, ends) {
                seen.push(Seen::Changed(changed.change, connection));
            }
            if self.crossed.note(&changed.entry.key, changed.ring) {
                self.unsure.push((changed, connection));
            }
        }
        if memory.forgotten() != self.forgotten {
            // Their servers' numbers may be those of others by now, and those of what is not read yet.
            seen.truncate(begin);
            self.forgotten = memory.forgotten();
            untold = changes + self.journal.skip();
        }
        read.missed += untold;
        read
    }

    /// Says that changes are missed, and has the table read.
    fn begin_anew(&mut self, missed: u64, seen: &mut Vec<Seen>) {
        self.unsure.clear();
        self.wanted.told.clear();
        self.crossed.miss();
        seen.push(Seen::Missed(missed));
        // A reading goes on: begun anew, it would never end while changes come too fast.
        self.again = self.anew.is_some();
        self.anew.get_or_insert_with(|| self.tables.entries());
    }

    /// Asks the table, now that the journal is read, what became of connections of which that is not
    /// sure: what happens to them later, a later look tells.
    fn settle(&mut self, seen: &mut Vec<Seen>) {
        let memory = &*self.tables.0;
        let (now, mut settled) = (now(), HashSet::new());
        // The last change that was told of each.
        while let Some((Changed { change, entry, .. }, told)) = self.unsure.pop() {
            if !settled.insert(entry.key) {
                continue;
            }
            let found = memory.entry_of(entry.key, virtual_hash(memory.keys, &told.service));
            let found = found.and_then(|entry| entry.told(memory, now));
            let is_over = change == Change::Ended;
            match found.filter(|it| self.wanted.filter.fits_but_for_state(it)) {
                Some(is) if is_over || (is.state, is.server) != (told.state, told.server) => {
                    seen.extend(self.wanted.has(entry.key, &is, false).then_some(Seen::Is(is)));
                }
                None if !is_over => {
                    let ended = Seen::Changed(Change::Ended, told);
                    seen.extend(self.wanted.has(entry.key, &told, true).then_some(ended));
                }
                Some(_) | None => {}
            }
        }
    }

    /// Goes on with the table that is read anew. Only what is read in this look, and so after the
    /// journal, is told: what ends later, a later look tells.
    fn list(&mut self, seen: &mut Vec<Seen>) {
        /// Pieces that are read at each look, however few of their connections fit.
        const PIECES: usize = 256;
        let Some(table) = &mut self.anew else { return };
        let enough = seen.len() + ENOUGH;
        for _ in 0..PIECES {
            let Some(piece) = table.piece() else {
                let again = mem::take(&mut self.again);
                self.anew = again.then(|| self.tables.entries());
                return;
            };
            let now = now();
            let filter = self.wanted.filter;
            for entry in piece.iter().filter(|entry| filter.may_fit(entry)) {
                let connection = entry.connection(&self.tables.0, now);
                if let Some(connection) = connection.filter(|it| filter.fits(it))
                    && self.wanted.has(entry.key, &connection, false)
                {
                    seen.push(Seen::Is(connection));
                }
            }
            if seen.len() >= enough {
                return;
            }
        }
    }
}

impl Shared {
    /// What happens to connections from now on.
    pub fn journal(&self) -> Journal {
        Journal::new(Arc::clone(&self.0))
    }

    /// Watches the connections that fit, from now on.
    pub fn watch(&self, filter: Filter) -> Watch {
        let (forgotten, journal) = (self.0.forgotten(), self.journal());
        Watch {
            tables: self.clone(),
            wanted: Wanted { filter, told: HashSet::new() },
            journal,
            forgotten,
            changes: Vec::new(),
            crossed: Crossed::new(),
            unsure: Vec::new(),
            anew: None,
            again: false,
        }
    }
}

impl Dataplane {
    /// See [`Shared::watch`].
    pub fn watch(&self, filter: Filter) -> Watch {
        self.shared().watch(filter)
    }
}
