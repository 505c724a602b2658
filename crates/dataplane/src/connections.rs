//! Lists, counts and ends connections, all by reading memory.
use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, PoisonError},
    time::Duration,
};

use lvs_core::{
    clock::Ticks,
    connection::{Slot, Word},
    forward::Method,
    journal::{Change, Record},
    load,
    state::State,
    wire::Protocol,
};
use lvs_model::desired::ServiceKey;

use crate::{
    dataplane::{Dataplane, Shared},
    entries::{Entries, Entry, Key, taken},
    host::{Host, now, span},
    index::{socket, socket_of},
    memory::{Memory, ToldServer},
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
        self.fits_but_for_state(connection)
            && self.state.is_none_or(|wanted| wanted == connection.state)
    }

    /// Whether a connection is meant, or would be in another state.
    pub(crate) fn fits_but_for_state(&self, connection: &Connection) -> bool {
        let Connection { service, client, server, .. } = connection;
        self.protocol.is_none_or(|protocol| protocol == service.protocol)
            && self.client.is_none_or(|address| address == client.ip())
            && self.virtual_address.is_none_or(|address| address == service.address)
            && self.server.is_none_or(|address| address == *server)
    }

    /// Whether the connection of an entry may be meant, as far as that can be told cheaply.
    pub(crate) fn may_fit(&self, entry: &Entry) -> bool {
        self.state.is_none_or(|wanted| wanted == entry.word.state())
            && self.client.is_none_or(|address| address == entry.key.client().ip())
    }
}

impl Entry {
    /// The connection, unless it has expired.
    pub(crate) fn connection(&self, memory: &Memory, now: Ticks) -> Option<Connection> {
        if self.word.is_live(now) { self.told(memory, now) } else { None }
    }

    /// The connection; `None`: its server is forgotten, or its slot changed hands while it was read.
    pub(crate) fn told(&self, memory: &Memory, now: Ticks) -> Option<Connection> {
        let server = memory.told_server(self.word.server())?;
        let number = self.key.service();
        if server.service != number {
            return None;
        }
        let (client, method, state) = (self.key.client(), server.method, self.word.state());
        let left = u32::try_from(self.word.expires().since(now)).unwrap_or(0);
        // None if its service was removed.
        let timeout = memory.timeout_of(number, state.timeout_index());
        Some(Connection {
            service: service_of(&server, client)?,
            client,
            server: socket_of(server.address, server.transport),
            method: Method::ALL.into_iter().find(|known| *known as u8 == method)?,
            state,
            expires: span(left.min(timeout.unwrap_or(u32::MAX))),
        })
    }
}

/// What clients of a server's service connect to; they are of the service's IP version.
fn service_of(server: &ToldServer, client: SocketAddr) -> Option<ServiceKey> {
    let version = if client.is_ipv4() { 4 } else { 6 };
    let address = socket(version, server.virtual_address, server.virtual_port);
    Some(ServiceKey { protocol: Protocol::from_number(server.transport.protocol())?, address })
}

/// Frees a slot, unless a packet was first.
pub(crate) fn end<S: Slot>(memory: &Memory, slot: &S, word: Word) -> bool {
    let key = slot.key();
    let _one_at_a_time = memory.ending.lock().unwrap_or_else(PoisonError::into_inner);
    let ended = slot.word().exchange(word.0, word.emptied().0).is_ok();
    if ended {
        load::charge(&Host::new(memory), word.server(), load::freed(word));
        let record = Record::new(S::journalled(&key), Change::Ended, word);
        memory.write_change(memory.own_number(), record);
    }
    ended
}

/// Connections that fit, as they are found.
#[derive(Debug)]
pub struct Connections {
    entries: Entries,
    filter: Filter,
    now: Ticks,
}

impl Iterator for Connections {
    type Item = Connection;

    fn next(&mut self) -> Option<Connection> {
        loop {
            let entry = self.entries.next()?;
            if self.filter.may_fit(&entry)
                && let Some(connection) = entry.connection(self.entries.memory(), self.now)
                && self.filter.fits(&connection)
            {
                return Some(connection);
            }
        }
    }
}

impl Shared {
    /// All entries of the connection table.
    pub fn entries(&self) -> Entries {
        Entries::new(Arc::clone(&self.0))
    }

    /// All connections that fit, in no order. They come and go while they are listed.
    pub fn connections(&self, filter: Filter) -> Connections {
        Connections { entries: self.entries(), filter, now: now() }
    }

    /// How many connections fit.
    pub fn count(&self, filter: Filter) -> u64 {
        if filter != Filter::default() {
            return self.connections(filter).fold(0, |count, _| count + 1);
        }
        let now = now();
        let narrow = taken(self.0.narrow.all()).filter(|(_, word)| word.is_live(now)).count();
        let wide = taken(self.0.wide.all()).filter(|(_, word)| word.is_live(now)).count();
        (narrow + wide) as u64
    }

    /// Forgets all connections that fit; returns how many. A TCP client's next packet is then one
    /// of no known connection. Those without an entry are not meant: see [`Dataplane::leave`].
    pub fn flush(&self, filter: Filter) -> u64 {
        let memory = &*self.0;
        let now = now();
        let narrow = taken(memory.narrow.all()).filter(|taken| flush(memory, filter, now, taken));
        let wide = taken(memory.wide.all()).filter(|taken| flush(memory, filter, now, taken));
        (narrow.count() + wide.count()) as u64
    }
}

/// Frees a slot if its connection fits.
fn flush<S>(memory: &Memory, filter: Filter, now: Ticks, (slot, word): &(&S, Word)) -> bool
where
    S: Slot<Key: Into<Key>>,
{
    let Some(entry) = Entry::of(*slot, *word) else { return false };
    let connection = entry.connection(memory, now);
    connection.is_some_and(|it| filter.fits(&it)) && end(memory, *slot, entry.word)
}

impl Dataplane {
    /// See [`Shared::connections`].
    pub fn connections(&self, filter: Filter) -> Connections {
        self.shared().connections(filter)
    }

    /// See [`Shared::count`].
    pub fn count(&self, filter: Filter) -> u64 {
        self.shared().count(filter)
    }

    /// Forgets all connections that fit, with and without an entry; returns how many had one. A TCP
    /// client's next packet is then one of no known connection.
    pub fn flush(&mut self, filter: Filter) -> u64 {
        self.leave(&filter);
        self.shared().flush(filter)
    }
}
