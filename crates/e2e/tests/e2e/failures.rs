//! With no server left, clients are refused at once.
use std::{io::ErrorKind, time::Duration};

use anyhow::{Context, Result};
use lvs_e2e::Protocol;
use lvs_lab::{Family, Method};

use crate::world::{World, kind_of};

/// An answer, as opposed to a timeout.
const AT_ONCE: Duration = Duration::from_millis(900);

fn ensure_refused(world: &World, family: Family, protocol: Protocol) -> Result<()> {
    let client = world.client()?.with_timeout(AT_ONCE);
    let to = world.virtual_(family, protocol)?;
    let asked = match protocol {
        Protocol::Tcp => client.http_get(to, "/").map(drop),
        Protocol::Udp => client.udp_ask(to, b"anybody", 0).map(drop),
    };
    let error = asked.err().context("somebody answers")?;
    let refused = kind_of(&error) == Some(ErrorKind::ConnectionRefused);
    assert!(refused, "{family:?} {protocol}: {error:#}");
    Ok(())
}

#[test]
fn with_all_servers_at_weight_0_tcp_is_reset_and_udp_unreachable_at_once() -> Result<()> {
    let world = World::with_servers(Method::Direct, 1)?;
    let director = world.direct(&world.all_services()?)?;
    for family in Family::ALL {
        for protocol in Protocol::ALL {
            let service = world.named_service(family, protocol)?;
            let server = world.real(0, family, protocol)?.to_string();
            director.lvs(&["server", "edit", service.title(), &server, "--weight", "0"])?;
            ensure_refused(&world, family, protocol)?;
        }
    }
    Ok(())
}

#[test]
fn with_all_servers_down_clients_are_refused_at_once_until_one_returns() -> Result<()> {
    let mut world = World::with_servers(Method::Tunnel, 2)?;
    let director = world.direct(&[world.service(Family::V4, Protocol::Tcp)?.checked()])?;
    for server in &mut world.servers {
        server.kill();
    }
    director.wait_until_all_are("down")?;
    ensure_refused(&world, Family::V4, Protocol::Tcp)?;
    for server in &mut world.servers {
        server.restart()?;
    }
    director.wait_until_all_are("up")?;
    world.client()?.http_get(world.virtual_(Family::V4, Protocol::Tcp)?, "/")?;
    Ok(())
}

#[test]
fn a_service_without_servers_refuses() -> Result<()> {
    let world = World::with_servers(Method::Direct, 1)?;
    let _director = world.start(&[world.empty_service(Family::V4, Protocol::Tcp)?])?;
    ensure_refused(&world, Family::V4, Protocol::Tcp)
}
