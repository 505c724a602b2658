//! Requests spread as the scheduler says, and the servers see the client.
use std::collections::BTreeMap;

use anyhow::{Context, Result};
use lvs_e2e::Protocol;
use lvs_lab::{Family, Method};

use crate::world::World;

/// Thirty requests over three servers: ten each, whatever the family and protocol.
fn thirty_requests_are_ten_each(method: Method) -> Result<()> {
    let world = World::new(method)?;
    let director = world.direct(&world.all_services()?)?;
    for family in Family::ALL {
        for protocol in Protocol::ALL {
            let what = format!("{method:?} {family:?} {protocol}");
            let counts = ask(&world, family, protocol, 30)
                .with_context(|| director.lvs(&["stats"]).unwrap_or_default())
                .with_context(|| what.clone())?;
            let expected: BTreeMap<String, usize> =
                world.servers.iter().map(|server| (server.name().to_owned(), 10)).collect();
            assert_eq!(counts, expected, "{what}");
        }
    }
    Ok(())
}

/// Answers by server. Each server must have seen the client's own address.
fn ask(
    world: &World,
    family: Family,
    protocol: Protocol,
    count: u16,
) -> Result<BTreeMap<String, usize>> {
    let (client, to) = (world.client()?, world.virtual_(family, protocol)?);
    let own = world.site.client_address(0, family)?;
    let mut counts = BTreeMap::new();
    for number in 0..count {
        let (server, seen) = match protocol {
            Protocol::Tcp => {
                let response = client.http_get(to, "/")?;
                (response.server, response.client_seen.context("X-Client")?)
            }
            Protocol::Udp => {
                let payload = format!("question {number}");
                // A port of its own: the kernel picks at random, and one that it picks twice is
                // no new flow.
                let answer = client.udp_ask(to, payload.as_bytes(), 20_000 + number)?;
                assert_eq!(answer.payload, payload.as_bytes());
                (answer.server, answer.client_seen)
            }
        };
        assert_eq!(seen.ip(), own, "{server} sees the client");
        *counts.entry(server).or_default() += 1;
    }
    Ok(counts)
}

#[test]
fn thirty_requests_by_direct_routing_are_ten_each() -> Result<()> {
    thirty_requests_are_ten_each(Method::Direct)
}

#[test]
fn thirty_requests_by_tunnel_are_ten_each() -> Result<()> {
    thirty_requests_are_ten_each(Method::Tunnel)
}

#[test]
fn thirty_requests_by_nat_are_ten_each() -> Result<()> {
    thirty_requests_are_ten_each(Method::Nat)
}
