//! What is observed: health and the way to each real server.
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use serde::{Deserialize, Serialize};

use crate::desired::Check;

/// Everything observed that the plan depends on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Health of each target; one that is absent was not checked yet.
    pub health: BTreeMap<Target, Health>,
    /// The way to each real server's address; absent: not known yet.
    pub hops: BTreeMap<IpAddr, Hop>,
}

/// What is checked: one target however many services share the server and the check.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// Address and port that are asked.
    pub address: SocketAddr,
    /// How; its `port` is `None`, as the address has it.
    pub check: Check,
}

/// Health of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It passed `rise` checks.
    Up,
    /// It has not passed yet, or failed `fall` checks.
    Down,
}

/// The resolved way from the director to a real server's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Hop {
    /// The address is one of the director's own.
    Local,
    /// Through a neighbour on a link.
    Link {
        /// Outgoing interface.
        interface: u32,
        /// MAC address of that interface.
        source_mac: [u8; 6],
        /// MAC address of the neighbour: the server itself or the router on the way.
        neighbour_mac: [u8; 6],
        /// The director's address on the way: the outer source of a tunnel.
        source: IpAddr,
        /// Largest IP packet that fits the way, in bytes.
        mtu: u32,
    },
}
