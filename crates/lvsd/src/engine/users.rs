//! Who uses what is watched.
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use lvs_model::{
    desired::{Desired, Service},
    observed::Target,
};

/// Services by what they want watched; a service is told by its place among the services.
#[derive(Debug, Default)]
pub(super) struct Users {
    targets: BTreeMap<Target, Vec<(usize, SocketAddr)>>,
    addresses: BTreeMap<IpAddr, Vec<usize>>,
}

/// What nobody uses any more.
#[derive(Debug, Default)]
pub(super) struct Unused {
    pub(super) targets: Vec<Target>,
    pub(super) addresses: Vec<IpAddr>,
}

impl Users {
    /// All of a desired state.
    pub(super) fn of(desired: &Desired) -> Self {
        let mut users = Self::default();
        for (place, service) in desired.services.iter().enumerate() {
            users.add(place, service);
        }
        users
    }

    /// Takes in a service.
    pub(super) fn add(&mut self, place: usize, service: &Service) {
        for server in &service.servers {
            self.addresses.entry(server.address.ip()).or_default().push(place);
            if let Some(target) = service.target_of(server) {
                self.targets.entry(target).or_default().push((place, server.address));
            }
        }
    }

    /// Forgets a service that was taken in.
    pub(super) fn remove(&mut self, place: usize, service: &Service) -> Unused {
        let mut unused = Unused::default();
        for server in &service.servers {
            let address = server.address.ip();
            if remove(&mut self.addresses, &address, &place) {
                unused.addresses.push(address);
            }
            if let Some(target) = service.target_of(server)
                && remove(&mut self.targets, &target, &(place, server.address))
            {
                unused.targets.push(target);
            }
        }
        unused
    }

    /// Takes in that a place is gone, whose service was removed: the next ones move up.
    pub(super) fn close(&mut self, place: usize) {
        let targets = self.targets.values_mut().flatten().map(|(of, _)| of);
        for of in targets.chain(self.addresses.values_mut().flatten()) {
            *of -= usize::from(*of > place);
        }
    }

    /// Targets that nobody uses yet.
    pub(super) fn new_targets(&self, service: &Service) -> BTreeSet<Target> {
        let targets = service.servers.iter().filter_map(|server| service.target_of(server));
        targets.filter(|target| !self.targets.contains_key(target)).collect()
    }

    /// Whether a service has a server on an address where none was before.
    pub(super) fn has_new_address(&self, service: &Service) -> bool {
        let mut addresses = service.servers.iter().map(|server| server.address.ip());
        addresses.any(|address| !self.addresses.contains_key(&address))
    }

    /// What others use and these do not.
    pub(super) fn unused_of(&self, others: &Self) -> Unused {
        let targets = others.targets.keys().filter(|target| !self.targets.contains_key(target));
        let addresses = others.addresses.keys();
        let addresses = addresses.filter(|address| !self.addresses.contains_key(address));
        Unused { targets: targets.cloned().collect(), addresses: addresses.copied().collect() }
    }

    /// Servers for which a target speaks.
    pub(super) fn of_target(&self, target: &Target) -> &[(usize, SocketAddr)] {
        self.targets.get(target).map_or(&[], Vec::as_slice)
    }

    /// Services with a server on an address.
    pub(super) fn of_address(&self, address: &IpAddr) -> &[usize] {
        self.addresses.get(address).map_or(&[], Vec::as_slice)
    }

    /// All targets.
    pub(super) fn targets(&self) -> impl Iterator<Item = &Target> {
        self.targets.keys()
    }

    /// All addresses.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &IpAddr> {
        self.addresses.keys()
    }
}

/// Removes one user; true: it was the last one.
fn remove<K: Ord, V: PartialEq>(users: &mut BTreeMap<K, Vec<V>>, used: &K, user: &V) -> bool {
    let Some(all) = users.get_mut(used) else { return false };
    if let Some(index) = all.iter().position(|one| one == user) {
        all.swap_remove(index);
    }
    let last = all.is_empty();
    if last {
        users.remove(used);
    }
    last
}
