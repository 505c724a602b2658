//! Entries of the kernel's neighbour tables.
use std::net::IpAddr;

use crate::link::Mac;

/// What names a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NeighbourKey {
    pub interface: u32,
    pub address: IpAddr,
}

/// A neighbour as the kernel describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Neighbour {
    pub key: NeighbourKey,
    /// Present once the neighbour has answered.
    pub mac: Option<Mac>,
    /// It did not answer the last time it was asked.
    pub failed: bool,
    /// The kernel asks it again by itself before the answer gets old.
    pub managed: bool,
    /// Who made the entry.
    pub owner: Owner,
}

/// Who made an entry, which decides who may change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A resolver of lvs, this one or one before it.
    Lvs,
    /// The kernel, on behalf of some packet: it comes and goes.
    Kernel,
    /// The operator or another program (static, learned or managed): used, never touched.
    Foreign,
}
