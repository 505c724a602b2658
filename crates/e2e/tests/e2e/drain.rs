//! A drained server finishes its work.
use std::time::Duration;

use anyhow::{Context, Result};
use lvs_e2e::{Director, Fields, Protocol};
use lvs_lab::{Connection, Family, Method, wait_for};

use crate::world::World;

struct Drained {
    connection: Connection,
    name: String,
    address: std::net::SocketAddr,
    director: Director,
    world: World,
}

/// Two servers, one of which has a connection and is drained then.
fn drained(more: &[&str]) -> Result<Drained> {
    let world = World::with_servers(Method::Nat, 2)?;
    let director = world.direct(&[world.service(Family::V4, Protocol::Tcp)?])?;
    let to = world.virtual_(Family::V4, Protocol::Tcp)?;
    let mut connection = world.client()?.connect(to)?;
    let name = connection.get("/")?.server;
    let number = world.servers.iter().position(|server| server.name() == name).context("which")?;
    let address = world.real(number, Family::V4, Protocol::Tcp)?;
    let text = address.to_string();
    director.lvs(&[&["server", "drain", "web", &text], more].concat())?;
    assert_eq!(director.state("web", address)?, "draining");
    Ok(Drained { connection, name, address, director, world })
}

#[test]
fn a_drained_server_keeps_its_connections_and_gets_no_new_ones_until_it_is_resumed() -> Result<()> {
    let Drained { mut connection, name, address, director, world } = drained(&[])?;
    let counts = world.ask_http(Family::V4, 20)?;
    assert_eq!(counts.get(&name), None, "{counts:?}");
    assert_eq!(connection.get("/")?.server, name);
    let load = director.server("web", address)?;
    assert_eq!(load.get("load").context("load")?.number("active")?, 1, "{load}");
    director.lvs(&["server", "resume", "web", &address.to_string()])?;
    assert_eq!(world.ask_http(Family::V4, 20)?.get(&name), Some(&10));
    assert_eq!(connection.get("/")?.server, name);
    Ok(())
}

#[test]
fn connections_that_outstay_the_deadline_of_a_drain_are_ended() -> Result<()> {
    let Drained { mut connection, name, address, director, world } =
        drained(&["--deadline", "2s"])?;
    assert_eq!(connection.get("/")?.server, name, "before the deadline");
    let error = wait_for(Duration::from_secs(15), "the connection is ended", || {
        Ok(connection.get("/").err())
    })?;
    assert!(format!("{error:#}").contains("reset"), "{error:#}");
    assert_eq!(director.state("web", address)?, "draining", "until it is resumed");
    assert_eq!(world.ask_http(Family::V4, 10)?.get(&name), None);
    Ok(())
}

/// Clients use their ports again long before a closed connection is forgotten.
#[test]
fn a_client_that_uses_its_port_again_does_not_reach_a_drained_server() -> Result<()> {
    for method in [Method::Direct, Method::Nat] {
        let world = World::with_servers(method, 2)?;
        world.site.client(0)?.sysctl("net.ipv4.ip_local_port_range", "42000 42007")?;
        // Where the client closes first, it would not use the port again for a minute.
        world.site.client(0)?.sysctl("net.ipv4.tcp_max_tw_buckets", "0")?;
        let director = world.direct(&[world.service(Family::V4, Protocol::Tcp)?])?;
        world.ask_http(Family::V4, 40)?;
        let drained = world.real(0, Family::V4, Protocol::Tcp)?;
        director.lvs(&["server", "drain", "web", &drained.to_string()])?;
        let list = director.lvs(&["connection", "list"])?;
        let counts = world.ask_http(Family::V4, 40)?;
        assert_eq!(counts.get("server1"), None, "{method:?} {counts:?}\n{list}");
    }
    Ok(())
}
