//! What is measured: one row each.
use std::thread;

use lvs_core::{
    director::Step,
    forward::Method::{self, Direct, Nat, Tunnel},
    scheduler::Scheduler::{self, Mh, Rr, Sh, Wlc},
    wire::Protocol::{self, Tcp, Udp},
};

use lvs_model::desired::Entries::{self, All, Moved};

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
    /// On how many CPUs at once; what counts is the slowest.
    pub(crate) cpus: u32,
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
    /// As the practical floor, after a dependent read from a random place of the memory of a large
    /// table.
    Memory,
    /// The data plane.
    Lvs(Traffic),
}

/// Packets for the data plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Traffic {
    /// Of established connections.
    Known(Service, Order),
    /// Likewise, only up to a step of their way.
    Until(Step, Service, Order),
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
    pub(crate) servers: u16,
    /// Which connections have an entry.
    pub(crate) state: Entries,
}

impl Scenario {
    /// What others are compared with.
    pub(crate) fn bare(subject: Subject, version: u8) -> Self {
        let name = match subject {
            Subject::Floor => format!("F, bare XDP_TX, v{version}"),
            Subject::Practical => format!("P, swap and encapsulate, v{version}"),
            Subject::Memory | Subject::Lvs(_) => MEMORY.to_owned(),
        };
        Self { name, version, subject, cpus: 1, target: None }
    }

    /// Bytes that are added to each packet.
    pub(crate) fn outer(&self) -> u16 {
        let method = match self.subject {
            Subject::Floor | Subject::Lvs(Traffic::Until(..) | Traffic::Foreign | Traffic::Arp) => {
                return 0;
            }
            Subject::Practical | Subject::Memory => Tunnel,
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
    /// So many times another scenario.
    Times(f64, &'static str),
}
use Target::{Floor, Practical, Times};

impl Target {
    /// The multiple.
    pub(crate) fn most(self) -> f64 {
        match self {
            Floor(most) | Practical(most) | Times(most, _) => most,
        }
    }

    /// Addresses are four times as long: it may be a quarter more.
    fn for_ipv6(self) -> Self {
        const MORE: f64 = 1.25;
        match self {
            Floor(times) => Floor(times * MORE),
            Practical(times) => Practical(times * MORE),
            Times(..) => self,
        }
    }
}

/// The row of [`Subject::Memory`].
pub(crate) const MEMORY: &str = "M, P and a random read, 1 Mi";

/// Rows that are always measured.
pub(crate) const FLOORS: usize = 4;

/// All flows get as many packets.
const fn uniform(flows: u64) -> Order {
    Order { flows, hot: None }
}

const KI: u64 = 1 << 10;
const MI: u64 = 1 << 20;

/// Known connections: each method, and its target with few flows.
const KNOWN: [(Method, Target); 3] =
    [(Direct, Practical(1.15)), (Tunnel, Practical(1.5)), (Nat, Practical(1.5))];

/// Numbers of flows, their names, and their target whatever the method.
const FEW: [(u64, &str); 2] = [(1, "1 flow"), (KI, "1 Ki")];
const MANY: [(u64, &str, Option<Target>); 2] =
    [(64 * KI, "64 Ki", None), (MI, "1 Mi", Some(Practical(4.2)))];

/// Likewise, of tables that are larger than any cache; the second as many as a large site has.
const HUGE: [(u64, &str); 2] = [(4 * MI, "4 Mi"), (10 * MI, "10 Mi")];

/// A new flow with every packet: scheduler, its servers, IP version, whether the table is full.
const NEW: [(Scheduler, u16, u8, bool, Option<Target>); 6] = [
    (Rr, 16, 4, false, Some(Practical(4.5))),
    (Wlc, 16, 4, false, Some(Practical(6.0))),
    (Wlc, 256, 4, false, Some(Practical(8.0))),
    (Mh, 16, 4, false, Some(Practical(4.5))),
    (Rr, 16, 6, false, Some(Practical(4.5))),
    (Rr, 16, 4, true, Some(Times(1.0, "new flow each, rr of 16, v4"))),
];

/// What passes by.
const FOREIGN: [(&str, Traffic, Option<Target>); 2] = [
    ("not ours, tcp v4", Traffic::Foreign, Some(Floor(1.6))),
    ("not IP, arp", Traffic::Arp, Some(Floor(1.6))),
];

/// All scenarios whose name is `wanted`, after the floors; `quick`: not those that differ little from
/// others and take long to prepare.
pub(crate) fn all(quick: bool, wanted: impl Fn(&str) -> bool) -> Vec<Scenario> {
    let floors = [4, 6].into_iter().flat_map(|version| {
        [Subject::Floor, Subject::Practical].map(|subject| Scenario::bare(subject, version))
    });
    let memory = Scenario::bare(Subject::Memory, 4);
    let rows = [memory]
        .into_iter()
        .chain(known())
        .chain(replies())
        .chain(many(quick))
        .chain(moved())
        .chain(new())
        .chain(foreign())
        .chain(on_two_cpus())
        .chain(profile().filter(move |_| !quick));
    floors.chain(rows.filter(|row| wanted(&row.name))).collect()
}

fn row(name: String, version: u8, traffic: Traffic, target: Option<Target>) -> Scenario {
    let target = target.map(|target| if version == 6 { target.for_ipv6() } else { target });
    Scenario { name, version, subject: Subject::Lvs(traffic), cpus: 1, target }
}

/// Protocols and IP versions.
const KINDS: [(Protocol, u8); 4] = [(Tcp, 4), (Udp, 4), (Tcp, 6), (Udp, 6)];

fn known() -> impl Iterator<Item = Scenario> {
    KNOWN.into_iter().flat_map(|(method, target)| {
        KINDS.into_iter().flat_map(move |kind| {
            FEW.map(|(flows, name)| one_known(method, kind, uniform(flows), name, Some(target)))
        })
    })
}

fn one_known(
    method: Method,
    (protocol, version): (Protocol, u8),
    order: Order,
    flows: &str,
    target: Option<Target>,
) -> Scenario {
    let service = Service { method, protocol, scheduler: Rr, version, servers: 16, state: All };
    let name = format!("{} {} v{version}, {flows}", method.name(), word(protocol));
    row(name, version, Traffic::Known(service, order), target)
}

fn replies() -> impl Iterator<Item = Scenario> {
    KINDS.into_iter().flat_map(|(protocol, version)| {
        // One server: whose answer it is, is then known without asking.
        let service =
            Service { method: Nat, protocol, scheduler: Rr, version, servers: 1, state: All };
        FEW.map(|(flows, name)| {
            let name = format!("nat reply {} v{version}, {name}", word(protocol));
            row(name, version, Traffic::Reply(service, uniform(flows)), Some(Practical(1.5)))
        })
    })
}

fn many(quick: bool) -> impl Iterator<Item = Scenario> {
    let all = MANY.into_iter().flat_map(|(flows, name, target)| {
        KNOWN.into_iter().flat_map(move |(method, _)| {
            KINDS.map(|kind| (kind, one_known(method, kind, uniform(flows), name, target)))
        })
    });
    let hot = Order { flows: MI, hot: Some(4 * KI) };
    let hot = one_known(Tunnel, (Tcp, 4), hot, "1 Mi, 90 % of 4 Ki", Some(Practical(1.9)));
    let huge = HUGE.into_iter().filter(move |_| !quick).flat_map(|(flows, name)| {
        [(Direct, "direct tcp v4, 1 Mi"), (Tunnel, "tunnel tcp v4, 1 Mi")].map(|(method, of)| {
            one_known(method, (Tcp, 4), uniform(flows), name, Some(Times(1.2, of)))
        })
    });
    let all = all.filter(move |(kind, _)| !quick || *kind == (Tcp, 4)).map(|(_, row)| row);
    all.chain(huge).chain([hot])
}

/// Services that remember only connections that moved, of which none has.
fn moved() -> impl Iterator<Item = Scenario> {
    let flows = FEW.into_iter().chain([(MI, "1 Mi"), (10 * MI, "10 Mi")]);
    let most = Some(Practical(1.45));
    let ways = [(Direct, Mh, most), (Tunnel, Mh, most), (Tunnel, Sh, most)];
    ways.into_iter().flat_map(move |(method, scheduler, target)| {
        flows.clone().map(move |(flows, name)| {
            let service =
                Service { method, protocol: Tcp, scheduler, version: 4, servers: 16, state: Moved };
            let name = format!("moved, {} by {}, v4, {name}", method.name(), scheduler.name());
            row(name, 4, Traffic::Known(service, uniform(flows)), target)
        })
    })
}

fn new() -> impl Iterator<Item = Scenario> {
    NEW.into_iter().map(|(scheduler, servers, version, full, target)| {
        let service =
            Service { method: Tunnel, protocol: Tcp, scheduler, version, servers, state: All };
        let (traffic, full) = if full {
            (Traffic::Flood(service), ", table full")
        } else {
            (Traffic::New(service), "")
        };
        let name = format!("new flow each, {} of {servers}, v{version}{full}", scheduler.name());
        row(name, version, traffic, target)
    })
}

fn foreign() -> impl Iterator<Item = Scenario> {
    FOREIGN.into_iter().map(|(name, traffic, target)| row(name.to_owned(), 4, traffic, target))
}

/// Rows of others, on two CPUs at once, where there are two.
/// Both get done 1.8 times as much as one, if the slower one takes so many times as long for a packet.
const SLOWER: f64 = 1.11;

fn on_two_cpus() -> impl Iterator<Item = Scenario> {
    let has_two = thread::available_parallelism().is_ok_and(|cpus| cpus.get() >= 2);
    let few = one_known(Tunnel, (Tcp, 4), uniform(KI), "1 Ki", None);
    let many = one_known(Tunnel, (Tcp, 4), uniform(MI), "1 Mi", None);
    let names = ["tunnel tcp v4, 1 Ki", "tunnel tcp v4, 1 Mi", "new flow each, rr of 16, v4"];
    let rows = [few, many].into_iter().chain(new().take(1)).zip(names);
    rows.filter(move |_| has_two).map(|(row, one)| Scenario {
        name: format!("{}, on 2 CPUs", row.name),
        cpus: 2,
        target: Some(Times(SLOWER, one)),
        ..row
    })
}

/// A known connection's packet, step by step.
fn profile() -> impl Iterator<Item = Scenario> {
    [(KI, "1 Ki"), (MI, "1 Mi")].into_iter().flat_map(|(flows, name)| {
        Step::ALL.map(|step| {
            let service = Service {
                method: Tunnel,
                protocol: Tcp,
                scheduler: Rr,
                version: 4,
                servers: 16,
                state: All,
            };
            let name = format!("profile, {name}: until {}", step.name());
            row(name, 4, Traffic::Until(step, service, uniform(flows)), None)
        })
    })
}

fn word(protocol: Protocol) -> &'static str {
    match protocol {
        Tcp => "tcp",
        Udp => "udp",
    }
}
