//! Programs under test.
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::{
        fd::{AsFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    cleanup::{Registration, Resource},
    namespace::Namespace,
    poller::run_time,
    sys,
};

/// Lines of a program's log that an error tells.
const TOLD: usize = 30;

/// A line that a program wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When it was read, since the start of the program.
    pub at: Duration,
    /// It came from standard error.
    pub error: bool,
    /// The line.
    pub text: String,
}

/// A program that runs in a namespace; dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: u32,
    handle: Arc<OwnedFd>,
    shared: Arc<Shared>,
    _registration: Registration,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<Line>,
    status: Option<ExitStatus>,
    /// Streams of the program that are still open.
    open: u8,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, act: impl FnOnce(&mut State)) {
        act(&mut self.lock());
        self.changed.notify_all();
    }

    /// Waits until `look` finds something; `None` when it did not in time, or never will.
    fn wait<T>(&self, deadline: Duration, mut look: impl FnMut(&State) -> Option<T>) -> Option<T> {
        let end = Instant::now() + deadline;
        let mut state = self.lock();
        loop {
            if let Some(found) = look(&state) {
                return Some(found);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || (state.status.is_some() && state.open == 0) {
                return None;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Process {
    /// Starts a program. Its standard input is empty; what it writes is kept.
    ///
    /// `/sys` stays that of the caller, unlike with `ip netns exec`. The kernel kills it when this
    /// program ends, however that happens.
    pub fn start(namespace: &Namespace, mut command: Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0); // Ctrl-C is for the laboratory, which ends it in order
        sys::die_with_parent(&mut command);
        let shared = Arc::new(Shared::default());
        let (sender, started) = mpsc::channel();
        let (inside, theirs) = (namespace.clone(), Arc::clone(&shared));
        // The kernel kills the child with the thread that started it: one that lives as long.
        thread::Builder::new()
            .name(format!("{}-program", namespace.role()))
            .spawn(move || run(&inside, command, &theirs, &sender))
            .context("start a thread for a program")?;
        let (pid, handle) = started
            .recv()
            .context("the thread of the program has gone")?
            .with_context(|| format!("start {name} in {}", namespace.role()))?;
        let handle = Arc::new(handle);
        let resource = Resource::Process(Arc::clone(&handle));
        let registration = Registration::new(namespace.lab(), resource)?;
        Ok(Self { name, pid, handle, shared, _registration: registration })
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// For how long all its threads ran so far, in user space and in the kernel.
    pub fn ran(&self) -> Result<Duration> {
        let tasks = format!("/proc/{}/task", self.pid);
        let entries = fs::read_dir(&tasks).with_context(|| format!("read {tasks}"))?;
        entries.map(|entry| run_time(&entry?.path())).sum()
    }

    /// Sends it a signal, such as `libc::SIGHUP`.
    pub fn signal(&self, signal: i32) -> Result<()> {
        sys::signal_process(self.handle.as_fd(), signal)
            .with_context(|| format!("send signal {signal} to {}", self.name))
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub fn kill(&self) -> Result<()> {
        if self.is_running() {
            self.signal(libc::SIGKILL)?;
        }
        self.wait_for_exit(Duration::from_secs(10)).map(drop)
    }

    /// Asks it to end (SIGTERM) and waits until it does.
    pub fn terminate(&self, deadline: Duration) -> Result<ExitStatus> {
        if self.is_running() {
            self.signal(libc::SIGTERM)?;
        }
        self.wait_for_exit(deadline)
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.shared.lock().status.is_none()
    }

    /// Waits until it ends and all that it wrote is read.
    pub fn wait_for_exit(&self, deadline: Duration) -> Result<ExitStatus> {
        let ended = |state: &State| state.status.filter(|_| state.open == 0);
        match self.shared.wait(deadline, ended) {
            Some(status) => Ok(status),
            None => bail!("{} did not end within {deadline:?}{}", self.name, self.told()),
        }
    }

    /// Waits for a line that contains `text`, also one that was written already.
    pub fn wait_for_line(&self, deadline: Duration, text: &str) -> Result<Line> {
        self.wait_for_line_after(0, deadline, text)
    }

    /// Waits for a line that contains `text` and is not among the first `skip` lines.
    pub fn wait_for_line_after(&self, skip: usize, deadline: Duration, text: &str) -> Result<Line> {
        let found = self.shared.wait(deadline, |state| {
            state.lines.iter().skip(skip).find(|line| line.text.contains(text)).cloned()
        });
        match found {
            Some(line) => Ok(line),
            None => bail!("{} did not write {text:?} in {deadline:?}{}", self.name, self.told()),
        }
    }

    /// All lines that it wrote so far.
    pub fn lines(&self) -> Vec<Line> {
        self.shared.lock().lines.clone()
    }

    /// All lines that it wrote so far, as one text.
    pub fn log(&self) -> String {
        self.lines().into_iter().flat_map(|line| [line.text, "\n".to_owned()]).collect()
    }

    /// How it is and what it wrote last, for an error.
    fn told(&self) -> String {
        let state = self.shared.lock();
        let how = state.status.map_or("it runs".to_owned(), |status| format!("it ended: {status}"));
        let from = state.lines.len().saturating_sub(TOLD);
        let lines = state.lines.iter().skip(from).map(|line| format!("\n  | {}", line.text));
        format!("; {how}; it wrote:{}", lines.collect::<String>())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running() {
            // Already gone, or the wait fails: there is nobody to tell.
            drop(self.kill());
        }
    }
}

fn run(
    namespace: &Namespace,
    mut command: Command,
    shared: &Arc<Shared>,
    started: &mpsc::Sender<Result<(u32, OwnedFd)>>,
) {
    let start = Instant::now();
    let spawned = namespace.enter().and_then(|()| {
        let child = command.spawn()?;
        let handle = sys::open_process(child.id())?;
        Ok((child, handle))
    });
    let (mut child, handle) = match spawned {
        Ok(spawned) => spawned,
        Err(error) => return drop(started.send(Err(error))),
    };
    if let Some(stream) = child.stdout.take() {
        read_lines(stream, false, start, shared);
    }
    if let Some(stream) = child.stderr.take() {
        read_lines(stream, true, start, shared);
    }
    // The starter may be gone: then its registration is, and the program is killed below.
    if started.send(Ok((child.id(), handle))).is_err() {
        drop(child.kill());
    }
    let status = child.wait();
    shared.change(|state| state.status = Some(status.unwrap_or_default()));
}

fn read_lines(
    stream: impl Read + Send + 'static,
    error: bool,
    start: Instant,
    shared: &Arc<Shared>,
) {
    let shared = Arc::clone(shared);
    shared.change(|state| state.open += 1);
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while stream.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            shared.change(|state| state.lines.push(Line { at: start.elapsed(), error, text }));
            line.clear();
        }
        shared.change(|state| state.open -= 1);
    });
}
