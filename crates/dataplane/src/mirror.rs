//! What the tables hold, as it cannot be looked up in them quickly, and which places are free.
use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
};

use lvs_core::{index::Endpoint, tables::IndexKind, wire::Protocol};
use lvs_model::{desired::ServiceKey, plan::PlannedService};

use crate::{memory::Memory, ranges::Ranges, sizes::Sizes};

/// What the tables hold.
#[derive(Debug)]
pub(crate) struct Mirror {
    /// Services that packets find.
    pub(crate) services: BTreeMap<ServiceKey, HeldService>,
    /// Services that were removed, but slots may still hold connections of theirs.
    pub(crate) gone: BTreeMap<ServiceKey, HeldService>,
    /// Servers by number.
    pub(crate) servers: HashMap<u32, HeldServer>,
    /// Servers behind NAT that share an address, in the order of their chain.
    pub(crate) chains: HashMap<(Protocol, SocketAddr), Vec<u32>>,
    /// Places that are free.
    pub(crate) free: Free,
}

/// A service in the tables.
#[derive(Clone, Debug)]
pub(crate) struct HeldService {
    pub(crate) number: u16,
    /// Number of its record; 0 when it was removed.
    pub(crate) record: u32,
    /// Its servers' numbers, also of those that were removed and may still have connections.
    pub(crate) servers: BTreeMap<SocketAddr, u32>,
    /// The plan that put it there; `None` when a predecessor did.
    pub(crate) plan: Option<PlannedService>,
}

/// A server in the tables.
#[derive(Clone, Debug)]
pub(crate) struct HeldServer {
    pub(crate) key: ServiceKey,
    pub(crate) address: SocketAddr,
    pub(crate) record: u32,
    /// Whether the last plan has it; otherwise it stays until no slot holds it.
    pub(crate) planned: bool,
    /// Its connections are to be reset until it is open again.
    pub(crate) reset: bool,
    /// The last sweep found no slot that holds it.
    pub(crate) unheld: bool,
}

/// Free places of each table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Free {
    pub(crate) service_numbers: Ranges,
    pub(crate) service_records: Ranges,
    pub(crate) candidates: Ranges,
    pub(crate) rings: Ranges,
    pub(crate) server_numbers: Ranges,
    pub(crate) server_records: Ranges,
}

/// Something that was taken from the tables.
#[derive(Clone, Copy)]
pub(crate) enum Taken {
    ServiceNumber(u16),
    ServiceRecord(u32),
    /// First block and number of blocks.
    Candidates(u32, u32),
    /// First place and number of places.
    Ring(u32, u32),
    ServerNumber(u32),
    ServerRecord(u32),
    Entry(Endpoint, IndexKind),
}

impl Free {
    pub(crate) fn new(sizes: &Sizes) -> Self {
        Self {
            service_numbers: Ranges::new(1, sizes.service_numbers),
            service_records: Ranges::new(1, sizes.service_records),
            candidates: Ranges::new(0, sizes.candidate_blocks),
            rings: Ranges::new(0, sizes.ring_places),
            server_numbers: Ranges::new(1, sizes.server_numbers),
            server_records: Ranges::new(1, sizes.server_records),
        }
    }

    /// Gives back what was taken from it.
    fn give(&mut self, taken: Taken) {
        match taken {
            Taken::ServiceNumber(number) => self.service_numbers.give(number.into(), 1),
            Taken::ServiceRecord(record) => self.service_records.give(record, 1),
            Taken::Candidates(first, blocks) => self.candidates.give(first, blocks),
            Taken::Ring(first, places) => self.rings.give(first, places),
            Taken::ServerNumber(number) => self.server_numbers.give(number, 1),
            Taken::ServerRecord(record) => self.server_records.give(record, 1),
            Taken::Entry(..) => {}
        }
    }
}

impl Mirror {
    /// Of empty tables.
    pub(crate) fn new(sizes: &Sizes) -> Self {
        Self {
            services: BTreeMap::new(),
            gone: BTreeMap::new(),
            servers: HashMap::new(),
            chains: HashMap::new(),
            free: Free::new(sizes),
        }
    }

    /// A service, removed or not.
    pub(crate) fn service(&self, key: &ServiceKey) -> Option<&HeldService> {
        self.services.get(key).or_else(|| self.gone.get(key))
    }

    /// Frees what nobody uses any more.
    pub(crate) fn give(&mut self, memory: &Memory, all: impl IntoIterator<Item = Taken>) {
        for taken in all {
            if let Taken::Entry(at, kind) = taken {
                memory.remove_entry(&at, kind);
            }
            self.free.give(taken);
        }
    }
}
