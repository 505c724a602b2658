//! What a daemon that takes over must know and the tables do not tell: health, the ways to the
//! servers, and the changes that were made at run time.
//!
//! The file is one JSON value, the whole state, and after it one more for each thing that happened
//! since: a change of one server is not worth writing down what is known of all.
//!
//! It lies beside the socket, on a file system that a reboot empties, as it does the pinned
//! tables. It is read only by a daemon that finds tables of a predecessor.
use std::{
    collections::{BTreeMap, HashMap},
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

mod store;

pub(crate) use store::Store;

/// Of this layout; a file of another is not read.
const VERSION: u32 = 2;

/// The content of the state file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State {
    whole: Whole,
    since: Vec<Event>,
}

/// The state as it was when the file was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Whole {
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
    /// The ways to the servers, each once for all that lie on it.
    ways: Vec<Way>,
}

/// Targets of one check, each with the time of its last change, in seconds of the Unix clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Checked {
    check: Check,
    up: BTreeMap<SocketAddr, u64>,
    down: BTreeMap<SocketAddr, u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Way {
    hop: Hop,
    to: Vec<IpAddr>,
}

/// Something that happened after the file was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Event {
    /// A target's health changed.
    Health { address: SocketAddr, check: Check, health: Health, since: u64 },
    /// The way to an address changed, or was lost.
    Hop { address: IpAddr, hop: Option<Hop> },
    /// A service was changed or added.
    Service(Service),
    /// The service of this name was removed.
    Removed(String),
    /// The file is about to be written, by the daemon: this fingerprint is of the changes' base too.
    Base(u64),
}

impl Event {
    /// The file is about to say this.
    pub(crate) fn base(file: &Desired) -> Self {
        Self::Base(fingerprint(file))
    }
}

impl Whole {
    /// What to remember of a daemon.
    pub(crate) fn new(
        file: &Desired,
        running: &Desired,
        health: impl IntoIterator<Item = (Target, Health, u64)>,
        hops: &BTreeMap<IpAddr, Hop>,
    ) -> Self {
        let (filed, ran) = (by_name(file), by_name(running));
        let differs = |service: &&Service| {
            let index = filed.get(service.name.as_str());
            index.and_then(|index| file.services.get(*index)) != Some(service)
        };
        let changed = running.services.iter().filter(differs).cloned().collect();
        let gone = file.services.iter().filter(|service| !ran.contains_key(service.name.as_str()));
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
        let mut ways: HashMap<Hop, Vec<IpAddr>> = HashMap::new();
        for (address, hop) in hops {
            ways.entry(*hop).or_default().push(*address);
        }
        let ways = ways.into_iter().map(|(hop, to)| Way { hop, to }).collect();
        Self { version: VERSION, base: fingerprint(file), changed, removed, health, ways }
    }
}

/// What was done to a service.
enum Changed<'s> {
    To(&'s Service),
    Removed(&'s str),
}

/// Where each service is.
fn by_name(desired: &Desired) -> HashMap<&str, usize> {
    let names = desired.services.iter().map(|service| service.name.as_str());
    names.zip(0..).collect()
}

impl State {
    /// The desired state that ran: the file with the changes. `None`: the file is another one than
    /// the changes were made to.
    pub(crate) fn running(&self, file: &Desired) -> Option<Desired> {
        let found = fingerprint(file);
        let is_base = |event: &Event| *event == Event::Base(found);
        if found != self.whole.base && !self.since.iter().any(is_base) {
            return None;
        }
        let mut services: Vec<_> = file.services.iter().map(Some).collect();
        let mut places = by_name(file);
        for change in self.changes() {
            match change {
                Changed::Removed(name) => {
                    let place = places.remove(name).and_then(|place| services.get_mut(place));
                    if let Some(place) = place {
                        *place = None;
                    }
                }
                Changed::To(service) => {
                    let place = *places.entry(&service.name).or_insert(services.len());
                    match services.get_mut(place) {
                        Some(place) => *place = Some(service),
                        None => services.push(Some(service)),
                    }
                }
            }
        }
        let services = services.into_iter().flatten().cloned().collect();
        let running = Desired { services };
        running.validate().is_ok().then_some(running)
    }

    /// What was done to the services of the file, in this order.
    fn changes(&self) -> impl Iterator<Item = Changed<'_>> {
        let Whole { changed, removed, .. } = &self.whole;
        let whole = removed.iter().map(|name| Changed::Removed(name));
        let whole = whole.chain(changed.iter().map(Changed::To));
        whole.chain(self.since.iter().filter_map(|event| match event {
            Event::Service(service) => Some(Changed::To(service)),
            Event::Removed(name) => Some(Changed::Removed(name)),
            Event::Health { .. } | Event::Hop { .. } | Event::Base(_) => None,
        }))
    }

    /// Health of targets and when it last changed; what is told later of one holds.
    pub(crate) fn health(&self) -> impl Iterator<Item = (Target, Health, u64)> {
        let whole = self.whole.health.iter().flat_map(|Checked { check, up, down }| {
            let up = up.iter().map(|found| (found, Health::Up));
            let down = down.iter().map(|found| (found, Health::Down));
            up.chain(down).map(|((address, since), health)| {
                (Target { address: *address, check: check.clone() }, health, *since)
            })
        });
        whole.chain(self.since.iter().filter_map(|event| match event {
            Event::Health { address, check, health, since } => {
                Some((Target { address: *address, check: check.clone() }, *health, *since))
            }
            Event::Hop { .. } | Event::Service(_) | Event::Removed(_) | Event::Base(_) => None,
        }))
    }

    /// The ways to the servers.
    pub(crate) fn hops(&self) -> BTreeMap<IpAddr, Hop> {
        let ways = self.whole.ways.iter();
        let mut hops: BTreeMap<_, _> =
            ways.flat_map(|way| way.to.iter().map(|address| (*address, way.hop))).collect();
        for event in &self.since {
            match event {
                Event::Hop { address, hop: Some(hop) } => drop(hops.insert(*address, *hop)),
                Event::Hop { address, hop: None } => drop(hops.remove(address)),
                Event::Health { .. } | Event::Service(_) | Event::Removed(_) | Event::Base(_) => {}
            }
        }
        hops
    }

    /// Whether changes were made that the file does not have.
    pub(crate) fn has_changes(&self) -> bool {
        self.changes().next().is_some()
    }
}

/// Where the state of the daemon with this socket lies.
pub(crate) fn path_of(socket: &Path) -> PathBuf {
    socket.with_extension("state.json")
}

/// Reads a state; `None`: there is none that can be used.
pub(crate) fn read(path: &Path) -> Option<State> {
    let bytes = fs::read(path).ok()?;
    let mut values = serde_json::Deserializer::from_slice(&bytes);
    let whole = Whole::deserialize(&mut values).ok()?;
    // The last one may be a part only: its writer was killed, and nothing was done yet.
    let since = values.into_iter().map_while(Result::ok).collect();
    (whole.version == VERSION).then_some(State { whole, since })
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

#[cfg(test)]
mod tests;
