//! A steady stream of requests, with a record of every one.
use std::{
    collections::BTreeMap,
    fmt::Write,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::{client::Client, namespace::Task, stop::Stop};

/// Requests that may wait for their answers at the same time.
const WORKERS: u32 = 8;

/// A request that was answered.
#[derive(Clone, Debug)]
pub struct Sample {
    /// When it began, since the start of the load.
    pub at: Duration,
    /// How long it took.
    pub took: Duration,
    /// Who answered.
    pub server: String,
}

/// A request that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// When it began, since the start of the load.
    pub at: Duration,
    /// How long it took to fail.
    pub took: Duration,
    /// Why, for people.
    pub error: String,
}

/// What became of all requests.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Those that were answered, in the order of the answers.
    pub samples: Vec<Sample>,
    /// Those that failed.
    pub failures: Vec<Failure>,
}

impl Report {
    /// Answers by server.
    pub fn per_server(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for sample in &self.samples {
            *counts.entry(sample.server.clone()).or_default() += 1;
        }
        counts
    }

    /// Answers by server to requests that began at `from` or later.
    pub fn per_server_since(&self, from: Duration) -> BTreeMap<String, usize> {
        let samples = self.samples.iter().filter(|sample| sample.at >= from).cloned().collect();
        Self { samples, failures: Vec::new() }.per_server()
    }

    /// The longest time that a request took, whether it was answered or failed.
    pub fn slowest(&self) -> Duration {
        let answered = self.samples.iter().map(|sample| sample.took);
        answered.chain(self.failures.iter().map(|failure| failure.took)).max().unwrap_or_default()
    }

    /// An error that lists the failures, if there are any (or no request was made at all).
    pub fn ensure_none_lost(&self) -> Result<()> {
        if self.failures.is_empty() && !self.samples.is_empty() {
            return Ok(());
        }
        let total = self.failures.len() + self.samples.len();
        let mut text = format!("{} of {total} requests failed", self.failures.len());
        for failure in self.failures.iter().take(10) {
            write!(text, "\n  at {:?} after {:?}: {}", failure.at, failure.took, failure.error)?;
        }
        bail!(text)
    }
}

/// A stream of requests that goes on until it is finished or dropped.
#[derive(Debug)]
pub struct Load {
    start: Instant,
    report: Arc<Mutex<Report>>,
    workers: Vec<Task>,
}

impl Load {
    /// Gets a page over ever new connections, `rate` times per second. Any status but 200 counts as
    /// a failure.
    pub fn http(client: &Client, server: SocketAddr, path: &str, rate: u32) -> Result<Self> {
        let (asker, path) = (client.clone(), path.to_owned());
        Self::start(client, rate, move |_| {
            let response = asker.http_get_here(server, &path)?;
            if response.status != 200 {
                bail!("{} answered with status {}", response.server, response.status);
            }
            Ok(response.server)
        })
    }

    /// Asks over UDP from ever new ports, `rate` times per second.
    pub fn udp(client: &Client, server: SocketAddr, rate: u32) -> Result<Self> {
        let asker = client.clone();
        Self::start(client, rate, move |number| {
            let payload = number.to_be_bytes();
            let answer = asker.udp_ask_here(server, &payload, 0)?;
            if answer.payload != payload {
                bail!("{} answered another question", answer.server);
            }
            Ok(answer.server)
        })
    }

    /// Calls `ask`, which returns the name of the server that answered, on threads in the client's
    /// namespace, `rate` times per second; at most eight calls are under way at any time, so slow
    /// answers lower the rate.
    pub fn start(
        client: &Client,
        rate: u32,
        ask: impl Fn(u64) -> Result<String> + Send + Sync + 'static,
    ) -> Result<Self> {
        let (start, report, ask) = (Instant::now(), Arc::<Mutex<Report>>::default(), Arc::new(ask));
        let mut workers = Vec::new();
        for first in 0..WORKERS {
            let (ask, report) = (Arc::clone(&ask), Arc::clone(&report));
            workers.push(client.namespace().spawn("load", move |stop| {
                let numbers = (u64::from(first)..).step_by(WORKERS as usize);
                work(start, rate, numbers, &*ask, &report, stop);
                Ok(())
            })?);
        }
        Ok(Self { start, report, workers })
    }

    /// Time since the start, on the clock of the report.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// What happened so far.
    pub fn report(&self) -> Report {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Number of answers and of failures so far.
    pub fn counts(&self) -> (usize, usize) {
        let report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        (report.samples.len(), report.failures.len())
    }

    /// Asks all workers to end, before any of them is waited for.
    fn stop(&self) {
        self.workers.iter().for_each(Task::stop);
    }

    /// Ends it, after the answers to requests under way.
    pub fn finish(mut self) -> Result<Report> {
        self.stop();
        for worker in self.workers.drain(..) {
            worker.finish()?;
        }
        Ok(self.report())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop();
    }
}

fn work(
    start: Instant,
    rate: u32,
    numbers: impl Iterator<Item = u64>,
    ask: &impl Fn(u64) -> Result<String>,
    report: &Mutex<Report>,
    stop: &Stop,
) {
    for number in numbers {
        let due = Duration::from_secs(number) / rate.max(1);
        let early = due.saturating_sub(start.elapsed());
        if stop.sleep(early) {
            return;
        }
        let at = start.elapsed();
        let result = ask(number);
        let took = start.elapsed().saturating_sub(at);
        let mut report = report.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(server) => report.samples.push(Sample { at, took, server }),
            Err(error) => {
                report.failures.push(Failure { at, took, error: format!("{error:#}") });
            }
        }
    }
}
