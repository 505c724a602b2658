//! Tells a watcher what happens to connections.
use std::{mem, sync::Arc};

use lvs_core::journal::Change;

use crate::{
    connections::{Connection, Connections, Filter},
    dataplane::{Dataplane, Shared},
    host::now,
    journal::{Changed, Journal},
};

/// What a watcher is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A connection changed.
    Changed(Change, Connection),
    /// So many changes, or a few less, came too fast to be told. All connections that there are follow.
    Missed(u64),
    /// A connection that there is.
    Is(Connection),
}

/// Watches connections.
#[derive(Debug)]
pub struct Watch {
    tables: Shared,
    filter: Filter,
    journal: Journal,
    /// What was read, and told since.
    changes: Vec<Changed>,
    /// The table that is read anew.
    anew: Option<Connections>,
    /// Changes were missed since that began: once more, when it has ended.
    again: bool,
}

impl Watch {
    /// Appends what has happened to connections that fit, since the last look or the beginning.
    pub fn look(&mut self, seen: &mut Vec<Seen>) {
        /// Connections of the table that are told at each look.
        const PIECE: usize = 4096;
        let missed = self.journal.read(&mut self.changes);
        let now = now();
        for Changed { change, entry } in self.changes.drain(..) {
            let connection = entry.told(&self.tables.0, now);
            let wanted = connection.filter(|connection| self.filter.fits(connection));
            seen.extend(wanted.map(|connection| Seen::Changed(change, connection)));
        }
        if missed > 0 {
            seen.push(Seen::Missed(missed));
            // Not from the beginning: it would never end while changes come too fast.
            self.again = self.anew.is_some();
            self.anew.get_or_insert_with(|| self.tables.connections(self.filter));
        }
        if let Some(table) = &mut self.anew {
            let before = seen.len();
            seen.extend(table.by_ref().take(PIECE).map(Seen::Is));
            if seen.len() - before < PIECE {
                let again = mem::take(&mut self.again);
                self.anew = again.then(|| self.tables.connections(self.filter));
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
        let journal = self.journal();
        Watch {
            tables: self.clone(),
            filter,
            journal,
            changes: Vec::new(),
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
