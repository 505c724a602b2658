//! A dead server is out soon, and back when it returns.
use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use lvs_e2e::{Director, Protocol};
use lvs_lab::{Connection, Family, Load, Method, wait_until};

use crate::world::{World, kind_of};

/// With checks 200 ms apart.
const SOON: Duration = Duration::from_secs(3);

#[test]
fn a_dead_server_is_out_within_three_seconds_and_back_when_it_returns() -> Result<()> {
    let mut world = World::new(Method::Direct)?;
    let service = world.service(Family::V4, Protocol::Tcp)?.checked();
    let director = world.direct(&[service])?;
    let to = world.virtual_(Family::V4, Protocol::Tcp)?;
    let dead = world.real(1, Family::V4, Protocol::Tcp)?;
    let load = Load::http(&world.client()?, to, "/", 100)?;

    world.servers.get_mut(1).context("server2")?.kill();
    director.wait_for_state("web", dead, "down", SOON)?;
    let out = load.elapsed();
    let answered = load.counts().0;
    wait_until(SOON * 3, "100 more answers", || load.counts().0 >= answered + 100)?;
    let report = load.report();
    let late: Vec<_> = report.failures.iter().filter(|failure| failure.at >= out).collect();
    assert!(late.is_empty(), "lost after the server was out: {late:?}");
    assert_eq!(report.per_server_since(out).get("server2"), None);
    let note = director.lvs(&["server", "list", "web"])?;
    assert!(note.contains("refused"), "the list says why: {note}");

    world.servers.get_mut(1).context("server2")?.restart()?;
    let back = load.elapsed();
    director.wait_for_state("web", dead, "up", SOON)?;
    wait_until(SOON, "server2 answers", || {
        load.report().per_server_since(back).contains_key("server2")
    })?;
    let report = load.finish()?;
    let late: Vec<_> = report.failures.iter().filter(|failure| failure.at >= out).collect();
    assert!(late.is_empty(), "lost while it came back: {late:?}");
    Ok(())
}

#[test]
fn a_server_whose_machine_is_cut_off_is_out_within_three_seconds() -> Result<()> {
    let world = World::new(Method::Nat)?;
    let check = "check = { type = \"tcp\", interval = \"200ms\", timeout = \"400ms\" }";
    let director = world.direct(&[world.service(Family::V6, Protocol::Tcp)?.line(check)])?;
    let gone = world.real(2, Family::V6, Protocol::Tcp)?;
    world.site.server(2)?.set_link("eth0", false)?;
    let start = Instant::now();
    // Its neighbour entry fails too: then it is unresolved, and out all the same.
    lvs_lab::wait_for(SOON, "the server is out", || {
        Ok((director.state("web", gone)? != "up").then_some(()))
    })?;
    assert!(start.elapsed() <= SOON);
    let (client, to) = (world.client()?, world.virtual_(Family::V6, Protocol::Tcp)?);
    for _ in 0..10 {
        assert_ne!(client.http_get(to, "/")?.server, "server3");
    }
    Ok(())
}

/// A server whose check fails but that still works: what becomes of the connections that it has.
fn failing_check(on_failure: &str) -> Result<(World, Director, Connection)> {
    let world = World::with_servers(Method::Direct, 2)?;
    let line = format!("on_failure = \"{on_failure}\"");
    let service = world.service(Family::V4, Protocol::Tcp)?.checked().line(&line);
    let director = world.direct(&[service])?;
    let to = world.virtual_(Family::V4, Protocol::Tcp)?;
    let mut connection = world.client()?.connect(to)?;
    let name = connection.get("/")?.server;
    let number = world.servers.iter().position(|server| server.name() == name).context("which")?;
    world.servers.get(number).context("server")?.http.set_healthy(false);
    let address = world.real(number, Family::V4, Protocol::Tcp)?;
    director.wait_for_state("web", address, "down", SOON)?;
    for _ in 0..6 {
        assert_ne!(world.client()?.http_get(to, "/")?.server, name, "no new connection");
    }
    Ok((world, director, connection))
}

#[test]
fn established_connections_of_a_failed_server_are_kept() -> Result<()> {
    let (_world, _director, mut connection) = failing_check("keep")?;
    connection.get("/").context("the connection goes on")?;
    Ok(())
}

#[test]
fn established_connections_of_a_failed_server_are_reset_where_that_is_wished() -> Result<()> {
    let (_world, _director, mut connection) = failing_check("reset")?;
    let error = connection.get("/").expect_err("the connection is reset");
    assert_eq!(kind_of(&error), Some(ErrorKind::ConnectionReset), "{error:#}");
    Ok(())
}

#[test]
fn udp_flows_of_a_failed_server_move_at_once() -> Result<()> {
    let world = World::with_servers(Method::Direct, 2)?;
    let check = "check = { type = \"http\", path = \"/healthz\", port = 80, interval = \"200ms\" }";
    let director = world.direct(&[world.service(Family::V4, Protocol::Udp)?.line(check)])?;
    let (client, to) = (world.client()?, world.virtual_(Family::V4, Protocol::Udp)?);
    let first = client.udp_ask(to, b"one", 4000)?.server;
    assert_eq!(client.udp_ask(to, b"two", 4000)?.server, first, "a flow stays with its server");
    let number = world.servers.iter().position(|server| server.name() == first).context("which")?;
    world.servers.get(number).context("server")?.http.set_healthy(false);
    let address = world.real(number, Family::V4, Protocol::Udp)?;
    director.wait_for_state("web", address, "down", SOON)?;
    assert_ne!(client.udp_ask(to, b"three", 4000)?.server, first);
    Ok(())
}
