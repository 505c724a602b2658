//! What is measured: one row each.
use lvs_core::{
    forward::Method::{self, Direct, Nat, Tunnel},
    scheduler::Scheduler::{self, Mh, Rr, Wlc},
    wire::Protocol::{self, Tcp, Udp},
};

use crate::frame::Order;

/// One measurement.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    /// Its name in tables.
    pub(crate) name: String,
    /// IP version.
    pub(crate) version: u8,
    /// What handles the packets.
    pub(crate) subject: Subject,
    /// What must be reached.
    pub(crate) target: Option<Target>,
}

/// What handles the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Floor F: sent back as it is.
    Floor,
    /// Floor P: addresses exchanged, IPIP header added.
    Practical,
    /// The data plane.
    Lvs(Traffic),
}

/// Packets for the data plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Traffic {
    /// Of established connections.
    Known(Service, Order),
    /// The server's answers to them.
    Reply(Service, Order),
    /// Each opens a connection.
    New(Service),
    /// Likewise, while the table is full of half-open ones.
    Flood(Service),
    /// TCP to an address that is not ours.
    Foreign,
    /// Not IP.
    Arp,
}

/// A virtual service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) method: Method,
    pub(crate) protocol: Protocol,
    pub(crate) scheduler: Scheduler,
    /// IP version.
    pub(crate) version: u8,
    /// Number of servers.
    pub(crate) servers: u8,
}

impl Scenario {
    /// Bytes that are added to each packet.
    pub(crate) fn outer(&self) -> u16 {
        let method = match self.subject {
            Subject::Floor | Subject::Lvs(Traffic::Foreign | Traffic::Arp) => return 0,
            Subject::Practical => Tunnel,
            Subject::Lvs(
                Traffic::Known(service, _)
                | Traffic::Reply(service, _)
                | Traffic::New(service)
                | Traffic::Flood(service),
            ) => service.method,
        };
        method.overhead(self.version)
    }
}

/// A ratio that must not be exceeded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    /// So many times F.
    Floor(f64),
    /// So many times P.
    Practical(f64),
}
use Target::{Floor, Practical};

/// Rows that are always measured.
pub(crate) const FLOORS: usize = 4;

/// All flows get as many packets.
const fn uniform(flows: u64) -> Order {
    Order { flows, hot: None }
}

const KI: u64 = 1 << 10;
const MI: u64 = 1 << 20;

/// Method, protocol, IP version, target: each with 1 flow and 1 Ki.
const KNOWN: [(Method, Protocol, u8, Option<Target>); 12] = [
    (Direct, Tcp, 4, Some(Practical(1.4))),
    (Direct, Udp, 4, Some(Practical(1.4))),
    (Direct, Tcp, 6, Some(Practical(1.4))),
    (Direct, Udp, 6, Some(Practical(1.4))),
    (Tunnel, Tcp, 4, Some(Practical(1.8))),
    (Tunnel, Udp, 4, Some(Practical(1.8))),
    (Tunnel, Tcp, 6, Some(Practical(1.8))),
    (Tunnel, Udp, 6, Some(Practical(1.8))),
    (Nat, Tcp, 4, None),
    (Nat, Udp, 4, None),
    (Nat, Tcp, 6, None),
    (Nat, Udp, 6, None),
];

/// Answers through NAT: protocol, IP version; each with 1 flow and 1 Ki.
const REPLY: [(Protocol, u8); 4] = [(Tcp, 4), (Udp, 4), (Tcp, 6), (Udp, 6)];

/// Method, protocol, IP version, flows, target.
const MANY: [(Method, Protocol, u8, Order, Option<Target>); 10] = [
    (Direct, Tcp, 4, uniform(64 * KI), None),
    (Tunnel, Tcp, 4, uniform(64 * KI), None),
    (Nat, Tcp, 4, uniform(64 * KI), None),
    (Tunnel, Tcp, 6, uniform(64 * KI), None),
    (Direct, Tcp, 4, uniform(MI), Some(Practical(4.6))),
    (Tunnel, Tcp, 4, uniform(MI), Some(Practical(4.6))),
    (Tunnel, Udp, 4, uniform(MI), Some(Practical(4.6))),
    (Nat, Tcp, 4, uniform(MI), Some(Practical(4.6))),
    (Tunnel, Tcp, 6, uniform(MI), Some(Practical(4.6))),
    (Tunnel, Tcp, 4, Order { flows: MI, hot: Some(4 * KI) }, None),
];

/// A new flow with every packet: scheduler, IP version, whether the table is full.
const NEW: [(Scheduler, u8, bool, Option<Target>); 5] = [
    (Rr, 4, false, Some(Practical(6.0))),
    (Wlc, 4, false, Some(Practical(6.0))),
    (Mh, 4, false, Some(Practical(6.0))),
    (Rr, 6, false, Some(Practical(6.0))),
    (Rr, 4, true, None),
];

/// What passes by.
const FOREIGN: [(&str, Traffic, Option<Target>); 2] = [
    ("not ours, tcp v4", Traffic::Foreign, Some(Floor(1.6))),
    ("not IP, arp", Traffic::Arp, Some(Floor(1.6))),
];

/// All scenarios whose name is `wanted`, after the floors.
pub(crate) fn all(wanted: impl Fn(&str) -> bool) -> Vec<Scenario> {
    let floors = [4, 6].into_iter().flat_map(|version| {
        [(Subject::Floor, "F, bare XDP_TX"), (Subject::Practical, "P, swap and encapsulate")].map(
            |(subject, name)| Scenario {
                name: format!("{name}, v{version}"),
                version,
                subject,
                target: None,
            },
        )
    });
    let rows = known().chain(replies()).chain(many()).chain(new()).chain(foreign());
    floors.chain(rows.filter(|row| wanted(&row.name))).collect()
}

fn row(name: String, version: u8, traffic: Traffic, target: Option<Target>) -> Scenario {
    Scenario { name, version, subject: Subject::Lvs(traffic), target }
}

fn few() -> [(Order, &'static str); 2] {
    [(uniform(1), "1 flow"), (uniform(KI), "1 Ki")]
}

fn known() -> impl Iterator<Item = Scenario> {
    KNOWN.into_iter().flat_map(|(method, protocol, version, target)| {
        let service = Service { method, protocol, scheduler: Rr, version, servers: 16 };
        few().map(|(order, flows)| {
            let name = format!("{} {} v{version}, {flows}", method.name(), word(protocol));
            row(name, version, Traffic::Known(service, order), target)
        })
    })
}

fn replies() -> impl Iterator<Item = Scenario> {
    REPLY.into_iter().flat_map(|(protocol, version)| {
        // One server: whose answer it is, is then known without asking.
        let service = Service { method: Nat, protocol, scheduler: Rr, version, servers: 1 };
        few().map(|(order, flows)| {
            let name = format!("nat reply {} v{version}, {flows}", word(protocol));
            row(name, version, Traffic::Reply(service, order), None)
        })
    })
}

fn many() -> impl Iterator<Item = Scenario> {
    MANY.into_iter().map(|(method, protocol, version, order, target)| {
        let service = Service { method, protocol, scheduler: Rr, version, servers: 16 };
        let hot = if order.hot.is_some() { ", 90 % of 4 Ki" } else { "" };
        let flows = if order.flows == MI { "1 Mi" } else { "64 Ki" };
        let name = format!("{} {} v{version}, {flows}{hot}", method.name(), word(protocol));
        row(name, version, Traffic::Known(service, order), target)
    })
}

fn new() -> impl Iterator<Item = Scenario> {
    NEW.into_iter().map(|(scheduler, version, full, target)| {
        let service = Service { method: Tunnel, protocol: Tcp, scheduler, version, servers: 16 };
        let (traffic, full) = if full {
            (Traffic::Flood(service), ", table full")
        } else {
            (Traffic::New(service), "")
        };
        let name = format!("new flow each, {} of 16, v{version}{full}", scheduler.name());
        row(name, version, traffic, target)
    })
}

fn foreign() -> impl Iterator<Item = Scenario> {
    FOREIGN.into_iter().map(|(name, traffic, target)| row(name.to_owned(), 4, traffic, target))
}

fn word(protocol: Protocol) -> &'static str {
    match protocol {
        Tcp => "tcp",
        Udp => "udp",
    }
}
