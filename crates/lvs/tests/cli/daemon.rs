//! A stand-in for lvsd: the real API server, with fixed answers.
use std::{
    net::SocketAddr,
    path::PathBuf,
    process::{Command, Output},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lvs_api::{
    error::{ApiError, Code},
    server::{self, Call, Later, Listener, Listing, Watching},
    types::{
        Changed, Connection, Diff, Explained, Interface, LastReload, Load, Reloaded, ServerInfo,
        ServerState, ServerStats, ServiceCount, ServiceInfo, ServiceStats, Stats, Status, Traffic,
        VerdictCount, Watched,
    },
};
use lvs_model::{
    change::Change,
    desired::{
        Check, Desired, Drain, Method, Probe, Protocol, Scheduler, SchedulerFlags, Server,
        ServerCheck, Service, ServiceKey, Stray,
    },
    diff::{Difference, diff},
    observed::Health,
    validate::Field,
    words::flag_words,
};
use tokio::sync::watch;

/// Runs until it is dropped; what it was asked to change is kept.
pub(crate) struct Daemon {
    dir: tempfile::TempDir,
    pub(crate) asked: Arc<Mutex<Vec<(Change, bool)>>>,
    stop: watch::Sender<bool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Daemon {
    pub(crate) fn start() -> Self {
        Self::with(false)
    }

    /// One whose file has an error.
    pub(crate) fn refusing() -> Self {
        Self::with(true)
    }

    fn with(refuses: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("lvsd.sock");
        let (stop, stopped) = watch::channel(false);
        let (up, is_up) = std::sync::mpsc::channel();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let listener = Listener::bind(&socket).unwrap();
                up.send(()).unwrap();
                let (calls, mut requests) = server::channel();
                let engine = async {
                    while let Some(call) = requests.recv().await {
                        answer(call, refuses, &log);
                    }
                };
                tokio::join!(server::serve(listener, calls, stopped), engine);
            });
        });
        is_up.recv().unwrap();
        Self { dir, asked, stop, thread: Some(thread) }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("lvsd.sock")
    }

    /// The program, told where the daemon is.
    pub(crate) fn lvs(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lvs"));
        command.env_clear().env("LVS_SOCKET", self.socket()).args(args);
        command
    }

    /// The one change that was asked for.
    pub(crate) fn asked(&self) -> (Change, bool) {
        let mut asked = self.asked.lock().unwrap();
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked.remove(0)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn answer(call: Call, refuses: bool, log: &Mutex<Vec<(Change, bool)>>) {
    match call {
        Call::Status(reply) => drop(reply.send(Ok(status()))),
        Call::Services(reply) => drop(reply.send(Ok(vec![web(), dns()]))),
        Call::Service(name, reply) => drop(
            reply.send(match name.as_str() {
                "web" => Ok(web()),
                "dns" => Ok(dns()),
                _ => Err(ApiError::new(Code::NotFound, format!("there is no service `{name}`"))
                    .remedy("did you mean `web`?")),
            }),
        ),
        Call::Change { change, persist, reply } => {
            drop(reply.send(changed(&change, persist)));
            log.lock().unwrap().push((*change, persist));
        }
        Call::Connections { filter, limit, reply } => {
            let limit = usize::try_from(limit.unwrap_or(3000)).unwrap();
            let all = (0..3000).map(connection).filter(move |connection| {
                filter.protocol.is_none_or(|protocol| protocol == connection.protocol)
            });
            drop(reply.send(Ok(Listing::new(all.take(limit)))));
        }
        Call::Count(_, reply) => drop(reply.send(Ok(Later::new(|| 3000)))),
        Call::Flush(_, reply) => drop(reply.send(Ok(Later::new(|| 1)))),
        Call::Watch(_, reply) => drop(reply.send(Ok(watching()))),
        Call::Stats(reply) => drop(reply.send(Ok(stats()))),
        Call::Reload(reply) => drop(reply.send(reloaded(refuses))),
        Call::Diff(reply) => {
            let (service, address) = ("web".to_owned(), address("10.0.0.13:80"));
            let removed = Difference::ServerRemoved { service: service.clone(), address };
            let order = Difference::ServerOrder { service };
            let config = "/etc/lvs/lvs.toml".into();
            drop(reply.send(Ok(Diff { config, differences: vec![removed, order] })));
        }
        Call::Config(reply) => drop(reply.send(Ok("[daemon]\ninterfaces = [\"eth0\"]\n".into()))),
        Call::Explain(question, reply) => drop(reply.send(Ok(Explained {
            verdict: "new".to_owned(),
            service: Some("web".to_owned()),
            server: Some(address("10.0.0.12:80")),
            forward: Some(Method::Tunnel),
            steps: vec![
                format!("{} is the service web", question.to),
                "wlc picks from 2 servers".to_owned(),
                "10.0.0.12:80: open, weight 2, 60 active, 7 inactive".to_owned(),
                "10.0.0.11:80: open, weight 1, 60 active, 7 inactive".to_owned(),
                "a new connection: the scheduler picked the server".to_owned(),
            ],
        }))),
    }
}

fn changed(change: &Change, persist: bool) -> Result<Changed, ApiError> {
    let mut web = web_service();
    for server in web.servers.iter_mut().filter(|server| server.address == address("10.0.0.12:80"))
    {
        server.drain = Some(Drain { deadline: None });
    }
    let before = Desired { services: vec![web, dns_service()] };
    let mut after = before.clone();
    after
        .apply(change)
        .map_err(|error| ApiError::new(Code::Refused, error.to_string()).remedy(error.remedy()))?;
    let persisted = persist.then(|| PathBuf::from("/etc/lvs/lvs.toml"));
    Ok(Changed { differences: diff(&before, &after), persisted, warnings: Vec::new() })
}

fn reloaded(refused: bool) -> Result<Reloaded, ApiError> {
    let config = PathBuf::from("/etc/lvs/lvs.toml");
    if refused {
        let shown = "error: unknown key\n  --> /etc/lvs/lvs.toml:3:1".to_owned();
        return Err(ApiError::new(Code::Config, "/etc/lvs/lvs.toml has an error")
            .details([shown])
            .remedy("mend the file; what runs is unchanged"));
    }
    let differences = vec![Difference::ServerChanged {
        service: "web".to_owned(),
        address: address("10.0.0.11:80"),
        field: Field::Weight,
        before: "1".to_owned(),
        after: "3".to_owned(),
    }];
    let restart = vec!["connections".to_owned()];
    Ok(Reloaded { config, differences, restart, warnings: Vec::new() })
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn status() -> Status {
    Status {
        version: "0.1.0".to_owned(),
        pid: 4711,
        started: now() - 7410,
        taken_over: true,
        config: "/etc/lvs/lvs.toml".into(),
        interfaces: vec![
            Interface { name: "eth0".to_owned(), mode: "native".to_owned() },
            Interface { name: "eth1".to_owned(), mode: "generic".to_owned() },
        ],
        services: ServiceCount {
            services: 2,
            services_down: 0,
            servers: 4,
            servers_down: 1,
            servers_draining: 1,
        },
        load: Load { active: 120, inactive: 34 },
        capacity: 1_000_000,
        traffic: traffic(1),
        differences: 2,
        last_reload: Some(LastReload { at: now() - 3700, error: None }),
        warnings: vec!["eth1 has no native XDP: packets take the slower generic way".to_owned()],
    }
}

fn traffic(factor: u64) -> Traffic {
    Traffic {
        connections: 1200 * factor,
        packets_in: 98_765 * factor,
        packets_out: 0,
        bytes_in: 12_345_678 * factor,
        bytes_out: 0,
    }
}

fn server(text: &str, state: ServerState) -> ServerInfo {
    ServerInfo {
        address: address(text),
        weight: 1,
        forward: Method::Direct,
        state,
        reason: None,
        since: Some(now() - 200),
        health: Some(Health::Up),
        drain: None,
        check: ServerCheck::Inherit,
        load: Load { active: 60, inactive: 7 },
    }
}

fn info(service: &Service, servers: Vec<ServerInfo>) -> ServiceInfo {
    ServiceInfo {
        name: service.name.clone(),
        key: service.key,
        scheduler: service.scheduler,
        scheduler_flags: flag_words(service.scheduler, service.scheduler_flags),
        forward: service.forward,
        state: service.state,
        stray: service.stray,
        on_failure: service.on_failure,
        timeouts: service.timeouts,
        check: service.check.clone(),
        load: Load { active: 120, inactive: 34 },
        servers,
    }
}

fn web_service() -> Service {
    let mut service = Service::new("web", ServiceKey::tcp(address("192.0.2.10:80")));
    let path = "/healthz".to_owned();
    let probe = Probe::Http { path, host: None, status: vec![200, 204] };
    service.check = Some(Check::new(probe));
    let servers = ["10.0.0.11:80", "10.0.0.12:80", "10.0.0.113:80"];
    service.servers = servers.map(|server| Server::new(address(server))).to_vec();
    service
}

fn dns_service() -> Service {
    let mut service = Service::new("dns", ServiceKey::udp(address("[2001:db8::53]:53")));
    service.scheduler = Scheduler::Mh;
    service.scheduler_flags = SchedulerFlags(SchedulerFlags::PORT);
    service.stray = Stray::Hash;
    service.servers = vec![Server::new(address("[2001:db8::1]:53"))];
    service
}

pub(crate) fn web() -> ServiceInfo {
    let mut drained = server("10.0.0.12:80", ServerState::Draining);
    drained.drain = Some(Drain { deadline: Some(now() + 5430) });
    let mut down = server("10.0.0.113:80", ServerState::Down);
    down.reason = Some("status 503, expected 200 or 204".to_owned());
    down.health = Some(Health::Down);
    down.load = Load::default();
    down.since = Some(now() - 3700);
    info(&web_service(), vec![server("10.0.0.11:80", ServerState::Up), drained, down])
}

fn dns() -> ServiceInfo {
    info(&dns_service(), vec![server("[2001:db8::1]:53", ServerState::Up)])
}

/// One of each, and no more.
fn watching() -> Watching {
    let mut all = vec![
        Watched::New(connection(0)),
        Watched::State(connection(2)),
        Watched::Missed { count: 5 },
        Watched::Is(connection(1)),
        Watched::End(connection(3)),
    ];
    Watching::new(move |told| told.append(&mut all))
}

fn connection(number: u16) -> Connection {
    let udp = number % 2 == 1;
    Connection {
        protocol: if udp { Protocol::Udp } else { Protocol::Tcp },
        client: SocketAddr::from(([198, 51, 100, 7], 40_000 + number)),
        virtual_: address("192.0.2.10:80"),
        server: address("10.0.0.11:80"),
        forward: Method::Direct,
        state: if udp { "UDP" } else { "ESTABLISHED" }.into(),
        expires: Duration::from_secs(754),
    }
}

fn stats() -> Stats {
    let load = Load { active: 60, inactive: 7 };
    let servers = vec![
        ServerStats { address: address("10.0.0.11:80"), traffic: traffic(1), load },
        ServerStats { address: address("10.0.0.12:80"), traffic: traffic(1), load },
    ];
    let service = ServiceStats {
        name: "web".to_owned(),
        key: ServiceKey::tcp(address("192.0.2.10:80")),
        traffic: traffic(2),
        load: Load { active: 120, inactive: 14 },
        servers,
    };
    let count = |verdict: &str, packets| VerdictCount { verdict: verdict.to_owned(), packets };
    Stats {
        at: 1_000_000_000,
        total: traffic(2),
        services: vec![service],
        verdicts: vec![
            count("known", 195_130),
            count("new", 2400),
            count("not-ours", 12),
            count("no-route", 0),
        ],
    }
}
