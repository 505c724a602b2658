//! All tables, mapped into memory.
use std::{
    io,
    os::fd::BorrowedFd,
    sync::{
        Mutex,
        atomic::{
            AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
            fence,
        },
    },
};

use lvs_core::{
    connection::{Narrow, Set, Wide},
    hash::Keys,
    index::Transport,
    journal::{Head, Place},
    load::Load,
    scheduler::walk,
    shared::Shared64,
    tables::{Candidate, Counters, Events, FOLLOWED, Handle, IndexLine, Server, Service, Standing},
};

use crate::{
    error::Error,
    region::{Plain, Region},
    sizes::{Meta, OWN_RING, Sizes},
};

/// The tables that the kernel program and this crate share, and some that only this crate knows.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) sizes: Sizes,
    pub(crate) keys: Keys,
    pub(crate) index: Region<IndexLine>,
    pub(crate) services: Region<Service>,
    pub(crate) standings: Region<Standing>,
    pub(crate) candidates: Region<[Candidate; 8]>,
    pub(crate) rings: Region<u32>,
    pub(crate) handles: Region<Shared64>,
    pub(crate) servers: Region<Server>,
    pub(crate) loads: Region<Load>,
    pub(crate) block_winners: Region<Shared64>,
    pub(crate) group_winners: Region<Shared64>,
    pub(crate) narrow: Region<Set<Narrow>>,
    pub(crate) wide: Region<Set<Wide>>,
    pub(crate) counters: Region<Counters>,
    pub(crate) events: Region<Events>,
    /// How far each CPU's ring of the journal is written.
    pub(crate) heads: Region<Head>,
    /// The rings' places, one ring after the other.
    pub(crate) journal: Region<Place>,
    /// The same of the daemon's own ring, which no successor needs: who reads it ends with the daemon.
    pub(crate) own_head: Head,
    pub(crate) own_ring: Region<Place>,
    /// What servers that are gone had counted, by their service's number; those of services that
    /// are gone too: number 0.
    pub(crate) carried: Region<Counters>,
    /// The last weight of a server that was not 0, by its number.
    pub(crate) weights: Region<Shared64>,
    /// What names the layout.
    pub(crate) meta: Region<Meta>,
    /// Held by who ends connections in the program's stead: until they are counted off the loads of
    /// their servers, none of these is forgotten, and the daemon's ring has one writer.
    pub(crate) ending: Mutex<()>,
    /// How often servers were forgotten: before that, what leads to them is as it was.
    forgotten: AtomicU64,
}

/// What is told of a server: parts of its record, which may be another thread's to write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ToldServer {
    pub(crate) service: u16,
    pub(crate) method: u8,
    pub(crate) address: [u32; 4],
    pub(crate) transport: Transport,
    pub(crate) virtual_address: [u32; 4],
    pub(crate) virtual_port: u16,
}

/// How the kernel program reaches a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// By its address: the table is one value of its map, a power of two elements long.
    Direct,
    /// Likewise, but of any length, as long as the verifier follows its addresses.
    Bounded,
    /// By looking up its elements.
    LookedUp,
    /// Not at all.
    Unknown,
}

/// A table as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// Name of the map and of its pin.
    pub(crate) name: &'static str,
    /// How the program reaches it.
    pub(crate) reach: Reach,
    /// Bytes of an element.
    pub(crate) element: u32,
    /// Number of elements.
    pub(crate) len: u32,
}

impl Table {
    const fn of<T>(name: &'static str, reach: Reach, len: u32) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "a few bytes")]
        let element = size_of::<T>() as u32;
        Self { name, reach, element, len }
    }

    /// One that may become large.
    const fn large<T>(name: &'static str, len: u32) -> Self {
        let table = Self::of::<T>(name, Reach::LookedUp, len);
        let is_followed = len <= FOLLOWED / table.element;
        if is_followed { Self { reach: Reach::Bounded, ..table } } else { table }
    }

    /// All tables, with `META` last.
    pub(crate) const fn all(sizes: &Sizes) -> [Self; 19] {
        use Reach::{Direct, Unknown};
        [
            Self::of::<IndexLine>("INDEX", Direct, sizes.index_lines),
            Self::of::<Service>("SERVICES", Direct, sizes.service_records),
            Self::of::<Standing>("STANDINGS", Direct, sizes.service_numbers),
            Self::of::<[Candidate; 8]>("CANDIDATES", Direct, sizes.candidate_blocks),
            Self::of::<u32>("RINGS", Direct, sizes.ring_places),
            Self::of::<Shared64>("HANDLES", Direct, sizes.server_numbers),
            Self::of::<Server>("SERVERS", Direct, sizes.server_records),
            Self::of::<Load>("LOADS", Direct, sizes.server_numbers),
            Self::of::<Shared64>("BLOCK_WINNERS", Direct, sizes.candidate_blocks),
            Self::of::<Shared64>("GROUP_WINNERS", Direct, sizes.candidate_blocks),
            Self::large::<Set<Narrow>>("NARROW", sizes.narrow_sets),
            Self::large::<Set<Wide>>("WIDE", sizes.wide_sets),
            Self::large::<Counters>("COUNTERS", sizes.counters()),
            Self::of::<Events>("EVENTS", Direct, sizes.cpus),
            Self::of::<Head>("HEADS", Direct, sizes.cpus),
            Self::of::<Place>("JOURNAL", Direct, sizes.cpus * sizes.ring),
            Self::of::<Counters>("CARRIED", Unknown, sizes.service_numbers),
            Self::of::<Shared64>("WEIGHTS", Unknown, sizes.server_numbers),
            Self::of::<Meta>("META", Unknown, 1),
        ]
    }

    /// Bytes of a value of its map, and how many it has.
    pub(crate) const fn map(&self) -> (u32, u32) {
        match self.reach {
            Reach::Direct => (self.element.saturating_mul(self.mask().saturating_add(1)), 1),
            Reach::Bounded => (self.element * self.len, 1),
            Reach::LookedUp | Reach::Unknown => (self.element, self.len),
        }
    }

    /// The lowest bits of an element's number, as many as keep it in the table's map.
    pub(crate) const fn mask(&self) -> u32 {
        self.len.next_power_of_two() - 1
    }
}

/// Where the memory of a table comes from.
pub(crate) trait Source {
    /// The map of this name; `None`: anonymous memory.
    fn map(&self, name: &'static str) -> Result<Option<BorrowedFd<'_>>, Error>;
}

/// Memory of this process alone.
pub(crate) struct Anonymous;

impl Source for Anonymous {
    fn map(&self, _: &'static str) -> Result<Option<BorrowedFd<'_>>, Error> {
        Ok(None)
    }
}

/// Maps one table.
pub(crate) fn map<T: Plain>(
    source: &impl Source,
    name: &'static str,
    len: u32,
) -> Result<Region<T>, Error> {
    let region = match source.map(name)? {
        Some(map) => Region::of_map(map, len),
        None => Region::anonymous(len),
    };
    region.map_err(|source: io::Error| Error::Map { table: name, source })
}

impl Memory {
    pub(crate) fn new(source: &impl Source, sizes: Sizes, keys: Keys) -> Result<Self, Error> {
        Ok(Self {
            sizes,
            keys,
            index: map(source, "INDEX", sizes.index_lines)?,
            services: map(source, "SERVICES", sizes.service_records)?,
            standings: map(source, "STANDINGS", sizes.service_numbers)?,
            candidates: map(source, "CANDIDATES", sizes.candidate_blocks)?,
            rings: map(source, "RINGS", sizes.ring_places)?,
            handles: map(source, "HANDLES", sizes.server_numbers)?,
            servers: map(source, "SERVERS", sizes.server_records)?,
            loads: map(source, "LOADS", sizes.server_numbers)?,
            block_winners: map(source, "BLOCK_WINNERS", sizes.candidate_blocks)?,
            group_winners: map(source, "GROUP_WINNERS", sizes.candidate_blocks)?,
            narrow: map(source, "NARROW", sizes.narrow_sets)?,
            wide: map(source, "WIDE", sizes.wide_sets)?,
            counters: map(source, "COUNTERS", sizes.counters())?,
            events: map(source, "EVENTS", sizes.cpus)?,
            heads: map(source, "HEADS", sizes.cpus)?,
            journal: map(source, "JOURNAL", sizes.cpus * sizes.ring)?,
            own_head: Head::default(),
            own_ring: map(&Anonymous, "JOURNAL", OWN_RING)?,
            carried: map(source, "CARRIED", sizes.service_numbers)?,
            weights: map(source, "WEIGHTS", sizes.server_numbers)?,
            meta: map(source, "META", 1)?,
            ending: Mutex::new(()),
            forgotten: AtomicU64::new(0),
        })
    }

    /// Says that servers are about to be forgotten.
    pub(crate) fn forget(&self) {
        self.forgotten.fetch_add(1, Relaxed);
        fence(Release);
    }

    /// How often servers were forgotten. As long as that is the same, numbers of servers mean the same.
    pub(crate) fn forgotten(&self) -> u64 {
        // After what was read by such numbers until now.
        fence(Acquire);
        self.forgotten.load(Acquire)
    }

    /// The word that leads to a server's record.
    pub(crate) fn handle_of(&self, server: u32) -> Handle {
        Handle(self.handles.get(server).map_or(0, Shared64::get))
    }

    /// The record of a server by its number, for the thread that writes records.
    pub(crate) fn server_of(&self, server: u32) -> Option<&Server> {
        match self.handle_of(server).record() {
            0 => None,
            record => self.servers.get(record),
        }
    }

    /// What is told of a server, by its number; for any thread.
    pub(crate) fn told_server(&self, server: u32) -> Option<ToldServer> {
        let servers = &self.servers;
        let copy = |at| {
            Some(ToldServer {
                service: servers.part(at, |server| &server.service)?,
                method: servers.part(at, |server| &server.method)?,
                address: servers.part(at, |server| &server.address)?,
                transport: servers.part(at, |server| &server.transport)?,
                virtual_address: servers.part(at, |server| &server.virtual_address)?,
                virtual_port: servers.part(at, |server| &server.virtual_port)?,
            })
        };
        follow(|| self.handle_of(server).record(), copy)
    }

    /// A timeout of a service, by its number, in ticks; for any thread.
    pub(crate) fn timeout_of(&self, service: u16, timeout: usize) -> Option<u32> {
        let standing = self.standings.get(service.into())?;
        let word = || u32::try_from(standing.record.get()).unwrap_or(0);
        follow(word, |at| {
            self.services.part(at, |it| it.timeouts.get(timeout).unwrap_or(&u32::MAX))
        })
    }

    /// Candidates of a service, in their order.
    pub(crate) fn candidates_of(&self, service: &Service) -> Vec<Candidate> {
        let blocks = service.candidates..service.candidates + service.len.div_ceil(8);
        let all = blocks.filter_map(|block| self.candidates.read(block)).flatten();
        all.take(service.len as usize).collect()
    }

    /// Writes candidates into free blocks.
    pub(crate) fn write_candidates(&self, first: u32, list: &[Candidate]) {
        let len = u32::try_from(list.len()).unwrap_or(u32::MAX);
        let mut chunks = list.chunks(8);
        for block in first..first + walk::blocks(len) {
            let mut whole = [Candidate::default(); 8];
            let chunk = chunks.next().unwrap_or_default();
            whole.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
            self.candidates.write(block, whole);
            self.block_winners.get(block).inspect(|winner| winner.set(0));
            self.group_winners.get(block).inspect(|winner| winner.set(0));
        }
    }

    /// What all CPUs counted for a server.
    pub(crate) fn counters_of(&self, server: u32) -> Counters {
        let mut sum = Counters::default();
        for cpu in 0..self.sizes.cpus {
            if let Some(counters) = self.counters.read(cpu * self.sizes.server_numbers + server) {
                add(&mut sum, &counters);
            }
        }
        sum
    }

    /// Moves what was counted for a server that gets no packets any more to its service.
    pub(crate) fn carry_server(&self, server: u32, service: u16) {
        self.carry(service, &self.counters_of(server));
        for cpu in 0..self.sizes.cpus {
            self.counters.write(cpu * self.sizes.server_numbers + server, Counters::default());
        }
        self.loads.get(server).inspect(|load| load.word.set(0));
    }

    /// Moves what was carried over for a service that is gone to the total.
    pub(crate) fn carry_service(&self, service: u16) {
        let carried = self.carried.read(service.into()).unwrap_or_default();
        self.carry(0, &carried);
        self.carried.write(service.into(), Counters::default());
    }

    fn carry(&self, service: u16, counters: &Counters) {
        let mut sum = self.carried.read(service.into()).unwrap_or_default();
        add(&mut sum, counters);
        self.carried.write(service.into(), sum);
    }
}

/// Copies of the record to which a word leads what `copy` does; 0: it leads to none. A record that is
/// replaced is freed, and written anew, maybe while it is copied here, but not before the word leads
/// elsewhere.
fn follow<T>(word: impl Fn() -> u32, copy: impl Fn(u32) -> Option<T>) -> Option<T> {
    let mut at = word();
    while at != 0 {
        fence(Acquire);
        let record = copy(at);
        fence(Acquire);
        let again = word();
        if again == at {
            return record;
        }
        at = again;
    }
    None
}

/// Adds counters to others.
pub(crate) fn add(sum: &mut Counters, counters: &Counters) {
    sum.connections += counters.connections;
    sum.packets_in += counters.packets_in;
    sum.packets_out += counters.packets_out;
    sum.bytes_in += counters.bytes_in;
    sum.bytes_out += counters.bytes_out;
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_record_that_is_replaced_while_it_is_copied_is_not_taken() {
        let records = Region::anonymous(4).unwrap();
        (0..4).for_each(|at| records.write(at, 10 * at));
        let copy = |at| records.read(at);
        let leading_to = |places: &'static [u32]| {
            let places = Cell::new(places.iter());
            move || {
                let mut left = places.take();
                let place = left.next().copied();
                places.set(left);
                place.unwrap()
            }
        };
        assert_eq!(follow(leading_to(&[1, 1]), copy), Some(10));
        assert_eq!(follow(leading_to(&[1, 2, 3, 3]), copy), Some(30));
        assert_eq!(follow(leading_to(&[1, 0]), copy), None);
        assert_eq!(follow(leading_to(&[0]), copy), None);
    }
}
