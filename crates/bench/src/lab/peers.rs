//! What sends packets on: lvs, and what the kernel has for it.
mod floor;
mod lvs;
mod nft;
mod route;

use std::path::Path;

use anyhow::Result;
use lvs_core::{forward::Method, scheduler::Scheduler, wire::Protocol};
use lvs_lab::Lab;
use lvs_model::desired::Entries;

pub(crate) use nft::{CONNECTIONS as TRACKED, LIMITS, balance};

use super::cable::{Cable, SERVERS};
use crate::{frame::Kind, scenario::Service};

/// Who sends packets on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// An XDP program that sends each packet back: the least that any can do.
    Floor,
    Lvs(Method),
    /// The kernel's routing, to this number of next hops.
    Route(u16),
    /// The kernel's connection tracking, with a rule that translates addresses.
    Nft,
}

/// A director that is set up, as long as this lives.
pub(crate) enum Director {
    Floor { _program: aya::Ebpf },
    Lvs(Box<lvs::Lvs>),
    Route,
    Nft,
}

impl Peer {
    /// Its name in tables.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Floor => "F, bare XDP_TX".to_owned(),
            Self::Lvs(method) => format!("lvs, {}", method.name()),
            Self::Route(1) => "routing, one next hop".to_owned(),
            Self::Route(hops) => format!("routing, ECMP over {hops}"),
            Self::Nft => "nft, dnat by jhash".to_owned(),
        }
    }

    /// It is part of this project.
    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::Lvs(_))
    }

    /// The service that does with packets what this peer does; `None`: it changes nothing.
    pub(crate) fn service(self) -> Option<Service> {
        let (method, servers) = match self {
            Self::Floor => return None,
            Self::Lvs(method) => (method, SERVERS),
            // A router leaves addresses as they are, as direct routing does.
            Self::Route(hops) => (Method::Direct, hops),
            Self::Nft => (Method::Nat, SERVERS),
        };
        let (protocol, scheduler) = (Protocol::Tcp, Scheduler::Rr);
        Some(Service { method, protocol, scheduler, version: 4, servers, state: Entries::All })
    }

    /// The packets by which a connection becomes known, for each flow in turn.
    pub(crate) fn opening(self) -> &'static [Kind] {
        match self {
            Self::Floor | Self::Route(_) => &[],
            Self::Lvs(_) => &[Kind::Syn, Kind::Ack],
            // Without the server's answer, an ACK after the SYN would be invalid; one alone is
            // taken for an established connection (`nf_conntrack_tcp_loose`).
            Self::Nft => &[Kind::Ack],
        }
    }

    /// Sets a director up.
    pub(crate) fn set_up(self, lab: &Lab, pins: &Path, cable: &Cable) -> Result<Director> {
        match self {
            Self::Floor => {
                let program = floor::attach(cable)?;
                Ok(Director::Floor { _program: program })
            }
            Self::Lvs(_) => {
                let service = self.service();
                Ok(Director::Lvs(Box::new(lvs::Lvs::start(pins, cable, service.into_iter())?)))
            }
            Self::Route(hops) => route::add(cable, hops).map(|()| Director::Route),
            Self::Nft => nft::add(lab, cable).map(|()| Director::Nft),
        }
    }
}

impl Director {
    /// Connections that it knows; `None`: it knows of none.
    pub(crate) fn connections(&self, cable: &Cable) -> Result<Option<u64>> {
        match self {
            Self::Floor { .. } | Self::Route => Ok(None),
            Self::Lvs(lvs) => Ok(Some(lvs.connections())),
            Self::Nft => nft::connections(cable).map(Some),
        }
    }

    /// Makes room for connections that are still to come.
    pub(crate) fn forget(&mut self) {
        match self {
            Self::Lvs(lvs) => lvs.forget(),
            // nft's table has room for all.
            Self::Floor { .. } | Self::Route | Self::Nft => {}
        }
    }
}
