//! Runs scenarios, on the host or in the kernel.
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use lvs_core::{
    clock::Ticks,
    connection::{Slot, Word},
    director::{self, Action},
    hash::Keys,
    load,
    packet::Buffer,
    shared::Shared64,
    tables::{Event, Route, Tables},
    wire::ethernet,
};
use lvs_dataplane::{Capacity, Dataplane, Filter};
use lvs_lab::Lab;
use lvs_model::plan::Plan;

use crate::{
    scenario::{Arrival, Check, Room, Scenario, Step},
    verify::verify,
    world::{CLIENT_MAC, CLIENTS, CLIENTS_MAC, VERSIONS, client},
};

/// Numbers of the kernel's `XDP_DROP`, `XDP_PASS`, `XDP_TX` and `XDP_REDIRECT`.
const VERDICTS: [(u32, Action); 4] =
    [(1, Action::Drop), (2, Action::Pass), (3, Action::Transmit), (4, Action::Redirect(0))];

pub(crate) const KEYS: Keys = Keys([
    0x9e37_79b9_7f4a_7c15,
    0xbf58_476d_1ce4_e5b9,
    0x94d0_49bb_1331_11eb,
    0xd6e8_feb8_6659_fd93,
    0xa5a3_564e_27f8_8c51,
    0xc2b2_ae3d_27d4_eb4f,
]);

/// Tables, and the build of the director that works on them.
pub(crate) struct Runner {
    pub(crate) dataplane: Dataplane,
    kernel: bool,
}

/// What became of a packet.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    /// The interface of a redirection is 0 when the kernel redirects: it does not tell.
    pub(crate) action: Action,
    /// What was counted, sorted.
    pub(crate) events: Vec<Event>,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) fn capacity(room: Room) -> Capacity {
    let connections = match room {
        Room::Ample => 1000,
        Room::Four => 1,
    };
    Capacity { connections, services: 32, servers: 128 }
}

/// The only way that there is, to clients: as the namespace of [`in_kernel`] has it.
pub(crate) fn route(_: u8, _: [u32; 4], destination: [u32; 4], _: u16) -> Option<Route> {
    let near = VERSIONS.iter().any(|version| words(client(*version, 0).ip()) == destination);
    // Those of the recordings of IPVS.
    let recorded = matches!(destination[0].to_ne_bytes(), [10, 0, 0, 2] | [10, 8, ..]);
    let known = near || recorded;
    let macs = ethernet::macs(CLIENT_MAC, CLIENTS_MAC);
    known.then_some(Route { macs, interface: CLIENTS, mtu: 1500 })
}

fn words(address: IpAddr) -> [u32; 4] {
    match address {
        IpAddr::V4(address) => [u32::from_ne_bytes(address.octets()), 0, 0, 0],
        IpAddr::V6(address) => {
            let octets = address.octets();
            [0, 4, 8, 12].map(|at| u32::from_ne_bytes(octets[at..at + 4].try_into().unwrap()))
        }
    }
}

/// Runs `act` where the kernel program finds the interfaces and neighbours of the scenarios.
pub(crate) fn in_kernel(act: impl FnOnce() + Send) {
    let lab = match Lab::new("lvs-scenarios") {
        Ok(lab) => lab,
        Err(error) => panic!("{error:#}"),
    };
    let namespace = lab.namespace("director").unwrap();
    let mac = |mac: [u8; 6]| mac.map(|byte| format!("{byte:02x}")).join(":");
    let (v4, v6) = (client(4, 0).ip(), client(6, 0).ip());
    let neighbour = mac(CLIENT_MAC);
    namespace
        .ip(&[
            format!("link add c0 index 11 address {} type veth peer name c1", mac(CLIENTS_MAC)),
            "link add s0 index 12 type veth peer name s1".to_owned(),
            "link set c0 up".to_owned(),
            "link set c1 up".to_owned(),
            "link set s0 up".to_owned(),
            "link set s1 up".to_owned(),
            "address add 198.51.100.1/24 dev c0".to_owned(),
            "address add 2001:db8:1::1/64 dev c0 nodad".to_owned(),
            format!("route add 10.0.0.2/32 via {v4}"),
            format!("route add 10.8.0.0/16 via {v4}"),
            format!("neigh replace {v4} lladdr {neighbour} nud permanent dev c0"),
            format!("neigh replace {v6} lladdr {neighbour} nud permanent dev c0"),
        ])
        .unwrap();
    namespace.sysctl("net.ipv4.ip_forward", "1").unwrap();
    namespace.sysctl("net.ipv6.conf.all.forwarding", "1").unwrap();
    let result = namespace.run(|| {
        act();
        Ok(())
    });
    result.unwrap();
}

impl Runner {
    pub(crate) fn host(capacity: Capacity) -> Self {
        let dataplane = Dataplane::in_memory(capacity, 1, KEYS, || {}).unwrap();
        Self { dataplane, kernel: false }
    }

    /// Tables with the keys of another data plane.
    pub(crate) fn host_like(capacity: Capacity, other: &Self) -> Self {
        let keys = other.dataplane.host().keys();
        let dataplane = Dataplane::in_memory(capacity, 1, keys, || {}).unwrap();
        Self { dataplane, kernel: false }
    }

    pub(crate) fn kernel(capacity: Capacity) -> Self {
        let dataplane = match Dataplane::load_detached(capacity) {
            Ok(dataplane) => dataplane,
            Err(error) => {
                panic!("the kernel program does not load, or you are not root: {error:?}")
            }
        };
        Self { dataplane, kernel: true }
    }

    /// Sends a packet through the director.
    pub(crate) fn send(&self, interface: u32, packet: &[u8]) -> Outcome {
        let before = self.dataplane.counters().events;
        let (action, bytes) = if self.kernel {
            let (verdict, bytes) = self.dataplane.test_run(packet, interface).unwrap();
            let known = VERDICTS.iter().find(|(number, _)| *number == verdict);
            (known.unwrap_or_else(|| panic!("verdict {verdict}")).1, bytes)
        } else {
            let host = self.dataplane.host().routing(&route);
            let mut buffer = Buffer::new(packet, interface);
            let verdict = director::process(&mut buffer, &host);
            host.count_event(verdict.event());
            (verdict.action(), buffer.bytes().to_vec())
        };
        let after = self.dataplane.counters().events;
        let counted = before.iter().zip(&after).flat_map(|((event, before), (_, after))| {
            std::iter::repeat_n(*event, usize::try_from(after - before).unwrap())
        });
        Outcome { action, events: counted.collect(), bytes }
    }

    /// Runs one scenario, then empties the tables.
    pub(crate) fn run(&mut self, scenario: &Scenario) {
        let mut sent = [Ticks(0); 2];
        for (number, step) in scenario.steps.iter().enumerate() {
            match step {
                Step::Plan(plan) => drop(self.dataplane.apply(plan).unwrap()),
                Step::Packet(arrival) => {
                    let before = self.dataplane.host().now();
                    let outcome = self.send(arrival.interface, &arrival.packet);
                    sent = [before, self.dataplane.host().now()];
                    self.judge(scenario, number, arrival, &outcome);
                }
                Step::Age(client, seconds) => self.change(*client, |word| {
                    let expires = Ticks(word.expires().0.wrapping_sub(ticks(*seconds)));
                    Word::new(expires, word.state(), word.server())
                }),
                Step::State(client, state) => {
                    self.change(*client, |word| Word::new(word.expires(), *state, word.server()));
                }
                Step::Reset(service, server) => assert!(self.dataplane.reset(service, *server)),
                Step::Flush => drop(self.dataplane.flush(Filter::default())),
                Step::Sweep => drop(self.dataplane.sweep().unwrap()),
            }
            self.recount(&scenario.name);
        }
        for check in &scenario.after {
            self.check(scenario, check, sent);
        }
        self.dataplane.apply(&Plan::default()).unwrap();
        self.dataplane.flush(Filter::default());
        self.dataplane.sweep().unwrap();
        self.dataplane.sweep().unwrap();
        assert_eq!(self.slots(), 0, "{}", scenario.name);
    }

    fn judge(&self, scenario: &Scenario, number: usize, arrival: &Arrival, outcome: &Outcome) {
        let place = if self.kernel { "in the kernel" } else { "on the host" };
        let at = format!("{}, step {number}, {place}", scenario.name);
        let expected = &arrival.expected;
        let action = match expected.action {
            Action::Redirect(_) if self.kernel => Action::Redirect(0),
            other => other,
        };
        let mut events = expected.events.clone();
        events.sort_unstable();
        assert_eq!((outcome.action, &outcome.events), (action, &events), "{at}");
        if let Some(bytes) = &expected.bytes
            && *bytes != outcome.bytes
        {
            let first = bytes.iter().zip(&outcome.bytes).position(|(a, b)| a != b);
            panic!(
                "{at}\nfirst difference: {first:?}\nexpected {bytes:02x?}\ngot      {:02x?}",
                outcome.bytes
            );
        }
        if matches!(outcome.action, Action::Transmit | Action::Redirect(_)) {
            assert_eq!(verify(&outcome.bytes), Ok(()), "{at}: {:02x?}", outcome.bytes);
        }
    }

    fn check(&self, scenario: &Scenario, check: &Check, sent: [Ticks; 2]) {
        let place = if self.kernel { "in the kernel" } else { "on the host" };
        let at = format!("{}, {place}: {check:?}", scenario.name);
        match check {
            Check::Connection { client, server, state, seconds } => {
                let own = |c: &lvs_dataplane::Connection| c.client == *client;
                let found: Vec<_> =
                    self.dataplane.connections(Filter::default()).filter(own).collect();
                let [found] = &found[..] else { panic!("{at}: {found:?}") };
                assert_eq!((found.server, found.state), (*server, *state), "{at}");
                let (expires, timeout) = (self.word_of(*client).expires(), ticks(*seconds));
                assert!(found.expires.as_millis() <= Ticks::millis(timeout).into(), "{at}");
                // One that stays in its state may live longer by one part in 64.
                let [earliest, latest] = sent.map(|sent| sent.after(timeout));
                let latest = latest.after(timeout / 64);
                // The kernel counts jiffies: at the end of a tick it may be a moment ahead or behind.
                let off = i32::from(self.kernel);
                let in_time = expires.since(earliest) >= -off && latest.since(expires) >= -off;
                assert!(in_time, "{at}: {earliest:?} <= {expires:?} <= {latest:?}");
            }
            Check::None(client) => {
                let filter = Filter { client: Some(client.ip()), ..Filter::default() };
                let found = self.dataplane.connections(filter).find(|c| c.client == *client);
                assert_eq!(found, None, "{at}");
            }
            Check::Counters { service, server, connections, packets, bytes } => {
                let readings = self.dataplane.counters();
                let (counters, _) = readings.servers[&(*service, *server)];
                assert_eq!(
                    (
                        counters.connections,
                        [counters.packets_in, counters.packets_out],
                        [counters.bytes_in, counters.bytes_out]
                    ),
                    (*connections, *packets, *bytes),
                    "{at}"
                );
            }
            Check::Load { service, server, load } => {
                let (_, counted) = self.dataplane.counters().servers[&(*service, *server)];
                assert_eq!([counted.active, counted.inactive], *load, "{at}");
            }
            Check::Slots(slots) => assert_eq!(self.slots(), *slots, "{at}"),
        }
    }

    /// Every slot that holds a connection, with its client.
    pub(crate) fn each_slot(&self, mut act: impl FnMut(SocketAddr, &Shared64)) {
        let host = self.dataplane.host();
        let mut slot = |word: &Shared64, address: IpAddr, port: u64| {
            if Word(word.get()).is_connection() {
                act((address, u16::from_be(port as u16)).into(), word);
            }
        };
        for slots in (0..host.narrow_sets()).map(|set| &host.narrow(set).unwrap().slots) {
            for narrow in slots {
                let key = narrow.key();
                slot(narrow.word(), ((key >> 32) as u32).to_ne_bytes().into(), key >> 16);
            }
        }
        for slots in (0..host.wide_sets()).map(|set| &host.wide(set).unwrap().slots) {
            for wide in slots {
                let [high, low, rest] = wide.key();
                let mut octets = [0; 16];
                for (at, word) in [(0, high >> 32), (4, high), (8, low >> 32), (12, low)] {
                    octets[at..at + 4].copy_from_slice(&(word as u32).to_ne_bytes());
                }
                slot(wide.word(), octets.into(), rest >> 16);
            }
        }
    }

    fn slots(&self) -> usize {
        let mut slots = 0;
        self.each_slot(|_, _| slots += 1);
        slots
    }

    fn word_of(&self, client: SocketAddr) -> Word {
        let mut words = Vec::new();
        self.each_slot(|of, word| {
            if of == client {
                words.push(Word(word.get()));
            }
        });
        let [word] = words[..] else { panic!("{client} has {} connections", words.len()) };
        word
    }

    /// Changes the word of a client's connection, as time or packets would.
    fn change(&self, client: SocketAddr, change: impl Fn(Word) -> Word) {
        let host = self.dataplane.host();
        let mut changed = 0;
        self.each_slot(|of, slot| {
            if of == client {
                let before = Word(slot.get());
                let after = change(before);
                slot.set(after.0);
                let loads = load::of(after.state()).wrapping_sub(load::of(before.state()));
                load::charge(&host, before.server(), loads);
                changed += 1;
            }
        });
        assert_eq!(changed, 1, "connections of {client}");
    }

    /// Counts anew what each server's word of loads should say.
    pub(crate) fn recount(&self, at: &str) {
        let mut counted: HashMap<u32, u64> = HashMap::new();
        self.each_slot(|_, slot| {
            let word = Word(slot.get());
            let load = counted.entry(word.server()).or_default();
            *load = load.wrapping_add(load::of(word.state()));
        });
        let host = self.dataplane.host();
        for server in 0..u32::MAX {
            let Some(load) = host.load(server) else { break };
            let counted = counted.remove(&server).unwrap_or(0);
            assert_eq!(load.word.get(), counted, "{at}: load of server {server}");
        }
        assert!(counted.is_empty(), "{at}: connections of servers that are not there");
    }
}

/// Whole ticks of the data plane's clock that cover as many seconds.
fn ticks(seconds: u64) -> u32 {
    u32::try_from(seconds * 1_000_000_000 / (1 << 28) + 1).unwrap()
}
