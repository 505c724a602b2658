//! What must be removed again, on every way out: drop, panic, signal, and the next start after
//! SIGKILL.
use std::{
    fs,
    io::Read,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, Once, PoisonError},
    thread,
};

use anyhow::{Context, Result, bail};

use crate::{stop::Stop, sys};

/// Where `ip netns` keeps named namespaces.
pub(crate) const NAMESPACES: &str = "/run/netns";

/// Something to remove. The order of the variants is the order of removal.
#[derive(Debug)]
pub(crate) enum Resource {
    /// Threads that end when the flag is raised.
    Threads(Stop),
    /// A running program.
    Process(Arc<OwnedFd>),
    /// A mounted filesystem.
    Mount(PathBuf),
    /// A named network namespace, with all links in it.
    Namespace(String),
    /// A directory and all in it.
    Directory(PathBuf),
    /// A kernel parameter of the whole machine, and what it was.
    Parameter(PathBuf, String),
}

impl Resource {
    fn rank(&self) -> u8 {
        match self {
            Self::Threads(_) => 0,
            Self::Process(_) => 1,
            Self::Mount(_) => 2,
            Self::Namespace(_) => 3,
            Self::Directory(_) => 4,
            Self::Parameter(..) => 5,
        }
    }

    /// Removes it. What is gone already is no failure, and there is nobody to tell another one to:
    /// the next start with the same prefix tries again.
    fn remove(&self) {
        match self {
            Self::Threads(stop) => stop.raise(),
            Self::Process(process) => drop(sys::signal_process(process.as_fd(), libc::SIGKILL)),
            Self::Mount(at) => drop(sys::unmount(at)),
            Self::Namespace(name) => {
                let path = Path::new(NAMESPACES).join(name);
                drop(sys::unmount(&path));
                drop(fs::remove_file(path));
            }
            Self::Directory(path) => drop(fs::remove_dir_all(path)),
            Self::Parameter(path, before) => drop(fs::write(path, before)),
        }
    }
}

#[derive(Debug)]
struct Entry {
    id: u64,
    lab: u64,
    resource: Resource,
}

#[derive(Debug)]
struct Registry {
    next: u64,
    /// Set when a signal ends the program: nothing may be made any more.
    closed: bool,
    entries: Vec<Entry>,
}

static REGISTRY: Mutex<Registry> =
    Mutex::new(Registry { next: 1, closed: false, entries: Vec::new() });

fn with_registry<T>(act: impl FnOnce(&mut Registry) -> T) -> T {
    act(&mut REGISTRY.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Removes its resource when it is dropped.
#[derive(Debug)]
pub(crate) struct Registration(u64);

impl Registration {
    /// Notes a resource of a lab for removal.
    pub(crate) fn new(lab: u64, resource: Resource) -> Result<Self> {
        let refused = with_registry(|registry| {
            if registry.closed {
                return Err(resource);
            }
            let id = registry.next;
            registry.next += 1;
            registry.entries.push(Entry { id, lab, resource });
            Ok(Self(id))
        });
        refused.or_else(|resource| {
            resource.remove();
            bail!("the program is being ended by a signal")
        })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let entry = with_registry(|registry| {
            let at = registry.entries.iter().position(|entry| entry.id == self.0)?;
            Some(registry.entries.swap_remove(at))
        });
        if let Some(entry) = entry {
            entry.resource.remove();
        }
    }
}

fn remove(mut entries: Vec<Entry>) {
    // Of one kind the youngest goes first, as with drops.
    entries.sort_by_key(|entry| (entry.resource.rank(), std::cmp::Reverse(entry.id)));
    for entry in entries {
        entry.resource.remove();
    }
}

/// Removes all that a lab made.
pub(crate) fn remove_lab(lab: u64) {
    remove(with_registry(|registry| {
        registry.entries.extract_if(.., |entry| entry.lab == lab).collect()
    }));
}

/// Removes all that any lab of this program made, and lets none make more.
fn remove_everything() {
    remove(with_registry(|registry| {
        registry.closed = true;
        std::mem::take(&mut registry.entries)
    }));
}

/// Has SIGINT, SIGTERM and SIGHUP remove everything before they end the program.
pub(crate) fn on_signals() -> Result<()> {
    static ONCE: Once = Once::new();
    let mut result = Ok(());
    ONCE.call_once(|| result = catch_signals());
    result
}

fn catch_signals() -> Result<()> {
    let (mut reader, writer) = std::io::pipe().context("make a pipe for signals")?;
    sys::catch_signals(writer.into(), &[libc::SIGINT, libc::SIGTERM, libc::SIGHUP])
        .context("catch signals")?;
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            let mut signal = [0];
            if reader.read_exact(&mut signal).is_ok() {
                remove_everything();
                sys::die_of(signal[0].into());
            }
        })
        .context("start the thread for signals")?;
    Ok(())
}

/// Removes what runs left behind whose program was killed: namespaces with the programs in them,
/// and directories with the mounts below them, named `PREFIX-PID-...` where PID runs no more.
pub(crate) fn remove_stale(prefix: &str) {
    for path in stale_in(Path::new(NAMESPACES), prefix) {
        if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
            kill_programs_in(name);
            Resource::Namespace(name.to_owned()).remove();
        }
    }
    for path in stale_in(&std::env::temp_dir(), prefix) {
        for mount in mounts_below(&path) {
            Resource::Mount(mount).remove();
        }
        Resource::Directory(path).remove();
    }
}

fn stale_in(directory: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let is_stale = |path: &PathBuf| {
        let owner = path.file_name().and_then(|name| name.to_str()).and_then(|n| owner(n, prefix));
        owner.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists())
    };
    entries.flatten().map(|entry| entry.path()).filter(is_stale).collect()
}

/// The PID in a name that a lab with this prefix gave.
fn owner(name: &str, prefix: &str) -> Option<u32> {
    let (pid, _) = name.strip_prefix(prefix)?.strip_prefix('-')?.split_once('-')?;
    pid.parse().ok()
}

fn kill_programs_in(namespace: &str) {
    let Ok(found) = Command::new("ip").args(["netns", "pids", namespace]).output() else { return };
    for pid in String::from_utf8_lossy(&found.stdout).split_whitespace() {
        if let Ok(pid) = pid.parse() {
            drop(sys::kill_pid(pid));
        }
    }
}

fn mounts_below(directory: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    points.filter(|point| point.starts_with(directory)).collect()
}

#[cfg(test)]
mod tests {
    use super::owner;

    #[test]
    fn only_names_that_a_lab_gave_have_an_owner() {
        assert_eq!(owner("lvs-123-0-client", "lvs"), Some(123));
        assert_eq!(owner("lvs-director", "lvs"), None, "no number");
        assert_eq!(owner("lvstest-123-0-client", "lvs"), None, "another prefix");
        assert_eq!(owner("production", "lvs"), None);
    }
}
