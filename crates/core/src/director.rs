//! The packet's whole way, top to bottom.
use crate::{
    answer,
    clock::Ticks,
    connection::{self, Found, Word},
    family::{Family, V4, V6},
    flow::Flow,
    forward, index,
    packet::{Packet, Truncated},
    related::{self, Ends},
    scheduler::{self, Client},
    state::{Direction, State},
    tables::{Admission, Counters, Event, Handle, Server, Service, Tables},
    wire::{
        Protocol,
        ethernet::{self, ethertype},
        tcp::Flags,
    },
};

/// What is to be done with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sent out on the interface on which it came.
    Transmit,
    /// Sent out on this interface.
    Redirect(u32),
    /// Given to the director's own stack.
    Pass,
    /// Thrown away.
    Drop,
}

/// A stretch of a packet's way that is a kernel program of its own. Each has a whole stack (512
/// bytes) and all of the verifier's patience to itself, and to go on with the next is a jump, where
/// a call costs as much as the search for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// Where every packet comes in: a packet of IPv4 whose connection is known, or no service's.
    Entry = 0,
    /// Any other packet of IPv4.
    OtherV4 = 1,
    /// As [`Self::Entry`], of IPv6.
    KnownV6 = 2,
    /// As [`Self::OtherV4`], of IPv6.
    OtherV6 = 3,
}

impl Stage {
    /// All stages, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Entry, Self::OtherV4, Self::KnownV6, Self::OtherV6];

    /// Name of its kernel program.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Entry => "lvs",
            Self::OtherV4 => "lvs_other_v4",
            Self::KnownV6 => "lvs_known_v6",
            Self::OtherV6 => "lvs_other_v6",
        }
    }
}

/// What is to be done with a packet, and why, in one word, since a BPF function returns no more:
/// interface (bits 47 to 16), event (15 to 8), action (7 to 0).
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Verdict(u64);

impl Verdict {
    /// Out where it came in.
    #[inline(always)]
    pub const fn transmit(event: Event) -> Self {
        Self((event as u64) << 8)
    }

    /// Out on another interface.
    #[inline(always)]
    pub const fn redirect(interface: u32, event: Event) -> Self {
        Self((interface as u64) << 16 | (event as u64) << 8 | 1)
    }

    /// Up the stack.
    #[inline(always)]
    pub const fn pass(event: Event) -> Self {
        Self((event as u64) << 8 | 2)
    }

    /// Away.
    #[inline(always)]
    pub const fn drop(event: Event) -> Self {
        Self((event as u64) << 8 | 3)
    }

    /// What is to be done.
    #[inline(always)]
    pub const fn action(self) -> Action {
        match self.0 as u8 {
            0 => Action::Transmit,
            1 => Action::Redirect((self.0 >> 16) as u32),
            2 => Action::Pass,
            _ => Action::Drop,
        }
    }

    /// Number of the [`Event`] to be counted.
    #[inline(always)]
    pub const fn event(self) -> u8 {
        (self.0 >> 8) as u8
    }
}

impl core::fmt::Debug for Verdict {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let event = Event::ALL.get(usize::from(self.event()));
        write!(f, "{:?} ({})", self.action(), event.map_or("?", |event| event.name()))
    }
}

/// Handles one packet: rewrites it in place and says where it goes. Counts all but the verdict's
/// own event.
pub fn process(packet: &mut impl Packet, tables: &impl Tables) -> Verdict {
    let mut stage = Stage::Entry;
    loop {
        match run(stage, packet, tables) {
            Ok(verdict) => return verdict,
            Err(next) => stage = next,
        }
    }
}

/// One stage of [`process`]. Each reads the packet anew, which costs less than to keep what the one
/// before has read.
///
/// # Errors
/// The stage that the packet, which is as it was, is left to.
#[inline(always)]
pub fn run(stage: Stage, packet: &mut impl Packet, tables: &impl Tables) -> Result<Verdict, Stage> {
    let Ok((ethertype, l3)) = ethernet::parse(packet) else {
        return Ok(Verdict::pass(Event::Truncated));
    };
    match (stage, ethertype) {
        (Stage::Entry, ethertype::IPV4) => known::<V4>(packet, tables, l3),
        (Stage::Entry, ethertype::IPV6) => Err(Stage::KnownV6),
        (Stage::Entry, _) => Ok(Verdict::pass(Event::NotIp)),
        (Stage::KnownV6, _) => known::<V6>(packet, tables, l3),
        (Stage::OtherV4, _) => Ok(other::<V4>(packet, tables, l3)),
        (Stage::OtherV6, _) => Ok(other::<V6>(packet, tables, l3)),
    }
}

/// A packet of a client whose connection is known and goes on, as nearly all are; also one that
/// concerns no service.
#[inline(always)]
fn known<F: Family>(
    packet: &mut impl Packet,
    tables: &impl Tables,
    l3: usize,
) -> Result<Verdict, Stage> {
    let mut flow = Flow::<F>::blank();
    if let Err(event) = flow.read(packet, l3) {
        let is_icmp = flow.ip.protocol == F::ICMP;
        return if is_icmp { Err(F::OTHER) } else { Ok(Verdict::pass(event)) };
    }
    let to = flow.destination();
    let Some(service) = index::service(tables, &to) else {
        return match index::server(tables, &flow.source()) {
            Some(_) => Err(F::OTHER),
            None => Ok(Verdict::pass(Event::NotOurs)),
        };
    };
    // Not the service's own, for which the search for the connection would wait.
    let virtual_hash = to.virtual_hash_in(tables);
    let name = F::name(tables, flow.ip.source, flow.source_port, service.number, virtual_hash);
    let now = tables.now();
    let Some(found) = connection::find::<F>(tables, &name, now) else {
        return Err(F::OTHER);
    };
    let Some(handle) = tables.handle(found.word.server()) else {
        return Ok(Verdict::drop(Event::Inconsistent));
    };
    let handle = Handle(handle.get());
    match fate(&flow, &found, handle.admission()) {
        Fate::Continues => {
            let Some(server) = tables.server(handle.record()) else {
                return Ok(Verdict::drop(Event::Inconsistent));
            };
            note(tables, &flow, service, direction(server), &found, now);
            count_in(tables, &found.word, &flow, 0);
            Ok(forward::send(packet, &flow, server, Event::Known))
        }
        Fate::IsReset => {
            found.end(tables);
            Ok(answer::reset(packet, &flow, Event::Reset))
        }
        Fate::StartsAnew => {
            found.end(tables);
            Err(F::OTHER)
        }
    }
}

/// Any other packet: of a new connection, of a server behind NAT, an ICMP message.
#[inline(always)]
fn other<F: Family>(packet: &mut impl Packet, tables: &impl Tables, l3: usize) -> Verdict {
    let mut flow = Flow::<F>::blank();
    if let Err(event) = flow.read(packet, l3) {
        return if flow.ip.protocol == F::ICMP {
            related::process(packet, tables, &flow.ip)
        } else {
            Verdict::pass(event)
        };
    }
    if let Some(service) = index::service(tables, &flow.destination()) {
        return unknown(packet, tables, &flow, service);
    }
    match answering(tables, &flow) {
        Some(server) => forward::send_back(packet, tables, &flow, server),
        None => Verdict::pass(Event::NotOurs),
    }
}

/// A packet of a client whose connection is not known.
#[inline(always)]
fn unknown<F: Family>(
    packet: &mut impl Packet,
    tables: &impl Tables,
    flow: &Flow<F>,
    service: &Service,
) -> Verdict {
    if flow.protocol != Protocol::Tcp || flow.flags.opens() {
        return start(packet, tables, flow, service, Event::New);
    }
    if service.stray_by_hash == 0 {
        return Verdict::pass(Event::NoConnection);
    }
    if flow.flags.has(Flags::RST) {
        return ending(packet, tables, flow, service);
    }
    start(packet, tables, flow, service, Event::Stray)
}

/// What becomes of a packet of a known connection.
enum Fate {
    /// It goes to the connection's server.
    Continues,
    /// It is the first packet of a new connection.
    StartsAnew,
    /// The connection ends here.
    IsReset,
}

#[inline(always)]
fn fate<F: Family>(flow: &Flow<F>, found: &Found<'_>, admission: Admission) -> Fate {
    let opens = flow.protocol == Protocol::Tcp && flow.flags.opens();
    let state = found.word.state();
    // A client's port is used again. IPVS stays with the server in the states before TIME_WAIT; but
    // one that is to get no new connection must not get them this way.
    if opens && (state.is_closing() || admission != Admission::Open && state.is_closed()) {
        return Fate::StartsAnew;
    }
    // Of a server that failed only established connections are worth keeping.
    if opens && admission == Admission::Kept && state.is_half_open() {
        return Fate::StartsAnew;
    }
    match (admission, flow.protocol) {
        (Admission::Open | Admission::Draining, _) | (Admission::Kept, Protocol::Tcp) => {
            Fate::Continues
        }
        (Admission::Reset, Protocol::Tcp) if !opens => Fate::IsReset,
        (Admission::Kept | Admission::Reset, _) => Fate::StartsAnew,
    }
}

/// Schedules a new connection and forwards its first packet.
#[inline(never)]
fn start<F: Family>(
    packet: &mut impl Packet,
    tables: &impl Tables,
    flow: &Flow<F>,
    service: &Service,
    event: Event,
) -> Verdict {
    let client = Client { address: F::words(flow.ip.source), port: flow.source_port };
    let Some(number) = scheduler::pick(tables, service, &client) else {
        return answer::refuse(packet, flow, Event::NoServer);
    };
    let Some(server) = related::server_of(tables, number) else {
        return Verdict::drop(Event::Inconsistent);
    };
    let state = State::initial(flow.protocol).next(flow.protocol, flow.flags, direction(server));
    let now = tables.now();
    let word = Word::new(now.after(timeout(service, state)), state, number);
    remember(tables, flow, service, word, now);
    count_in(tables, &word, flow, 1);
    forward::send(packet, flow, server, event)
}

#[inline(always)]
fn remember<F: Family>(
    tables: &impl Tables,
    flow: &Flow<F>,
    service: &Service,
    word: Word,
    now: Ticks,
) {
    let (number, virtual_hash) = (service.number, service.virtual_hash);
    let name = F::name(tables, flow.ip.source, flow.source_port, number, virtual_hash);
    if connection::insert::<F>(tables, &name, word, now).is_err() {
        tables.count_event(Event::TableFull as u8);
    }
}

/// A RST of no known connection: the hash says whose it is, and there is nothing to remember.
#[inline(never)]
fn ending<F: Family>(
    packet: &mut impl Packet,
    tables: &impl Tables,
    flow: &Flow<F>,
    service: &Service,
) -> Verdict {
    let client = Client { address: F::words(flow.ip.source), port: flow.source_port };
    let server = scheduler::pick(tables, service, &client)
        .and_then(|number| related::server_of(tables, number));
    match server {
        Some(server) => forward::send(packet, flow, server, Event::Stray),
        None => Verdict::pass(Event::NoConnection),
    }
}

/// The server behind NAT whose answer the packet is; the answer is noted and counted.
#[inline(never)]
fn answering<'t, F: Family>(tables: &'t impl Tables, flow: &Flow<F>) -> Option<&'t Server> {
    let ends = Ends {
        server: flow.ip.source,
        client: flow.ip.destination,
        server_port: flow.source_port,
        client_port: flow.destination_port,
        protocol: flow.ip.protocol,
    };
    let (found, server) = related::nat_connection::<F, _>(tables, &ends)?;
    let record = tables.standing(server.service.into())?.record.get();
    let service = tables.service(record as u32)?;
    note(tables, flow, service, Direction::Server, &found, tables.now());
    tables.count(found.word.server(), |counters| {
        counters.packets_out += 1;
        counters.bytes_out += u64::from(flow.ip.len);
    });
    Some(server)
}

/// Notes a packet in its connection's entry.
#[inline(always)]
fn note<F: Family>(
    tables: &impl Tables,
    flow: &Flow<F>,
    service: &Service,
    direction: Direction,
    found: &Found<'_>,
    now: Ticks,
) {
    let state = found.word.state().next(flow.protocol, flow.flags, direction);
    found.note(tables, state, now, timeout(service, state));
}

#[inline(always)]
fn direction(server: &Server) -> Direction {
    if server.method == forward::Method::Nat as u8 {
        Direction::Client
    } else {
        Direction::ClientOnly
    }
}

#[inline(always)]
fn timeout(service: &Service, state: State) -> u32 {
    service.timeouts.get(state.timeout_index()).copied().unwrap_or(0)
}

#[inline(always)]
fn count_in<F: Family>(tables: &impl Tables, word: &Word, flow: &Flow<F>, connections: u64) {
    tables.count(word.server(), |counters: &mut Counters| {
        counters.connections += connections;
        counters.packets_in += 1;
        counters.bytes_in += u64::from(flow.ip.len);
    });
}
