//! Connections are listed, counted and forgotten; what `explain` says then happens.
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lvs_e2e::{Director, Fields, Protocol};
use lvs_lab::{Family, Method};

use crate::world::World;

#[test]
fn connections_are_listed_counted_and_forgotten() -> Result<()> {
    let world = World::new(Method::Nat)?;
    let director = world.direct(&[world.service(Family::V4, Protocol::Tcp)?])?;
    let to = world.virtual_(Family::V4, Protocol::Tcp)?;
    let mut connections = Vec::new();
    for _ in 0..6 {
        let mut connection = world.client()?.connect(to)?;
        connection.get("/")?;
        connections.push(connection);
    }
    assert_eq!(director.lvs(&["connection", "count"])?.trim(), "6");
    let list = director.lvs(&["connection", "list"])?;
    for connection in &connections {
        let own = connection.local_address()?.to_string();
        let line = list.lines().find(|line| line.contains(&own)).context("every one is listed")?;
        assert!(line.contains("ESTABLISHED") && line.contains("nat"), "{line}");
    }
    let server = world.real(0, Family::V4, Protocol::Tcp)?.to_string();
    let count = |arguments: &[&str]| {
        let all = [&["connection", "count"], arguments].concat();
        director.lvs(&all).map(|text| text.trim().to_owned())
    };
    assert_eq!(count(&["--server", &server])?, "2");
    assert_eq!(count(&["--state", "established", "--service", "web"])?, "6");
    assert_eq!(count(&["--protocol", "udp"])?, "0");

    director.lvs(&["connection", "flush", "--server", &server])?;
    assert_eq!(count(&[])?, "4");
    let results = connections.iter_mut().map(|connection| connection.get("/").is_ok());
    assert_eq!(results.filter(|answered| *answered).count(), 4, "forgotten ones are reset");
    world.names(3)?;
    Ok(())
}

#[test]
fn connections_are_watched_from_begin_to_end() -> Result<()> {
    const SOON: Duration = Duration::from_secs(10);
    let world = World::with_servers(Method::Nat, 1)?;
    let director = world.direct(&[world.service(Family::V4, Protocol::Tcp)?])?;
    let watch = director.spawn_lvs(&["connection", "watch", "--service", "web"])?;
    watch.wait_for_line(SOON, "CHANGE")?;
    let to = world.virtual_(Family::V4, Protocol::Tcp)?;
    let mut connection = world.client()?.connect(to)?;
    connection.get("/")?;
    let own = connection.local_address()?.to_string();
    director.lvs(&["connection", "flush", "--all"])?;
    watch.wait_for_line(SOON, "end")?;
    let lines = watch.lines();
    let told = lines.iter().filter(|line| line.text.contains(&own)).map(|line| {
        let words: Vec<_> = line.text.split_whitespace().collect();
        [words.first(), words.get(6)].map(|word| word.map_or("", |word| *word).to_owned())
    });
    let [first, .., last] = &told.collect::<Vec<_>>()[..] else { bail!("{lines:?}") };
    assert_eq!(
        (&first[..], &last[..]),
        (&["new", "SYN_RECV"].map(String::from)[..], &["end", "ESTABLISHED"].map(String::from)[..])
    );
    // As Ctrl-C does, whose own signal is ignored by what a script runs in the background.
    watch.signal(15)?;
    watch.wait_for_exit(SOON)?;
    assert_eq!(director.lvs(&["connection", "count"])?.trim(), "0", "the daemon goes on");
    Ok(())
}

#[test]
fn counters_of_packets_and_bytes_equal_what_was_sent() -> Result<()> {
    let world = World::with_servers(Method::Nat, 1)?;
    let director = world.direct(&[world.service(Family::V4, Protocol::Udp)?])?;
    let (client, to) = (world.client()?, world.virtual_(Family::V4, Protocol::Udp)?);
    for port in 0..20 {
        client.udp_ask(to, &[7; 100], 5000 + port % 10)?;
    }
    let stats = director.json(&["stats"])?;
    let total = stats.get("total").context("total")?;
    assert_eq!(total.number("connections")?, 10);
    assert_eq!((total.number("packets_in")?, total.number("packets_out")?), (20, 20));
    assert_eq!(total.number("bytes_in")?, 20 * (20 + 8 + 100), "lengths of IP packets");
    Ok(())
}

fn explained_is_what_happens(director: &Director, world: &World, protocol: Protocol) -> Result<()> {
    let (client, to) = (world.client()?, world.virtual_(Family::V4, protocol)?);
    let own = world.site.client_address(0, Family::V4)?;
    for port in 42_000..42_008 {
        let (from, to_text) = (format!("{own}:{port}"), to.to_string());
        let kind = protocol.to_string();
        let explained =
            director.json(&["explain", "--from", &from, "--to", &to_text, "--protocol", &kind])?;
        let address = explained.text("server")?;
        let mut expected = None;
        for (number, server) in world.servers.iter().enumerate() {
            if world.real(number, Family::V4, protocol)?.to_string() == address {
                expected = Some(server.name());
            }
        }
        let answered = match protocol {
            Protocol::Tcp => client.connect_from(to, port)?.get("/")?.server,
            Protocol::Udp => client.udp_ask(to, b"x", port)?.server,
        };
        assert_eq!(Some(answered.as_str()), expected, "{explained}");
    }
    Ok(())
}

#[test]
fn what_explain_says_is_what_then_happens() -> Result<()> {
    let world = World::new(Method::Direct)?;
    let director = world.start(&[])?;
    for scheduler in ["rr", "wrr", "lc", "wlc", "sh", "mh"] {
        for protocol in Protocol::ALL {
            let mut service = world.service(Family::V4, protocol)?.scheduler(scheduler);
            if scheduler.ends_with('h') {
                service = service.line(&format!("scheduler_flags = [\"{scheduler}-port\"]"));
            }
            director.write(&[service])?;
            director.lvs(&["reload"])?;
            director.wait_until_all_are("up")?;
            explained_is_what_happens(&director, &world, protocol)
                .with_context(|| format!("{scheduler} {protocol}"))?;
        }
    }
    Ok(())
}
