//! Forwarding methods: how a packet reaches its real server.
//!
//! Each is a file of its own that rewrites the packet, and a row in [`Method`]'s table.
pub mod direct;
pub mod nat;
pub mod tunnel;

use crate::{
    answer,
    director::Verdict,
    family::{Family, Ip},
    flow::Flow,
    packet::{Packet, Truncated},
    tables::{Event, Server, Tables},
    wire::{
        Be16, Raw32,
        ethernet::{LEN, Macs, TAG, write_macs},
        icmp,
    },
};

/// How packets of a virtual service reach a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Method {
    /// Direct routing (IPVS `-g`): only the MAC addresses change.
    Direct = 1,
    /// Tunnelling (IPVS `-i`): the packet travels inside an IPIP packet.
    Tunnel = 2,
    /// Network address translation (IPVS `-m`), both directions through the director.
    Nat = 3,
    /// The director itself is the real server; the packet goes up its own stack.
    Local = 4,
}

impl Method {
    /// All methods.
    pub const ALL: [Self; 4] = [Self::Direct, Self::Tunnel, Self::Nat, Self::Local];

    /// Its name in configurations and listings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Tunnel => "tunnel",
            Self::Nat => "nat",
            Self::Local => "local",
        }
    }

    /// Bytes that it adds to a packet on its way to a server of this IP version.
    pub const fn overhead(self, version: u8) -> u16 {
        match self {
            Self::Tunnel if version == 4 => 20,
            Self::Tunnel => 40,
            Self::Direct | Self::Nat | Self::Local => 0,
        }
    }
}

/// Sends a packet of a balanced connection to its server; `event` says what is counted then.
#[inline(always)]
pub fn send<F: Family>(
    packet: &mut impl Packet,
    flow: &Flow<F>,
    server: &Server,
    event: Event,
) -> Verdict {
    if let Err(verdict) = admit(packet, &flow.ip, server) {
        return verdict;
    }
    if F::decrement_ttl(packet, flow.ip.l3()).is_err() {
        return Verdict::drop(Event::NoRoom);
    }
    let done = match server.method {
        TUNNEL => tunnel::encapsulate(packet, &flow.ip, server),
        NAT => nat::to_server(packet, flow, server),
        _ => direct::readdress(packet, server.macs),
    };
    leave(packet, done, server.interface, event)
}

/// Sends an ICMP error to the server that it concerns, as it is but for the tunnel's header.
#[inline(always)]
pub fn carry<F: Family>(
    packet: &mut impl Packet,
    ip: &Ip<F>,
    server: &Server,
    event: Event,
) -> Verdict {
    if let Err(verdict) = admit(packet, ip, server) {
        return verdict;
    }
    if F::decrement_ttl(packet, ip.l3()).is_err() {
        return Verdict::drop(Event::NoRoom);
    }
    let done = match server.method {
        TUNNEL => tunnel::encapsulate(packet, ip, server),
        _ => direct::readdress(packet, server.macs),
    };
    leave(packet, done, server.interface, event)
}

/// Whether a packet can take its way to the server. As IPVS does, whatever the method: a packet
/// that has no hop left or is too large for the way is answered instead. Unlike IPVS it is so
/// answered without DF too, since nothing here can fragment.
#[inline(always)]
fn admit<F: Family>(packet: &mut impl Packet, ip: &Ip<F>, server: &Server) -> Result<(), Verdict> {
    if server.method == LOCAL {
        return Err(Verdict::pass(Event::Local));
    }
    if server.interface == 0 {
        return Err(Verdict::drop(Event::Unresolved));
    }
    if ip.ttl > 1 && ip.len <= server.mtu {
        return Ok(());
    }
    // An ICMP error is never answered with another (RFC 1122, section 3.2.2).
    if ip.protocol == F::ICMP {
        return Err(Verdict::drop(Event::NoRoom));
    }
    let (error, event) = if ip.ttl <= 1 {
        (icmp::Error::TimeExceeded, Event::TimeExceeded)
    } else {
        (icmp::Error::TooBig(server.mtu), Event::TooBig)
    };
    Err(answer::error(packet, ip, error, event))
}

/// Sends an answer of a server behind NAT to its client, the way that the routing table says.
#[inline(always)]
pub fn send_back<F: Family>(
    packet: &mut impl Packet,
    tables: &impl Tables,
    flow: &Flow<F>,
    server: &Server,
) -> Verdict {
    if flow.ip.ttl <= 1 {
        return answer::error(packet, &flow.ip, icmp::Error::TimeExceeded, Event::TimeExceeded);
    }
    let (source, client) = (server.virtual_address, F::words(flow.ip.destination));
    let Some(route) = tables.route(F::VERSION, source, client, flow.ip.len) else {
        return Verdict::drop(Event::NoRoute);
    };
    if flow.ip.len > route.mtu {
        return answer::error(packet, &flow.ip, icmp::Error::TooBig(route.mtu), Event::TooBig);
    }
    let done = F::decrement_ttl(packet, flow.ip.l3())
        .and_then(|()| nat::to_client(packet, flow, server, route.macs));
    leave(packet, done, route.interface, Event::Reply)
}

/// Sends a packet that is already translated the way that the routing table says.
#[inline(always)]
pub fn route<F: Family>(
    packet: &mut impl Packet,
    tables: &impl Tables,
    ip: &Ip<F>,
    source: F::Address,
    event: Event,
) -> Verdict {
    let (source, destination) = (F::words(source), F::words(ip.destination));
    let Some(route) = tables.route(F::VERSION, source, destination, ip.len) else {
        return Verdict::drop(Event::NoRoute);
    };
    // An ICMP error is never answered with another.
    if ip.ttl <= 1 || ip.len > route.mtu {
        return Verdict::drop(Event::NoRoute);
    }
    let done =
        F::decrement_ttl(packet, ip.l3()).and_then(|()| direct::readdress(packet, route.macs));
    leave(packet, done, route.interface, event)
}

const LOCAL: u8 = Method::Local as u8;
const TUNNEL: u8 = Method::Tunnel as u8;
const NAT: u8 = Method::Nat as u8;

/// Sends a finished packet out.
#[inline(always)]
pub fn leave(
    packet: &impl Packet,
    done: Result<(), Truncated>,
    interface: u32,
    event: Event,
) -> Verdict {
    match done {
        Ok(()) if interface == packet.interface() => Verdict::transmit(event),
        Ok(()) => Verdict::redirect(interface, event),
        Err(Truncated) => Verdict::drop(Event::NoRoom),
    }
}

/// Moves the front of the packet outwards by `by` bytes and writes a link header there: the MAC
/// addresses, the VLAN tags that the packet has, the ethertype.
#[inline(always)]
pub(crate) fn prepend(
    packet: &mut impl Packet,
    l3: usize,
    by: usize,
    macs: Macs,
    ethertype: u16,
) -> Result<(), Truncated> {
    packet.grow_front(by as i32)?;
    link(packet, l3, by, macs, ethertype)
}

/// Writes the link header of a packet whose front was moved outwards by `by` bytes: see [`prepend`].
#[inline(always)]
fn link(
    packet: &mut impl Packet,
    l3: usize,
    by: usize,
    macs: Macs,
    ethertype: u16,
) -> Result<(), Truncated> {
    if l3 != LEN {
        return link_tagged(packet, l3, by, macs, ethertype);
    }
    write_macs(packet, macs)?;
    packet.put(LEN - 2, Be16::new(ethertype))
}

#[inline(always)]
fn link_tagged(
    packet: &mut impl Packet,
    l3: usize,
    by: usize,
    macs: Macs,
    ethertype: u16,
) -> Result<(), Truncated> {
    packet.look_anew();
    let mut tags = [Raw32::new(0); 2];
    // The ethertypes of the tags move with their contents.
    for (number, tag) in tags.iter_mut().enumerate() {
        if l3 > LEN + number * TAG {
            *tag = *packet.view(by + LEN - 2 + number * TAG)?;
        }
    }
    write_macs(packet, macs)?;
    for (number, tag) in tags.into_iter().enumerate() {
        if l3 > LEN + number * TAG {
            packet.put(LEN - 2 + number * TAG, tag)?;
            packet.put(LEN - 2 + (number + 1) * TAG, Be16::new(ethertype))?;
        }
    }
    Ok(())
}
