//! The stage: machines, daemon, clients that never stop asking, and what the audience sees.
use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use lvs_e2e::{Director, Programs, Service};
use lvs_lab::{Client, Family, Lab, Layout, Load, Method, Ports, RealServer, Report, Shape, Site};

use super::table;
use crate::screen::{Paint, Screen};

/// Requests per second for each service.
const RATE: u32 = 60;
/// Time between two pictures.
const PICTURE: Duration = Duration::from_millis(250);

/// A service that clients ask all the time.
pub(super) struct Asked {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    /// Names and addresses of its real servers.
    pub(super) servers: Vec<(String, SocketAddr)>,
    pub(super) load: Load,
}

pub(super) struct Stage<'a> {
    pub(super) screen: &'a mut Screen,
    pub(super) asked: Vec<Asked>, // the load ends first
    pub(super) director: Director,
    pub(super) servers: Vec<RealServer>,
    pub(super) site: Site,
    /// The configuration, as data.
    pub(super) services: Vec<Service>,
}

/// Name, address and real servers of a service that is to be asked.
type Planned = (&'static str, SocketAddr, Vec<(String, SocketAddr)>);

/// A moment, on the clock of each load.
pub(super) struct Moment(Vec<Duration>);

const METHODS: [Method; 7] = [
    Method::Direct,
    Method::Direct,
    Method::Direct,
    Method::Tunnel,
    Method::Tunnel,
    Method::Nat,
    Method::Nat,
];

impl<'a> Stage<'a> {
    /// Brings everything up and opens the curtain.
    pub(super) fn set(screen: &'a mut Screen, lab: &Lab, programs: Programs) -> Result<Self> {
        let mut layout = Layout::new(Shape::TwoNetworks, &METHODS);
        (layout.clients, layout.virtual_addresses) = (3, 3);
        let site = layout.bring_up(lab)?;
        let servers = METHODS.into_iter().enumerate();
        let servers: Vec<RealServer> = servers
            .map(|(number, method)| RealServer::start(&site, number, ports(method)))
            .collect::<Result<_>>()?;
        let (services, planned) = plan(&site)?;
        let director = Director::new(lab, &site, programs)?;
        let mut stage = Self { screen, asked: Vec::new(), director, servers, site, services };
        stage.raise(planned)?;
        Ok(stage)
    }

    /// Starts the daemon and the clients.
    fn raise(&mut self, planned: Vec<Planned>) -> Result<()> {
        self.director.write(&self.services)?;
        let [direct, tunnel, nat] = ["direct routing", "IPIP tunnels", "NAT"];
        self.say("");
        self.say(self.screen.paint(Paint::Bold, "The stage"));
        self.say("  Network namespaces: 3 clients, a director, a router, 7 real servers.");
        self.say(format!(
            "  web is served by {direct}, video over IPv6 by {tunnel}, shop by {nat}."
        ));
        self.say("  The director runs lvsd with this file:");
        self.say("");
        for line in self.director.text(&self.services).lines() {
            let line = format!("    {line}");
            self.say(self.screen.paint(Paint::Faint, line));
        }
        self.director.start_daemon()?;
        self.director.wait_until_all_are("up")?;
        for (number, (name, address, servers)) in planned.into_iter().enumerate() {
            let client = Client::new(self.site.client(number)?);
            let load = Load::http(&client, address, "/", RATE)?;
            self.asked.push(Asked { name, address, servers, load });
        }
        Ok(())
    }

    /// Announces an act.
    pub(super) fn open(&mut self, number: usize, count: usize, title: &str) {
        self.say("");
        self.say(self.screen.paint(Paint::Bold, format!("{number} of {count}: {title}")));
    }

    /// Tells what an act proved.
    pub(super) fn close(&mut self, result: &Result<String>) {
        match result {
            Ok(proved) => {
                for line in proved.lines() {
                    let sign = self.screen.paint(Paint::Good, "ok");
                    self.say(format!("  {sign}  {line}"));
                }
            }
            Err(error) => {
                let text = format!("  FAIL  {error:#}");
                self.say(self.screen.paint(Paint::Bad, text));
            }
        }
    }

    /// Says something.
    pub(super) fn say(&mut self, line: impl std::fmt::Display) {
        self.screen.line(line);
    }

    /// Shows a command as if it were typed, and what it prints.
    pub(super) fn type_lvs(&mut self, arguments: &[&str]) -> Result<String> {
        let output = self.director.try_lvs(arguments)?;
        self.say(format!("  $ lvs {}", arguments.join(" ")));
        for line in output.stdout.lines().chain(output.stderr.lines()) {
            let short: String = line.chars().take(76).collect();
            self.say(self.screen.paint(Paint::Faint, format!("    {short}")));
        }
        ensure!(output.status == 0, "lvs {} failed: {}", arguments.join(" "), output.stderr);
        Ok(output.stdout)
    }

    /// Lets the audience watch for some time.
    pub(super) fn watch(&mut self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            let picture = table::picture(self);
            self.screen.draw(&picture);
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                if !self.screen.is_terminal() {
                    for line in picture {
                        self.say(line);
                    }
                }
                return;
            }
            thread::sleep(left.min(PICTURE));
        }
    }

    /// Now.
    pub(super) fn now(&self) -> Moment {
        Moment(self.asked.iter().map(|asked| asked.load.elapsed()).collect())
    }

    /// What became of the requests to a service since some moment.
    pub(super) fn since(&self, moment: &Moment, service: usize) -> Result<Report> {
        let asked = self.asked.get(service).context("no such service")?;
        let from = *moment.0.get(service).context("no such service")?;
        let Report { mut samples, mut failures } = asked.load.report();
        samples.retain(|sample| sample.at >= from);
        failures.retain(|failure| failure.at >= from);
        Ok(Report { samples, failures })
    }

    /// The number of requests to all services since some moment, none of which may have failed.
    pub(super) fn ensure_none_lost_since(&self, moment: &Moment) -> Result<usize> {
        let mut answered = 0;
        for (number, asked) in self.asked.iter().enumerate() {
            let report = self.since(moment, number)?;
            report.ensure_none_lost().with_context(|| format!("requests to {}", asked.name))?;
            answered += report.samples.len();
        }
        Ok(answered)
    }

    /// A service.
    pub(super) fn service(&self, number: usize) -> Result<&Asked> {
        self.asked.get(number).context("no such service")
    }

    /// A connection to a service that reached this real server, from a client of its own.
    pub(super) fn connect_to(&self, service: usize, server: &str) -> Result<lvs_lab::Connection> {
        let client = Client::new(self.site.client(service)?);
        for _ in 0..50 {
            let mut connection = client.connect(self.service(service)?.address)?;
            if connection.get("/")?.server == server {
                return Ok(connection);
            }
        }
        bail!("50 connections, and none reached {server}")
    }
}

/// The services for the configuration file, and as they are asked.
fn plan(site: &Site) -> Result<(Vec<Service>, Vec<Planned>)> {
    let plans = [
        ("web", Method::Direct, Family::V4, "rr"),
        ("video", Method::Tunnel, Family::V6, "wrr"),
        ("shop", Method::Nat, Family::V4, "rr"),
    ];
    let (mut services, mut planned) = (Vec::new(), Vec::new());
    for (number, (name, method, family, scheduler)) in plans.into_iter().enumerate() {
        let vips = site.topology().virtual_addresses(family)?;
        let vip = *vips.get(number).context("a virtual address for each service")?;
        let address = SocketAddr::new(vip, 80);
        let mut service = Service::new(name, address, method).scheduler(scheduler).checked();
        // A client's port that is used again goes where it went while that is remembered, as with
        // IPVS: not for so long that it blurs how requests spread.
        service = service.line("timeouts = { fin = \"5s\" }");
        let mut real = Vec::new();
        for (number, _) in METHODS.iter().enumerate().filter(|(_, other)| **other == method) {
            let ip = site.server_address(number, family)?;
            let server = SocketAddr::new(ip, ports(method).http);
            let weight = if name == "video" && real.is_empty() { "weight = 3" } else { "" };
            service = service.server_with(server, weight);
            real.push((format!("server{}", number + 1), server));
        }
        services.push(service);
        planned.push((name, address, real));
    }
    Ok((services, planned))
}

/// NAT translates the port too.
fn ports(method: Method) -> Ports {
    Ports { http: if method == Method::Nat { 8080 } else { 80 }, udp: 5353 }
}
