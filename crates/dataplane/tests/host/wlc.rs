//! Long lists of wlc and lc: the tournament finds whom a look at every server finds.
use lvs_core::{forward::Method, scheduler::Scheduler, wire::Protocol};
use lvs_dataplane::{Dataplane, Filter};
use lvs_model::{
    desired::ServiceKey,
    plan::{Admission, Plan, PlannedService},
};

use crate::{
    packets::{ACK, FIN, SYN, destination, frame, send},
    world::{address, server, service, tables_with},
};

const VIRTUAL: &str = "192.0.2.10:80";

/// The server that IPVS would take: last added first, the first one of equals.
fn expected(tables: &Dataplane, service: &PlannedService) -> Option<String> {
    let counters = tables.counters().servers;
    let key = ServiceKey { protocol: Protocol::Tcp, address: address(VIRTUAL) };
    let mut best: Option<(u64, u64, String)> = None;
    for server in service.servers.iter().rev().filter(|s| s.admission == Admission::Open) {
        let (_, load) = counters[&(key, server.address)];
        let cost = u64::from(load.active) * 256 + u64::from(load.inactive);
        let most = if service.scheduler == Scheduler::Lc { 1 } else { u32::MAX };
        let weight = u64::from(server.weight.min(most));
        let is_less = best.as_ref().is_none_or(|(c, w, _)| c * weight > cost * w);
        if weight > 0 && is_less {
            best = Some((cost, weight, server.address.ip().to_string()));
        }
    }
    best.map(|(_, _, server)| server)
}

fn next(state: &mut u64, below: u64) -> u64 {
    *state = lvs_core::hash::second(state.wrapping_add(0x9e37_79b9_7f4a_7c15));
    (*state >> 33) % below
}

#[test]
fn the_tournament_finds_whom_a_look_at_all_finds() {
    for (scheduler, count) in [
        (Scheduler::Wlc, 17_u16),
        (Scheduler::Wlc, 100),
        (Scheduler::Lc, 65),
        (Scheduler::Wlc, 700),
    ] {
        let mut state = u64::from(count);
        let mut plan = service(Protocol::Tcp, VIRTUAL, scheduler);
        for number in 0..count {
            let at = format!("10.0.{}.{}:80", number / 250, number % 250 + 1);
            let weight = u32::try_from(next(&mut state, 4)).unwrap();
            plan.servers.push(server(&at, weight, Method::Tunnel));
        }
        let mut tables = tables_with(20_000, vec![plan.clone()]);
        for number in 0..1500_u16 {
            let client = format!("198.51.100.1:{}", 1000 + number).parse().unwrap();
            let to = address(VIRTUAL);
            let picked = expected(&tables, &plan);
            let outcome = send(&tables.host(), &frame(Protocol::Tcp, client, to, SYN));
            let got = outcome.is_forwarded().then(|| destination(&outcome.bytes).to_string());
            assert_eq!(got, picked, "{scheduler:?} of {count}, client {number}");
            if next(&mut state, 3) > 0 {
                send(&tables.host(), &frame(Protocol::Tcp, client, to, ACK));
            }
            if next(&mut state, 4) == 0 {
                let old = u16::try_from(next(&mut state, u64::from(number) + 1)).unwrap();
                let client = format!("198.51.100.1:{}", 1000 + old).parse().unwrap();
                send(&tables.host(), &frame(Protocol::Tcp, client, to, FIN | ACK));
            }
            match next(&mut state, 100) {
                0 => drop(tables.flush(Filter {
                    server: Some(plan.servers[number as usize % plan.servers.len()].address),
                    ..Filter::default()
                })),
                1 => {
                    let at = usize::try_from(next(&mut state, u64::from(count))).unwrap();
                    plan.servers[at].weight = u32::try_from(next(&mut state, 4)).unwrap();
                    tables.apply(&Plan { services: vec![plan.clone()] }).unwrap();
                }
                2 => {
                    let at = usize::try_from(next(&mut state, u64::from(count))).unwrap();
                    plan.servers[at].admission = Admission::Draining;
                    tables.apply(&Plan { services: vec![plan.clone()] }).unwrap();
                }
                3 if number % 2 == 0 => {
                    let was_lc = plan.scheduler == Scheduler::Lc;
                    plan.scheduler = if was_lc { Scheduler::Wlc } else { Scheduler::Lc };
                    tables.apply(&Plan { services: vec![plan.clone()] }).unwrap();
                }
                _ => {}
            }
        }
    }
}
