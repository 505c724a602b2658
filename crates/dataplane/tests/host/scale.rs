//! How long changes of large tables take.
use std::{hint::black_box, net::SocketAddr, time::Instant};

use lvs_core::{forward::Method, scheduler::Scheduler, wire::Protocol};
use lvs_dataplane::{Capacity, Dataplane};
use lvs_model::plan::{Plan, PlannedService};

use crate::world::{KEYS, server, service};

/// 1,000 services with 100 servers each; every sixth has each scheduler.
fn plan() -> Plan {
    let one = |number: u16| {
        let [a, b] = number.to_be_bytes();
        let at = SocketAddr::from(([192, 0, a, b], 80)).to_string();
        let scheduler = Scheduler::ALL[usize::from(number) % Scheduler::ALL.len()];
        let servers = (0..100).map(|n| server(&format!("10.{a}.{b}.{n}:80"), 1, Method::Nat));
        PlannedService { servers: servers.collect(), ..service(Protocol::Tcp, &at, scheduler) }
    };
    Plan { services: (0..1000).map(one).collect() }
}

/// Prints times: `cargo test --release -p lvs-dataplane --test host -- --ignored --nocapture`.
#[test]
#[ignore = "prints times instead of judging them"]
fn a_thousand_services_with_a_hundred_servers() {
    let capacity = Capacity { connections: 1_000_000, services: 2048, servers: 262_144 };
    let mut tables = Dataplane::in_memory(capacity, 2, KEYS, || {}).unwrap();
    let mut plan = plan();
    let mut time = |what: &str, plan: &Plan| {
        let start = Instant::now();
        let applied = tables.apply(plan).unwrap();
        println!("{what}: {:.1} ms, {applied:?}", start.elapsed().as_secs_f64() * 1000.0);
    };
    time("load", &plan);
    time("the same again", &plan);
    plan.services[500].servers[50].weight = 2;
    time("one weight", &plan);
    for service in &mut plan.services {
        service.servers[7].weight = 3;
    }
    time("one weight in each service", &plan);
    time("remove all", &Plan::default());
    time("load again", &plan);
    let start = Instant::now();
    black_box(tables.sweep().unwrap());
    println!("sweep of 1 M slots: {:.1} ms", start.elapsed().as_secs_f64() * 1000.0);
    let start = Instant::now();
    black_box(tables.counters());
    println!("counters: {:.1} ms", start.elapsed().as_secs_f64() * 1000.0);
}
