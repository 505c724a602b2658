//! Services that remember only the connections that a change would move (`state = "moved"`).
use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use lvs_e2e::{Director, Fields, Protocol, Service};
use lvs_lab::{Client, Connection, Family, Load, Method, checksum_of, wait_for, wait_until};

use crate::world::World;

const SOON: Duration = Duration::from_secs(20);

/// With a scheduler that also hashes the port, since all connections are of one client.
fn remembering_moved(service: Service, scheduler: &str) -> Service {
    let flags = format!("scheduler_flags = [\"{scheduler}-port\", \"{scheduler}-fallback\"]");
    service.scheduler(scheduler).line(&flags).line("state = \"moved\"")
}

/// Connections over which one transfer follows the other.
struct Transfers {
    stop: Arc<AtomicBool>,
    done: Vec<Arc<AtomicUsize>>,
    threads: Vec<thread::JoinHandle<Result<()>>>,
}

impl Transfers {
    /// At this rate a transfer takes a fifth of a second.
    const LENGTH: u64 = 40_000;
    const COUNT: usize = 16;

    fn start(client: &Client, to: SocketAddr) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (mut done, mut threads) = (Vec::new(), Vec::new());
        for _ in 0..Self::COUNT {
            let (count, stop) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&stop));
            done.push(Arc::clone(&count));
            let connection = client.connect(to)?;
            threads.push(thread::spawn(move || transfer(connection, &stop, &count)));
        }
        Ok(Self { stop, done, threads })
    }

    /// Waits until each connection has ended the transfer of now and begun another one.
    fn go_on(&self) -> Result<()> {
        let count = |done: &Arc<AtomicUsize>| done.load(Ordering::Relaxed);
        let goals: Vec<_> = self.done.iter().map(|done| count(done) + 1).collect();
        wait_until(SOON, "a transfer more over each connection", || {
            let ended = self.threads.iter().any(thread::JoinHandle::is_finished);
            ended || self.done.iter().zip(&goals).all(|(done, goal)| count(done) >= *goal)
        })?;
        ensure!(!self.threads.iter().any(thread::JoinHandle::is_finished), "a connection broke");
        Ok(())
    }

    fn finish(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let Ok(ended) = thread.join() else { bail!("a transfer panicked") };
            ended?;
        }
        Ok(())
    }
}

fn transfer(mut connection: Connection, stop: &AtomicBool, done: &AtomicUsize) -> Result<()> {
    let path = format!("/bytes/{0}/{1}", Transfers::LENGTH, 5 * Transfers::LENGTH);
    let mut first: Option<String> = None;
    while !stop.load(Ordering::Relaxed) {
        let number = done.load(Ordering::Relaxed);
        let response = connection.get(&path).with_context(|| format!("transfer {number}"))?;
        ensure!(response.checksum == checksum_of(Transfers::LENGTH), "transfer {number}");
        let server = first.get_or_insert_with(|| response.server.clone());
        ensure!(*server == response.server, "{server} became {}", response.server);
        done.store(number + 1, Ordering::Relaxed);
    }
    Ok(())
}

/// A service under load, and what is done to it.
struct Changing<'a> {
    world: &'a World,
    director: Director,
    family: Family,
    transfers: Transfers,
    load: Load,
}

impl Changing<'_> {
    fn real(&self, number: usize) -> Result<SocketAddr> {
        self.world.real(number, self.family, Protocol::Tcp)
    }

    /// Changes a server, waits for its state, and until old and new connections had something to do.
    fn server(&self, what: &[&str], number: usize, more: &[&str], state: &str) -> Result<()> {
        let server = self.real(number)?;
        let text = server.to_string();
        let command = [&["server"], what, &["web", &text], more].concat();
        self.director.lvs(&command)?;
        if !state.is_empty() {
            self.director.wait_for_state("web", server, state, SOON)?;
        }
        self.go_on().with_context(|| format!("after {}", command.join(" ")))
    }

    /// Has the check of a server fail, or succeed again.
    fn healthy(&self, number: usize, healthy: bool) -> Result<()> {
        self.world.servers.get(number).context("server")?.http.set_healthy(healthy);
        let state = if healthy { "up" } else { "down" };
        self.director.wait_for_state("web", self.real(number)?, state, SOON)?;
        self.go_on().with_context(|| format!("{state}: server{}", number + 1))
    }

    fn go_on(&self) -> Result<()> {
        self.transfers.go_on()?;
        let goal = self.load.counts().0 + 30;
        wait_until(SOON, "more answers", || self.load.counts().0 >= goal)
    }

    /// Kills the daemon while it has changes of one server to make.
    fn daemon_dies_in_the_middle(&mut self, number: usize) -> Result<()> {
        let server = self.real(number)?.to_string();
        let edit = |weight| {
            self.director.spawn_lvs(&["server", "edit", "web", &server, "--weight", weight])
        };
        let [first, rest @ ..] = [edit("3")?, edit("0")?, edit("5")?, edit("1")?];
        first.wait_for_exit(SOON)?;
        self.daemon_dies_and_returns()?;
        for edit in rest {
            edit.wait_for_exit(SOON)?;
        }
        self.server(&["edit"], number, &["--weight", "1"], "up")
    }

    fn daemon_dies_and_returns(&mut self) -> Result<()> {
        self.director.kill_daemon()?;
        self.go_on().context("without a daemon")?;
        self.director.start_daemon()?;
        let status = self.director.json(&["status"])?;
        ensure!(status.get("taken_over") == Some(&true.into()), "{status}");
        self.go_on().context("with the next daemon")
    }
}

/// Servers come, go, drain, lose their weight and fail, and the daemon dies in between.
fn nothing_breaks(method: Method, family: Family, scheduler: &str) -> Result<()> {
    let world = World::with_servers(method, 4)?;
    let mut service = remembering_moved(world.empty_service(family, Protocol::Tcp)?, scheduler);
    for number in 0..3 {
        service = service.server(world.real(number, family, Protocol::Tcp)?);
    }
    let director = world.direct(&[service.checked()])?;
    let to = world.virtual_(family, Protocol::Tcp)?;
    let transfers = Transfers::start(&world.client()?, to)?;
    let load = Load::http(&world.client()?, to, "/", 60)?;
    let mut changing = Changing { world: &world, director, family, transfers, load };
    let done = changes(&mut changing);
    let Changing { transfers, load, director, .. } = changing;
    let told = || director.lvs(&["stats"]).unwrap_or_default();
    transfers.finish().and(done).with_context(told)?;
    load.finish()?.ensure_none_lost().with_context(told)
}

fn changes(changing: &mut Changing<'_>) -> Result<()> {
    changing.go_on()?;
    changing.server(&["add"], 3, &[], "up")?;
    changing.server(&["drain"], 0, &[], "draining")?;
    changing.daemon_dies_and_returns()?;
    changing.server(&["resume"], 0, &[], "up")?;
    changing.server(&["remove"], 1, &[], "")?;
    changing.server(&["edit"], 2, &["--weight", "0"], "quiet")?;
    changing.daemon_dies_and_returns()?;
    changing.server(&["edit"], 2, &["--weight", "2"], "up")?;
    changing.server(&["add"], 1, &[], "up")?;
    changing.healthy(3, false)?;
    changing.daemon_dies_and_returns()?;
    changing.healthy(3, true)?;
    changing.server(&["remove"], 3, &[], "")?;
    changing.daemon_dies_in_the_middle(0)
}

#[test]
fn nothing_breaks_by_direct_routing_with_mh_while_servers_change() -> Result<()> {
    nothing_breaks(Method::Direct, Family::V4, "mh")
}

#[test]
fn nothing_breaks_by_tunnel_with_sh_while_servers_change() -> Result<()> {
    nothing_breaks(Method::Tunnel, Family::V6, "sh")
}

/// So many connections, each with the name of its server.
fn connections(client: &Client, to: SocketAddr, count: usize) -> Result<Vec<(Connection, String)>> {
    let open = || {
        let mut connection = client.connect(to)?;
        let server = connection.get("/")?.server;
        Ok((connection, server))
    };
    (0..count).map(|_| open()).collect()
}

fn all_stay(connections: &mut [(Connection, String)]) -> Result<()> {
    for (connection, server) in connections {
        ensure!(connection.get("/")?.server == *server, "it was {server}");
    }
    Ok(())
}

fn count(director: &Director) -> Result<usize> {
    Ok(director.lvs(&["connection", "count"])?.trim().parse()?)
}

#[test]
fn the_list_has_only_connections_that_moved_and_each_is_where_it_was() -> Result<()> {
    let world = World::new(Method::Direct)?;
    let real = |number| world.real(number, Family::V4, Protocol::Tcp);
    let service = world.empty_service(Family::V4, Protocol::Tcp)?.server(real(0)?).server(real(1)?);
    let director = world.direct(&[remembering_moved(service, "mh")])?;
    let to = world.virtual_(Family::V4, Protocol::Tcp)?;
    let mut connections = connections(&world.client()?, to, 40)?;
    assert_eq!(count(&director)?, 0, "nothing moved");

    director.lvs(&["server", "add", "web", &real(2)?.to_string()])?;
    director.wait_until_all_are("up")?;
    all_stay(&mut connections)?;
    let list = director.lvs(&["connection", "list"])?;
    let listed = count(&director)?;
    assert!((1..40).contains(&listed), "some moved, and some did not\n{list}");
    for (connection, server) in &connections {
        let own = connection.local_address()?.to_string();
        let number = world.servers.iter().position(|s| s.name() == server).context("which")?;
        let address = real(number)?.to_string();
        if let Some(line) = list.lines().find(|line| line.contains(&own)) {
            assert!(line.contains(&address), "{line}");
            continue;
        }
        // Without an entry, it is where a new one would go.
        let named = director.json(&["explain", "--from", &own, "--to", &to.to_string()])?;
        assert_eq!(named.text("server")?, address);
    }
    Ok(())
}

#[test]
fn a_service_begins_and_ends_to_remember_all_at_run_time_and_nothing_breaks() -> Result<()> {
    let world = World::new(Method::Direct)?;
    let director =
        world.direct(&[remembering_moved(world.service(Family::V4, Protocol::Tcp)?, "mh")])?;
    let to = world.virtual_(Family::V4, Protocol::Tcp)?;
    let mut connections = connections(&world.client()?, to, 20)?;
    let load = Load::http(&world.client()?, to, "/", 60)?;
    let drained = world.real(0, Family::V4, Protocol::Tcp)?.to_string();
    for _ in 0..3 {
        director.lvs(&["service", "edit", "web", "--state", "all"])?;
        all_stay(&mut connections)?;
        let list = director.lvs(&["connection", "list"])?;
        for (connection, _) in &connections {
            let own = connection.local_address()?.to_string();
            assert!(list.contains(&own), "all have an entry: {own}\n{list}");
        }
        director.lvs(&["server", "drain", "web", &drained])?;
        director.lvs(&["service", "edit", "web", "--state", "moved"])?;
        all_stay(&mut connections)?;
        director.lvs(&["server", "resume", "web", &drained])?;
        all_stay(&mut connections)?;
    }
    // Also to a scheduler that does not hash and back, in one change each.
    director.lvs(&["service", "edit", "web", "--state", "all", "--scheduler", "wlc"])?;
    all_stay(&mut connections)?;
    let edit = ["--scheduler", "mh", "--scheduler-flags", "mh-port", "--state", "moved"];
    director.lvs(&[&["service", "edit", "web"][..], &edit].concat())?;
    all_stay(&mut connections)?;
    load.finish()?.ensure_none_lost()
}

#[test]
fn the_state_is_persisted_and_what_does_not_go_with_it_is_refused_as_a_whole() -> Result<()> {
    let world = World::with_servers(Method::Direct, 2)?;
    let service = world.service(Family::V4, Protocol::Tcp)?.scheduler("mh");
    let director = world.direct(&[service])?;
    director.lvs(&["service", "edit", "web", "--state", "moved", "--persist"])?;
    assert!(fs::read_to_string(director.file())?.contains("\nstate = \"moved\"\n"));
    director.lvs(&["reload"])?;
    assert_eq!(director.json(&["service", "show", "web"])?.text("state")?, "moved");

    let running = director.lvs(&["save"])?;
    let server = world.real(0, Family::V4, Protocol::Tcp)?.to_string();
    let refusals: [(&[&str], &str); 5] = [
        (&["service", "edit", "web", "--scheduler", "wlc"], "the scheduler sh or mh"),
        (&["service", "edit", "web", "--forward", "nat"], "`direct` or `tunnel`"),
        (&["service", "edit", "web", "--stray", "stack"], "`stray = \"hash\"`"),
        (&["server", "edit", "web", &server, "--forward", "nat"], "`direct` or `tunnel`"),
        (
            &["service", "add", "api", "192.0.2.77:80", "--scheduler", "wlc", "--state", "moved"],
            "the scheduler sh or mh",
        ),
    ];
    for (command, remedy) in refusals {
        let refused = director.try_lvs(command)?;
        assert_eq!(refused.status, 1, "{command:?}: {refused:?}");
        assert!(refused.stderr.contains(remedy), "{command:?}\n{}", refused.stderr);
        assert_eq!(director.lvs(&["save"])?, running, "{command:?} changes nothing");
    }
    world.names(2)?;
    Ok(())
}

#[test]
fn the_deadline_of_a_drain_ends_connections_without_an_entry_too() -> Result<()> {
    let world = World::with_servers(Method::Direct, 2)?;
    let director =
        world.direct(&[remembering_moved(world.service(Family::V4, Protocol::Tcp)?, "mh")])?;
    let to = world.virtual_(Family::V4, Protocol::Tcp)?;
    let (mut leaving, mut staying): (Vec<_>, Vec<_>) =
        connections(&world.client()?, to, 24)?.into_iter().partition(|(_, name)| name == "server1");
    let drained = world.real(0, Family::V4, Protocol::Tcp)?;
    director.lvs(&["server", "drain", "web", &drained.to_string(), "--deadline", "3s"])?;
    let (active, idle) = leaving.split_at_mut(2);
    all_stay(active).context("before the deadline")?;
    let list = director.lvs(&["connection", "list"])?;
    let is_listed = |(connection, _): &(Connection, String)| {
        Ok::<_, anyhow::Error>(list.contains(&connection.local_address()?.to_string()))
    };
    assert!(is_listed(&active[0])? && !is_listed(&idle[0])?, "{list}");
    wait_for(SOON, "the active ones are ended", || Ok(active[0].0.get("/").err()))?;
    for (connection, _) in leaving.iter_mut().skip(1) {
        connection.get("/").expect_err("ended, whether it had an entry or not");
    }
    all_stay(&mut staying)?;
    assert_eq!(world.names(12)?, ["server2"]);
    Ok(())
}
