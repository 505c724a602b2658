//! Finds out from the tables what a predecessor put there.
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use lvs_core::{
    forward::Method,
    scheduler::walk,
    shared::Shared64,
    tables::{Handle, IndexKind, Server, Service},
    wire::Protocol,
};
use lvs_model::desired::ServiceKey;

use crate::{
    index::{endpoint, socket, socket_of},
    memory::Memory,
    mirror::{HeldServer, HeldService, Mirror},
    moved, sys,
};

/// Builds the mirror of tables that somebody else filled, and completes a change in the middle of
/// which he may have died.
pub(crate) fn rebuild(memory: &Memory) -> Mirror {
    let mut mirror = Mirror::new(&memory.sizes);
    let live = services(memory, &mut mirror);
    servers(memory, &mut mirror, &live);
    repair_index(memory, &mut mirror);
    carry_leftovers(memory);
    mirror
}

/// Services that have a record, by number.
fn services(memory: &Memory, mirror: &mut Mirror) -> BTreeMap<u16, ServiceKey> {
    let mut live = BTreeMap::new();
    for number in 1..memory.sizes.service_numbers {
        let record = memory.standings.get(number).map_or(0, |s| s.record.get());
        let record = u32::try_from(record).unwrap_or(0);
        let service = memory.services.read(record).filter(|_| record != 0);
        let Some((service, key)) = service.and_then(|s| Some((s, key_of(&s)?))) else { continue };
        let free = &mut mirror.free;
        free.service_numbers.take_at(number, 1);
        free.service_records.take_at(record, 1);
        free.candidates.take_at(service.candidates, walk::blocks(service.len));
        free.rings.take_at(service.ring, moved::len(&service));
        let held =
            HeldService { number: service.number, record, servers: BTreeMap::new(), plan: None };
        mirror.services.insert(key, held);
        live.insert(service.number, key);
    }
    live
}

fn key_of(service: &Service) -> Option<ServiceKey> {
    let address = socket_of(service.address, service.transport);
    Some(ServiceKey { protocol: Protocol::from_number(service.transport.protocol())?, address })
}

/// Servers that have a record; those of no live service belong to one that was removed.
fn servers(memory: &Memory, mirror: &mut Mirror, live: &BTreeMap<u16, ServiceKey>) {
    for number in 1..memory.sizes.server_numbers {
        let record = memory.handle_of(number).record();
        let Some(server) = memory.servers.read(record).filter(|_| record != 0) else { continue };
        let known = live.get(&server.service).copied();
        let Some(key) = known.or_else(|| removed_key(&server)) else { continue };
        let address = socket_of(server.address, server.transport);
        mirror.free.server_numbers.take_at(number, 1);
        mirror.free.server_records.take_at(record, 1);
        let service = if let Some(key) = known {
            mirror.services.get_mut(&key)
        } else {
            mirror.free.service_numbers.take_at(server.service.into(), 1);
            Some(mirror.gone.entry(key).or_insert_with(|| HeldService {
                number: server.service,
                record: 0,
                servers: BTreeMap::new(),
                plan: None,
            }))
        };
        if let Some(service) = service {
            service.servers.insert(address, number);
        }
        let held = HeldServer {
            key,
            address,
            record,
            planned: known.is_some(),
            reset: false,
            unheld: false,
        };
        mirror.servers.insert(number, held);
    }
}

/// What clients of a service that is gone connected to.
fn removed_key(server: &Server) -> Option<ServiceKey> {
    let [_, rest @ ..] = server.virtual_address;
    // Only a tunnel leads from one family to the other.
    let same = server.method != Method::Tunnel as u8;
    let version = if same {
        server.transport.version()
    } else if rest == [0; 3] {
        4
    } else {
        6
    };
    let address = socket(version, server.virtual_address, server.virtual_port);
    Some(ServiceKey { protocol: Protocol::from_number(server.transport.protocol())?, address })
}

/// Has the index lead to exactly what there is, and reads the chains of servers behind NAT.
fn repair_index(memory: &Memory, mirror: &mut Mirror) {
    let mut tags = BTreeSet::new();
    for (key, held) in &mirror.services {
        let at = endpoint(key.protocol, key.address);
        tags.insert(at.tag(memory.keys, IndexKind::Service));
        lead(memory, key.protocol, key.address, IndexKind::Service, held.record);
    }
    let mut starts: BTreeMap<(Protocol, SocketAddr), Vec<u32>> = BTreeMap::new();
    for (number, held) in &mirror.servers {
        let nat = memory.server_of(*number).is_some_and(|s| s.method == Method::Nat as u8);
        if nat && mirror.services.contains_key(&held.key) {
            starts.entry((held.key.protocol, held.address)).or_default().push(*number);
        }
    }
    for ((protocol, address), numbers) in starts {
        let at = endpoint(protocol, address);
        let tag = at.tag(memory.keys, IndexKind::Server);
        tags.insert(tag);
        let chain = chain(memory, memory.entry(tag), &numbers);
        lead(memory, protocol, address, IndexKind::Server, chain.first().copied().unwrap_or(0));
        mirror.chains.insert((protocol, address), chain);
    }
    memory.keep_entries(&tags);
}

/// The servers of a chain in their order. Whoever the chain does not reach is not in it: the next
/// change of his record links him again.
fn chain(memory: &Memory, first: u32, members: &[u32]) -> Vec<u32> {
    let mut chain = Vec::new();
    let mut number = first;
    while members.contains(&number) && !chain.contains(&number) {
        chain.push(number);
        number = memory.server_of(number).map_or(0, |server| server.next);
    }
    chain
}

fn lead(memory: &Memory, protocol: Protocol, address: SocketAddr, kind: IndexKind, to: u32) {
    let at = endpoint(protocol, address);
    if memory.entry(at.tag(memory.keys, kind)) != to
        && (memory.has_entry(&at, kind)
            || memory.reserve_entry(&at, kind, &sys::wait_for_programs).is_some())
    {
        memory.set_entry(&at, kind, to);
    }
}

/// What was counted for numbers that nobody has any more goes to the total.
fn carry_leftovers(memory: &Memory) {
    for number in 1..memory.sizes.server_numbers {
        let free = Handle(memory.handles.get(number).map_or(0, Shared64::get)).record() == 0;
        let empty = || {
            let load = memory.loads.get(number).map_or(0, |load| load.word.get());
            load == 0 && memory.counters_of(number) == lvs_core::tables::Counters::default()
        };
        if free && !empty() {
            memory.carry_server(number, 0);
        }
    }
}
