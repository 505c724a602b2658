//! What receiving costs: the threads of the kernel that do it for one interface.
use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};

use crate::{
    link::{self, End},
    namespace::Namespace,
    sys,
};

/// The thread that receives all of one queue ("threaded NAPI"): XDP, routing and whatever else
/// the kernel does with a packet happens on it, up to the queue of the next interface or socket.
#[derive(Clone, Debug)]
pub struct Poller {
    thread: u32,
}

impl Poller {
    /// Has an interface that is up, and has one queue, receive on a thread of its own.
    pub fn start(namespace: &Namespace, interface: &str) -> Result<Self> {
        let mut pollers = Self::start_each(namespace, interface, 1)?;
        pollers.pop().with_context(|| format!("no thread receives for {interface}"))
    }

    /// Likewise each of the queues of an interface, in their order.
    pub fn start_each(namespace: &Namespace, interface: &str, queues: usize) -> Result<Vec<Self>> {
        let before = threads_of(interface)?;
        link::receive_xdp(End { namespace, interface })?;
        // `ip netns exec` shows the namespace's own /sys.
        let file = format!("/sys/class/net/{interface}/threaded");
        let output = Command::new("ip")
            .args(["netns", "exec", namespace.name(), "sh", "-c", &format!("echo 1 >{file}")])
            .output()
            .context("run ip netns exec")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cannot write {file}: {}", said.trim());
        let now = threads_of(interface)?;
        let new =
            now.into_iter().filter(|(_, thread)| !before.iter().any(|(_, old)| old == thread));
        let new: Vec<_> = new.map(|(_, thread)| Self { thread }).collect();
        ensure!(
            new.len() == queues,
            "{} new threads receive for {interface} instead of {queues}",
            new.len()
        );
        Ok(new)
    }

    /// Has it run on one CPU only.
    pub fn pin(&self, cpu: usize) -> Result<()> {
        sys::pin_thread(self.thread, cpu)
            .with_context(|| format!("pin the thread {} to CPU {cpu}", self.thread))
    }

    /// Has it run before all ordinary threads; of two such threads, the one with the higher
    /// priority (1 to 99) goes first.
    pub fn prefer(&self, priority: u8) -> Result<()> {
        sys::set_real_time(self.thread, priority)
            .with_context(|| format!("prefer the thread {}", self.thread))
    }

    /// For how long it ran so far; exact while it waits for packets.
    pub fn ran(&self) -> Result<Duration> {
        run_time(&Path::new("/proc").join(self.thread.to_string()))
    }
}

/// Has the calling thread, and all that it starts from now on, run on one CPU only.
pub fn pin_here(cpu: usize) -> Result<()> {
    sys::pin_thread(0, cpu).with_context(|| format!("run on CPU {cpu} only"))
}

/// For how long the task of this folder of /proc ran so far.
pub(crate) fn run_time(task: &Path) -> Result<Duration> {
    let file = task.join("schedstat");
    let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let nanoseconds = text.split(' ').next().and_then(|word| word.parse().ok());
    nanoseconds.map(Duration::from_nanos).with_context(|| format!("{}: {text}", file.display()))
}

/// The threads that receive for interfaces of this name, in whatever namespace, each behind the last
/// part of its name: a number, which grows with the queue.
fn threads_of(interface: &str) -> Result<Vec<(Option<u32>, u32)>> {
    let mut prefix = format!("napi/{interface}-");
    prefix.truncate(15); // of the name of a thread, the kernel keeps so much
    let mut threads = Vec::new();
    for entry in fs::read_dir("/proc").context("read /proc")?.flatten() {
        let name = entry.file_name();
        let Some(thread) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // One that has ended meanwhile is not looked for.
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if let Some(number) = name.trim().strip_prefix(&prefix) {
            threads.push((number.parse().ok(), thread));
        }
    }
    threads.sort_unstable();
    Ok(threads)
}
