//! The daemon's life: start, main loop, end.
//!
//! ```text
//! SIGHUP SIGTERM ──────────────────────────────┐
//! API ─ connection tasks ─ mpsc<Call> ─────────┤             ┌─ add, remove ───→ health tasks
//! health tasks ─ mpsc<Event> ──────────────────┼─→ engine ───┼─ set_addresses ─→ resolver task
//! resolver task ─ mpsc<Vec<Change>> ───────────┤   (one      ├─ apply, sweep ──→ data plane
//! every second ─ tick ─────────────────────────┘    task)    ├─ oneshot ───────→ API's answers
//!                                                            └─ state file, service manager
//! ```
//!
//! The engine runs on the main thread, everything else on the runtime's workers: a large change
//! that keeps the engine busy delays no health check.
use std::{
    io,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lvs_api::server::{self, Call, Listener, SocketError};
use lvs_config::{Config, Errors};
use lvs_health::Driver;
use lvs_model::observed::Health;
use lvs_netlink::{Change, Resolver};
use tokio::{
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, timeout_at},
};
use tracing::{info, warn};

use crate::{
    args::Args,
    engine::{About, Engine, chain, seams::Watch},
    file::{ConfigFile, missing_interface},
    log,
    notify::notify,
    rights, state,
    tables::{KernelTables, OpenError},
    world::World,
};

type KernelEngine = Engine<KernelTables, World>;

/// Threads for sockets and timers.
const WORKERS: usize = 2;
/// Events that are taken in together before the tables are changed once.
const BURST: usize = 4096;
/// How long the start waits for the ways to the servers. The tables are changed only once they
/// are known: a successor that took servers for unreachable would break their connections.
const WAYS: Duration = Duration::from_secs(1);

/// Why the daemon does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the configuration file has errors")]
    Config(#[from] Errors),
    #[error(transparent)]
    Rights(#[from] rights::Missing),
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("cannot read interfaces and routes")]
    Netlink(#[from] lvs_netlink::Error),
    #[error("the data plane cannot be opened")]
    Tables(#[from] OpenError),
    #[error("the data plane cannot be removed")]
    Detach(#[source] OpenError),
    #[error("next hops cannot be kept current")]
    ResolverEnded,
    #[error("cannot start the runtime")]
    Io(#[from] io::Error),
}

impl Failure {
    /// As it is shown on a terminal.
    pub(crate) fn render(&self, colours: bool) -> String {
        if let Self::Config(errors) = self {
            return errors.render(colours);
        }
        format!("error: {}", chain(self))
    }
}

/// Runs until SIGTERM.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let config = lvs_config::load(&args.file)?;
    log::start(config.daemon.log);
    let runtime = Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    runtime.block_on(live(args, config))
}

async fn live(args: &Args, config: Config) -> Result<(), Failure> {
    // Before anything slow, so that no signal ends a start in the middle.
    let signals = Signals::new()?;
    let socket = config.daemon.socket.clone();
    let (resolver, mut changes) = Resolver::start().await?;
    let world = World { driver: Driver::new(), resolver };
    if let Some(errors) = missing_interface(&config, &world.interfaces()) {
        return Err(errors.into());
    }
    // Not earlier: mistakes in the file are told to everyone.
    rights::check()?;
    // The socket's lock also keeps a second daemon away from the tables.
    let listener = Listener::bind(&socket)?;
    let mut engine = open(args, config, world)?;
    wait_for_ways(&mut engine, &mut changes).await?;
    engine.settle();
    engine.save();

    let (calls, requests) = server::channel();
    let (stop, stopped) = watch::channel(false);
    let api = tokio::spawn(server::serve(listener, calls, stopped));
    let mut daemon = Daemon { engine, changes, requests, signals };
    notify("READY=1\nSTATUS=balancing");
    let ended = daemon.main_loop().await;

    notify("STOPPING=1");
    stop.send_replace(true);
    // Requests under way are answered with "the daemon is leaving".
    let Daemon { mut engine, requests, changes, .. } = daemon;
    drop(requests);
    drop(api.await);
    engine.save();
    // The resolver must not wait for a reader of its last words.
    drop(changes);
    if args.detach {
        let (tables, world) = engine.into_parts();
        tables.detach().map_err(Failure::Detach)?;
        world.resolver.finish().await?;
        drop(std::fs::remove_file(state::path_of(&socket)));
        info!("lvsd ends; nothing is balanced any more");
    } else {
        info!("lvsd ends; traffic goes on");
    }
    ended
}

/// Opens the tables and makes an engine that knows what a predecessor knew.
fn open(args: &Args, config: Config, world: World) -> Result<KernelEngine, Failure> {
    let (tables, opened) = KernelTables::open(&config.daemon)?;
    for warning in &opened.warnings {
        warn!("{warning}");
    }
    let about = About {
        started: now(),
        taken_over: opened.taken_over,
        interfaces: opened.interfaces,
        warnings: opened.warnings,
    };
    info!(
        version = env!("CARGO_PKG_VERSION"),
        file = %args.file.display(),
        services = config.desired.services.len(),
        taken_over = about.taken_over,
        "lvsd starts"
    );
    let state_path = state::path_of(&config.daemon.socket);
    let file = ConfigFile::new(args.file.clone());
    let mut engine = Engine::new(file, config, tables, world, about);
    if opened.has_predecessor {
        // Changes of run time and health outlive tables that could not be taken over.
        match state::read(&state_path) {
            Some(state) => engine.restore(&state),
            None if opened.taken_over => engine.trust_all(),
            None => {}
        }
        let up: Vec<_> = engine.up().cloned().collect();
        for target in up {
            engine.watch.driver.initial(target, Health::Up);
        }
    }
    engine.save_to(state_path);
    engine.watch_all();
    Ok(engine)
}

/// Takes in the first word about every way.
async fn wait_for_ways(
    engine: &mut KernelEngine,
    changes: &mut mpsc::Receiver<Vec<Change>>,
) -> Result<(), Failure> {
    let until = Instant::now() + WAYS;
    while !engine.knows_all_ways() {
        match timeout_at(until, changes.recv()).await {
            Ok(Some(batch)) => engine.on_hops(batch),
            Ok(None) => return Err(Failure::ResolverEnded),
            Err(_elapsed) => break,
        }
    }
    Ok(())
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

struct Daemon {
    engine: KernelEngine,
    changes: mpsc::Receiver<Vec<Change>>,
    requests: mpsc::Receiver<Call>,
    signals: Signals,
}

impl Daemon {
    /// Turns until a signal ends it.
    async fn main_loop(&mut self) -> Result<(), Failure> {
        let mut tick = interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = self.signals.terminate.recv() => return Ok(()),
                _ = self.signals.interrupt.recv() => return Ok(()),
                _ = self.signals.hangup.recv() => self.reload(),
                call = self.requests.recv() => match call {
                    Some(call) => self.on_call(call),
                    // The API ends only after the main loop, or with the runtime.
                    None => return Ok(()),
                },
                event = self.engine.watch.driver.next() => {
                    self.engine.on_health(event.into(), now());
                    self.gather();
                }
                batch = self.changes.recv() => match batch {
                    Some(batch) => {
                        self.engine.on_hops(batch);
                        self.gather();
                    }
                    None => return Err(Failure::ResolverEnded),
                },
                _ = tick.tick() => {
                    self.engine.on_tick(now());
                    notify("WATCHDOG=1");
                }
            }
        }
    }

    /// Takes in what came at the same time, then changes the tables once.
    fn gather(&mut self) {
        for _ in 0..BURST {
            if let Ok(batch) = self.changes.try_recv() {
                self.engine.on_hops(batch);
            } else if let Some(event) = ready(self.engine.watch.driver.next()) {
                self.engine.on_health(event.into(), now());
            } else {
                break;
            }
        }
        self.engine.settle();
    }

    fn reload(&mut self) {
        notify("RELOADING=1");
        // The log tells how it went.
        drop(self.engine.reload(now()));
        notify("READY=1");
    }

    fn on_call(&mut self, call: Call) {
        let reloads = matches!(call, Call::Reload(_));
        if reloads {
            notify("RELOADING=1");
        }
        self.engine.on_call(call, now());
        if reloads {
            notify("READY=1");
        }
    }
}

/// The value of a future that has it already.
fn ready<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut context) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
