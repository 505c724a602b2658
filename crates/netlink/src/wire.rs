//! The kernel's messages to the types of this crate and back: pure functions on bytes.
//!
//! Notifications that matter only because something changed are not decoded further than that.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the kernel's kinds and attributes are open sets: what is not known is ignored"
)]
use std::net::IpAddr;

use netlink_packet_core::{
    DecodeError, Emitable, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer, NetlinkMessage, Parseable,
};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage},
    neighbour::{
        NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage,
        NeighbourState,
    },
    route::{
        RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteProtocol,
        RouteType, RouteVia,
    },
};
use rustix::io::Errno;

use crate::{
    link::Link,
    neighbour::{Neighbour, NeighbourKey, Owner},
    route::{NextHop, Range, Resolution, Unreachable},
};

/// Marks the neighbours that lvs made (`proto 76` in `ip neigh`), so that a daemon that takes over
/// knows them. The number is free in the kernel's rtnetlink.h and in iproute2's list.
const PROTOCOL: u8 = 76;

/// Bits of the multicast groups whose notifications [`event`] understands.
pub(crate) const GROUPS: u32 = group(1) // RTNLGRP_LINK
    | group(3) // RTNLGRP_NEIGH
    | group(5) // RTNLGRP_IPV4_IFADDR
    | group(7) // RTNLGRP_IPV4_ROUTE
    | group(8) // RTNLGRP_IPV4_RULE
    | group(9) // RTNLGRP_IPV6_IFADDR
    | group(11) // RTNLGRP_IPV6_ROUTE
    | group(19) // RTNLGRP_IPV6_RULE
    | group(32); // RTNLGRP_NEXTHOP

const fn group(number: u32) -> u32 {
    1 << (number - 1)
}

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_NEWNEIGH: u16 = 28;
const RTM_DELNEIGH: u16 = 29;
const RTM_NEWRULE: u16 = 32;
const RTM_DELRULE: u16 = 33;
const RTM_NEWNEXTHOP: u16 = 104;
const RTM_DELNEXTHOP: u16 = 105;

/// One message of a datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    pub kind: u16,
    pub flags: u16,
    pub sequence: u32,
    pub payload: &'a [u8],
}

/// The messages of a datagram. Ends early at one whose length is wrong.
pub(crate) fn frames(mut datagram: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    std::iter::from_fn(move || {
        let message = NetlinkBuffer::new_checked(datagram).ok()?;
        let length = usize::try_from(message.length()).ok()?.next_multiple_of(4);
        datagram = datagram.get(length..).unwrap_or_default();
        Some(Frame {
            kind: message.message_type(),
            flags: message.flags(),
            sequence: message.sequence_number(),
            payload: message.payload(),
        })
    })
}

/// How a message ends or answers a request; `None`: it carries data.
pub(crate) fn verdict(frame: &Frame<'_>) -> Option<Result<(), Errno>> {
    if frame.kind != NLMSG_ERROR && frame.kind != NLMSG_DONE {
        return None;
    }
    let code = frame.payload.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
    Some(if code == 0 { Ok(()) } else { Err(Errno::from_raw_os_error(code.saturating_abs())) })
}

/// What a notification means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A link is new or has changed.
    Link(Link),
    /// A link is gone.
    LinkGone(u32),
    /// A neighbour is new or has changed.
    Neighbour(Neighbour),
    /// A neighbour's entry is gone.
    NeighbourGone(NeighbourKey),
    /// Routes to these addresses may have changed.
    Routes(Range),
    /// Every route may have changed.
    AllRoutes,
}

/// Understands a notification; `None`: it does not concern us.
pub(crate) fn event(frame: &Frame<'_>) -> Result<Option<Event>, DecodeError> {
    Ok(match frame.kind {
        RTM_NEWLINK => link(frame)?.map(Event::Link),
        RTM_DELLINK => link(frame)?.map(|link| Event::LinkGone(link.index)),
        RTM_NEWNEIGH => neighbour(frame)?.map(Event::Neighbour),
        RTM_DELNEIGH => neighbour(frame)?.map(|neighbour| Event::NeighbourGone(neighbour.key)),
        RTM_NEWROUTE | RTM_DELROUTE => changed_routes(&RouteMessage::parse(frame.payload)?),
        RTM_NEWADDR | RTM_DELADDR | RTM_NEWRULE | RTM_DELRULE | RTM_NEWNEXTHOP | RTM_DELNEXTHOP => {
            Some(Event::AllRoutes)
        }
        _ => None,
    })
}

fn changed_routes(message: &RouteMessage) -> Option<Event> {
    // The kernel's own cache of exceptions: it follows from the routes.
    if message.header.flags.contains(RouteFlags::Cloned) {
        return None;
    }
    let destination = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(address) => route_address(address),
        _ => None,
    });
    // A default route names no destination: everything may go another way.
    Some(destination.map_or(Event::AllRoutes, |address| {
        Event::Routes(Range::of_prefix(address, message.header.destination_prefix_length))
    }))
}

/// The gateways that a route goes through; `None`: the message is none of a new unicast route.
pub(crate) fn gateways(frame: &Frame<'_>) -> Result<Option<Vec<NeighbourKey>>, DecodeError> {
    if frame.kind != RTM_NEWROUTE {
        return Ok(None);
    }
    let message = RouteMessage::parse(frame.payload)?;
    if message.header.kind != RouteType::Unicast
        || message.header.flags.contains(RouteFlags::Cloned)
    {
        return Ok(None);
    }
    let mut found: Vec<_> = gateway(&message.attributes).into_iter().collect();
    for attribute in &message.attributes {
        if let RouteAttribute::MultiPath(hops) = attribute {
            found.extend(hops.iter().filter_map(|hop| {
                let key = gateway(&hop.attributes)?;
                Some(NeighbourKey { interface: hop.interface_index, ..key })
            }));
        }
    }
    Ok(Some(found))
}

/// The gateway among these attributes, on interface 0 where they name none.
fn gateway(attributes: &[RouteAttribute]) -> Option<NeighbourKey> {
    let interface = attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    });
    let address = attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(address) => route_address(address),
        RouteAttribute::Via(RouteVia::Inet(v4)) => Some(IpAddr::V4(*v4)),
        RouteAttribute::Via(RouteVia::Inet6(v6)) => Some(IpAddr::V6(*v6)),
        _ => None,
    })?;
    Some(NeighbourKey { interface: interface.unwrap_or(0), address })
}

/// A link; `None`: the message is about its bridge port or another family's view of it.
pub(crate) fn link(frame: &Frame<'_>) -> Result<Option<Link>, DecodeError> {
    let message = LinkMessage::parse(frame.payload)?;
    let header = &message.header;
    if header.interface_family != AddressFamily::Unspec {
        return Ok(None);
    }
    let ethernet = header.link_layer_type == LinkLayerType::Ether;
    let up = header.flags.contains(LinkFlags::Up);
    let mut link = Link { index: header.index, name: String::new(), mac: None, mtu: 0, up };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Address(bytes) if ethernet => link.mac = bytes.try_into().ok(),
            _ => {}
        }
    }
    Ok(Some(link))
}

/// A neighbour; `None`: not one of IPv4 or IPv6.
pub(crate) fn neighbour(frame: &Frame<'_>) -> Result<Option<Neighbour>, DecodeError> {
    let message = NeighbourMessage::parse(frame.payload)?;
    let header = &message.header;
    let (mut address, mut mac, mut extended, mut ours) =
        (None, None, NeighbourExtFlags::empty(), false);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => {
                address = Some(IpAddr::V4(*v4));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => {
                address = Some(IpAddr::V6(*v6));
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = bytes.as_slice().try_into().ok(),
            NeighbourAttribute::ExtFlags(flags) => extended = *flags,
            NeighbourAttribute::Protocol(protocol) => ours = u8::from(*protocol) == PROTOCOL,
            _ => {}
        }
    }
    let managed = extended.contains(NeighbourExtFlags::Managed);
    let fixed = matches!(header.state, NeighbourState::Permanent | NeighbourState::Noarp);
    let owner = if fixed {
        Owner::Foreign
    } else if ours {
        Owner::Lvs
    } else if managed || header.flags.contains(NeighbourFlags::ExtLearned) {
        Owner::Foreign
    } else {
        Owner::Kernel
    };
    Ok(address.map(|address| Neighbour {
        key: NeighbourKey { interface: header.ifindex, address },
        mac,
        failed: header.state == NeighbourState::Failed,
        managed,
        owner,
    }))
}

/// The answer to [`route_request`] for `address`.
pub(crate) fn resolution(frame: &Frame<'_>, address: IpAddr) -> Result<Resolution, DecodeError> {
    let message = RouteMessage::parse(frame.payload)?;
    Ok(match message.header.kind {
        RouteType::Local | RouteType::Anycast => Resolution::Local,
        RouteType::Unicast => next_hop(&message, address)
            .map_or(Resolution::Unreachable(Unreachable::NoRoute), Resolution::Via),
        RouteType::BlackHole => Resolution::Unreachable(Unreachable::Blackhole),
        RouteType::Unreachable => Resolution::Unreachable(Unreachable::Host),
        RouteType::Prohibit => Resolution::Unreachable(Unreachable::Prohibited),
        RouteType::Broadcast | RouteType::Multicast => {
            Resolution::Unreachable(Unreachable::NotUnicast)
        }
        _ => Resolution::Unreachable(Unreachable::NoRoute),
    })
}

fn next_hop(message: &RouteMessage, address: IpAddr) -> Option<NextHop> {
    let unspecified = match address {
        IpAddr::V4(_) => IpAddr::from([0; 4]),
        IpAddr::V6(_) => IpAddr::from([0; 16]),
    };
    let (mut interface, mut gateway, mut source, mut mtu) = (None, None, None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(index) => interface = Some(*index),
            RouteAttribute::Gateway(address) => gateway = route_address(address),
            RouteAttribute::Via(RouteVia::Inet(v4)) => gateway = Some(IpAddr::V4(*v4)),
            RouteAttribute::Via(RouteVia::Inet6(v6)) => gateway = Some(IpAddr::V6(*v6)),
            RouteAttribute::PrefSource(address) => source = route_address(address),
            RouteAttribute::Metrics(metrics) => {
                mtu = metrics.iter().find_map(|metric| match metric {
                    RouteMetric::Mtu(mtu) if *mtu != 0 => Some(*mtu),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    Some(NextHop {
        interface: interface?,
        address: gateway.unwrap_or(address),
        source: source.unwrap_or(unspecified),
        mtu,
    })
}

fn route_address(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}

/// Appends one request to a datagram.
pub(crate) fn push(
    datagram: &mut Vec<u8>,
    message: RouteNetlinkMessage,
    flags: u16,
    sequence: u32,
) {
    let mut message = NetlinkMessage::from(message);
    message.header.flags = flags;
    message.header.sequence_number = sequence;
    message.finalize();
    let start = datagram.len();
    datagram.resize(start + message.buffer_len().next_multiple_of(4), 0);
    if let Some(room) = datagram.get_mut(start..) {
        message.emit(room);
    }
}

/// Asks for all links.
pub(crate) fn links_request() -> RouteNetlinkMessage {
    RouteNetlinkMessage::GetLink(LinkMessage::default())
}

/// Asks for the neighbours of all families.
pub(crate) fn neighbours_request() -> RouteNetlinkMessage {
    RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default())
}

/// Asks for the routes of all families.
pub(crate) fn routes_request() -> RouteNetlinkMessage {
    RouteNetlinkMessage::GetRoute(RouteMessage::default())
}

/// Asks which way a packet to `address` would take.
pub(crate) fn route_request(address: IpAddr) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = family(address);
    message.header.destination_prefix_length = if address.is_ipv4() { 32 } else { 128 };
    message.attributes.push(RouteAttribute::Destination(address.into()));
    RouteNetlinkMessage::GetRoute(message)
}

/// Asks for one neighbour.
pub(crate) fn neighbour_request(key: NeighbourKey) -> RouteNetlinkMessage {
    RouteNetlinkMessage::GetNeighbour(neighbour_message(key))
}

/// Asks the kernel to resolve a neighbour now and to keep its answer fresh.
///
/// "Use" resolves it also where the kernel is too old to manage it (before 5.16, where the flag is
/// ignored). "Learned" keeps it out of the garbage collector and of the limit of the table
/// (`gc_thresh3`, 1024 by default), so that thousands of servers need no tuning.
pub(crate) fn manage_request(key: NeighbourKey) -> RouteNetlinkMessage {
    let mut message = neighbour_message(key);
    message.header.flags = NeighbourFlags::Use | NeighbourFlags::ExtLearned;
    message.attributes.push(NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed));
    message.attributes.push(NeighbourAttribute::Protocol(RouteProtocol::from(PROTOCOL)));
    RouteNetlinkMessage::NewNeighbour(message)
}

/// Removes a neighbour.
pub(crate) fn release_request(key: NeighbourKey) -> RouteNetlinkMessage {
    RouteNetlinkMessage::DelNeighbour(neighbour_message(key))
}

fn neighbour_message(key: NeighbourKey) -> NeighbourMessage {
    let address = match key.address {
        IpAddr::V4(v4) => NeighbourAddress::Inet(v4),
        IpAddr::V6(v6) => NeighbourAddress::Inet6(v6),
    };
    let mut message = NeighbourMessage::default();
    message.header.family = family(key.address);
    message.header.ifindex = key.interface;
    message.attributes.push(NeighbourAttribute::Destination(address));
    message
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

#[cfg(test)]
mod tests;
