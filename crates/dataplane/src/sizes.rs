//! How large each table is, and how a successor knows that it can use them.
use lvs_core::{
    connection::{Narrow, Set, Wide, Word},
    hash::Keys,
    journal::{Head, Place},
    scheduler::{Scheduler, mh},
    tables::{Counters, Events, FOLLOWED, IndexLine, Server, Service, Standing},
};

use crate::{error::Error, moved};

/// For how much there is room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Connections that are remembered at the same time.
    pub connections: u32,
    /// Virtual services.
    pub services: u32,
    /// Servers, counted once for each service that they serve.
    pub servers: u32,
}

impl Default for Capacity {
    fn default() -> Self {
        Self { connections: 1_000_000, services: 4095, servers: 65_535 }
    }
}

/// With two records for each, all of that.
const MOST_SERVERS: u32 = (2 << 20) - 1;
const _: () = assert!((2 * MOST_SERVERS as usize + 2) * size_of::<Server>() <= FOLLOWED as usize);
/// Places of a ring of the journal: what a CPU does in 30 ms to which each packet is a new connection.
const RING: u32 = 1 << 15;
/// Places of the daemon's ring: what a sweep ends at once of a table of the default size.
pub(crate) const OWN_RING: u32 = 1 << 20;
/// Places of all CPUs' rings.
const PLACES: u32 = 32 << 20;
const _: () = assert!(PLACES as usize * size_of::<Place>() <= FOLLOWED as usize);
const _: () = assert!(MOST_SERVERS < Word::SERVERS);

/// Elements of each table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Sizes {
    pub(crate) index_lines: u32,
    /// One more than the highest number of a service; number 0 means none.
    pub(crate) service_numbers: u32,
    pub(crate) service_records: u32,
    pub(crate) candidate_blocks: u32,
    pub(crate) ring_places: u32,
    /// One more than the highest number of a server; number 0 means none.
    pub(crate) server_numbers: u32,
    pub(crate) server_records: u32,
    pub(crate) narrow_sets: u32,
    pub(crate) wide_sets: u32,
    /// One more than the highest number of a CPU.
    pub(crate) cpus: u32,
    /// Places of a CPU's ring of the journal, a power of two.
    pub(crate) ring: u32,
}

impl Sizes {
    pub(crate) fn new(capacity: Capacity, cpus: u32) -> Result<Self, Error> {
        let Capacity { connections, services, servers } = capacity;
        let too_large = |setting, value, most| Error::Setting { setting, value, most };
        if services > u16::MAX.into() {
            return Err(too_large("services", services, u16::MAX.into()));
        }
        // The counters of one CPU after those of the other.
        let most = (u32::MAX / cpus.max(1) - 1).min(MOST_SERVERS);
        if servers > most {
            return Err(too_large("servers", servers, most));
        }
        if connections > u32::MAX / 10 {
            return Err(too_large("connections", connections, u32::MAX / 10));
        }
        // As many as `Drafter::check_rings` asks for.
        let maglev =
            (u64::from(services) + 1) * u64::from(moved::most_words(Scheduler::Mh as u8, true));
        // Not so many that a default table's memory would go beyond 64 bytes for a connection.
        let most = if services > Capacity::default().services { 16 << 20 } else { 8 << 20 };
        let ring_places = maglev.clamp(64 * mh::PLACES as u64, most);
        // At most 60 % of the slots are used: few connections then meet two full sets.
        let narrow_sets = (connections * 10).div_ceil(24).max(1);
        Ok(Self {
            // Four entries a line: a quarter is used, so that one of two lines has room.
            index_lines: (services + servers).max(16).next_power_of_two(),
            service_numbers: services + 1,
            // Twice: the old and the new one of each during a change.
            service_records: 2 * services + 2,
            // Twice: the old and the new list of each during a change. A long one fills whole groups:
            // of eight blocks for seventeen servers or more.
            candidate_blocks: servers + 2 * services,
            ring_places: u32::try_from(ring_places).unwrap_or(u32::MAX),
            server_numbers: servers + 1,
            server_records: 2 * servers + 2,
            narrow_sets,
            wide_sets: narrow_sets.div_ceil(2),
            cpus,
            ring: RING.min(PLACES / cpus.next_power_of_two()),
        })
    }

    /// For so many services there is room.
    pub(crate) const fn services(&self) -> u32 {
        self.service_numbers - 1
    }

    /// For so many servers there is room.
    pub(crate) const fn servers(&self) -> u32 {
        self.server_numbers - 1
    }

    /// Too little room for as many services as this.
    pub(crate) fn more_services(&self, needed: u32) -> Error {
        let (what, room) = ("services", self.services());
        Error::NoRoom { what, setting: what, room, needed: needed.into() }
    }

    /// Too little room for `what`, which grows with the setting `servers`.
    pub(crate) fn more_servers(&self, what: &'static str, needed: u64) -> Error {
        Error::NoRoom { what, setting: "servers", room: self.servers(), needed }
    }

    pub(crate) const fn counters(&self) -> u32 {
        self.server_numbers * self.cpus
    }
}

/// What names the layout of the tables; beside them, so that a successor can tell whether it
/// understands them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Meta {
    /// [`LAYOUT`], written last: tables that were not finished have none.
    pub(crate) layout: u64,
    pub(crate) sizes: Sizes,
    pub(crate) keys: [u64; 6],
}

/// Raise it when a field changes its meaning but not the size of its table.
const VERSION: u64 = 10;

/// Version and sizes of the types in the tables, in one number that is never 0.
pub(crate) const LAYOUT: u64 = {
    let sizes = [
        size_of::<IndexLine>(),
        size_of::<Service>(),
        size_of::<Standing>(),
        size_of::<Server>(),
        size_of::<Set<Narrow>>(),
        size_of::<Set<Wide>>(),
        size_of::<Counters>(),
        size_of::<Events>(),
        size_of::<Head>(),
        size_of::<Place>(),
        size_of::<Meta>(),
    ];
    let mut sum = VERSION;
    let mut at = 0;
    while at < sizes.len() {
        #[expect(clippy::indexing_slicing, reason = "at compile time, in bounds")]
        let size = sizes[at] as u64;
        sum = (sum ^ size).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    sum | 1
};

impl Meta {
    pub(crate) fn new(sizes: Sizes, keys: Keys) -> Self {
        Self { layout: LAYOUT, sizes, keys: keys.0 }
    }
}
