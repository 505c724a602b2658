//! What a daemon that takes over must know and the tables do not tell: health, the ways to the
//! servers, and the changes that were made at run time.
//!
//! The file lies beside the socket, on a file system that a reboot empties, as it does the pinned
//! tables. It is read only by a daemon that has taken tables over.
use std::{
    collections::BTreeMap,
    fs,
    hash::{DefaultHasher, Hasher},
    io::{self, Write},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use lvs_model::{
    desired::{Check, Desired, Service},
    observed::{Health, Hop, Target},
};
use serde::{Deserialize, Serialize};

/// Of this layout; a file of another is not read.
const VERSION: u32 = 1;

/// The content of the state file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    version: u32,
    /// Of the desired state of the file on which the changes are based. An edited file is a new
    /// word of the operator, which undoes changes as a reload does.
    base: u64,
    /// Services that differ from the file's, or are not in it.
    changed: Vec<Service>,
    /// Names of services that only the file has.
    removed: Vec<String>,
    /// Health by check, so that a check is written once for all servers.
    health: Vec<Checked>,
    /// The ways to the servers.
    #[serde(default)]
    hops: BTreeMap<IpAddr, Hop>,
}

/// Targets of one check, each with the time of its last change, in seconds of the Unix clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Checked {
    check: Check,
    up: BTreeMap<SocketAddr, u64>,
    down: BTreeMap<SocketAddr, u64>,
}

impl State {
    /// What to remember of a daemon.
    pub(crate) fn new(
        file: &Desired,
        running: &Desired,
        health: impl IntoIterator<Item = (Target, Health, u64)>,
        hops: &BTreeMap<IpAddr, Hop>,
    ) -> Self {
        let changed = running
            .services
            .iter()
            .filter(|service| file.service(&service.name) != Some(service))
            .cloned()
            .collect();
        let gone = file.services.iter().filter(|service| running.service(&service.name).is_none());
        let removed = gone.map(|service| service.name.clone()).collect();
        let mut by_check: BTreeMap<Check, Checked> = BTreeMap::new();
        for (target, health, since) in health {
            let (up, down) = (BTreeMap::new(), BTreeMap::new());
            let fresh = Checked { check: target.check.clone(), up, down };
            let checked = by_check.entry(target.check).or_insert(fresh);
            match health {
                Health::Up => checked.up.insert(target.address, since),
                Health::Down => checked.down.insert(target.address, since),
            };
        }
        let health = by_check.into_values().collect();
        Self {
            version: VERSION,
            base: fingerprint(file),
            changed,
            removed,
            health,
            hops: hops.clone(),
        }
    }

    /// The desired state that ran: the file with the changes. `None`: the file is another one than
    /// the changes were made to.
    pub(crate) fn running(&self, file: &Desired) -> Option<Desired> {
        if fingerprint(file) != self.base {
            return None;
        }
        let mut running = file.clone();
        running.services.retain(|service| !self.removed.contains(&service.name));
        for changed in &self.changed {
            match running.services.iter_mut().find(|service| service.name == changed.name) {
                Some(service) => *service = changed.clone(),
                None => running.services.push(changed.clone()),
            }
        }
        running.validate().is_ok().then_some(running)
    }

    /// Health of each target and when it last changed.
    pub(crate) fn health(&self) -> impl Iterator<Item = (Target, Health, u64)> {
        self.health.iter().flat_map(|Checked { check, up, down }| {
            let up = up.iter().map(|found| (found, Health::Up));
            let down = down.iter().map(|found| (found, Health::Down));
            up.chain(down).map(|((address, since), health)| {
                (Target { address: *address, check: check.clone() }, health, *since)
            })
        })
    }

    /// The ways to the servers.
    pub(crate) fn hops(&self) -> &BTreeMap<IpAddr, Hop> {
        &self.hops
    }

    /// Whether changes were made that the file does not have.
    pub(crate) fn has_changes(&self) -> bool {
        !self.changed.is_empty() || !self.removed.is_empty()
    }
}

/// Where the state of the daemon with this socket lies.
pub(crate) fn path_of(socket: &Path) -> PathBuf {
    socket.with_extension("state.json")
}

/// Reads a state; `None`: there is none that can be used.
pub(crate) fn read(path: &Path) -> Option<State> {
    let state: State = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    (state.version == VERSION).then_some(state)
}

/// Writes a state. A reader finds the old or the new one, never a part.
pub(crate) fn write(path: &Path, state: &State) -> io::Result<()> {
    let fresh = path.with_extension("json.new");
    let mut file = io::BufWriter::new(fs::File::create(&fresh)?);
    serde_json::to_writer(&mut file, state)?;
    file.flush()?;
    fs::rename(&fresh, path)
}

/// A number that differs when the desired state does.
fn fingerprint(desired: &Desired) -> u64 {
    struct Sink(DefaultHasher);
    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut sink = Sink(DefaultHasher::new());
    // Neither the sink nor plain data can fail to be written; if they did, the fingerprint would
    // still only say "another file", which is safe.
    drop(serde_json::to_writer(&mut sink, desired));
    sink.0.finish()
}
