//! The driver: sockets and time for the machines, one tokio task for each target.
use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use lvs_model::{
    desired::{Check, Probe},
    observed::{Health, Target},
};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinHandle,
    time::{sleep_until, timeout_at},
};

use crate::{
    checker,
    error::Failure,
    machine::{Action, Machine, Transition},
};

/// Probes under way at the same time: far more than a reachable server ever needs, and within
/// what one process may open.
const CONCURRENT: usize = 4096;

/// How far apart first probes of new targets start: that takes half of a CPU. All at once they
/// would lose packets in short queues of the way, and then time.
const FIRST_GAP: Duration = Duration::from_micros(50);

/// The health of a target has changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Which one.
    pub target: Arc<Target>,
    /// What it is now.
    pub health: Health,
    /// The failure that took it down; `None` when it came up.
    pub reason: Option<Failure>,
}

/// What is known about a target.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// What it counts as.
    pub health: Health,
    /// Since when; the driver's start of the target when nothing changed since.
    pub since: Instant,
    /// How the last probe ended; `None`: none has ended yet.
    pub last: Option<LastProbe>,
}

/// How a probe ended.
#[derive(Clone, Debug, PartialEq)]
pub struct LastProbe {
    /// When.
    pub at: Instant,
    /// How long the answer took, or why the server does not count as healthy.
    pub result: Result<Duration, Failure>,
}

/// Checks a set of targets. Dropping it ends all checks.
///
/// Owned by one task, which calls [`Driver::next`] in its loop.
pub struct Driver {
    targets: BTreeMap<Arc<Target>, Running>,
    seeds: BTreeMap<Target, Health>,
    probes: Arc<Semaphore>,
    sender: mpsc::UnboundedSender<(Serial, Event)>,
    events: mpsc::UnboundedReceiver<(Serial, Event)>,
    last_serial: Serial,
}

/// Tells apart two targets of the same name, one after the other.
type Serial = u64;

struct Running {
    serial: Serial,
    status: Arc<Mutex<Status>>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Default for Driver {
    fn default() -> Self {
        Self::new()
    }
}

impl Driver {
    /// A driver without targets.
    pub fn new() -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        Self {
            targets: BTreeMap::new(),
            seeds: BTreeMap::new(),
            probes: Arc::new(Semaphore::new(CONCURRENT)),
            sender,
            events,
            last_serial: 0,
        }
    }

    /// What a target counts as until its checks say otherwise, in place of down.
    ///
    /// For a daemon that takes over: servers that were up stay up until `fall` checks fail. Holds
    /// for the next [`Driver::add`].
    pub fn initial(&mut self, target: Target, health: Health) {
        self.seeds.insert(target, health);
    }

    /// Checks these targets too, at once; those that are checked already go on.
    ///
    /// Returns the new ones that are up from the start, to be taken in before the next plan: those
    /// told by [`Driver::initial`], and those of which only the timing (interval, timeout, rise,
    /// fall) is new beside a target that is checked. No event tells them again. Must be called
    /// within a tokio runtime.
    #[must_use = "or servers that are up count as down until their next failure and recovery"]
    pub fn add(&mut self, targets: Vec<Target>) -> Vec<Arc<Target>> {
        let count = u32::try_from(targets.len()).unwrap_or(u32::MAX);
        let spread = FIRST_GAP.saturating_mul(count);
        let mut up = Vec::new();
        for target in targets {
            if self.targets.contains_key(&target) {
                continue;
            }
            let health = self.seeds.get(&target).copied().or_else(|| self.inherited(&target));
            let target = Arc::new(target);
            if health == Some(Health::Up) {
                up.push(Arc::clone(&target));
            }
            self.start(target, health.unwrap_or(Health::Down), spread);
        }
        self.seeds.clear();
        up
    }

    /// Ends the checks of these targets.
    pub fn remove(&mut self, targets: &[Target]) {
        for target in targets {
            self.targets.remove(target);
        }
    }

    /// The next change of health. Cancelling loses nothing.
    pub async fn next(&mut self) -> Event {
        loop {
            match self.events.recv().await {
                // A target that is gone may have told something last.
                Some((serial, event)) => {
                    let running = self.targets.get(&event.target);
                    if running.is_some_and(|running| running.serial == serial) {
                        return event;
                    }
                }
                // Cannot end: the driver holds a sender.
                None => std::future::pending().await,
            }
        }
    }

    /// What is known about a target.
    pub fn status(&self, target: &Target) -> Option<Status> {
        self.targets.get(target).map(|running| lock(&running.status).clone())
    }

    /// What is known about all targets.
    pub fn statuses(&self) -> impl Iterator<Item = (&Target, Status)> {
        self.targets.iter().map(|(target, running)| (&**target, lock(&running.status).clone()))
    }

    /// The health of a target that asks the same of the same server, whatever the timing.
    fn inherited(&self, target: &Target) -> Option<Health> {
        let first = Target { address: target.address, check: LEAST };
        let others = self.targets.range::<Target, _>(first..);
        let mut others = others.take_while(|(other, _)| other.address == target.address);
        let (_, running) = others.find(|(other, _)| other.check.probe == target.check.probe)?;
        Some(lock(&running.status).health)
    }

    fn start(&mut self, target: Arc<Target>, health: Health, spread: Duration) {
        self.last_serial += 1;
        let serial = self.last_serial;
        let now = Instant::now();
        let fraction = fraction(&target);
        // No slower than they go on.
        let first = now + spread.min(target.check.interval).mul_f64(fraction);
        // Not 0: the second probe is never due at the same time as the first.
        let offset = target.check.interval.mul_f64(1.0 - fraction);
        let machine = Machine::new(&target.check, health, first, offset);
        let status = Arc::new(Mutex::new(Status { health, since: now, last: None }));
        let task = Task {
            serial,
            target: Arc::clone(&target),
            machine,
            status: Arc::clone(&status),
            probes: Arc::clone(&self.probes),
            events: self.sender.clone(),
        };
        let task = tokio::spawn(task.run());
        self.targets.insert(target, Running { serial, status, task });
    }
}

/// The check that is ordered before all others.
const LEAST: Check = Check {
    probe: Probe::Tcp,
    port: None,
    interval: Duration::ZERO,
    timeout: Duration::ZERO,
    rise: 0,
    fall: 0,
};

/// Where in an interval a target's probes lie, from 0 to below 1: the same in every process, and
/// spread evenly over many targets.
fn fraction(target: &Target) -> f64 {
    let mut hasher = DefaultHasher::new();
    (target.address, &target.check).hash(&mut hasher);
    // 32 of the 64 bits: exact as a float, and more than enough.
    let bits = u32::try_from(hasher.finish() >> 32).unwrap_or_default();
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}

/// Nothing that could panic runs under the lock, so that what it holds is always whole.
fn lock(status: &Mutex<Status>) -> MutexGuard<'_, Status> {
    status.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The checks of one target.
struct Task {
    serial: Serial,
    target: Arc<Target>,
    machine: Machine,
    status: Arc<Mutex<Status>>,
    probes: Arc<Semaphore>,
    events: mpsc::UnboundedSender<(Serial, Event)>,
}

impl Task {
    /// Runs until aborted.
    async fn run(mut self) {
        loop {
            sleep_until(self.machine.deadline().into()).await;
            // Before the machine starts its clock: waiting for a turn is no fault of the server.
            let Ok(turn) = Arc::clone(&self.probes).acquire_owned().await else { return };
            let started = Instant::now();
            if self.machine.on_deadline(started) != Some(Action::Probe) {
                continue;
            }
            let deadline = self.machine.deadline();
            let answer = timeout_at(deadline.into(), checker::probe(&self.target)).await;
            drop(turn);
            let now = Instant::now();
            let (result, transition) = if let Ok(result) = answer {
                (result.clone(), self.machine.on_result(result, now))
            } else {
                let transition = match self.machine.on_deadline(now.max(deadline)) {
                    Some(Action::GiveUp(transition)) => transition,
                    Some(Action::Probe) | None => None,
                };
                (Err(Failure::TimedOut(self.target.check.timeout)), transition)
            };
            self.tell(LastProbe { at: now, result: result.map(|()| now - started) }, transition);
        }
    }

    fn tell(&self, probe: LastProbe, transition: Option<Transition>) {
        {
            let mut status = lock(&self.status);
            if let Some(transition) = &transition {
                status.health = transition.health;
                status.since = probe.at;
            }
            status.last = Some(probe);
        }
        if let Some(Transition { health, reason }) = transition {
            let event = Event { target: Arc::clone(&self.target), health, reason };
            // Refused only when the driver is gone, which is about to end this task.
            drop(self.events.send((self.serial, event)));
        }
    }
}
