//! Large configurations: how long things take, and that clients do not notice.
#![expect(clippy::print_stdout, reason = "they print what they measured")]
use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use lvs_e2e::{Director, Protocol};
use lvs_lab::{Acceptor, Family, Load, Method, Report};

use crate::world::World;

mod cost;

use cost::Cost;

const SERVICES: u16 = 10_000;
/// The service that has more servers than the others.
const LARGE: u16 = 5_000;
const CAPACITY: &str = "connections = 65536\nservices = 20000\nservers = 210000";
/// Longer than anything here takes on any machine that can run it.
const LONG: Duration = Duration::from_mins(1);

/// How many servers a service has: 100,990 in all.
fn servers_of(service: u16) -> u32 {
    if service == LARGE { 1_000 } else { 10 }
}

/// The address of a server by its number over all services.
fn server(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 64, 0, 0).to_bits() + number)
}

/// The first server of a service.
fn first_of(service: u16) -> Ipv4Addr {
    server((0..service).map(servers_of).sum())
}

/// Services that nobody asks beside the one that is asked. Their servers are behind a router, as
/// those of a WAN are; `check` says how those of a service are checked.
fn others(check: impl Fn(u16) -> &'static str) -> Result<String> {
    let mut text = String::new();
    let mut addresses = (0..).map(server);
    let schedulers = ["rr", "wrr", "lc", "wlc", "sh", "mh"].into_iter().cycle();
    for (number, scheduler) in (0..SERVICES).zip(schedulers) {
        let [a, b] = number.to_be_bytes();
        write!(
            text,
            "[[service]]\nname = \"s{number}\"\naddress = \"198.18.{a}.{b}:80\"\n\
             scheduler = \"{scheduler}\"\nforward = \"tunnel\"\n{}",
            check(number)
        )?;
        for address in addresses.by_ref().take(servers_of(number) as usize) {
            writeln!(text, "[[service.server]]\naddress = \"{address}:80\"")?;
        }
    }
    Ok(text)
}

/// A director with many services, one of which is asked.
struct Large {
    director: Director,
    /// The file without the many.
    small: String,
    /// The whole file.
    text: String,
    world: World,
}

impl Large {
    fn new(check: impl Fn(u16) -> &'static str) -> Result<Self> {
        let world = World::with_servers(Method::Direct, 1)?;
        let director = world.unstarted()?;
        let gateway = world.site.server_address(0, Family::V4)?;
        world.site.director()?.ip(&[format!("route add 10.64.0.0/15 via {gateway}")])?;
        // One machine is them all.
        world.site.server(0)?.ip(&["route add local 10.64.0.0/15 dev lo"])?;
        let small = director.text(&[world.service(Family::V4, Protocol::Tcp)?]);
        let small = small.replace("connections = 65536", CAPACITY);
        let text = format!("{small}{}", others(check)?);
        director.write_text(&text)?;
        Ok(Self { director, small, text, world })
    }

    /// Clients that ask from now on.
    fn load(&self) -> Result<Load> {
        let to = self.world.virtual_(Family::V4, Protocol::Tcp)?;
        Load::http(&self.world.client()?, to, "/", 100)
    }

    fn reload_as(&self, text: &str) -> Result<()> {
        self.director.write_text(text)?;
        self.director.lvs(&["reload"]).map(drop)
    }

    fn set_weight(&self, service: u16, weight: &str) -> Result<()> {
        let (name, address) = (format!("s{service}"), format!("{}:80", first_of(service)));
        self.director.lvs(&["server", "edit", &name, &address, "--weight", weight]).map(drop)
    }

    /// Waits until the last server is up: that costs less than asking for all.
    fn wait_for_last(&self) -> Result<()> {
        let (name, last) = (format!("s{}", SERVICES - 1), first_of(SERVICES - 1));
        self.director.wait_for_state(&name, (IpAddr::from(last), 80).into(), "up", LONG)
    }

    /// Has a real server not answer any more.
    fn cut_off(&self, address: IpAddr) -> Result<()> {
        self.world.site.server(0)?.ip(&[format!("route add blackhole {address} table local")])
    }
}

fn no_request_failed(report: &Report) -> Result<()> {
    println!(
        "{} requests meanwhile, the slowest took {:?}",
        report.samples.len(),
        report.slowest()
    );
    report.ensure_none_lost().context("clients noticed")
}

/// Prints times: `cargo test --release -p lvs-e2e -- --ignored --nocapture`.
#[test]
#[ignore = "prints times beside what it judges, and takes a while"]
fn ten_thousand_services_with_a_hundred_thousand_servers() -> Result<()> {
    // Two services are checked: a common one and the large one.
    let check = "check = { type = \"tcp\" }\n";
    let mut large = Large::new(|number| if number == LARGE || number == 7 { check } else { "" })?;
    let mut cost = Cost::new();
    large.director.start_daemon()?;
    cost.told("start, until the daemon answers", &large.director)?;
    large.wait_for_last()?;
    cost.told("until the last server is up", &large.director)?;
    large.director.wait_until_all_are("up")?;
    let load = large.load()?;

    large.director.kill_daemon()?;
    cost.begin(&large.director);
    large.director.start_daemon()?;
    cost.told("takeover, until the daemon answers", &large.director)?;
    large.wait_for_last()?;
    cost.told("until the last server is up", &large.director)?;
    large.director.wait_until_all_are("up")?;

    let Large { director, text, .. } = &large;
    let mut timed = |what: &str, act: &dyn Fn() -> Result<()>| cost.of(what, director, act);
    let lvs = |arguments: &[&str]| director.lvs(arguments).map(drop);
    timed("reload, nothing changed", &|| lvs(&["reload"]))?;
    let other = text.replacen("scheduler = \"lc\"", "scheduler = \"wlc\"", 1);
    timed("reload, one scheduler changed", &|| large.reload_as(&other))?;
    timed("one weight of 10 servers", &|| large.set_weight(500, "5"))?;
    timed("one weight of 1,000 servers", &|| large.set_weight(LARGE, "5"))?;
    let (name, address) = ("s600", "10.66.0.1:80");
    timed("one server added", &|| lvs(&["server", "add", name, address]))?;
    timed("one server removed", &|| lvs(&["server", "remove", name, address]))?;
    timed("one service", &|| lvs(&["service", "show", "s700"]))?;
    timed("list of services", &|| lvs(&["service", "list"]))?;
    timed("statistics", &|| lvs(&["stats"]))?;
    timed("status", &|| lvs(&["status"]))?;

    for service in [7, LARGE] {
        let window = Duration::from_secs(5);
        let idle = cost.over(window, director)?;
        let server = first_of(service).into();
        large.cut_off(server)?;
        let failing = cost.over(window, director)?;
        director.wait_for_state(&format!("s{service}"), (server, 80).into(), "down", LONG)?;
        println!(
            "one failure of {} servers: {:.3} s of CPU",
            servers_of(service),
            failing.saturating_sub(idle).as_secs_f64()
        );
    }

    cost.of("reload, all removed", director, || large.reload_as(&large.small))?;
    cost.of("reload, all back", director, || large.reload_as(text))?;
    cost::memory(director)?;
    no_request_failed(&load.finish()?)
}

/// What a hundred thousand checks cost, and that a failure is noticed among them.
#[test]
#[ignore = "prints times beside what it judges, and takes a while"]
fn a_hundred_thousand_checks() -> Result<()> {
    let mut large = Large::new(
        |_| "check = { type = \"tcp\", port = 7, interval = \"10s\", timeout = \"2s\", fall = 1 }\n",
    )?;
    let _acceptor = Acceptor::start(large.world.site.server(0)?, 7)?;
    let mut cost = Cost::new();
    large.director.start_daemon()?;
    cost.told("start, until the daemon answers", &large.director)?;
    lvs_lab::wait_until(LONG, "all servers are up", || {
        thread::sleep(Duration::from_millis(500)); // asking costs the daemon time too
        large.director.json(&["status"]).is_ok_and(|status| status["services"]["servers_down"] == 0)
    })?;
    cost.told("until all servers are up", &large.director)?;
    let load = large.load()?;
    for _ in 0..2 {
        let spent = cost.over(Duration::from_secs(10), &large.director)?;
        println!("every server checked once: {:.2} s of CPU in 10 s", spent.as_secs_f64());
    }
    let down = || large.director.daemon().map(|d| d.log().matches("server is down").count());
    let log = large.director.daemon()?.log();
    let failed = log.lines().find(|line| line.contains("server is down"));
    ensure!(failed.is_none(), "{} checks failed though servers are well: {failed:?}", down()?);
    for (what, failed) in [("one server", 1_u32), ("8,192 servers", 8_192)] {
        let before = down()?;
        let start = Instant::now();
        cost.begin(&large.director);
        let address = if failed == 1 { server(70_000) } else { server(8_192) };
        let mask = 32 - failed.trailing_zeros();
        let site = &large.world.site;
        site.server(0)?.ip(&[format!("route add blackhole {address}/{mask} table local")])?;
        lvs_lab::wait_until(LONG, "all are down", || {
            down().is_ok_and(|count| count == before + failed as usize)
        })?;
        println!("{what} down after {:.1} s", start.elapsed().as_secs_f64());
        cost.told("meanwhile", &large.director)?;
    }
    cost::memory(&large.director)?;
    no_request_failed(&load.finish()?)
}
