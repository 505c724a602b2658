//! Network interfaces.
use std::collections::BTreeMap;

/// An Ethernet address.
pub type Mac = [u8; 6];

/// A network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number for it.
    pub index: u32,
    /// Its name, such as `eth0`.
    pub name: String,
    /// Its Ethernet address; `None`: it has none, as a tunnel or another point-to-point link.
    pub mac: Option<Mac>,
    /// The largest IP packet it takes, in bytes.
    pub mtu: u32,
    /// Switched on by the operator.
    pub up: bool,
}

/// All network interfaces of the namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links(BTreeMap<u32, Link>);

impl Links {
    /// The interface with this index.
    pub fn get(&self, index: u32) -> Option<&Link> {
        self.0.get(&index)
    }

    /// The interface with this name.
    pub fn by_name(&self, name: &str) -> Option<&Link> {
        self.0.values().find(|link| link.name == name)
    }

    /// All of them by index.
    pub fn iter(&self) -> impl Iterator<Item = &Link> {
        self.0.values()
    }

    /// Takes the place of the interface with the same index, which is returned.
    pub(crate) fn insert(&mut self, link: Link) -> Option<Link> {
        self.0.insert(link.index, link)
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<Link> {
        self.0.remove(&index)
    }
}

impl FromIterator<Link> for Links {
    fn from_iter<I: IntoIterator<Item = Link>>(links: I) -> Self {
        Self(links.into_iter().map(|link| (link.index, link)).collect())
    }
}
