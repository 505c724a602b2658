//! What one HTTP request costs the director's CPU.
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lvs_lab::{
    Bpffs, Client, Connection, Family, Lab, Layout, Load, Method, Poller, Ports, RealServer, Shape,
    Site, pin_here, wait_until,
};

use super::{
    PREFIX,
    ways::{Running, Way},
};

/// What is measured.
const WAYS: [Way; 7] = [
    Way::Routing,
    Way::Lvs(Method::Direct),
    Way::Lvs(Method::Nat),
    Way::Nft,
    Way::Haproxy,
    Way::NginxStream,
    Way::NginxHttp,
];

/// Real servers.
const SERVERS: usize = 4;
/// Where they listen: behind NAT on another port than the virtual service.
const PORTS: Ports = Ports { http: 80, udp: 5353 };
/// What is asked for: a line that names server and client.
const PATH: &str = "/";
/// Connections that are kept, and requests at the same time.
const CONNECTIONS: usize = 8;
/// All run here: what wakes a thread on another CPU takes longer than what is measured.
const CPU: usize = 0;
/// As fast as answers come.
const NO_LIMIT: u32 = u32::MAX;
const DEADLINE: Duration = Duration::from_secs(20);

/// How requests come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// Each over a connection of its own.
    New,
    /// Over connections that stay.
    Kept,
}

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    /// Requests in a round, at least.
    pub(crate) requests: usize,
}

/// One row of the table.
pub(crate) struct Row {
    pub(crate) way: Way,
    pub(crate) over: Over,
    pub(crate) name: String,
    /// Microseconds of the director's CPU per request in each round.
    pub(crate) micros: Vec<f64>,
    /// Requests per second in each round: of all that shares the machine.
    pub(crate) rates: Vec<f64>,
}

/// A director, servers and a client.
struct Stand {
    way: Way,
    pollers: Vec<Poller>,
    running: Running,
    client: Client,
    to: SocketAddr,
    kept: Arc<Mutex<Vec<Connection>>>,
    _servers: Vec<RealServer>,
    _site: Site,
    _pins: Bpffs,
    _lab: Lab,
}

/// Measures all rows whose name is wanted.
pub(crate) fn measure(
    effort: Effort,
    wanted: impl Fn(&str) -> bool,
    progress: impl Fn(&str),
) -> Result<Vec<Row>> {
    pin_here(CPU)?;
    let mut rows = Vec::new();
    for way in WAYS {
        for (over, text) in [(Over::New, "a connection each"), (Over::Kept, "kept connections")] {
            let name = format!("{}, {text}", way.name());
            if wanted(&name) {
                rows.push(Row { way, over, name, micros: Vec::new(), rates: Vec::new() });
            }
        }
    }
    let mut stands: Vec<Stand> = Vec::new();
    for row in &rows {
        if stands.iter().all(|stand| stand.way != row.way) {
            progress(&format!("prepare: {}", row.name));
            stands.push(Stand::new(row.way).context(row.way.name())?);
        }
    }
    for round in 1..=effort.rounds {
        progress(&format!("requests: round {round} of {}", effort.rounds));
        for row in &mut rows {
            let stand = stands.iter().find(|stand| stand.way == row.way);
            let (micros, rate) = stand
                .context("a way that was not prepared")?
                .measure(row.over, effort.requests)
                .with_context(|| row.name.clone())?;
            row.micros.push(micros);
            row.rates.push(rate);
        }
    }
    Ok(rows)
}

impl Stand {
    fn new(way: Way) -> Result<Self> {
        let lab = Lab::new(PREFIX)?;
        let pins = lab.bpffs()?;
        let (shape, method) = if way == Way::Lvs(Method::Direct) {
            (Shape::Lan, Method::Direct)
        } else {
            (Shape::TwoNetworks, Method::Nat)
        };
        let site = Layout::new(shape, &[method; SERVERS]).bring_up(&lab)?;
        for machine in [site.director()?, site.client(0)?] {
            machine.sysctl("net.ipv4.ip_local_port_range", "1024 65000")?;
            machine.sysctl("net.ipv4.tcp_tw_reuse", "1")?;
        }
        let mut pollers = Vec::new();
        let ports = if shape == Shape::Lan { 1 } else { 2 };
        for number in 0..ports {
            let poller = Poller::start(site.director()?, &format!("eth{number}"))?;
            poller.pin(CPU)?;
            pollers.push(poller);
            // Otherwise the director, which sends to it, does its work.
            Poller::start(site.switch(), &site.switch_port("director", number)?)?.pin(CPU)?;
        }
        let servers = RealServer::start_all(&site, PORTS)?;
        let addresses = (0..SERVERS).map(|number| {
            Ok(SocketAddr::new(site.server_address(number, Family::V4)?, PORTS.http))
        });
        let addresses: Vec<SocketAddr> = addresses.collect::<Result<_>>()?;
        let service = SocketAddr::new(site.vip(Family::V4)?, 80);
        let one = *addresses.first().context("no server")?;
        let to = if way == Way::Routing { one } else { service };
        let running = way.start(&lab, pins.path(), &site, service, &addresses)?;
        let client = Client::new(site.client(0)?);
        let kept = (0..CONNECTIONS).map(|_| client.connect(to)).collect::<Result<_>>()?;
        let kept = Arc::new(Mutex::new(kept));
        Ok(Self {
            way,
            pollers,
            running,
            client,
            to,
            kept,
            _servers: servers,
            _site: site,
            _pins: pins,
            _lab: lab,
        })
    }

    /// For how long the director ran so far.
    fn ran(&self) -> Result<Duration> {
        let polling: Duration = self.pollers.iter().map(Poller::ran).sum::<Result<_>>()?;
        Ok(polling + self.running.ran()?)
    }

    /// Microseconds of the director's CPU per request, and requests per second.
    fn measure(&self, over: Over, requests: usize) -> Result<(f64, f64)> {
        let (ran, start) = (self.ran()?, Instant::now());
        let load = match over {
            Over::New => Load::http(&self.client, self.to, PATH, NO_LIMIT)?,
            Over::Kept => Load::start(&self.client, NO_LIMIT, ask(Arc::clone(&self.kept)))?,
        };
        wait_until(DEADLINE, "all requests are answered", || {
            let (answers, failures) = load.counts();
            answers + failures >= requests
        })?;
        let report = load.finish()?;
        let took = start.elapsed();
        report.ensure_none_lost()?;
        let least = match (self.way, over) {
            (Way::Routing, _) => 1,
            (_, Over::New) => SERVERS,
            // A hash spreads a few connections unevenly.
            (_, Over::Kept) => 2,
        };
        let answered = report.per_server().len();
        ensure!(answered >= least, "{answered} servers answered instead of {least}");
        let count = u32::try_from(report.samples.len())?;
        let ran = self.ran()?.saturating_sub(ran);
        Ok((ran.as_secs_f64() * 1e6 / f64::from(count), f64::from(count) / took.as_secs_f64()))
    }
}

/// Asks over whichever connection is free.
fn ask(kept: Arc<Mutex<Vec<Connection>>>) -> impl Fn(u64) -> Result<String> + Send + Sync {
    move |_| {
        let lock = || kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut connection = lock().pop().context("no connection is free")?;
        let response = connection.get(PATH)?;
        lock().push(connection);
        ensure!(response.status == 200, "status {}", response.status);
        Ok(response.server)
    }
}
