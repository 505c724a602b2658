//! The packets that are sent.
use std::net::SocketAddr;

use lvs_core::wire::Protocol;
use lvs_lab::packet::{self, flags};

use crate::{
    place::{DIRECTOR_MAC, ROUTER_MAC},
    wrapper::{Config, HEADER},
};

/// A frame, and where the flow's number goes.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// That of flow 0.
    pub(crate) bytes: Vec<u8>,
    /// Where the flow's client is named.
    pub(crate) client: Client,
}

/// Where a packet names the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    Source,
    Destination,
    Nowhere,
}

/// What a segment does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Opens the connection.
    Syn,
    /// Belongs to it.
    Ack,
}

/// Flows in order, or most packets from few of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// Flows. A power of two: each gets a packet before any gets the next; another number of them: at
    /// most two, and at least one of twice as many.
    pub(crate) flows: u64,
    /// So many get nine tenths of the packets.
    pub(crate) hot: Option<u64>,
}

impl Frame {
    /// A packet of flow 0, of the shortest Ethernet frame with IPv4.
    pub(crate) fn new(protocol: Protocol, from: SocketAddr, to: SocketAddr, kind: Kind) -> Self {
        let packet = match protocol {
            Protocol::Tcp => {
                let flags = if kind == Kind::Syn { flags::SYN } else { flags::ACK };
                packet::tcp(from, to, flags, &[0x5a; 6])
            }
            Protocol::Udp => packet::udp(from, to, &[0x5a; 18]),
        };
        let bytes = packet::ethernet_ip(DIRECTOR_MAC, ROUTER_MAC, &packet);
        Self { bytes, client: Client::Source }
    }

    /// An ARP request for the director's address.
    pub(crate) fn arp() -> Self {
        let body = [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 2, 192, 0, 2, 2, 0, 0, 0, 0, 0, 0];
        let body = [&body[..], &[192, 0, 2, 1], &[0; 18]].concat();
        let bytes = packet::ethernet([0xff; 6], ROUTER_MAC, 0x0806, &body);
        Self { bytes, client: Client::Nowhere }
    }

    /// IP version; 4 for what is not IP.
    pub(crate) fn version(&self) -> u8 {
        if self.bytes.get(12..14) == Some(&[0x86, 0xdd]) { 6 } else { 4 }
    }

    /// Where the last four bytes of the client's address are.
    fn client_at(&self) -> Option<usize> {
        match (self.version(), self.client) {
            (_, Client::Nowhere) => None,
            (4, Client::Source) => Some(26),
            (4, Client::Destination) => Some(30),
            (_, Client::Source) => Some(34),
            (_, Client::Destination) => Some(50),
        }
    }

    /// Has the wrapper send this packet with the client's address that of `base` and above, and
    /// take off again as much as the program under test adds.
    pub(crate) fn config(&self, base: u32, order: Order, outer: u16) -> Config {
        let mut header = [0; HEADER];
        header.iter_mut().zip(&self.bytes).for_each(|(to, from)| *to = *from);
        if let Some(at) = self.client_at() {
            header.iter_mut().skip(at).take(4).for_each(|byte| *byte = 0);
        }
        let mask = |client| if self.client == client { u32::MAX.into() } else { 0 };
        let (numbers, scale) = if order.flows.is_power_of_two() {
            (order.flows - 1, 1 << 32)
        } else {
            (u32::MAX.into(), order.flows)
        };
        Config {
            next: 0,
            mask: numbers,
            scale,
            // Far from the flow before, and from all its neighbours.
            stride: if order.flows > 1 << 30 { 1 } else { 0x9e37_79bb },
            hot_mask: order.hot.map_or(0, |hot| hot - 1),
            cold_share: if order.hot.is_some() { 102 } else { 0 },
            base: base.into(),
            source: mask(Client::Source),
            destination: mask(Client::Destination),
            len: self.bytes.len() as u64,
            outer: outer.into(),
            header,
        }
    }
}
