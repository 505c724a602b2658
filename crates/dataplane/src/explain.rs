//! Answers where a packet would go, by sending one through the very code that the kernel runs.
use std::{
    cell::{Cell, OnceCell},
    net::{IpAddr, SocketAddr},
    ops::ControlFlow,
};

use lvs_core::{
    clock::Ticks,
    connection::{Narrow, Set, Slot, Wide},
    director::{self, Action},
    forward::Method,
    hash::Keys,
    journal::Record,
    load,
    packet::Buffer,
    shared::{Shared32, Shared64},
    tables::{
        Admission, Candidate, Counters, Event, IndexLine, Route, Server, Service, Standing, Tables,
    },
    wire::Protocol,
};
use lvs_model::desired::{Scheduler, ServiceKey};

use crate::{counters::Load, dataplane::Dataplane, host::Host, index::socket_of};

/// Where a packet would go, and what decided that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// What becomes of the packet.
    pub event: Event,
    /// Where it goes.
    pub action: Action,
    /// The service that it meets.
    pub service: Option<MetService>,
    /// The server that gets it.
    pub server: Option<MetServer>,
}

/// The service that a packet meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetService {
    /// What names it.
    pub key: ServiceKey,
    /// Its scheduler.
    pub scheduler: Option<Scheduler>,
    /// Those that the scheduler may pick, in its order.
    pub candidates: Vec<MetServer>,
}

/// A server as its scheduler sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetServer {
    /// Where it listens.
    pub address: SocketAddr,
    /// How packets reach it.
    pub method: Method,
    /// Its weight.
    pub weight: u32,
    /// Which packets it gets.
    pub admission: Admission,
    /// Its connections.
    pub load: Load,
    /// Whether the way to it is known.
    pub is_resolved: bool,
}

impl Dataplane {
    /// Where the first packet of a new connection, or the next one of a known one, would go now.
    /// Nothing is changed by asking.
    pub fn explain(&self, protocol: Protocol, from: SocketAddr, to: SocketAddr) -> Explained {
        let overlay = Overlay::new(self.host());
        let mut packet = Buffer::new(&opening(protocol, from, to), 0);
        let verdict = director::process(&mut packet, &overlay);
        let event = Event::ALL.get(usize::from(verdict.event())).copied();
        let key = ServiceKey { protocol, address: to };
        Explained {
            event: event.unwrap_or(Event::Inconsistent),
            action: verdict.action(),
            service: self.met_service(key),
            server: overlay.counted.get().and_then(|number| self.met_server(number)),
        }
    }

    fn met_service(&self, key: ServiceKey) -> Option<MetService> {
        let held = self.mirror.services.get(&key)?;
        let service = self.memory.services.read(held.record)?;
        let known = |scheduler: &&Scheduler| **scheduler as u8 == service.scheduler;
        let candidates = self.memory.candidates_of(&service);
        Some(MetService {
            key,
            scheduler: Scheduler::ALL.iter().find(known).copied(),
            candidates: candidates.iter().filter_map(|c| self.met_server(c.server)).collect(),
        })
    }

    fn met_server(&self, number: u32) -> Option<MetServer> {
        let server = self.memory.server_of(number)?;
        let method = Method::ALL.into_iter().find(|method| *method as u8 == server.method)?;
        Some(MetServer {
            address: socket_of(server.address, server.transport),
            method,
            weight: server.weight,
            admission: self.memory.handle_of(number).admission(),
            load: self.load(number),
            is_resolved: server.interface != 0 || method == Method::Local,
        })
    }
}

/// A frame with a SYN, or a datagram; the director looks at no checksum.
pub(crate) fn opening(protocol: Protocol, from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let mut transport = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
    match protocol {
        Protocol::Tcp => transport.extend([0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0]),
        Protocol::Udp => transport.extend([0, 8, 0, 0]),
    }
    let len = u16::try_from(transport.len()).unwrap_or(0);
    let mut frame = vec![0; 12];
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            frame.extend([8, 0, 0x45, 0]);
            frame.extend((len + 20).to_be_bytes());
            frame.extend([0, 0, 0, 0, 64, protocol as u8, 0, 0]);
            frame.extend(from.octets());
            frame.extend(to.octets());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend(len.to_be_bytes());
            frame.extend([protocol as u8, 64]);
            frame.extend(from.octets());
            frame.extend(to.octets());
        }
        // No packet has both.
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {}
    }
    frame.extend(transport);
    frame
}

/// Copies of what was looked at and might be changed, by number.
struct Copies<T> {
    first: OnceCell<Box<Copied<T>>>,
}

struct Copied<T> {
    number: u32,
    value: T,
    rest: Copies<T>,
}

impl<T> Copies<T> {
    const fn new() -> Self {
        Self { first: OnceCell::new() }
    }

    fn get(&self, number: u32, copy: impl FnOnce() -> Option<T>) -> Option<&T> {
        let mut copies = self;
        while let Some(copied) = copies.first.get() {
            if copied.number == number {
                return Some(&copied.value);
            }
            copies = &copied.rest;
        }
        let value = copy()?;
        let copied = || Box::new(Copied { number, value, rest: Self::new() });
        Some(&copies.first.get_or_init(copied).value)
    }
}

/// The tables, of which every word that a packet may change is a copy.
struct Overlay<'a> {
    host: Host<'a>,
    standings: Copies<Standing>,
    loads: Copies<load::Load>,
    block_winners: Copies<Shared64>,
    group_winners: Copies<Shared64>,
    narrow: Copies<Set<Narrow>>,
    wide: Copies<Set<Wide>>,
    /// The server for which the packet was counted.
    counted: Cell<Option<u32>>,
}

impl<'a> Overlay<'a> {
    fn new(host: Host<'a>) -> Self {
        Self {
            host,
            standings: Copies::new(),
            loads: Copies::new(),
            block_winners: Copies::new(),
            group_winners: Copies::new(),
            narrow: Copies::new(),
            wide: Copies::new(),
            counted: Cell::new(None),
        }
    }
}

fn copy_word(word: &Shared64) -> Shared64 {
    Shared64::new(word.get())
}

/// Copies a slot.
fn copy_slot<S: Slot>(from: &S, key: &S::Key, to: &S) {
    to.word().set(from.word().get());
    to.name(key);
}

impl Tables for Overlay<'_> {
    fn now(&self) -> Ticks {
        self.host.now()
    }

    fn keys(&self) -> Keys {
        self.host.keys()
    }

    fn index_lines(&self) -> u32 {
        self.host.index_lines()
    }

    fn index_line(&self, line: u32) -> Option<&IndexLine> {
        self.host.index_line(line)
    }

    fn service(&self, record: u32) -> Option<&Service> {
        self.host.service(record)
    }

    fn standing(&self, service: u32) -> Option<&Standing> {
        self.standings.get(service, || {
            let Standing { record, cursor, overflow, crowded } = self.host.standing(service)?;
            Some(Standing {
                record: copy_word(record),
                cursor: copy_word(cursor),
                overflow: Shared32::new(overflow.get()),
                crowded: Shared32::new(crowded.get()),
            })
        })
    }

    fn candidates(&self, block: u32) -> Option<&[Candidate; 8]> {
        self.host.candidates(block)
    }

    fn ring(&self, place: u32) -> Option<u32> {
        self.host.ring(place)
    }

    fn handle(&self, server: u32) -> Option<&Shared64> {
        self.host.handle(server)
    }

    fn server(&self, record: u32) -> Option<&Server> {
        self.host.server(record)
    }

    fn load(&self, server: u32) -> Option<&load::Load> {
        self.loads.get(server, || {
            let load::Load { word, part } = self.host.load(server)?;
            Some(load::Load { word: copy_word(word), part: copy_word(part) })
        })
    }

    fn block_winner(&self, block: u32) -> Option<&Shared64> {
        self.block_winners.get(block, || self.host.block_winner(block).map(copy_word))
    }

    fn group_winner(&self, group: u32) -> Option<&Shared64> {
        self.group_winners.get(group, || self.host.group_winner(group).map(copy_word))
    }

    fn narrow_sets(&self) -> u32 {
        self.host.narrow_sets()
    }

    fn narrow(&self, set: u32) -> Option<&Set<Narrow>> {
        self.narrow.get(set, || {
            let (from, copy) = (self.host.narrow(set)?, Set::<Narrow>::default());
            from.slots.iter().zip(&copy.slots).for_each(|(a, b)| copy_slot(a, &a.key(), b));
            Some(copy)
        })
    }

    fn wide_sets(&self) -> u32 {
        self.host.wide_sets()
    }

    fn wide(&self, set: u32) -> Option<&Set<Wide>> {
        self.wide.get(set, || {
            let (from, copy) = (self.host.wide(set)?, Set::<Wide>::default());
            from.slots.iter().zip(&copy.slots).for_each(|(a, b)| copy_slot(a, &a.key(), b));
            Some(copy)
        })
    }

    fn count_event(&self, _: u8) {}

    fn note_change(&self, _: Record) {}

    fn count(&self, server: u32, _: impl FnOnce(&mut Counters)) {
        self.counted.set(Some(server));
    }

    fn route(
        &self,
        version: u8,
        source: [u32; 4],
        destination: [u32; 4],
        len: u16,
    ) -> Option<Route> {
        self.host.route(version, source, destination, len)
    }

    fn each<B: FnMut(u32) -> ControlFlow<()>>(&self, rounds: u32, body: B) {
        self.host.each(rounds, body);
    }
}
