//! The program in the kernel. Needs root.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]
use std::{net::SocketAddr, path::Path};

use aya::programs::links::{FdLink, PinnedLink};
use lvs_core::{
    forward::Method, scheduler::Scheduler, state::State, tables::Event, wire::Protocol,
};
use lvs_dataplane::{
    Attached, Capacity, Dataplane, Error, Filter, Mode, Settings, Suffices, Warning,
};
use lvs_lab::Lab;
use lvs_model::plan::{Plan, PlannedService};

use packets::{ACK, SYN, destination, frame};
use world::{SMALL, counted, server, service};

mod cores;
#[expect(dead_code, reason = "half of it is for the host")]
#[path = "../host/packets.rs"]
mod packets;
mod queues;
#[expect(dead_code, reason = "half of it is for the host")]
#[path = "../host/world.rs"]
mod world;

const XDP_TX: u32 = 3;
const XDP_REDIRECT: u32 = 4;
/// The loopback interface, on which packets of tests arrive.
const LOOPBACK: u32 = 1;

const VIRTUAL: &str = "192.0.2.1:80";

fn plan(servers: &[&str]) -> Plan {
    let servers = servers.iter().map(|at| server(at, 1, Method::Nat)).collect();
    let service = PlannedService { servers, ..service(Protocol::Tcp, VIRTUAL, Scheduler::Rr) };
    Plan { services: vec![service] }
}

fn client(port: u16) -> SocketAddr {
    ([198, 51, 100, 7], port).into()
}

fn segment(port: u16, flags: u8) -> Vec<u8> {
    frame(Protocol::Tcp, client(port), VIRTUAL.parse().unwrap(), flags)
}

/// Tables of connections that the verifier does not follow: the program looks their sets up.
const LARGE: Capacity = Capacity { connections: 21_000_000, ..SMALL };

/// So that what is added later does not meet the verifier's limit unawares: a third of it.
#[test]
fn the_programs_stay_far_from_the_limits_of_the_verifier() {
    for capacity in [SMALL, LARGE] {
        let dataplane = Dataplane::load_detached(capacity).unwrap();
        for footprint in dataplane.footprints().unwrap() {
            println!("{footprint:?}");
            assert!((1..333_333).contains(&footprint.verified), "{footprint:?}");
            assert!(footprint.bytes < 100_000, "{footprint:?}");
        }
    }
}

#[test]
fn a_loaded_program_forwards_by_the_plan_and_counts() {
    for capacity in [SMALL, LARGE] {
        forwards_by_the_plan_and_counts(Dataplane::load_detached(capacity).unwrap());
    }
}

fn forwards_by_the_plan_and_counts(mut dataplane: Dataplane) {
    dataplane.apply(&plan(&["10.0.1.11:8080"])).unwrap();
    let (verdict, bytes) = dataplane.test_run(&segment(5000, SYN), LOOPBACK).unwrap();
    assert_eq!(verdict, XDP_REDIRECT);
    assert_eq!(destination(&bytes).to_string(), "10.0.1.11");
    assert_eq!(counted(&dataplane, Event::New), 1);
    let connection = dataplane.connections(Filter::default()).next().unwrap();
    assert_eq!((connection.client, connection.state), (client(5000), State::SYN_RECV));
    let explained = dataplane.explain(Protocol::Tcp, client(5000), VIRTUAL.parse().unwrap());
    assert_eq!(explained.event, Event::Known);
    dataplane.apply(&Plan::default()).unwrap();
    dataplane.test_run(&segment(5000, ACK), LOOPBACK).unwrap();
    assert_eq!(counted(&dataplane, Event::NotOurs), 1);
}

#[test]
fn at_the_end_of_a_drain_clients_are_reset() {
    let mut dataplane = Dataplane::load_detached(SMALL).unwrap();
    let mut plan = plan(&["10.0.1.11:8080"]);
    dataplane.apply(&plan).unwrap();
    dataplane.test_run(&segment(5000, SYN), LOOPBACK).unwrap();
    let (key, address) = (plan.services[0].key, plan.services[0].servers[0].address);
    assert!(!dataplane.reset(&key, address), "it is open");
    plan.services[0].servers[0].admission = lvs_model::plan::Admission::Draining;
    dataplane.apply(&plan).unwrap();
    let (verdict, _) = dataplane.test_run(&segment(5000, ACK), LOOPBACK).unwrap();
    assert_eq!(verdict, XDP_REDIRECT, "it goes on");
    assert!(dataplane.reset(&key, address));
    let (verdict, bytes) = dataplane.test_run(&segment(5000, ACK), LOOPBACK).unwrap();
    assert_eq!((verdict, destination(&bytes)), (XDP_TX, client(5000).ip()));
    assert_eq!(dataplane.count(Filter::default()), 0);
}

/// The program that runs on an interface.
fn program_of(pin_dir: &Path, interface: &str) -> Option<u32> {
    let link = PinnedLink::from_pin(pin_dir.join(format!("link-{interface}"))).ok()?;
    Some(FdLink::from(link).info().unwrap().program_id())
}

#[test]
fn a_successor_takes_over_and_replaces_the_program() {
    let lab = Lab::new("lvs-dataplane").unwrap();
    let folder = lab.temp_dir("pins").unwrap();
    let namespace = lab.namespace("director").unwrap();
    namespace.ip(&["link add v0 type veth peer name v1", "link set v0 up"]).unwrap();
    // In a folder that is in no bpffs yet: one is mounted.
    let pin_dir = folder.path().join("lvs");
    let result = namespace.run(|| {
        take_over(&pin_dir);
        Ok(())
    });
    let unmounted = std::process::Command::new("umount").arg(folder.path()).status().unwrap();
    result.unwrap();
    assert!(unmounted.success());
}

/// Pins of the maps that lead from stage to stage.
fn stages_in(pin_dir: &Path) -> Vec<String> {
    let names = pin_dir.read_dir().unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    names.filter(|name| name.starts_with("stages-")).collect()
}

fn take_over(pin_dir: &Path) {
    let settings = Settings {
        interfaces: vec!["v0".to_owned(), "lo".to_owned()],
        mode: Mode::Auto,
        capacity: SMALL,
        suffices: Suffices::default(),
        pin_dir: pin_dir.to_owned(),
    };
    let (mut first, opened) = Dataplane::open(&settings).unwrap();
    assert!(!opened.taken_over);
    let natives: Vec<_> = opened.interfaces.iter().map(|Attached { native, .. }| *native).collect();
    assert_eq!(natives, [true, false], "{opened:?}");
    assert!(
        matches!(&opened.warnings[..], [Warning::Generic { interface, .. }] if interface == "lo")
    );
    first.apply(&plan(&["10.0.1.11:80", "10.0.1.12:80"])).unwrap();
    first.test_run(&segment(5000, SYN), LOOPBACK).unwrap();
    let connections: Vec<_> = first.connections(Filter::default()).map(|c| c.server).collect();
    let program = program_of(pin_dir, "v0").unwrap();
    let stages = stages_in(pin_dir);
    drop(first); // it crashed

    assert_eq!(stages_in(pin_dir), stages, "nor are its stages forgotten");
    assert_eq!(program_of(pin_dir, "v0"), Some(program), "the program runs on");
    let (mut second, opened) = Dataplane::open(&settings).unwrap();
    assert!(opened.taken_over && opened.warnings.is_empty(), "{opened:?}");
    assert_ne!(program_of(pin_dir, "v0").unwrap(), program, "another program runs");
    let successors = stages_in(pin_dir);
    assert!(stages.len() == 1 && successors.len() == 1 && stages != successors);
    let known: Vec<_> = second.connections(Filter::default()).map(|c| c.server).collect();
    assert_eq!((known, connections.len()), (connections, 1));
    let applied = second.apply(&plan(&["10.0.1.11:80", "10.0.1.12:80"])).unwrap();
    assert_eq!((applied.services, applied.servers), (0, 0), "nothing differed");
    second.test_run(&segment(5000, ACK), LOOPBACK).unwrap();
    assert_eq!((counted(&second, Event::New), counted(&second, Event::Known)), (1, 1));
    drop(second);

    let servers = Some(SMALL.servers);
    let grown = Settings {
        capacity: Capacity { servers: 4 * SMALL.servers, ..SMALL },
        suffices: Suffices { servers, ..Suffices::default() },
        ..settings.clone()
    };
    let (same, opened) = Dataplane::open(&grown).unwrap();
    assert!(opened.taken_over && opened.warnings.is_empty(), "{opened:?}");
    assert_eq!(same.count(Filter::default()), 1, "there is room enough");
    drop(same);

    let fewer = Settings { interfaces: vec!["v0".to_owned()], ..settings.clone() };
    let larger = Settings { capacity: Capacity { connections: 20_000, ..SMALL }, ..fewer };
    let (third, opened) = Dataplane::open(&larger).unwrap();
    assert_eq!((opened.taken_over, &opened.warnings[..]), (false, &[Warning::OtherCapacity][..]));
    assert!(opened.has_predecessor);
    assert_eq!(third.count(Filter::default()), 0);
    assert_eq!(program_of(pin_dir, "lo"), None, "it is not in the list any more");
    let missing = Settings { interfaces: vec!["nowhere".to_owned()], ..larger };
    assert!(matches!(Dataplane::open(&missing), Err(Error::Interface(name)) if name == "nowhere"));
    assert!(program_of(pin_dir, "v0").is_some(), "a mistake changes nothing");
    third.detach().unwrap();
    assert!(!pin_dir.exists(), "nothing is left");
}
