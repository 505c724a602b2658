//! Lists, counts and ends connections, all by reading memory.
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use lvs_core::{
    clock::Ticks,
    connection::{Narrow, Slot, Wide, Word, load},
    forward::Method,
    scheduler::Client,
    shared::Shared64,
    state::State,
    tables::Server,
    wire::Protocol,
};
use lvs_model::desired::ServiceKey;

use crate::{
    dataplane::Dataplane,
    host::{span, until},
    index::{socket, words},
    memory::Memory,
};

/// A connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// What the client connected to.
    pub service: ServiceKey,
    /// Who connected.
    pub client: SocketAddr,
    /// Who serves it.
    pub server: SocketAddr,
    /// How packets reach the server.
    pub method: Method,
    /// Its state.
    pub state: State,
    /// When it is forgotten unless a packet comes; it may live longer by one part in 64.
    pub expires: Duration,
}

/// Which connections; a field that is absent fits all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Transport protocol.
    pub protocol: Option<Protocol>,
    /// Those from this address, whatever the port.
    pub client: Option<IpAddr>,
    /// Those to this virtual address and port.
    pub virtual_address: Option<SocketAddr>,
    /// Those of this real server.
    pub server: Option<SocketAddr>,
    /// Those in this state.
    pub state: Option<State>,
}

impl Filter {
    /// Whether a connection is meant.
    pub fn fits(&self, connection: &Connection) -> bool {
        let Connection { service, client, server, state, .. } = connection;
        self.protocol.is_none_or(|protocol| protocol == service.protocol)
            && self.client.is_none_or(|address| address == client.ip())
            && self.virtual_address.is_none_or(|address| address == service.address)
            && self.server.is_none_or(|address| address == *server)
            && self.state.is_none_or(|wanted| wanted == *state)
    }
}

/// A slot as it was read: whose connection it is, and the word to change.
pub(crate) struct Seen<'a> {
    client: SocketAddr,
    pub(crate) service: u16,
    pub(crate) slot: &'a Shared64,
    pub(crate) word: Word,
}

/// All slots that hold a connection, expired or not.
pub(crate) fn slots(memory: &Memory) -> impl Iterator<Item = Seen<'_>> {
    let narrow = memory.narrow.iter().flat_map(|set| &set.slots).filter_map(narrow_seen);
    let wide = memory.wide.iter().flat_map(|set| &set.slots).filter_map(wide_seen);
    narrow.chain(wide)
}

fn narrow_seen(slot: &Narrow) -> Option<Seen<'_>> {
    let (key, word) = read(slot)?;
    let client = socket(4, [cut(key, 1), 0, 0, 0], half(key, 1));
    Some(Seen { client, service: half(key, 0), slot: slot.word(), word })
}

fn wide_seen(slot: &Wide) -> Option<Seen<'_>> {
    let ([first, second, rest], word) = read(slot)?;
    let words = [cut(first, 1), cut(first, 0), cut(second, 1), cut(second, 0)];
    let client = socket(6, words, half(rest, 1));
    Some(Seen { client, service: half(rest, 0), slot: slot.word(), word })
}

/// The lower (0) or upper (1) 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "cut out of a word")]
fn cut(value: u64, place: u32) -> u32 {
    (value >> (32 * place)) as u32
}

/// The lower (0) or upper (1) half of the lower 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "cut out of a word")]
fn half(value: u64, place: u32) -> u16 {
    (value >> (16 * place)) as u16
}

/// Whose connection a slot holds, and its word; `None`: it holds none. The key is read between two
/// looks at the word: if the slot was given away meanwhile, its word has changed, or will when it is
/// written. Mostly a packet only prolonged the connection: so once more.
pub(crate) fn read<S: Slot>(slot: &S) -> Option<(S::Key, Word)> {
    const LOOKS: usize = 16;
    let mut word = Word(slot.word().get());
    for _ in 0..LOOKS {
        if !word.is_connection() {
            return None;
        }
        let key = slot.key();
        let again = Word(slot.word().get());
        if again == word {
            return Some((key, word));
        }
        word = again;
    }
    None
}

impl Seen<'_> {
    /// The client as schedulers see him.
    pub(crate) fn client(&self) -> Client {
        Client { address: words(self.client.ip()), port: self.client.port().to_be() }
    }

    /// Frees the slot, unless a packet was first.
    pub(crate) fn end(&self, memory: &Memory) -> bool {
        let ended = self.slot.exchange(self.word.0, self.word.emptied().0).is_ok();
        if ended {
            let load = memory.loads.get(self.word.server());
            load.inspect(|load| load.add(load::freed(self.word)));
        }
        ended
    }

    fn connection(&self, memory: &Memory, now: Ticks) -> Option<Connection> {
        let server: &Server = memory.server_of(self.word.server())?;
        // Otherwise the slot changed hands while it was read.
        if server.service != self.service || !self.word.is_live(now) {
            return None;
        }
        let method = server.method;
        let state = self.word.state();
        // None if its service was removed.
        let service = memory.service_of(self.service);
        let timeout = service.and_then(|service| service.timeouts.get(state.timeout_index()));
        Some(Connection {
            service: service_of(server, self.client)?,
            client: self.client,
            server: socket(server.version, server.address, server.port),
            method: Method::ALL.into_iter().find(|known| *known as u8 == method)?,
            state,
            expires: until(now, self.word.expires())
                .min(timeout.map_or(Duration::MAX, |&ticks| span(ticks))),
        })
    }
}

/// What clients of a server's service connect to; they are of the service's IP version.
fn service_of(server: &Server, client: SocketAddr) -> Option<ServiceKey> {
    let version = if client.is_ipv4() { 4 } else { 6 };
    let address = socket(version, server.virtual_address, server.virtual_port);
    Some(ServiceKey { protocol: Protocol::from_number(server.protocol)?, address })
}

impl Dataplane {
    /// All connections that fit, in no order. They come and go while they are listed.
    pub fn connections(&self, filter: Filter) -> impl Iterator<Item = Connection> {
        self.matching(filter).map(|(_, connection)| connection)
    }

    fn matching(&self, filter: Filter) -> impl Iterator<Item = (Seen<'_>, Connection)> {
        let now = self.now();
        slots(&self.memory).filter_map(move |seen| {
            let connection = seen.connection(&self.memory, now)?;
            filter.fits(&connection).then_some((seen, connection))
        })
    }

    /// How many connections fit.
    pub fn count(&self, filter: Filter) -> u64 {
        self.matching(filter).fold(0, |count, _| count + 1)
    }

    /// Forgets all connections that fit; returns how many. A TCP client's next packet is then one
    /// of no known connection.
    ///
    /// Connections without an entry whose service has `state = "moved"` go to their server of before
    /// no longer, if that is one of the servers that the filter means.
    pub fn flush(&mut self, filter: Filter) -> u64 {
        if let Filter { client: None, server: Some(server), state: None, .. } = filter {
            self.leave(|key, number| {
                let address = self.mirror.servers.get(&number).map(|held| held.address);
                address == Some(server)
                    && filter.protocol.is_none_or(|protocol| protocol == key.protocol)
                    && filter.virtual_address.is_none_or(|address| address == key.address)
            });
        }
        let ended = self.matching(filter).filter(|(seen, _)| seen.end(&self.memory));
        ended.fold(0, |count, _| count + 1)
    }
}
