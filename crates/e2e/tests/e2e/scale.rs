//! A large configuration: how long things take, and that clients do not notice.
use std::{fmt::Write as _, fs, time::Instant};

use anyhow::{Context, Result};
use lvs_e2e::Protocol;
use lvs_lab::{Family, Load, Method};

use crate::world::World;

const SERVICES: u16 = 1000;
const SERVERS: u8 = 100;

/// Services that nobody asks beside the one that is asked. Their servers are behind a router, as
/// those of a WAN are.
fn others() -> Result<String> {
    let mut text = String::new();
    let schedulers = ["rr", "wrr", "lc", "wlc", "sh", "mh"].into_iter().cycle();
    for (number, scheduler) in (0..SERVICES).zip(schedulers) {
        let [a, b] = number.to_be_bytes();
        write!(
            text,
            "[[service]]\nname = \"s{number}\"\naddress = \"198.18.{a}.{b}:80\"\n\
             scheduler = \"{scheduler}\"\nforward = \"tunnel\"\n"
        )?;
        for server in 0..SERVERS {
            writeln!(text, "[[service.server]]\naddress = \"10.{}.{b}.{server}:80\"", 100 + a)?;
        }
    }
    Ok(text)
}

/// Prints times: `cargo test --release -p lvs-e2e -- --ignored --nocapture`.
#[test]
#[ignore = "prints times beside what it judges, and takes a while"]
fn a_thousand_services_with_a_hundred_servers() -> Result<()> {
    let world = World::with_servers(Method::Direct, 1)?;
    let mut director = world.unstarted()?;
    let gateway = world.site.server_address(0, Family::V4)?;
    let routes: Vec<String> =
        (100..104).map(|a| format!("route add 10.{a}.0.0/16 via {gateway}")).collect();
    world.site.director()?.ip(&routes)?;
    let own = world.service(Family::V4, Protocol::Tcp)?;
    let small = director.text(&[own]);
    let capacity = "connections = 65536\nservices = 2048\nservers = 262144";
    let text = small.replace("connections = 65536", capacity) + &others()?;
    director.write_text(&text)?;

    let mut start = Instant::now();
    let mut told = |what: &str| {
        println!("{what}: {:.2} s", start.elapsed().as_secs_f64());
        start = Instant::now();
    };
    director.start_daemon()?;
    told("until the daemon answers");
    director.wait_until_all_are("up")?;
    told("until all servers are up");
    let to = world.virtual_(Family::V4, Protocol::Tcp)?;
    let load = Load::http(&world.client()?, to, "/", 100)?;
    told("load starts");
    director.lvs(&["reload"])?;
    told("reload, nothing changed");
    director.write_text(&text.replacen("rr\"", "wlc\"", 2))?;
    director.lvs(&["reload"])?;
    told("reload, one scheduler changed");
    director.lvs(&["server", "edit", "s500", "10.101.244.7:80", "--weight", "5"])?;
    told("one weight");
    director.lvs(&["service", "list"])?;
    told("list of services");
    director.lvs(&["stats"])?;
    told("statistics");
    director.write_text(&small.replace("connections = 65536", capacity))?;
    director.lvs(&["reload"])?;
    told("reload, all removed");
    director.write_text(&text)?;
    director.lvs(&["reload"])?;
    told("reload, all back");
    let pid = director.daemon()?.pid();
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    for line in
        status.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("RssAnon"))
    {
        println!("{line}");
    }
    let report = load.finish()?;
    println!("slowest of the requests meanwhile: {:?}", report.slowest());
    report.ensure_none_lost().context("clients noticed")
}
