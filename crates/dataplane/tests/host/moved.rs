//! `state = "moved"`: what has no entry goes where it would go if it had one.
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use lvs_core::{
    clock::Ticks,
    director::{self, Stage},
    forward::Method,
    packet::Buffer,
    scheduler::{Scheduler, SchedulerFlags},
    tables::Event,
    wire::Protocol,
};
use lvs_dataplane::{Capacity, Dataplane, Filter};
use lvs_model::{
    desired::{Entries, OnFailure, ServiceKey, Stray, Timeouts},
    plan::{Admission, Plan, PlannedService},
};

use crate::{
    packets::{ACK, Outcome, SYN, destination, frame, send},
    world::{KEYS, SMALL, address, counted, server, service, tables},
};

const VIRTUAL: &str = "192.0.2.10:80";

/// A service with so many servers.
fn hashed(protocol: Protocol, scheduler: Scheduler, state: Entries, servers: u8) -> PlannedService {
    let server = |number| server(&format!("10.0.1.{number}:80"), 1, Method::Tunnel);
    PlannedService {
        state,
        stray: Stray::Hash,
        scheduler_flags: SchedulerFlags(SchedulerFlags::PORT),
        servers: (1..=servers).map(server).collect(),
        ..service(protocol, VIRTUAL, scheduler)
    }
}

fn client(number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    SocketAddr::from(([198, 51, high, low], 1024 + number))
}

/// Tables whose clock the test turns.
struct Bench {
    tables: Dataplane,
    now: Ticks,
}

impl Bench {
    fn new(service: &PlannedService) -> Self {
        let mut bench = Self { tables: tables(), now: Ticks::from_nanos(1 << 50) };
        bench.tables.stop_clock(bench.now);
        bench.put(service);
        bench
    }

    fn put(&mut self, service: &PlannedService) {
        self.tables.apply(&Plan { services: vec![service.clone()] }).unwrap();
    }

    /// Lets time pass, with up to forty sweeps.
    fn pass(&mut self, seconds: u32) {
        for _ in 0..seconds.min(40) {
            self.now =
                self.now.after(Ticks::span(u64::from(seconds) * 1000 / u64::from(seconds.min(40))));
            self.tables.stop_clock(self.now);
            self.tables.sweep().unwrap();
        }
    }

    fn send(&self, protocol: Protocol, client: SocketAddr, flags: u8) -> Outcome {
        send(&self.tables.host(), &frame(protocol, client, address(VIRTUAL), flags))
    }

    fn entries(&self) -> u64 {
        self.tables.count(Filter::default())
    }
}

/// Where a packet went, or what was counted instead.
fn way(outcome: &Outcome) -> Result<IpAddr, Event> {
    if outcome.is_forwarded()
        && outcome.event() != Event::Reset
        && outcome.event() != Event::NoServer
    {
        Ok(destination(&outcome.bytes))
    } else {
        Err(outcome.event())
    }
}

#[test]
fn settled_connections_have_no_entry() {
    for scheduler in [Scheduler::Mh, Scheduler::Sh] {
        let bench = Bench::new(&hashed(Protocol::Tcp, scheduler, Entries::Moved, 5));
        for number in 0..1000 {
            let opened = way(&bench.send(Protocol::Tcp, client(number), SYN));
            assert_eq!(way(&bench.send(Protocol::Tcp, client(number), ACK)), opened);
        }
        assert_eq!(bench.entries(), 0);
        assert_eq!(counted(&bench.tables, Event::New), 1000);
        assert_eq!(counted(&bench.tables, Event::Known), 1000);
    }
}

#[test]
fn only_moved_connections_have_entries_and_only_while_they_last() {
    let mut bench = Bench::new(&hashed(Protocol::Tcp, Scheduler::Mh, Entries::Moved, 10));
    let ways: Vec<_> = (0..2000).map(|n| way(&bench.send(Protocol::Tcp, client(n), SYN))).collect();
    bench.put(&hashed(Protocol::Tcp, Scheduler::Mh, Entries::Moved, 11));
    for (number, expected) in (0..).zip(&ways) {
        assert_eq!(&way(&bench.send(Protocol::Tcp, client(number), ACK)), expected);
    }
    let moved = bench.entries();
    assert!((100..400).contains(&moved), "{moved} of 2000 moved, a server of 11 came");
    // Those with an entry go on, the others have nothing that could be forgotten.
    for _ in 0..4 {
        bench.pass(600);
        for (number, expected) in (0..).zip(&ways) {
            assert_eq!(&way(&bench.send(Protocol::Tcp, client(number), ACK)), expected);
        }
        assert!(bench.entries() <= moved);
    }
    // Those that moved are still there; who comes now needs no entry.
    let before = bench.entries();
    for number in 2000..3000 {
        bench.send(Protocol::Tcp, client(number), SYN);
    }
    assert_eq!(bench.entries(), before, "new ones go where the ring says");
    bench.pass(1000);
    assert_eq!(bench.entries(), 0, "all have ended");
    bench.pass(20);
    bench.send(Protocol::Tcp, client(0), ACK);
    for number in 0..2000 {
        bench.send(Protocol::Tcp, client(number), SYN);
    }
    assert_eq!(bench.entries(), 0, "settled again");
}

#[test]
fn datagrams_of_known_clients_stay_while_servers_change() {
    let mut bench = Bench::new(&hashed(Protocol::Udp, Scheduler::Mh, Entries::Moved, 4));
    let ways: Vec<_> = (0..500).map(|n| way(&bench.send(Protocol::Udp, client(n), 0))).collect();
    for servers in [5, 6, 5, 4, 7] {
        bench.put(&hashed(Protocol::Udp, Scheduler::Mh, Entries::Moved, servers.max(4)));
        for _ in 0..3 {
            for (number, expected) in (0..).zip(&ways) {
                assert_eq!(&way(&bench.send(Protocol::Udp, client(number), 0)), expected);
            }
            bench.pass(120);
        }
    }
}

#[test]
fn the_end_of_a_drain_ends_connections_without_an_entry() {
    let mut service = hashed(Protocol::Tcp, Scheduler::Mh, Entries::Moved, 4);
    let mut bench = Bench::new(&service);
    let drained = service.servers[0].address;
    let of_drained: Vec<_> = (0..400)
        .filter(|&n| way(&bench.send(Protocol::Tcp, client(n), SYN)) == Ok(drained.ip()))
        .collect();
    service.servers[0].admission = Admission::Draining;
    bench.put(&service);
    for &number in &of_drained {
        assert_eq!(way(&bench.send(Protocol::Tcp, client(number), ACK)), Ok(drained.ip()));
    }
    bench.tables.flush(Filter { server: Some(drained), ..Filter::default() });
    for &number in &of_drained {
        assert_ne!(way(&bench.send(Protocol::Tcp, client(number), ACK)), Ok(drained.ip()));
    }
}

/// The end of a drain, of a server with connections that have an entry and, moved, of others.
#[test]
fn evicted_servers_have_no_connection_and_others_keep_theirs() {
    for state in [Entries::All, Entries::Moved] {
        let mut service = hashed(Protocol::Tcp, Scheduler::Mh, state, 4);
        let mut bench = Bench::new(&service);
        let way_of = |bench: &Bench, n, flags| way(&bench.send(Protocol::Tcp, client(n), flags));
        let ways: Vec<_> = (0..400).map(|n| way_of(&bench, n, SYN)).collect();
        let gone = [0, 1].map(|at| service.servers[at].address);
        for server in &mut service.servers[..2] {
            server.admission = Admission::Draining;
        }
        bench.put(&service);
        // With this, every second one has an entry in any case.
        for number in (0..400).step_by(2) {
            assert_eq!(way_of(&bench, number, ACK), ways[usize::from(number)]);
        }
        let servers = gone.map(|server| (service.key, server));
        let ended = bench.tables.evict(&servers);
        assert!(ended.iter().all(|connections| *connections > 0), "{state:?}: {ended:?}");
        for (number, before) in (0..).zip(&ways) {
            let now = way_of(&bench, number, ACK);
            if gone.iter().any(|server| *before == Ok(server.ip())) {
                assert_ne!(now, *before, "{state:?}");
            } else {
                assert_eq!(now, *before, "{state:?}");
            }
        }
        assert_eq!(bench.tables.evict(&servers), [0, 0]);
    }
}

#[test]
fn a_flush_of_the_service_leaves_nobody_with_a_server_of_before() {
    let mut bench = Bench::new(&hashed(Protocol::Tcp, Scheduler::Mh, Entries::Moved, 4));
    let clients = 0..400;
    for number in clients.clone() {
        let _opened = bench.send(Protocol::Tcp, client(number), SYN);
    }
    bench.put(&hashed(Protocol::Tcp, Scheduler::Mh, Entries::Moved, 5));
    let all = Filter { virtual_address: Some(address(VIRTUAL)), ..Filter::default() };
    bench.tables.flush(all);
    let fresh = Bench::new(&hashed(Protocol::Tcp, Scheduler::Mh, Entries::Moved, 5));
    for number in clients {
        assert_eq!(
            way(&bench.send(Protocol::Tcp, client(number), ACK)),
            way(&fresh.send(Protocol::Tcp, client(number), SYN)),
        );
    }
}

#[test]
fn a_service_that_is_removed_and_comes_back_finds_its_entries() {
    let mut bench = Bench::new(&hashed(Protocol::Tcp, Scheduler::Mh, Entries::Moved, 4));
    let ways: Vec<_> = (0..400).map(|n| way(&bench.send(Protocol::Tcp, client(n), SYN))).collect();
    let more = hashed(Protocol::Tcp, Scheduler::Mh, Entries::Moved, 5);
    bench.put(&more);
    for number in 0..400 {
        let _moved = bench.send(Protocol::Tcp, client(number), ACK);
    }
    bench.tables.apply(&Plan::default()).unwrap();
    bench.pass(2);
    bench.put(&more);
    for (number, expected) in (0..).zip(&ways) {
        assert_eq!(&way(&bench.send(Protocol::Tcp, client(number), ACK)), expected);
    }
}

#[test]
fn timeouts_that_become_shorter_with_the_change_forget_nobody_earlier() {
    let mut service = hashed(Protocol::Tcp, Scheduler::Mh, Entries::Moved, 4);
    service.timeouts = Timeouts { established: Duration::from_hours(1), ..Timeouts::default() };
    let mut bench = Bench::new(&service);
    let ways: Vec<_> = (0..400).map(|n| way(&bench.send(Protocol::Tcp, client(n), SYN))).collect();
    bench.put(&hashed(Protocol::Tcp, Scheduler::Mh, Entries::Moved, 5));
    bench.pass(1800);
    for (number, expected) in (0..).zip(&ways) {
        assert_eq!(&way(&bench.send(Protocol::Tcp, client(number), ACK)), expected);
    }
}

#[test]
fn timeouts_that_become_shorter_before_the_next_change_forget_nobody_earlier() {
    let longer = Timeouts { established: Duration::from_hours(1), ..Timeouts::default() };
    let service = |servers, timeouts| PlannedService {
        timeouts,
        ..hashed(Protocol::Tcp, Scheduler::Mh, Entries::Moved, servers)
    };
    let mut bench = Bench::new(&service(4, longer));
    let ways: Vec<_> = (0..400).map(|n| way(&bench.send(Protocol::Tcp, client(n), SYN))).collect();
    bench.put(&service(5, longer));
    bench.put(&service(5, Timeouts::default()));
    bench.put(&service(6, Timeouts::default()));
    bench.pass(1800);
    for (number, expected) in (0..).zip(&ways) {
        assert_eq!(&way(&bench.send(Protocol::Tcp, client(number), ACK)), expected);
    }
}

/// Each stage of a packet's way reads the service anew, which may have changed in between.
#[test]
fn a_packet_whose_service_stops_being_moved_on_its_way_finds_its_entry() {
    let mut bench = Bench::new(&hashed(Protocol::Tcp, Scheduler::Mh, Entries::Moved, 4));
    let ways: Vec<_> = (0..400).map(|n| way(&bench.send(Protocol::Tcp, client(n), SYN))).collect();
    bench.put(&hashed(Protocol::Tcp, Scheduler::Mh, Entries::Moved, 5));
    for number in 0..400 {
        let _moved = bench.send(Protocol::Tcp, client(number), ACK);
    }
    for scheduler in [Scheduler::Mh, Scheduler::Rr] {
        bench.put(&hashed(Protocol::Tcp, scheduler, Entries::All, 5));
        for (number, expected) in (0..).zip(&ways) {
            let frame = frame(Protocol::Tcp, client(number), address(VIRTUAL), ACK);
            let mut packet = Buffer::new(&frame, 1);
            match director::run(Stage::MovedV4, &mut packet, &bench.tables.host()) {
                Ok(_verdict) => assert_eq!(Ok(destination(packet.bytes())), *expected),
                Err(next) => assert_eq!(next, Stage::NewV4, "{number}"),
            }
        }
    }
}

/// A server that fails must not stay open because there is no room for the ring without it.
#[test]
fn every_ring_that_was_taken_can_change_also_when_all_of_them_do() {
    let service = |number: u32, servers| {
        let mut service = hashed(Protocol::Tcp, Scheduler::Mh, Entries::Moved, servers);
        let port = u16::try_from(number + 1).unwrap();
        service.key = ServiceKey::tcp(SocketAddr::new(address(VIRTUAL).ip(), port));
        service
    };
    // Far more services than there are rings for.
    let capacity = Capacity { services: 4095, servers: 65_535, ..SMALL };
    let mut tables = Dataplane::in_memory(capacity, 2, KEYS, || {}).unwrap();
    let taken = (0..4000).take_while(|number| tables.update(&[service(*number, 1)]).is_ok());
    let taken = u32::try_from(taken.count()).unwrap();
    assert_eq!(taken, 1023, "as docs/configuration.md says");
    for number in 0..taken {
        tables.update(&[service(number, 2)]).unwrap();
    }
    for number in 0..taken {
        tables.update(&[service(number, 1)]).unwrap();
    }
    let refused = tables.update(&[service(taken, 1)]).unwrap_err();
    assert!(refused.to_string().contains("no room for the rings"), "{refused}");
}

#[test]
fn rings_settle_one_after_the_other_where_there_is_no_room_for_all() {
    let service = |port: u16, servers| {
        let mut service = hashed(Protocol::Tcp, Scheduler::Mh, Entries::Moved, servers);
        service.key = ServiceKey::tcp(SocketAddr::new(address(VIRTUAL).ip(), port));
        service
    };
    // The rings of twice as many services fit.
    let ports = 1..=u16::try_from(SMALL.services).unwrap() - 4;
    let mut bench = Bench::new(&service(1, 1));
    bench
        .tables
        .apply(&Plan { services: ports.clone().map(|at| service(at, 1)).collect() })
        .unwrap();
    for port in ports {
        bench.tables.update(&[service(port, 2)]).unwrap();
    }
    bench.pass(1000);
    bench.pass(40);
    let key = service(7, 1).key;
    assert_eq!(bench.tables.service(&key).unwrap().before, 0, "nobody moves any more");
}

/// A small generator of numbers: the same ones for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = lvs_core::hash::second(self.0.wrapping_add(0x9e37_79b9_7f4a_7c15));
        usize::try_from(self.0 >> 33).unwrap() % sides
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.roll(all.len())]
    }
}

/// A connection that is open: its client, and when it last sent something.
struct Open {
    client: SocketAddr,
    last: u64,
}

/// Changes one thing about the service.
fn change(service: &mut PlannedService, dice: &mut Dice, spare: &mut Vec<u8>) {
    let at = dice.roll(service.servers.len());
    match dice.roll(9) {
        0 | 1 if !spare.is_empty() => {
            let number = spare.remove(dice.roll(spare.len()));
            let weight = dice.of(&[1, 2, 3]);
            service.servers.push(server(&format!("10.0.1.{number}:80"), weight, Method::Tunnel));
        }
        2 if service.servers.len() > 1 => {
            let IpAddr::V4(gone) = service.servers.remove(at).address.ip() else { unreachable!() };
            spare.push(gone.octets()[3]);
        }
        3 => service.servers[at].weight = dice.of(&[0, 1, 2, 3]),
        4 => service.servers[at].admission = Admission::Draining,
        5 => service.servers[at].admission = Admission::Failed,
        6 | 7 => service.servers[at].admission = Admission::Open,
        _ => {
            service.scheduler = dice.of(&[Scheduler::Mh, Scheduler::Sh, Scheduler::Rr]);
            let port = dice.of(&[0, SchedulerFlags::PORT]);
            let fallback = dice.of(&[0, SchedulerFlags::FALLBACK]);
            service.scheduler_flags = SchedulerFlags(port | fallback);
        }
    }
}

/// Whatever happens to a service, with `state = "moved"` each packet of each connection goes where it
/// goes with an entry for each.
#[test]
fn packets_go_where_they_go_with_all_entries() {
    for seed in 0..60 {
        follow(seed);
    }
}

fn follow(seed: u64) {
    let mut dice = Dice(seed);
    let scheduler = dice.of(&[Scheduler::Mh, Scheduler::Sh]);
    let mut service = hashed(Protocol::Tcp, scheduler, Entries::All, 4);
    service.on_failure = dice.of(&[OnFailure::Keep, OnFailure::Reset]);
    let mut all = Bench::new(&service);
    service.state = Entries::Moved;
    let mut moved = Bench::new(&service);
    let (mut open, mut spare, mut clock, mut next) = (Vec::<Open>::new(), vec![5, 6, 7, 8], 0, 0);
    for step in 0..600 {
        match dice.roll(20) {
            0 => {
                change(&mut service, &mut dice, &mut spare);
                // Now and then for all connections and back.
                let all_have_one = dice.roll(8) == 0 || !service.scheduler.is_hash();
                service.state = if all_have_one { Entries::All } else { Entries::Moved };
                moved.put(&service);
                all.put(&PlannedService { state: Entries::All, ..service.clone() });
            }
            1 | 2 => {
                let seconds = dice.of(&[1, 20, 60, 300, 700]);
                clock += u64::from(seconds);
                all.pass(seconds);
                moved.pass(seconds);
                // Who was silent for so long may be forgotten by the one and known to the other.
                open.retain(|connection| clock - connection.last < 880);
            }
            3..=8 => {
                let client = client(next);
                next += 1;
                let (one, other) =
                    (all.send(Protocol::Tcp, client, SYN), moved.send(Protocol::Tcp, client, SYN));
                assert_eq!(way(&one), way(&other), "seed {seed}, step {step}: a new one");
                if way(&one).is_ok() {
                    // The third step of the handshake: half-open ones are soon forgotten.
                    let (one, other) = (
                        all.send(Protocol::Tcp, client, ACK),
                        moved.send(Protocol::Tcp, client, ACK),
                    );
                    assert_eq!(way(&one), way(&other), "seed {seed}, step {step}: opened");
                    open.push(Open { client, last: clock });
                }
            }
            _ if open.is_empty() => {}
            _ => {
                let at = dice.roll(open.len());
                let client = open[at].client;
                let (one, other) =
                    (all.send(Protocol::Tcp, client, ACK), moved.send(Protocol::Tcp, client, ACK));
                assert_eq!(way(&one), way(&other), "seed {seed}, step {step}: {client} goes on");
                open[at].last = clock;
                if way(&one).is_err() {
                    open.swap_remove(at);
                }
            }
        }
    }
}
