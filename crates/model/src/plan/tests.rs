use std::time::{Duration, Instant};

use super::*;
use crate::desired::{Drain, Probe, ServerCheck};

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// One service with a TCP check and one server.
fn one() -> Desired {
    let mut service = Service::new("web", ServiceKey::tcp(address("192.0.2.1:80")));
    service.check = Some(Check::new(Probe::Tcp));
    service.servers.push(Server::new(address("10.0.0.1:80")));
    Desired { services: vec![service] }
}

/// Every way is known, every health is the same.
fn observed(desired: &Desired, health: Health) -> Observed {
    let health = targets(desired).into_iter().map(|target| (target, health)).collect();
    Observed { health, ..reachable(desired) }
}

/// Every way is known, nothing was checked yet.
fn reachable(desired: &Desired) -> Observed {
    let hop = |source| Hop::Link {
        interface: 2,
        source_mac: [2, 0, 0, 0, 0, 1],
        neighbour_mac: [2, 0, 0, 0, 0, 2],
        source,
        mtu: 1500,
    };
    let hops = server_addresses(desired).into_iter().map(|address| (address, hop(address)));
    Observed { hops: hops.collect(), ..Observed::default() }
}

fn admission(desired: &Desired, observed: &Observed) -> Admission {
    plan(desired, observed).services[0].servers[0].admission
}

#[test]
fn failure_outranks_draining() {
    let drained = || {
        let mut desired = one();
        desired.services[0].servers[0].drain = Some(Drain { deadline: None });
        desired
    };
    for (desired, health, expected) in [
        (one(), Some(Health::Up), Admission::Open),
        (one(), Some(Health::Down), Admission::Failed),
        (one(), None, Admission::Failed),
        (drained(), Some(Health::Up), Admission::Draining),
        (drained(), Some(Health::Down), Admission::Failed),
        (drained(), None, Admission::Failed),
    ] {
        let observed = match health {
            Some(health) => observed(&desired, health),
            None => reachable(&desired),
        };
        assert_eq!(admission(&desired, &observed), expected, "{health:?}");
    }
}

#[test]
fn without_a_check_a_server_is_up() {
    let mut desired = one();
    desired.services[0].servers[0].check = ServerCheck::Off;
    assert_eq!(admission(&desired, &reachable(&desired)), Admission::Open);
    assert!(targets(&desired).is_empty());
    desired.services[0].servers[0].check = ServerCheck::Inherit;
    desired.services[0].check = None;
    assert_eq!(admission(&desired, &reachable(&desired)), Admission::Open);
}

#[test]
fn a_server_without_a_way_gets_no_new_connections() {
    let desired = one();
    let mut observed = observed(&desired, Health::Up);
    observed.hops.clear();
    assert_eq!(admission(&desired, &observed), Admission::Draining);
}

#[test]
fn a_target_is_checked_once() {
    let mut desired = one();
    let mut other = desired.services[0].clone();
    other.name = "other".into();
    other.key.address = address("192.0.2.2:80");
    // The port of the check and the server's own are the same target here.
    other.check.as_mut().unwrap().port = Some(80);
    desired.services.push(other);
    assert_eq!(targets(&desired).len(), 1);
    desired.services[1].check.as_mut().unwrap().port = Some(8080);
    assert_eq!(targets(&desired).len(), 2);
    desired.services[1].check.as_mut().unwrap().port = None;
    desired.services[1].check.as_mut().unwrap().fall = 9;
    assert_eq!(targets(&desired).len(), 2);
}

#[test]
fn an_own_address_is_served_locally() {
    let desired = one();
    let mut observed = observed(&desired, Health::Up);
    let ip = address("10.0.0.1:80").ip();
    assert_eq!(server_addresses(&desired).into_iter().collect::<Vec<_>>(), [ip]);
    observed.hops.insert(ip, Hop::Local);
    let planned = &plan(&desired, &observed).services[0].servers[0];
    assert_eq!((planned.method, planned.hop), (Method::Local, Some(Hop::Local)));
}

/// The time is far above what it takes (release: about 20 ms), so that only a change of order fails.
#[test]
fn a_large_state_is_planned_in_time() {
    let desired = large();
    let observed = observed(&desired, Health::Up);
    let start = Instant::now();
    let planned = plan(&desired, &observed);
    let took = start.elapsed();
    assert_eq!(planned.services.len(), 1000);
    println!("planned in {took:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
}

/// 1,000 services with 100 servers each.
fn large() -> Desired {
    let service = |number: u16| {
        let [high, low] = number.to_be_bytes();
        let address = SocketAddr::from(([192, 0, high, low], 80));
        let mut service = Service::new(format!("s{number}"), ServiceKey::tcp(address));
        service.check = Some(Check::new(Probe::http()));
        service.servers = (1..=100)
            .map(|host| Server::new(SocketAddr::from(([10, high, low, host], 80))))
            .collect();
        service
    };
    Desired { services: (0..1000).map(service).collect() }
}
