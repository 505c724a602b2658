//! The data plane as a whole.
use std::fmt;

use lvs_core::{hash::Keys, tables::Server};

use crate::{
    error::Error,
    host::Host,
    memory::{Anonymous, Memory},
    mirror::Mirror,
    sizes::{Capacity, Sizes},
    sys,
};

/// The tables, and the kernel program that works with them if one is loaded.
pub struct Dataplane {
    pub(crate) memory: Memory,
    pub(crate) mirror: Mirror,
    /// Waits until no packet sees what was replaced before the call.
    pub(crate) grace: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Dataplane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dataplane").field("sizes", &self.memory.sizes).finish_non_exhaustive()
    }
}

impl Dataplane {
    /// Tables in this process's own memory, for packets that go through `lvs-core` on the host.
    /// `grace` must return only when no packet is under way that began before it was called.
    ///
    /// # Errors
    /// The capacity cannot be had.
    pub fn in_memory(
        capacity: Capacity,
        cpus: u32,
        keys: Keys,
        grace: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let sizes = Sizes::new(capacity, cpus)?;
        let memory = Memory::new(&Anonymous, sizes, keys)?;
        Ok(Self { memory, mirror: Mirror::new(&sizes), grace: Box::new(grace) })
    }

    /// The tables as `lvs_core::director::process` takes them.
    pub fn host(&self) -> Host<'_> {
        Host::new(&self.memory)
    }

    /// The record of a server by its number.
    pub fn server(&self, number: u32) -> Option<Server> {
        self.memory.server_of(number).copied()
    }
}

/// Random keys for the hashes of new tables.
pub(crate) fn random_keys() -> Result<Keys, Error> {
    sys::random().map(Keys).map_err(|source| Error::System {
        call: "getrandom",
        what: "the keys of the hashes".to_owned(),
        remedy: "the kernel has no random numbers yet: try again later",
        source,
    })
}
