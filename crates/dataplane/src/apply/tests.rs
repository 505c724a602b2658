//! Plans of all kinds, one after the other, with connections in between.
use std::{collections::BTreeMap, net::SocketAddr};

use lvs_core::{
    director,
    hash::Keys,
    index,
    moved::Place,
    packet::Buffer,
    scheduler::{Cursor, Scheduler, SchedulerFlags},
    tables::{self, Standing, Tables as _},
    wire::Protocol,
};
use lvs_model::{
    desired::{Entries, Method, OnFailure, ServiceKey, Stray, Timeouts},
    observed::Hop,
    plan::{Admission, Plan, PlannedServer, PlannedService},
};
use proptest::prelude::*;

use crate::{
    Capacity, Dataplane, Filter,
    error::Error,
    explain::opening,
    index::{endpoint, words},
    mirror::{Free, Mirror},
    takeover,
};

const CAPACITY: Capacity = Capacity { connections: 1000, services: 6, servers: 40 };
const KEYS: Keys = Keys([0x1234_5678_9abc_def1, 3, 5, 7, 0x1_0000_0001, 11]);

fn keys() -> [ServiceKey; 5] {
    let at = |text: &str| text.parse().unwrap();
    [
        ServiceKey::tcp(at("192.0.2.1:80")),
        ServiceKey::udp(at("192.0.2.1:80")),
        ServiceKey::tcp(at("192.0.2.2:443")),
        ServiceKey::tcp(at("[2001:db8::1]:80")),
        ServiceKey::udp(at("[2001:db8::1]:53")),
    ]
}

fn server_address(key: &ServiceKey, number: u8) -> SocketAddr {
    let port = 8000 + u16::from(number % 2);
    match key.address {
        SocketAddr::V4(_) => ([10, 0, 0, number], port).into(),
        SocketAddr::V6(_) => ([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(number)], port).into(),
    }
}

prop_compose! {
    fn server(key: ServiceKey, number: u8)(
        weight in 0..4_u32,
        method in prop::sample::select(vec![Method::Direct, Method::Tunnel, Method::Nat, Method::Nat]),
        admission in prop::sample::select(vec![
            Admission::Open, Admission::Open, Admission::Open, Admission::Draining, Admission::Failed,
        ]),
        resolved in any::<bool>(),
    ) -> PlannedServer {
        let hop = Hop::Link {
            interface: 3,
            source_mac: [2, 0, 0, 0, 0, 1],
            neighbour_mac: [2, 0, 0, 0, 0, number],
            source: if key.address.is_ipv4() { [10, 0, 0, 254].into() } else { [0xfd00, 0, 0, 0, 0, 0, 0, 0xfe].into() },
            mtu: 1500,
        };
        let address = server_address(&key, number);
        PlannedServer { address, weight, method, admission, hop: resolved.then_some(hop) }
    }
}

fn service(key: ServiceKey) -> impl Strategy<Value = PlannedService> {
    let numbers = prop::sample::subsequence((1..=6_u8).collect::<Vec<_>>(), 0..=5).prop_shuffle();
    let servers = numbers.prop_flat_map(move |numbers| {
        numbers.into_iter().map(|number| server(key, number)).collect::<Vec<_>>()
    });
    let bits = (0..4_u8, any::<bool>(), any::<bool>(), any::<bool>());
    (prop::sample::select(Scheduler::ALL), bits, servers).prop_map(
        move |(scheduler, (flags, keep, stack, moved), servers)| PlannedService {
            key,
            scheduler,
            scheduler_flags: SchedulerFlags(flags),
            state: if moved && scheduler.is_hash() { Entries::Moved } else { Entries::All },
            stray: if stack { Stray::Stack } else { Stray::Hash },
            on_failure: if keep { OnFailure::Keep } else { OnFailure::Reset },
            timeouts: Timeouts::default(),
            servers,
        },
    )
}

/// Plans in a row; each leaves some services of the one before as they are.
fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let one = prop::sample::subsequence(keys().to_vec(), 0..=5)
        .prop_flat_map(|keys| keys.into_iter().map(service).collect::<Vec<_>>());
    prop::collection::vec((one, prop::collection::vec(any::<bool>(), 5)), 1..8).prop_map(|steps| {
        let mut held: BTreeMap<ServiceKey, PlannedService> = BTreeMap::new();
        let mut plans = Vec::new();
        for (services, keep) in steps {
            let mut new: BTreeMap<_, _> = services.into_iter().map(|s| (s.key, s)).collect();
            for (key, keep) in keys().iter().zip(keep) {
                if let (true, Some(old)) = (keep, held.get(key)) {
                    new.insert(*key, old.clone());
                }
            }
            plans.push(Plan { services: new.values().cloned().collect() });
            held = new;
        }
        plans
    })
}

fn dataplane() -> Dataplane {
    Dataplane::in_memory(CAPACITY, 2, KEYS, || {}).unwrap()
}

/// What packets find of a service that the plan names.
fn check_service(dataplane: &Dataplane, planned: &PlannedService) {
    let host = dataplane.host();
    let key = planned.key;
    let found = *index::service(&host, &endpoint(key.protocol, key.address)).expect("found");
    let held = &dataplane.mirror.services[&key];
    assert_eq!(found.scheduler, planned.scheduler as u8);
    assert_eq!(found.flags, planned.scheduler_flags);
    let list = dataplane.memory.candidates_of(&found);
    let open = planned.servers.iter().rev().filter(|s| s.admission == Admission::Open);
    // lc counts all weights but 0 alike.
    let most = if planned.scheduler == Scheduler::Lc { 1 } else { u32::MAX };
    let counted = |s: &PlannedServer| (held.servers[&s.address], s.weight.min(most));
    let expected: Vec<_> = open.map(counted).collect();
    assert_eq!(list.iter().map(|c| (c.server, c.weight)).collect::<Vec<_>>(), expected);
    let ring: Vec<_> =
        (found.ring..found.ring + found.ring_len).map(|place| host.ring(place).unwrap()).collect();
    let is_empty = planned.state == Entries::All && list.is_empty();
    assert_eq!(ring.is_empty(), !planned.scheduler.is_hash() || is_empty);
    for number in ring.into_iter().map(|place| Place(place).server()) {
        assert!(number == 0 || list.iter().any(|c| c.server == number), "{number} in the ring");
    }
    for server in &planned.servers {
        let number = held.servers[&server.address];
        let record = dataplane.server(number).unwrap();
        assert_eq!(record.address, words(server.address.ip()));
        assert_eq!((record.weight, record.method), (server.weight, server.method as u8));
        assert_eq!(record.interface != 0, server.hop.is_some());
        let admission = match server.admission {
            Admission::Open => tables::Admission::Open,
            Admission::Draining => tables::Admission::Draining,
            Admission::Failed if planned.on_failure == OnFailure::Keep => tables::Admission::Kept,
            Admission::Failed => tables::Admission::Reset,
        };
        assert_eq!(dataplane.memory.handle_of(number).admission(), admission);
        if server.method == Method::Nat {
            let at = endpoint(key.protocol, server.address);
            let mut next = index::server(&host, &at).expect("in the index");
            while next != number {
                next = dataplane.server(next).expect("in the chain").next;
            }
        }
    }
}

/// What must not depend on how the tables came to be.
fn essence(mirror: &Mirror) -> impl PartialEq + std::fmt::Debug {
    let services = |all: &BTreeMap<ServiceKey, crate::mirror::HeldService>| {
        let one = |(key, s): (&ServiceKey, &crate::mirror::HeldService)| {
            (*key, s.number, s.record, s.servers.clone())
        };
        all.iter().map(one).collect::<Vec<_>>()
    };
    let servers: BTreeMap<_, _> =
        mirror.servers.iter().map(|(n, s)| (*n, (s.key, s.address, s.record))).collect();
    let chains: BTreeMap<_, _> = mirror.chains.clone().into_iter().collect();
    (services(&mirror.services), services(&mirror.gone), servers, chains, mirror.free.clone())
}

fn connect(dataplane: &Dataplane, key: &ServiceKey, port: u16) {
    let client = match key.address {
        SocketAddr::V4(_) => SocketAddr::from(([198, 51, 100, 7], port)),
        SocketAddr::V6(_) => SocketAddr::from(([0x2001, 0xdb8, 7, 0, 0, 0, 0, 7], port)),
    };
    let mut packet = Buffer::new(&opening(key.protocol, client, key.address), 1);
    let _verdict = director::process(&mut packet, &dataplane.host());
}

/// What leads from one plan to another: services that go, and those that come or differ.
fn differences(before: &Plan, after: &Plan) -> (Vec<ServiceKey>, Vec<PlannedService>) {
    let stays = |key: &ServiceKey| after.services.iter().any(|service| service.key == *key);
    let gone = before.services.iter().map(|service| service.key).filter(|key| !stays(key));
    let differ = after.services.iter().filter(|service| !before.services.contains(service));
    (gone.collect(), differ.cloned().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn after_each_plan_packets_find_it_and_at_last_nothing_is_left(plans in plans()) {
        let mut dataplane = dataplane();
        let mut before = Plan::default();
        for (number, plan) in (0_u16..).zip(&plans) {
            let records: BTreeMap<_, _> =
                dataplane.mirror.services.iter().map(|(key, held)| (*key, held.record)).collect();
            let change = if number % 2 == 1 {
                let (gone, differ) = differences(&before, plan);
                dataplane.remove(&gone).and_then(|_| dataplane.update(&differ))
            } else {
                dataplane.apply(plan)
            };
            match change {
                Ok(_) => {}
                // Connections of servers that were removed hold all numbers.
                Err(Error::NoRoom { what: "servers", .. }) => break,
                Err(error) => return Err(TestCaseError::fail(error.to_string())),
            }
            for planned in &plan.services {
                check_service(&dataplane, planned);
                if before.services.contains(planned) {
                    let held = &dataplane.mirror.services[&planned.key];
                    prop_assert_eq!(held.record, records[&planned.key], "a new record for nothing");
                }
                for port in 0..4 {
                    connect(&dataplane, &planned.key, 1000 + number * 10 + port);
                }
            }
            for key in keys() {
                let at = endpoint(key.protocol, key.address);
                let found = index::service(&dataplane.host(), &at).is_some();
                prop_assert_eq!(found, plan.services.iter().any(|s| s.key == key));
            }
            if number % 3 == 1 {
                dataplane.sweep().unwrap();
            }
            let rebuilt = takeover::rebuild(&dataplane.memory);
            prop_assert_eq!(essence(&rebuilt), essence(&dataplane.mirror));
            before.clone_from(plan);
        }
        dataplane.apply(&Plan::default()).unwrap();
        dataplane.flush(Filter::default());
        dataplane.sweep().unwrap();
        dataplane.sweep().unwrap();
        prop_assert_eq!(&dataplane.mirror.free, &Free::new(&dataplane.memory.sizes));
        prop_assert!(dataplane.mirror.gone.is_empty() && dataplane.mirror.servers.is_empty());
        let entries = dataplane.memory.index.all().iter().flat_map(|line| &line.entries);
        prop_assert_eq!(entries.filter(|entry| !matches!(entry.tag.get(), 0 | index::TOMBSTONE)).count(), 0);
        let loads = (0..dataplane.memory.sizes.server_numbers).filter_map(|n| dataplane.memory.loads.get(n));
        prop_assert_eq!(loads.filter(|load| load.word.get() != 0).count(), 0);
    }
}

/// The capacity that an error asks for.
fn raised(error: &Error) -> Capacity {
    let &Error::NoRoom { setting, needed, .. } = error else { panic!("{error}") };
    let needed = u32::try_from(needed).unwrap();
    match setting {
        "services" => Capacity { services: needed, ..CAPACITY },
        "servers" => Capacity { servers: needed, ..CAPACITY },
        other => panic!("there is no setting {other}"),
    }
}

#[test]
fn the_value_that_an_error_names_suffices() {
    let key = |number: u8| ServiceKey::tcp(([192, 0, 2, number], 80).into());
    let services =
        (0..9).map(|number| PlannedService { key: key(number), servers: Vec::new(), ..many(1) });
    for services in [services.collect(), vec![many(41)], vec![many(200)]] {
        let (mut small, plan) = (dataplane(), Plan { services });
        let error = small.apply(&plan).unwrap_err();
        assert!(small.mirror.services.is_empty(), "nothing was changed");
        let mut large = Dataplane::in_memory(raised(&error), 2, KEYS, || {}).unwrap();
        large.apply(&plan).unwrap();
    }
}

/// A TCP service with this many servers behind NAT.
fn many(servers: u8) -> PlannedService {
    let key = keys()[0];
    let server = |number| PlannedServer {
        address: server_address(&key, number),
        weight: 1,
        method: Method::Nat,
        admission: Admission::Open,
        hop: None,
    };
    let servers = (1..=servers).map(server).collect();
    PlannedService { servers, ..PlannedService::new(key, Scheduler::Rr) }
}

#[test]
fn what_does_not_fit_changes_nothing() {
    let mut dataplane = dataplane();
    dataplane.apply(&Plan { services: vec![many(3)] }).unwrap();
    let before = format!("{:?}", essence(&dataplane.mirror));
    let error = dataplane.apply(&Plan { services: vec![many(41)] }).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no room for servers with `servers = 40`: \
         set it to 41 or more and start the daemon anew"
    );
    let address = SocketAddr::from(([192, 0, 2, 9], 80));
    let with_port = |port| PlannedService {
        key: ServiceKey::tcp(SocketAddr::new(address.ip(), port)),
        ..many(1)
    };
    let mut large =
        Dataplane::in_memory(Capacity { services: 20, ..CAPACITY }, 1, KEYS, || {}).unwrap();
    let error = large.apply(&Plan { services: (1..=9).map(with_port).collect() }).unwrap_err();
    assert!(matches!(error, Error::Shared { services: 9, most: 8, .. }), "{error}");
    assert_eq!(large.mirror.free, Free::new(&large.memory.sizes));
    assert_eq!(format!("{:?}", essence(&dataplane.mirror)), before);
    check_service(&dataplane, &many(3));
}

#[test]
fn a_server_that_comes_back_finds_its_connections() {
    let mut dataplane = dataplane();
    let key = keys()[0];
    dataplane.apply(&Plan { services: vec![many(2)] }).unwrap();
    (0..6).for_each(|port| connect(&dataplane, &key, port));
    let number = dataplane.mirror.services[&key].servers[&server_address(&key, 2)];
    for plan in [Plan { services: vec![many(1)] }, Plan::default()] {
        dataplane.apply(&plan).unwrap();
        dataplane.sweep().unwrap();
        dataplane.sweep().unwrap();
        assert_eq!(dataplane.count(Filter::default()), 6, "they are still known");
    }
    dataplane.apply(&Plan { services: vec![many(2)] }).unwrap();
    assert_eq!(dataplane.mirror.services[&key].servers[&server_address(&key, 2)], number);
    let readings = dataplane.counters();
    let (counters, load) = readings.servers[&(key, server_address(&key, 2))];
    assert_eq!((counters.connections, load.inactive), (3, 3));
}

#[test]
fn what_removed_servers_counted_stays_in_the_sums() {
    let mut dataplane = dataplane();
    let key = keys()[0];
    dataplane.apply(&Plan { services: vec![many(2)] }).unwrap();
    (0..6).for_each(|port| connect(&dataplane, &key, port));
    dataplane.flush(Filter::default());
    for (plan, service) in [(Plan { services: vec![many(1)] }, Some(6)), (Plan::default(), None)] {
        dataplane.apply(&plan).unwrap();
        dataplane.sweep().unwrap();
        dataplane.sweep().unwrap();
        let readings = dataplane.counters();
        assert_eq!(readings.services.get(&key).map(|sum| sum.connections), service);
        assert_eq!(readings.total.connections, 6);
    }
}

#[test]
fn a_successor_completes_a_change_that_was_broken_off() {
    let mut dataplane = dataplane();
    let key = keys()[0];
    dataplane.apply(&Plan { services: vec![many(2)] }).unwrap();
    let at = endpoint(key.protocol, key.address);
    // Died after the record was switched, before the index was; and after making another entry.
    dataplane.memory.set_entry(&at, tables::IndexKind::Service, 0);
    let other = endpoint(Protocol::Udp, key.address);
    dataplane.memory.reserve_entry(&other, tables::IndexKind::Service, &|| {}).unwrap();
    dataplane.mirror = takeover::rebuild(&dataplane.memory);
    check_service(&dataplane, &many(2));
    assert!(!dataplane.memory.has_entry(&other, tables::IndexKind::Service));
    let applied = dataplane.apply(&Plan { services: vec![many(2)] }).unwrap();
    assert_eq!((applied.services, applied.servers), (0, 0), "everything was as planned");
}

#[test]
fn round_robin_goes_on_where_it_was_when_a_server_comes() {
    let mut dataplane = dataplane();
    let key = keys()[0];
    dataplane.apply(&Plan { services: vec![many(3)] }).unwrap();
    (0..2).for_each(|port| connect(&dataplane, &key, port)); // 3, 2
    dataplane.apply(&Plan { services: vec![many(4)] }).unwrap();
    let number = dataplane.mirror.services[&key].number;
    let Standing { cursor, .. } = dataplane.memory.standings.get(number.into()).unwrap();
    assert_eq!(Cursor::from_word(cursor.get()).next, 3); // 4 3 2 | 1
}

#[test]
fn an_explanation_changes_nothing_and_is_what_then_happens() {
    let mut dataplane = dataplane();
    let key = keys()[0];
    dataplane.apply(&Plan { services: vec![many(3)] }).unwrap();
    let client = SocketAddr::from(([198, 51, 100, 7], 4000));
    let first = dataplane.explain(Protocol::Tcp, client, key.address);
    assert_eq!(first, dataplane.explain(Protocol::Tcp, client, key.address));
    assert_eq!(dataplane.count(Filter::default()), 0);
    connect(&dataplane, &key, 4000);
    let (_, connection) = (0, dataplane.connections(Filter::default()).next().unwrap());
    assert_eq!(first.server.unwrap().address, connection.server);
    assert_eq!((connection.client, connection.service), (client, key));
}
