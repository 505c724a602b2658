//! What watchers are told leaves them with the true picture, whatever happens meanwhile.
use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    thread,
};

use lvs_core::{
    clock::Ticks, forward::Method, journal::Change, scheduler::Scheduler, state::State,
    tables::Tables as _, wire::Protocol,
};
use lvs_dataplane::{Dataplane, Filter, Seen, Watch};
use lvs_model::plan::{Plan, PlannedService};
use proptest::prelude::*;

use crate::{
    packets::{ACK, FIN, SYN, frame, send},
    world::{server, service, tables_with},
};

const VIP: &str = "10.0.0.1:80";
const REAL: &str = "10.0.1.2:80";
/// More changes than a CPU's ring holds.
const OVERRUN: u32 = 33_000;

fn plan(reals: &[&str]) -> Vec<PlannedService> {
    vec![PlannedService {
        servers: reals.iter().map(|real| server(real, 1, Method::Direct)).collect(),
        ..service(Protocol::Tcp, VIP, Scheduler::Rr)
    }]
}

fn tables(connections: u32) -> Dataplane {
    tables_with(connections, plan(&[REAL]))
}

fn client(number: u32) -> SocketAddr {
    let [_, a, b, c] = number.to_be_bytes();
    ([10, 1 + a, b, c], 4000).into()
}

fn segment(number: u32, flags: u8) -> Vec<u8> {
    frame(Protocol::Tcp, client(number), VIP.parse().unwrap(), flags)
}

fn ask(tables: &Dataplane, cpu: u32, number: u32, flags: u8) {
    send(&tables.host().on_cpu(cpu), &segment(number, flags));
}

/// What a watcher knows who begins anew when he has missed something.
type Known = HashMap<SocketAddr, State>;

fn follow(known: &mut Known, seen: impl IntoIterator<Item = Seen>) {
    for seen in seen {
        match seen {
            Seen::Changed(Change::Ended, connection) => drop(known.remove(&connection.client)),
            Seen::Changed(Change::Began | Change::Went, connection) | Seen::Is(connection) => {
                known.insert(connection.client, connection.state);
            }
            Seen::Missed(_) => known.clear(),
        }
    }
}

fn look(watch: &mut Watch, known: &mut Known) {
    let mut seen = Vec::new();
    watch.look(&mut seen);
    follow(known, seen);
}

/// All connections that there are.
fn all(tables: &Dataplane) -> Known {
    tables.connections(Filter::default()).map(|it| (it.client, it.state)).collect()
}

/// Begins connections, on two CPUs in turn, that have expired.
fn begin_expired(tables: &Dataplane, numbers: std::ops::Range<u32>) {
    let now = tables.host().now();
    for number in numbers {
        let host = tables.host().on_cpu(number % 2).at(Ticks(now.0.wrapping_sub(100_000)));
        send(&host, &segment(number, SYN));
    }
}

/// Has one connection change its state so often that the CPU's ring is overrun.
fn overrun(tables: &Dataplane, cpu: u32, number: u32) {
    let flags = [SYN, ACK, FIN | ACK].into_iter().cycle();
    flags.take(OVERRUN as usize).for_each(|flags| ask(tables, cpu, number, flags));
}

#[test]
fn a_sweep_overruns_no_ring() {
    let mut tables = tables(200_000);
    let mut watch = tables.watch(Filter::default());
    let mut seen = Vec::new();
    begin_expired(&tables, 0..20_000);
    watch.look(&mut seen);
    begin_expired(&tables, 20_000..40_000);
    watch.look(&mut seen);
    assert_eq!(tables.sweep().unwrap().expired, 40_000);
    while seen.len() < 80_000 {
        let before = seen.len();
        watch.look(&mut seen);
        assert!(seen.len() > before);
    }
    assert!(seen.iter().all(|seen| matches!(seen, Seen::Changed(..))));
}

#[test]
fn a_listing_comes_to_its_end_although_changes_are_missed_again_and_again() {
    const STEADY: u32 = 20_000;
    let tables = tables(40_000);
    (0..STEADY).for_each(|number| ask(&tables, 0, number, SYN));
    let mut watch = tables.watch(Filter::default());
    let (mut told, mut missed, mut seen) = (HashSet::new(), 0, Vec::new());
    for _ in 0..8 {
        overrun(&tables, 1, STEADY);
        watch.look(&mut seen);
        for seen in seen.drain(..) {
            match seen {
                Seen::Is(connection) => drop(told.insert(connection.client)),
                Seen::Missed(_) => missed += 1,
                Seen::Changed(..) => {}
            }
        }
    }
    assert_eq!(missed, 8);
    assert!((0..STEADY).all(|number| told.contains(&client(number))), "{}", told.len());
}

#[test]
fn nothing_is_told_to_be_there_after_its_end() {
    let mut tables = tables(20_000);
    (0..10_000).for_each(|number| ask(&tables, 0, number, SYN));
    let mut watch = tables.watch(Filter::default());
    overrun(&tables, 1, 10_000);
    let mut known = Known::new();
    look(&mut watch, &mut known);
    assert!((1..10_000).contains(&known.len()), "{} are told with the first look", known.len());
    // Between two looks of the watcher, who is not done with the table.
    tables.flush(Filter::default());
    (0..10).for_each(|_| look(&mut watch, &mut known));
    assert_eq!(known, Known::new());
}

/// What is told of two rings comes in their order, the daemon's last.
#[test]
fn a_connection_that_begins_again_after_a_flush_is_there() {
    let mut tables = tables(100);
    let mut watch = tables.watch(Filter::default());
    let mut known = Known::new();
    ask(&tables, 0, 1, SYN);
    look(&mut watch, &mut known);
    tables.flush(Filter::default());
    ask(&tables, 0, 1, SYN);
    look(&mut watch, &mut known);
    assert_eq!(known, all(&tables));
    tables.flush(Filter::default());
    look(&mut watch, &mut known);
    assert_eq!(known, Known::new());
}

#[test]
fn a_connection_that_two_cpus_change_is_in_its_last_state() {
    let tables = tables(100);
    let mut watch = tables.watch(Filter::default());
    let mut known = Known::new();
    ask(&tables, 1, 1, SYN);
    ask(&tables, 0, 1, ACK);
    look(&mut watch, &mut known);
    assert_eq!(known, all(&tables));
    assert_eq!(known[&client(1)], State::ESTABLISHED);
}

proptest! {
    /// Few sets: connections displace others and move.
    #[test]
    fn the_picture_is_true_when_all_is_told(
        steps in prop::collection::vec((0..2_u32, 0..60_u32, 0..6_u8, any::<bool>()), 1..200)
    ) {
        let mut tables = tables(28);
        let mut watch = tables.watch(Filter::default());
        let mut known = Known::new();
        for (cpu, number, what, looks) in steps {
            match what {
                0 | 1 => ask(&tables, cpu, number, SYN),
                2 | 3 => ask(&tables, cpu, number, ACK),
                4 => ask(&tables, cpu, number, FIN | ACK),
                _ => {
                    let client = Some(client(number).ip());
                    tables.flush(Filter { client, ..Filter::default() });
                }
            }
            if looks {
                look(&mut watch, &mut known);
                prop_assert_eq!(&known, &all(&tables));
            }
        }
    }
}

/// Takes all servers away and ends all connections, until nothing knows of them.
fn forget_all(tables: &mut Dataplane) {
    tables.apply(&Plan { services: plan(&[]) }).unwrap();
    tables.flush(Filter::default());
    while tables.sweep().unwrap().servers == 0 {}
}

#[test]
fn a_connection_of_a_forgotten_server_is_not_kept() {
    let mut tables = tables(100);
    let mut watch = tables.watch(Filter::default());
    let mut known = Known::new();
    ask(&tables, 0, 1, SYN);
    look(&mut watch, &mut known);
    forget_all(&mut tables);
    look(&mut watch, &mut known);
    assert_eq!(known, Known::new());
}

#[test]
fn an_end_is_not_told_of_the_next_server_with_the_number() {
    let mut tables = tables(100);
    let mut watch = tables.watch(Filter::default());
    let mut seen = Vec::new();
    ask(&tables, 0, 1, SYN);
    watch.look(&mut seen);
    seen.clear();
    forget_all(&mut tables);
    tables.apply(&Plan { services: plan(&["10.0.1.99:80"]) }).unwrap();
    watch.look(&mut seen);
    assert_eq!(seen, [Seen::Missed(1)]);
    ask(&tables, 0, 2, SYN);
    seen.clear();
    watch.look(&mut seen);
    let [Seen::Changed(Change::Began, began)] = seen[..] else { panic!("{seen:?}") };
    assert_eq!(began.server, "10.0.1.99:80".parse().unwrap());
}

#[test]
fn a_look_takes_no_more_than_a_few_thousand_changes() {
    const CHANGES: usize = 30_000;
    let tables = tables(20_000);
    let mut watch = tables.watch(Filter::default());
    let flags = [SYN, ACK, FIN | ACK].into_iter().cycle();
    flags.take(CHANGES).for_each(|flags| ask(&tables, 0, 1, flags));
    let (mut seen, mut told) = (Vec::new(), Vec::new());
    while told.len() < CHANGES {
        watch.look(&mut seen);
        assert!((1..8192).contains(&seen.len()), "{} in one look", seen.len());
        told.extend(seen.drain(..).filter(|seen| matches!(seen, Seen::Changed(..))));
    }
    assert_eq!(told.len(), CHANGES);
}

#[test]
fn who_watches_a_state_is_told_when_a_connection_leaves_it() {
    let tables = tables(100);
    let filter = Filter { state: Some(State::ESTABLISHED), ..Filter::default() };
    let mut watch = tables.watch(filter);
    let mut known = Known::new();
    ask(&tables, 0, 1, SYN);
    look(&mut watch, &mut known);
    assert_eq!(known, Known::new());
    ask(&tables, 0, 1, ACK);
    look(&mut watch, &mut known);
    assert_eq!(known, all(&tables));
    ask(&tables, 0, 1, FIN | ACK);
    look(&mut watch, &mut known);
    assert_eq!(known, all(&tables));
    tables.shared().flush(Filter::default());
    look(&mut watch, &mut known);
    assert_eq!(known, Known::new());
}

#[test]
fn who_watches_a_state_is_told_nothing_of_what_was_never_in_it() {
    let tables = tables(100);
    let filter = Filter { state: Some(State::ESTABLISHED), ..Filter::default() };
    let (mut watch, mut seen) = (tables.watch(filter), Vec::new());
    ask(&tables, 0, 1, SYN);
    ask(&tables, 0, 1, FIN | ACK);
    tables.shared().flush(Filter::default());
    watch.look(&mut seen);
    assert_eq!(seen, []);
}

#[test]
fn the_picture_is_true_after_two_cpus_were_busy_with_the_same_connections() {
    let tables = tables(100);
    let mut watch = tables.watch(Filter::default());
    let mut known = Known::new();
    for round in 0..1000 {
        thread::scope(|scope| {
            let busy = [round % 2, 1 - round % 2].map(|cpu| {
                let tables = &tables;
                scope.spawn(move || {
                    for step in 0..30 {
                        let flags =
                            [SYN, ACK, FIN | ACK, ACK][((round + step / 3 + cpu) % 4) as usize];
                        ask(tables, cpu, step % 3, flags);
                    }
                })
            });
            // Meanwhile, or afterwards only.
            while round % 4 < 2 && !busy.iter().all(thread::ScopedJoinHandle::is_finished) {
                look(&mut watch, &mut known);
            }
        });
        look(&mut watch, &mut known);
        assert_eq!(known, all(&tables));
    }
}
