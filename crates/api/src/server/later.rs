//! Work for which the engine has no time: it hands it over, and a thread that may be busy for long
//! does it.
use std::fmt;

use crate::types::{Connection, Watched};

/// A number that takes long to find.
pub struct Later<T>(Box<dyn FnOnce() -> T + Send>);

impl<T> Later<T> {
    /// What `work` returns.
    pub fn new(work: impl FnOnce() -> T + Send + 'static) -> Self {
        Self(Box::new(work))
    }

    /// Does the work here and now.
    pub fn now(self) -> T {
        (self.0)()
    }
}

impl<T> fmt::Debug for Later<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Later")
    }
}

/// Connections that are looked for only when they are asked for.
pub struct Listing(Box<dyn Iterator<Item = Connection> + Send>);

impl Listing {
    /// Those of an iterator.
    pub fn new(connections: impl Iterator<Item = Connection> + Send + 'static) -> Self {
        Self(Box::new(connections))
    }
}

impl Iterator for Listing {
    type Item = Connection;

    fn next(&mut self) -> Option<Connection> {
        self.0.next()
    }
}

impl fmt::Debug for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listing")
    }
}

/// Finds out what has happened to connections since it was last asked.
pub struct Watching(Box<Look>);

type Look = dyn FnMut(&mut Vec<Watched>) + Send;

impl Watching {
    /// As `look` appends it.
    pub fn new(look: impl FnMut(&mut Vec<Watched>) + Send + 'static) -> Self {
        Self(Box::new(look))
    }

    pub(super) fn look(&mut self, told: &mut Vec<Watched>) {
        (self.0)(told);
    }
}

impl fmt::Debug for Watching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watching")
    }
}
