//! What a plan means as records of the tables.
use std::net::{IpAddr, SocketAddr};

use lvs_core::{
    clock::Ticks,
    family::{V4, V6},
    forward::{Method, tunnel::outer_sum},
    hash::Keys,
    scheduler::{Scheduler, SchedulerFlags, mh, sh},
    state::{State, TCP_TIMEOUTS, UDP_TIMEOUTS},
    tables::{Admission, Candidate, Server, Service},
    wire::{Protocol, ethernet::macs},
};
use lvs_model::{
    desired::{OnFailure, ServiceKey, Stray, Timeouts},
    observed::Hop,
    plan::{self, PlannedServer, PlannedService},
};

use crate::{
    cursor,
    index::{endpoint, transport, version, words},
};

/// The record of a server, but for the chain of those that share its address.
pub(crate) fn server(keys: Keys, key: &ServiceKey, number: u16, server: &PlannedServer) -> Server {
    let (inner, outer) = (version(key.address.ip()), version(server.address.ip()));
    let mut record = Server {
        macs: macs([0; 6], [0; 6]),
        interface: 0,
        address: words(server.address.ip()),
        transport: transport(key.protocol, server.address),
        mtu: u16::MAX,
        method: server.method as u8,
        spare: 0,
        weight: server.weight,
        outer_sum: 0,
        service: number,
        next: 0,
        spare2: [0; 6],
        source: [0; 4],
        virtual_address: words(key.address.ip()),
        virtual_port: key.address.port().to_be(),
        spare3: [0; 3],
        virtual_hash: virtual_hash(keys, key),
        spare4: [0; 2],
    };
    if let Some(Hop::Link { interface, source_mac, neighbour_mac, source, mtu }) = server.hop {
        record.macs = macs(neighbour_mac, source_mac);
        record.interface = interface;
        record.source = words(source);
        let mtu = mtu.saturating_sub(server.method.overhead(outer).into());
        record.mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
        if let (Method::Tunnel, IpAddr::V4(_)) = (server.method, server.address.ip()) {
            let ([source, ..], [destination, ..]) = (record.source, record.address);
            record.outer_sum = match inner {
                4 => outer_sum::<V4>(source, destination),
                _ => outer_sum::<V6>(source, destination),
            };
        }
    }
    record
}

/// The record of a service without its number, list and ring.
pub(crate) fn service(
    keys: Keys,
    planned: &PlannedService,
    number: u16,
    list: &[Candidate],
) -> Service {
    let (max_weight, step) = cursor::bounds(list);
    Service {
        address: words(planned.key.address.ip()),
        transport: transport(planned.key.protocol, planned.key.address),
        number,
        scheduler: planned.scheduler as u8,
        flags: planned.scheduler_flags,
        stray_by_hash: match planned.stray {
            Stray::Hash => u8::from(planned.scheduler.is_hash()),
            Stray::Stack => 0,
        },
        moved: 0,
        before: 0,
        before_flags: SchedulerFlags(0),
        candidates: 0,
        len: u32::try_from(list.len()).unwrap_or(u32::MAX),
        ring: 0,
        ring_len: 0,
        max_weight,
        step,
        record: 0,
        virtual_hash: virtual_hash(keys, &planned.key),
        timeouts: timeouts(planned.key.protocol, &planned.timeouts),
    }
}

/// The ticks after which a connection is over that sends nothing, whatever it was doing.
pub(crate) fn longest(service: &Service) -> u32 {
    service.timeouts.into_iter().max().unwrap_or(0)
}

/// What a service's connections have in their hashes.
pub(crate) fn virtual_hash(keys: Keys, key: &ServiceKey) -> u64 {
    endpoint(key.protocol, key.address).virtual_hash(keys)
}

/// IPVS's timeouts with what `--set` changes there, in ticks.
fn timeouts(protocol: Protocol, set: &Timeouts) -> [u32; State::TIMEOUTS] {
    let millis = |span: std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let (seconds, changed): (_, &[_]) = match protocol {
        Protocol::Tcp => {
            (TCP_TIMEOUTS, &[(State::ESTABLISHED, set.established), (State::FIN_WAIT, set.fin)])
        }
        Protocol::Udp => (UDP_TIMEOUTS, &[(State::UDP, set.udp)]),
    };
    let mut ticks = seconds.map(|seconds| Ticks::span(u64::from(seconds) * 1000));
    for (state, span) in changed {
        if let Some(place) = ticks.get_mut(state.timeout_index()) {
            *place = Ticks::span(millis(*span));
        }
    }
    ticks
}

/// What decides about the ring of a hash scheduler: a server and the weight that counts there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RingMember {
    pub(crate) number: u32,
    pub(crate) weight: u32,
    pub(crate) address: SocketAddr,
}

/// The ring over a list in the scheduler's order; empty where there is none.
pub(crate) fn ring(scheduler: Scheduler, list: &[RingMember]) -> Vec<u32> {
    if list.is_empty() {
        return Vec::new();
    }
    match scheduler {
        Scheduler::Sh => {
            let mut buckets = vec![0; sh::PLACES];
            let servers: Vec<_> = list.iter().map(|m| (m.number, m.weight)).collect();
            sh::fill(&mut buckets, &servers);
            buckets
        }
        Scheduler::Mh => {
            let mut places = vec![0; mh::PLACES];
            let member = |m: &RingMember| {
                let port = m.address.port().to_be();
                mh::Member::new(m.number, words(m.address.ip()), port, m.weight)
            };
            let mut members: Vec<_> = list.iter().map(member).collect();
            mh::fill(&mut places, &mut members);
            places
        }
        Scheduler::Rr | Scheduler::Wrr | Scheduler::Lc | Scheduler::Wlc => Vec::new(),
    }
}

/// Which packets a server of the plan gets.
pub(crate) fn admission(server: &PlannedServer, on_failure: OnFailure, reset: bool) -> Admission {
    match server.admission {
        plan::Admission::Draining | plan::Admission::Failed if reset => Admission::Reset,
        plan::Admission::Open => Admission::Open,
        plan::Admission::Draining => Admission::Draining,
        plan::Admission::Failed => closed(on_failure),
    }
}

/// Which packets a server gets that failed or was removed.
pub(crate) fn closed(on_failure: OnFailure) -> Admission {
    match on_failure {
        OnFailure::Keep => Admission::Kept,
        OnFailure::Reset => Admission::Reset,
    }
}
