//! The packet's whole way, top to bottom.
mod stage;

use crate::{
    answer,
    connection::{self, Found, Insertion, Name, Slot, Word},
    family::{Family, V4, V6},
    flow::Flow,
    forward, index,
    moved::{self, Phase},
    packet::{Packet, Truncated},
    related::{self, Ends},
    scheduler::{self, Client},
    shared::Shared64,
    state::{Direction, State},
    tables::{Admission, Counters, Event, Handle, IndexKind, Server, Service, Tables},
    wire::{
        Protocol,
        ethernet::{self, ethertype},
        tcp::Flags,
    },
};

pub use stage::{Stage, Step};

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

/// Ends a packet's way where a profile wants it.
macro_rules! step {
    ($tables:ident, $step:ident, $seen:expr) => {
        if let Some(verdict) = $tables.ends(Step::$step, $seen) {
            return Ok(verdict);
        }
    };
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

/// What becomes of a packet that is shorter than its headers say.
impl From<Truncated> for Verdict {
    #[inline(always)]
    fn from(_: Truncated) -> Self {
        Self::pass(Event::Truncated)
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
    match stage {
        Stage::Entry => match Flow::<V4>::plain(packet) {
            Some(flow) => known::<_, true>(packet, tables, &flow),
            None => other(packet),
        },
        Stage::PlainV6 => match Flow::<V6>::plain(packet) {
            Some(flow) => known::<_, true>(packet, tables, &flow),
            None => Err(Stage::AnyV6),
        },
        Stage::MovedV4 => moved::<V4>(packet, tables),
        Stage::MovedV6 => moved::<V6>(packet, tables),
        Stage::AnyV4 => any::<V4>(packet, tables),
        Stage::AnyV6 => any::<V6>(packet, tables),
        Stage::NewV4 => plain_new::<V4>(packet, tables),
        Stage::NewV6 => plain_new::<V6>(packet, tables),
        Stage::NewAnyV4 => any_new::<V4>(packet, tables),
        Stage::NewAnyV6 => any_new::<V6>(packet, tables),
        Stage::ReplyV4 => Ok(reply::<V4>(packet, tables)),
        Stage::ReplyV6 => Ok(reply::<V6>(packet, tables)),
        Stage::RelatedV4 => Ok(related::process::<V4>(packet, tables)),
        Stage::RelatedV6 => Ok(related::process::<V6>(packet, tables)),
    }
}

/// A packet that is no plain IPv4.
#[inline(always)]
fn other(packet: &impl Packet) -> Result<Verdict, Stage> {
    match ethernet::parse(packet) {
        Ok((ethertype::IPV4, _)) => Err(Stage::AnyV4),
        Ok((ethertype::IPV6, _)) => Err(Stage::PlainV6),
        Ok(_) => Ok(Verdict::pass(Event::NotIp)),
        Err(truncated) => Ok(truncated.into()),
    }
}

/// As [`known`], whatever headers the packet has.
#[inline(always)]
fn any<F: Family>(packet: &mut impl Packet, tables: &impl Tables) -> Result<Verdict, Stage> {
    let ip = match ethernet::parse(packet) {
        Ok((_, l3)) => F::read(packet, l3, true),
        Err(truncated) => Err(truncated.into()),
    };
    let ip = match ip {
        Ok(ip) => ip,
        Err(verdict) => return Ok(verdict),
    };
    if ip.protocol == F::ICMP {
        return Err(F::RELATED);
    }
    match Flow::read(packet, ip) {
        Ok(flow) => known::<_, false>(packet, tables, &flow),
        Err(verdict) => Ok(verdict),
    }
}

/// A packet of a client whose connection is known and goes on, as nearly all are; also one that
/// concerns no service. `PLAIN`: its headers are at constant places.
#[inline(always)]
fn known<F: Family, const PLAIN: bool>(
    packet: &mut impl Packet,
    tables: &impl Tables,
    flow: &Flow<F>,
) -> Result<Verdict, Stage> {
    // Mostly of a new connection: better looked up only once.
    if flow.opens() {
        return Err(F::NEW);
    }
    let to = flow.destination();
    step!(tables, Parse, flow.source_port.into());
    let tag = to.tag_in(tables, IndexKind::Service);
    let Some(service) = index::service_tagged(tables, &to, tag) else {
        return if PLAIN { plain_foreign(packet, tables, flow) } else { foreign(tables, flow) };
    };
    if service.moved != 0 {
        return settled(packet, tables, flow, service);
    }
    step!(tables, Service, service.number.into());
    // Not the service's own, for which the search for the connection would wait.
    let virtual_hash = index::virtual_hash(tag);
    let name = F::name(tables, flow.ip.source, flow.source_port, service.number, virtual_hash);
    step!(tables, Hash, name.hash);
    let Some(found) = connection::find::<F>(tables, &name) else {
        return Err(F::NEW);
    };
    step!(tables, Connection, found.word.0);
    let fate = go_on(tables, flow, service, &found);
    finish(packet, tables, flow, found.word.server(), fate)
}

/// As [`known`], of a service that remembers only the connections that moved, where none has.
#[inline(always)]
fn settled<F: Family>(
    packet: &mut impl Packet,
    tables: &impl Tables,
    flow: &Flow<F>,
    service: &Service,
) -> Result<Verdict, Stage> {
    let place = moved::place(tables, service, &client(flow));
    if place.phase() != Phase::Settled {
        return Err(F::MOVED);
    }
    finish(packet, tables, flow, place.server(), stay(tables, place.server()))
}

/// As [`settled`], where connections have moved.
#[inline(always)]
fn moved<F: Family>(packet: &mut impl Packet, tables: &impl Tables) -> Result<Verdict, Stage> {
    let flow = match read::<F>(packet) {
        Ok(flow) => flow,
        Err(verdict) => return Ok(verdict),
    };
    let Some(service) = index::service(tables, &flow.destination()) else {
        return foreign(tables, &flow);
    };
    let place = moved::place(tables, service, &client(&flow));
    let (number, fate) = if place.phase() == Phase::Settled {
        (place.server(), stay(tables, place.server()))
    } else {
        let (number, virtual_hash) = (service.number, service.virtual_hash);
        let name = F::name(tables, flow.ip.source, flow.source_port, number, virtual_hash);
        match connection::find::<F>(tables, &name) {
            Some(found) => (found.word.server(), go_on(tables, &flow, service, &found)),
            None if place.phase() == Phase::Watched => {
                (place.server(), stay(tables, place.server()))
            }
            None => return Err(F::NEW),
        }
    };
    finish(packet, tables, &flow, number, fate)
}

/// Does what becomes of a packet of a known connection.
#[inline(always)]
fn finish<F: Family>(
    packet: &mut impl Packet,
    tables: &impl Tables,
    flow: &Flow<F>,
    number: u32,
    fate: Fate<'_>,
) -> Result<Verdict, Stage> {
    match fate {
        Fate::Continues(server) => {
            step!(tables, State, server.interface.into());
            count_in(tables, number, flow, 0);
            step!(tables, Count, server.interface.into());
            Ok(forward::send(packet, flow, server, Event::Known))
        }
        Fate::IsReset => Ok(answer::reset(packet, flow, Event::Reset)),
        Fate::StartsAnew => Err(F::NEW),
        Fate::IsLost => Ok(Verdict::drop(Event::Inconsistent)),
    }
}

/// What becomes of a packet whose connection is this server's and needs no entry.
#[inline(always)]
fn stay(tables: &impl Tables, server: u32) -> Fate<'_> {
    related::server_of(tables, server).map_or(Fate::IsLost, Fate::Continues)
}

/// Whose connection it is.
#[inline(always)]
fn client<F: Family>(flow: &Flow<F>) -> Client {
    Client { address: F::words(flow.ip.source), port: flow.source_port }
}

/// Reads the headers.
#[inline(always)]
fn read<F: Family>(packet: &impl Packet) -> Result<Flow<F>, Verdict> {
    let (_, l3) = ethernet::parse(packet)?;
    Flow::read(packet, F::read(packet, l3, true)?)
}

/// A packet for no service of ours.
#[inline(always)]
fn foreign<F: Family>(tables: &impl Tables, flow: &Flow<F>) -> Result<Verdict, Stage> {
    match index::server(tables, &flow.source()) {
        Some(_) => Err(F::REPLY),
        None => Ok(Verdict::pass(Event::NotOurs)),
    }
}

/// As [`foreign`], of a plain packet: an answer of the first service that its server serves, as nearly
/// all answers are, is sent on here.
#[inline(always)]
fn plain_foreign<F: Family>(
    packet: &mut impl Packet,
    tables: &impl Tables,
    flow: &Flow<F>,
) -> Result<Verdict, Stage> {
    let Some(number) = index::server(tables, &flow.source()) else {
        return Ok(Verdict::pass(Event::NotOurs));
    };
    match related::connection_of::<F, _>(tables, number, &ends(flow)) {
        Some((found, server)) => Ok(send_back(packet, tables, flow, &found, server)),
        None => Err(F::REPLY),
    }
}

/// What becomes of a packet of a known connection.
#[derive(Clone, Copy)]
enum Fate<'t> {
    /// It goes to the connection's server.
    Continues(&'t Server),
    /// It is the first packet of a new connection.
    StartsAnew,
    /// The connection ends here.
    IsReset,
    /// The tables contradict each other.
    IsLost,
}

/// Notes a packet of a known connection, or ends the connection.
#[inline(always)]
fn go_on<'t, F: Family>(
    tables: &'t impl Tables,
    flow: &Flow<F>,
    service: &Service,
    found: &Found<'_, F::Slot>,
) -> Fate<'t> {
    let Some(handle) = tables.handle(found.word.server()) else { return Fate::IsLost };
    let handle = Handle(handle.get());
    let state = found.word.state();
    if is_left(flow, state, handle.admission()) {
        found.end(tables);
        let is_reset = handle.admission() == Admission::Reset;
        let answered = is_reset && flow.protocol == Protocol::Tcp && !flow.opens();
        return if answered { Fate::IsReset } else { Fate::StartsAnew };
    }
    let Some(server) = tables.server(handle.record()) else { return Fate::IsLost };
    note(tables, flow, service, direction(server), found);
    Fate::Continues(server)
}

/// Whether a packet of a known connection does not go to that connection's server.
#[inline(always)]
fn is_left<F: Family>(flow: &Flow<F>, state: State, admission: Admission) -> bool {
    // A client's port is used again. IPVS stays with the server in the states before TIME_WAIT; but
    // one that is to get no new connection must not get them this way. Of a server that failed, only
    // established connections are worth keeping.
    let anew = match admission {
        Admission::Open => state.is_closing(),
        Admission::Draining => state.is_closed(),
        Admission::Kept => state.is_closed() || state.is_half_open(),
        Admission::Reset => true,
    };
    !stays(flow, admission) || flow.opens() && anew
}

/// Whether a server gets packets of its open connections.
#[inline(always)]
fn stays<F: Family>(flow: &Flow<F>, admission: Admission) -> bool {
    match admission {
        Admission::Open | Admission::Draining => true,
        Admission::Kept => flow.protocol == Protocol::Tcp,
        Admission::Reset => false,
    }
}

/// As [`new`], of a plain packet.
#[inline(always)]
fn plain_new<F: Family>(packet: &mut impl Packet, tables: &impl Tables) -> Result<Verdict, Stage> {
    match Flow::<F>::plain(packet) {
        Some(flow) => new(packet, tables, &flow, F::NEW, |packet| Flow::plain(packet)),
        None => Err(F::NEW_ANY),
    }
}

/// As [`new`], whatever headers the packet has.
#[inline(always)]
fn any_new<F: Family>(packet: &mut impl Packet, tables: &impl Tables) -> Result<Verdict, Stage> {
    match read::<F>(packet) {
        Ok(flow) => new(packet, tables, &flow, F::NEW_ANY, |packet| read(packet).ok()),
        Err(verdict) => Ok(verdict),
    }
}

/// A packet of no known connection of a client: schedules a new one and forwards its first packet.
/// Also a SYN of a known one. `stage`: which this is; `read`: how it reads the packet.
#[inline(always)]
fn new<F: Family, P: Packet>(
    packet: &mut P,
    tables: &impl Tables,
    flow: &Flow<F>,
    stage: Stage,
    read: impl Fn(&P) -> Option<Flow<F>>,
) -> Result<Verdict, Stage> {
    let Some(service) = index::service(tables, &flow.destination()) else {
        return foreign(tables, flow);
    };
    let (number, virtual_hash) = (service.number, service.virtual_hash);
    let name = F::name(tables, flow.ip.source, flow.source_port, number, virtual_hash);
    let known = if flow.opens() { connection::find::<F>(tables, &name) } else { None };
    let fate = known.map(|found| (found, go_on(tables, flow, service, &found)));
    let (number, server, connections, event) = if let Some((found, Fate::Continues(server))) = fate
    {
        (found.word.server(), server, 0, Event::Known)
    } else {
        match begin(tables, flow, service, &name) {
            Ok(begun) => begun,
            Err(Instead::Is(verdict)) => return Ok(verdict),
            Err(Instead::Refused) => return Ok(answer::refuse(packet, flow, Event::NoServer)),
            Err(Instead::IsReset) => return Ok(answer::reset(packet, flow, Event::Reset)),
            Err(Instead::Anew) => return Err(stage),
        }
    };
    // Read anew: what is kept lies on the stack while others need it.
    packet.look_anew();
    let Some(flow) = read(packet) else { return Ok(Verdict::drop(Event::Inconsistent)) };
    count_in(tables, number, &flow, connections);
    Ok(forward::send(packet, &flow, server, event))
}

/// What becomes of a packet that begins no connection.
enum Instead {
    /// This.
    Is(Verdict),
    /// The client is told that nobody serves it.
    Refused,
    /// The client is told that its connection has ended.
    IsReset,
    /// It starts over: another CPU may just have begun the same connection.
    Anew,
}

/// Schedules a new connection and remembers it: its server's number and record, how many connections
/// that is, and what is to be counted.
///
/// # Errors
/// What becomes of the packet instead.
#[inline(always)]
fn begin<'t, F: Family>(
    tables: &'t impl Tables,
    flow: &Flow<F>,
    service: &Service,
    name: &Name<<F::Slot as Slot>::Key>,
) -> Result<(u32, &'t Server, u64, Event), Instead> {
    let now = tables.now();
    let inconsistent = || Instead::Is(Verdict::drop(Event::Inconsistent));
    let standing = tables.standing(service.number.into()).ok_or_else(inconsistent)?;
    let client = client(flow);
    let unknown = moved::unknown(tables, service, &client, flow.opens());
    if unknown.stays() {
        let server = related::server_of(tables, unknown.server()).ok_or_else(inconsistent)?;
        let event = if flow.opens() { Event::New } else { Event::Known };
        return Ok((unknown.server(), server, flow.opens().into(), event));
    }
    let had = unknown.phase() == Phase::Moves && belongs(tables, flow, unknown.server())?;
    let (number, event) = if had {
        (unknown.server(), Event::Known)
    } else {
        let begins = flow.protocol != Protocol::Tcp || flow.opens();
        let picked = if begins || service.stray_by_hash != 0 {
            scheduler::pick(tables, service, &client)
        } else if standing.overflows(now) {
            scheduler::pick_always(tables, service, &client)
        } else {
            return Err(Instead::Is(Verdict::pass(Event::NoConnection)));
        };
        let event = if begins { Event::New } else { Event::Stray };
        (picked.ok_or(Instead::Refused)?, event)
    };
    let connections = u64::from(!had);
    let server = related::server_of(tables, number).ok_or_else(inconsistent)?;
    // A RST ends the connection: there is nothing to remember.
    if flow.flags.has(Flags::RST) {
        return Ok((number, server, 0, event));
    }
    let state = State::initial(flow.protocol).next(flow.protocol, flow.flags, direction(server));
    let word = Word::new(now.after(timeout(service, state)), state, number);
    match connection::insert::<F>(tables, name, word, now) {
        Insertion::Done => return Ok((number, server, connections, event)),
        Insertion::Raced => return Err(Instead::Anew),
        Insertion::NoRoom => {}
    }
    tables.count_event(Event::TableFull as u8);
    standing.note_overflow(now.after(timeout(service, State::ESTABLISHED)));
    // The next packet, without an entry, must come to the same answer.
    let next = moved::unknown(tables, service, &client, false);
    let number = if next.phase() == Phase::Moves && belongs(tables, flow, next.server())? {
        next.server()
    } else {
        scheduler::pick_always(tables, service, &client).ok_or(Instead::Refused)?
    };
    let server = related::server_of(tables, number).ok_or_else(inconsistent)?;
    Ok((number, server, connections, event))
}

/// Whether a connection without an entry goes on with its service's server of before.
///
/// # Errors
/// It is reset.
#[inline(always)]
fn belongs<F: Family>(tables: &impl Tables, flow: &Flow<F>, server: u32) -> Result<bool, Instead> {
    let handle = Handle(tables.handle(server).map_or(0, Shared64::get));
    if handle.record() == 0 {
        return Ok(false);
    }
    let is_reset = handle.admission() == Admission::Reset;
    if is_reset && flow.protocol == Protocol::Tcp && !flow.opens() {
        return Err(Instead::IsReset);
    }
    Ok(stays(flow, handle.admission()))
}

/// An answer of a server behind NAT, whatever headers it has and whichever service it is of.
#[inline(always)]
fn reply<F: Family>(packet: &mut impl Packet, tables: &impl Tables) -> Verdict {
    let flow = match read::<F>(packet) {
        Ok(flow) => flow,
        Err(verdict) => return verdict,
    };
    match related::nat_connection::<F, _>(tables, &ends(&flow)) {
        Some((found, server)) => send_back(packet, tables, &flow, &found, server),
        None => Verdict::pass(Event::NotOurs),
    }
}

/// The ends of a server's packet.
#[inline(always)]
fn ends<F: Family>(flow: &Flow<F>) -> Ends<F> {
    Ends {
        server: flow.ip.source,
        client: flow.ip.destination,
        server_port: flow.source_port,
        client_port: flow.destination_port,
        protocol: flow.ip.protocol,
    }
}

/// Sends an answer of a server behind NAT, noted and counted, to its client.
#[inline(always)]
fn send_back<F: Family>(
    packet: &mut impl Packet,
    tables: &impl Tables,
    flow: &Flow<F>,
    found: &Found<'_, F::Slot>,
    server: &Server,
) -> Verdict {
    let record = tables.standing(server.service.into()).map_or(0, |standing| standing.record.get());
    let Some(service) = tables.service(record as u32) else {
        return Verdict::drop(Event::Inconsistent);
    };
    note(tables, flow, service, Direction::Server, found);
    tables.count(found.word.server(), |counters| {
        counters.packets_out += 1;
        counters.bytes_out += u64::from(flow.ip.len);
    });
    forward::send_back(packet, tables, flow, server)
}

/// Notes a packet in its connection's entry.
#[inline(always)]
fn note<F: Family>(
    tables: &impl Tables,
    flow: &Flow<F>,
    service: &Service,
    direction: Direction,
    found: &Found<'_, F::Slot>,
) {
    let state = found.word.state().next(flow.protocol, flow.flags, direction);
    found.note(tables, state, timeout(service, state));
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
fn count_in<F: Family>(tables: &impl Tables, server: u32, flow: &Flow<F>, connections: u64) {
    tables.count(server, |counters: &mut Counters| {
        counters.connections += connections;
        counters.packets_in += 1;
        counters.bytes_in += u64::from(flow.ip.len);
    });
}
