//! What is known about the ways to the real servers: events in, questions and changes out.
//!
//! No socket, clock or task is in here. The driver feeds what the kernel says, asks what
//! [`Cache::take_questions`] and [`Cache::take_wanted`] want to know, and passes
//! [`Cache::take_changes`] on. Many addresses share a next hop: it is followed once.
use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    net::IpAddr,
};

use lvs_model::observed::Hop;

use crate::{
    link::{Link, Links, Mac},
    neighbour::{Neighbour, NeighbourKey, Owner},
    route::{NextHop, Range, Resolution, Unreachable},
    wire::Event,
};

/// The way to a real server has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The real server's address.
    pub address: IpAddr,
    /// The new way, or why there is none.
    pub hop: Result<Hop, Unresolved>,
}

/// Why the way to a real server is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// Its route was not asked for yet.
    #[error("not looked up yet")]
    Unasked,
    /// No route leads to it.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The interface of its route is gone.
    #[error("interface {0} is gone")]
    NoLink(u32),
    /// Its route leaves through a tunnel or another link without MAC addresses.
    #[error("interface {0} is point-to-point: it has no MAC address")]
    PointToPoint(u32),
    /// The next hop was asked for its MAC address and has not answered yet.
    #[error("waiting for the MAC address of {0}")]
    Waiting(IpAddr),
    /// The next hop never told its MAC address.
    #[error("{0} does not tell its MAC address")]
    Silent(IpAddr),
}

/// All that is known. See the module.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    links: Links,
    ways: BTreeMap<IpAddr, Way>,
    neighbours: BTreeMap<NeighbourKey, Followed>,
    /// Gateways of routes: answers to clients take these ways without any entry of ours.
    gateways: BTreeSet<NeighbourKey>,
    /// Addresses whose route is to be asked.
    questions: BTreeSet<IpAddr>,
    /// Neighbours to be read and managed.
    wanted: BTreeSet<NeighbourKey>,
    /// Entries of ours that nobody needs any more.
    released: BTreeSet<NeighbourKey>,
    /// Addresses whose hop may have changed.
    touched: BTreeSet<IpAddr>,
}

/// Tells apart two times of following the same address, one after the other.
pub(crate) type Serial = u64;

/// Who follows gateways: no address of a server.
const CLIENTS: IpAddr = IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED);

/// The way to one address.
#[derive(Debug)]
struct Way {
    serial: Serial,
    resolution: Option<Resolution>,
    /// What was last passed on.
    told: Option<Result<Hop, Unresolved>>,
}

/// A neighbour that at least one way goes through.
#[derive(Debug)]
struct Followed {
    users: BTreeSet<IpAddr>,
    /// The last one known: it outlives failure, because a server's health is not judged here.
    mac: Option<Mac>,
    failed: bool,
    managed: bool,
    owner: Owner,
}

impl Cache {
    /// The interfaces as last heard.
    pub(crate) fn links(&self) -> &Links {
        &self.links
    }

    /// Follows exactly these addresses. One with another serial than before went and came back in
    /// between: whoever listens has forgotten its way, so it is a new one.
    pub(crate) fn set_addresses(&mut self, addresses: &BTreeMap<IpAddr, Serial>) {
        let gone =
            self.ways.iter().filter(|(known, way)| addresses.get(known) != Some(&way.serial));
        let gone: Vec<_> = gone.map(|(address, _)| *address).collect();
        for address in gone {
            if let Some(way) = self.ways.remove(&address) {
                self.unfollow(key(way.resolution), address);
            }
            self.questions.remove(&address);
            self.touched.remove(&address);
        }
        for (address, serial) in addresses {
            self.ways.entry(*address).or_insert_with(|| {
                self.questions.insert(*address);
                Way { serial: *serial, resolution: None, told: None }
            });
        }
        for key in self.gateways.clone() {
            if self.ways.is_empty() {
                self.unfollow(Some(key), CLIENTS);
            } else {
                self.follow_gateway(key);
            }
        }
    }

    /// Takes in gateways of routes. The kernel knows the way to a client by its MAC address only
    /// while somebody keeps it: packets that the program sends do not.
    pub(crate) fn on_gateways(&mut self, gateways: impl IntoIterator<Item = NeighbourKey>) {
        for key in gateways {
            if self.gateways.insert(key) && !self.ways.is_empty() {
                self.follow_gateway(key);
            }
        }
    }

    fn follow_gateway(&mut self, key: NeighbourKey) {
        if self.links.get(key.interface).is_some_and(|link| link.mac.is_some()) {
            self.follow(Some(key), CLIENTS);
        }
    }

    /// Takes in a notification.
    pub(crate) fn on_event(&mut self, event: Event) {
        match event {
            Event::Link(link) => self.on_link(link),
            Event::LinkGone(index) => {
                if self.links.remove(index).is_some() {
                    self.touch_link(index);
                    self.ask_all();
                }
            }
            Event::Neighbour(neighbour) => self.on_neighbour(&neighbour),
            Event::NeighbourGone(key) => self.on_neighbour_gone(key),
            Event::Routes(range) => self.ask_range(range),
            Event::AllRoutes => self.ask_all(),
        }
    }

    /// Takes in a listing of all links: at the start, and when notifications were lost.
    pub(crate) fn on_links(&mut self, links: Links) {
        self.links = links;
        self.touched.extend(self.ways.keys());
        self.ask_all();
    }

    fn on_link(&mut self, link: Link) {
        let index = link.index;
        let (mac, mtu, up) = (link.mac, link.mtu, link.up);
        let before = self.links.insert(link);
        if before.as_ref().is_none_or(|old| old.up != up) {
            self.ask_all();
        }
        if before.is_none_or(|old| (old.mac, old.mtu) != (mac, mtu)) {
            self.touch_link(index);
        }
    }

    /// Takes in the answer to one of [`Cache::take_questions`].
    pub(crate) fn on_resolution(&mut self, address: IpAddr, resolution: Resolution) {
        let Some(way) = self.ways.get_mut(&address) else { return };
        let before = key(way.resolution.replace(resolution));
        self.touched.insert(address);
        let after = key(Some(resolution));
        if before != after {
            self.follow(after, address);
            self.unfollow(before, address);
        }
    }

    /// Takes in what the kernel knows about a neighbour.
    pub(crate) fn on_neighbour(&mut self, neighbour: &Neighbour) {
        let Some(followed) = self.neighbours.get_mut(&neighbour.key) else { return };
        let mac = neighbour.mac.or(followed.mac);
        if (mac, neighbour.failed) != (followed.mac, followed.failed) {
            self.touched.extend(&followed.users);
        }
        followed.mac = mac;
        followed.failed = neighbour.failed;
        followed.managed = neighbour.managed;
        followed.owner = neighbour.owner;
    }

    fn on_neighbour_gone(&mut self, key: NeighbourKey) {
        if let Some(followed) = self.neighbours.get_mut(&key) {
            followed.managed = false;
            followed.owner = Owner::Kernel;
            self.wanted.insert(key);
        }
    }

    /// Takes in a listing of all neighbours. Entries of ours that no way needs are leftovers of a
    /// daemon before this one.
    pub(crate) fn on_neighbours(&mut self, neighbours: &[Neighbour]) {
        let listed: BTreeSet<_> = neighbours.iter().map(|neighbour| neighbour.key).collect();
        let lost: Vec<_> =
            self.neighbours.keys().filter(|key| !listed.contains(key)).copied().collect();
        for key in lost {
            self.on_neighbour_gone(key);
        }
        for neighbour in neighbours {
            if self.neighbours.contains_key(&neighbour.key) {
                self.on_neighbour(neighbour);
            } else if neighbour.owner == Owner::Lvs {
                self.released.insert(neighbour.key);
            }
        }
    }

    /// The kernel has accepted to manage a neighbour.
    pub(crate) fn on_managed(&mut self, key: NeighbourKey) {
        if let Some(followed) = self.neighbours.get_mut(&key) {
            followed.owner = Owner::Lvs;
        } else {
            self.released.insert(key);
        }
    }

    /// Whether the kernel should be asked to manage this neighbour: not one that another made.
    pub(crate) fn is_ours_to_manage(&self, key: NeighbourKey) -> bool {
        self.neighbours.get(&key).is_some_and(|followed| followed.owner != Owner::Foreign)
    }

    /// Tries again what did not succeed: to be called every few seconds. For a kernel that manages
    /// no neighbours, this is what keeps them fresh.
    pub(crate) fn refresh(&mut self) {
        let unmanaged = self
            .neighbours
            .iter()
            .filter(|(_, followed)| followed.owner != Owner::Foreign && !followed.managed);
        self.wanted.extend(unmanaged.map(|(key, _)| *key));
    }

    /// Addresses whose route is to be asked now.
    pub(crate) fn take_questions(&mut self) -> Vec<IpAddr> {
        mem::take(&mut self.questions).into_iter().collect()
    }

    /// Neighbours to be read and, where [`Cache::is_ours_to_manage`] then, managed.
    pub(crate) fn take_wanted(&mut self) -> Vec<NeighbourKey> {
        mem::take(&mut self.wanted).into_iter().collect()
    }

    /// Neighbours to be removed.
    pub(crate) fn take_released(&mut self) -> Vec<NeighbourKey> {
        mem::take(&mut self.released).into_iter().collect()
    }

    /// Hops that are not what was last passed on.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for address in mem::take(&mut self.touched) {
            let Some(resolution) = self.ways.get(&address).and_then(|way| way.resolution) else {
                continue;
            };
            let hop = self.hop(resolution);
            if let Some(way) = self.ways.get_mut(&address)
                && way.told.replace(hop) != Some(hop)
            {
                changes.push(Change { address, hop });
            }
        }
        changes
    }

    fn hop(&self, resolution: Resolution) -> Result<Hop, Unresolved> {
        let next = match resolution {
            Resolution::Local => return Ok(Hop::Local),
            Resolution::Unreachable(reason) => return Err(reason.into()),
            Resolution::Via(next) => next,
        };
        let link = self.links.get(next.interface).ok_or(Unresolved::NoLink(next.interface))?;
        let source_mac = link.mac.ok_or(Unresolved::PointToPoint(next.interface))?;
        let followed = self.neighbours.get(&next.key()).ok_or(Unresolved::Waiting(next.address))?;
        let neighbour_mac = followed.mac.ok_or(if followed.failed {
            Unresolved::Silent(next.address)
        } else {
            Unresolved::Waiting(next.address)
        })?;
        Ok(Hop::Link {
            interface: next.interface,
            source_mac,
            neighbour_mac,
            source: next.source,
            mtu: next.mtu.map_or(link.mtu, |mtu| mtu.min(link.mtu)),
        })
    }

    fn follow(&mut self, key: Option<NeighbourKey>, user: IpAddr) {
        let Some(key) = key else { return };
        let followed = self.neighbours.entry(key).or_insert_with(|| {
            self.wanted.insert(key);
            Followed {
                users: BTreeSet::new(),
                mac: None,
                failed: false,
                managed: false,
                owner: Owner::Kernel,
            }
        });
        followed.users.insert(user);
        self.released.remove(&key);
    }

    fn unfollow(&mut self, key: Option<NeighbourKey>, user: IpAddr) {
        let Some(key) = key else { return };
        let Some(followed) = self.neighbours.get_mut(&key) else { return };
        followed.users.remove(&user);
        if followed.users.is_empty() {
            if followed.owner == Owner::Lvs {
                self.released.insert(key);
            }
            self.neighbours.remove(&key);
            self.wanted.remove(&key);
        }
    }

    fn touch_link(&mut self, index: u32) {
        let through = self.ways.iter().filter(|(_, way)| {
            matches!(way.resolution, Some(Resolution::Via(next)) if next.interface == index)
        });
        self.touched.extend(through.map(|(address, _)| *address));
    }

    fn ask_all(&mut self) {
        self.questions.extend(self.ways.keys());
    }

    fn ask_range(&mut self, range: Range) {
        self.questions
            .extend(self.ways.range(range.first..=range.last).map(|(address, _)| *address));
    }
}

impl NextHop {
    fn key(&self) -> NeighbourKey {
        NeighbourKey { interface: self.interface, address: self.address }
    }
}

fn key(resolution: Option<Resolution>) -> Option<NeighbourKey> {
    match resolution {
        Some(Resolution::Via(next)) => Some(next.key()),
        Some(Resolution::Local | Resolution::Unreachable(_)) | None => None,
    }
}

#[cfg(test)]
mod tests;
