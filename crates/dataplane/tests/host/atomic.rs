//! Packets while plans change.
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
};

use lvs_core::{forward::Method, scheduler::Scheduler, tables::Event, wire::Protocol};
use lvs_dataplane::{Dataplane, Filter};
use lvs_model::plan::{Plan, PlannedService};

use crate::{
    packets::{destination, frame, send},
    world::{KEYS, SMALL, server, service},
};

const VIRTUAL: &str = "192.0.2.1:53";

/// Two plans that have servers in common, but reached in another way.
fn plans() -> [Plan; 2] {
    let plan = |method, numbers: &[u8], scheduler| {
        let servers = numbers.iter().map(|n| server(&format!("10.0.1.{n}:53"), 1, method));
        let servers = servers.collect();
        let service = PlannedService { servers, ..service(Protocol::Udp, VIRTUAL, scheduler) };
        Plan { services: vec![service] }
    };
    [
        plan(Method::Tunnel, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], Scheduler::Rr),
        plan(Method::Nat, &[8, 9, 10, 11, 12], Scheduler::Mh),
    ]
}

/// Waits until the packet is through that was under way at the call.
fn grace(packets: &AtomicU64, over: &AtomicBool) {
    let before = packets.load(SeqCst);
    while packets.load(SeqCst) == before && !over.load(SeqCst) {
        thread::yield_now();
    }
}

/// Nobody waits for the packets of a thread that has ended, however it ended.
struct Ends(Arc<AtomicBool>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

#[test]
fn every_packet_goes_the_way_of_one_plan_or_the_other() {
    let (packets, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let wait = (Arc::clone(&packets), Arc::clone(&over));
    let mut tables = Dataplane::in_memory(SMALL, 2, KEYS, move || grace(&wait.0, &wait.1)).unwrap();
    let plans = plans();
    tables.apply(&plans[0]).unwrap();
    let shared = tables.shared();
    let reader = {
        let (packets, over) = (Arc::clone(&packets), Arc::clone(&over));
        thread::spawn(move || {
            let _ends = Ends(Arc::clone(&over));
            let mut seen: HashMap<(IpAddr, bool), u64> = HashMap::new();
            for number in 0_u32.. {
                if over.load(SeqCst) {
                    break;
                }
                let [_, b, c, d] = number.to_be_bytes();
                let client = SocketAddr::from(([100, b, c, d], 5000));
                let sent = frame(Protocol::Udp, client, VIRTUAL.parse().unwrap(), 0);
                let outcome = send(&shared.host(), &sent);
                assert!(
                    matches!(outcome.event(), Event::New) && outcome.is_forwarded(),
                    "{:?}",
                    outcome.verdict
                );
                let tunnelled = outcome.bytes.len() > sent.len();
                *seen.entry((destination(&outcome.bytes), tunnelled)).or_default() += 1;
                packets.fetch_add(1, SeqCst);
            }
            seen
        })
    };
    let mut applied = Ok(());
    for round in 1..300 {
        applied = tables.apply(&plans[round % 2]).map(drop);
        // So that servers come with new numbers.
        tables.flush(Filter::default());
        tables.sweep().unwrap();
        tables.sweep().unwrap();
        if applied.is_err() || reader.is_finished() {
            break;
        }
    }
    over.store(true, SeqCst);
    let seen = reader.join().expect("every packet found its way");
    applied.unwrap();
    assert!(seen.len() > 10, "{seen:?}");
    for ((address, tunnelled), count) in seen {
        let plan = &plans[usize::from(!tunnelled)];
        let known = plan.services[0].servers.iter().any(|s| s.address.ip() == address);
        assert!(known, "{count} packets to {address}, tunnelled: {tunnelled}");
    }
}
