//! A bad file is refused with its place and a remedy, and changes nothing.
use std::{fs, time::Duration};

use anyhow::{Context, Result};
use lvs_e2e::Protocol;
use lvs_lab::{Family, Method};

use crate::world::World;

/// What is written instead of what, and what the refusal says.
const MISTAKES: [(&str, &str, &str); 5] = [
    ("scheduler =", "schedular =", "scheduler"),
    ("\"10.0.0.11:80\"", "\"10.0.0.11.5:80\"", "10.0.0.11.5"),
    ("name = \"api\"", "name = \"web\"", "web"),
    ("\"10.0.0.12:80\"", "\"10.0.0.12:80000\"", "80000"),
    ("\"eth0\"", "\"eth7\"", "eth0"),
];

#[test]
fn a_bad_file_is_refused_with_place_and_remedy_and_changes_nothing() -> Result<()> {
    let world = World::with_servers(Method::Direct, 2)?;
    let web = world.service(Family::V4, Protocol::Tcp)?;
    let api = world.service(Family::V6, Protocol::Tcp)?.name("api");
    let director = world.direct(&[web, api])?;
    let good = fs::read_to_string(director.file())?;
    let running = director.lvs(&["save"])?;
    for (from, to, word) in MISTAKES {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from} is in the file");
        director.write_text(&bad)?;
        let refused = director.try_lvs(&["reload"])?;
        assert_eq!(refused.status, 1, "{to}: {refused:?}");
        // The only line that differs.
        let differs = good.lines().zip(bad.lines()).position(|(good, bad)| good != bad);
        let place = format!("lvs.toml:{}:", differs.context("a line differs")? + 1);
        assert!(refused.stderr.contains(&place), "{to}, {place}\n{}", refused.stderr);
        assert!(refused.stderr.contains(word), "{to}: {word}\n{}", refused.stderr);
        assert!(refused.stderr.contains("help: "), "{to}\n{}", refused.stderr);
        assert_eq!(director.lvs(&["save"])?, running, "{to} changes nothing");
        world.names(2)?;
    }
    Ok(())
}

#[test]
fn the_daemon_does_not_start_on_an_interface_that_is_missing() -> Result<()> {
    let world = World::with_servers(Method::Direct, 1)?;
    let director = world.unstarted()?;
    let text = director.text(&[world.service(Family::V4, Protocol::Tcp)?]);
    director.write_text(&text.replace("\"eth0\"", "\"eth7\""))?;
    let daemon = director.spawn(&[])?;
    let status = daemon.wait_for_exit(Duration::from_secs(20))?;
    assert_eq!(status.code(), Some(1));
    let log = daemon.log();
    assert!(log.contains("lvs.toml:2:15") && log.contains("eth7") && log.contains("eth0"), "{log}");
    Ok(())
}
