//! Two queues of one interface, each on a CPU of its own, as with a network card.
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use lvs_core::tables::Event;
use lvs_dataplane::{Dataplane, Filter, Mode, Settings, Suffices};
use lvs_lab::{Lab, Namespace, TestProgram, wait_until};
use lvs_model::{observed::Hop, plan::Plan};

use crate::{
    packets::{ACK, SYN},
    plan, segment,
    world::{SMALL, counted, loads},
};

const CPUS: u16 = 2;
/// Connections that both queues open at the same time.
const SHARED: u16 = 5_000;
/// Connections of each queue alone.
const OWN: u16 = 1_000;
/// Packets of each queue to those.
const OWN_PACKETS: u16 = 20_000;

/// What a queue sends: first each shared connection's SYN, in step with the other queue, then
/// packets of its own connections as fast as it can.
fn frames(cpu: u16, arrived: &AtomicU32) -> impl Iterator<Item = Vec<u8>> + Send {
    let shared = (0..SHARED).map(move |round| {
        let frame = segment(1024 + round, SYN);
        arrived.fetch_add(1, Ordering::SeqCst);
        while arrived.load(Ordering::SeqCst) < u32::from(CPUS) * (u32::from(round) + 1) {
            thread::yield_now();
        }
        frame
    });
    let own = (0..OWN_PACKETS).map(move |round| {
        let port = 10_000 + OWN * cpu + round % OWN;
        segment(port, if round < OWN { SYN } else { ACK })
    });
    shared.chain(own)
}

fn send_from_both(wire: &Namespace) {
    let arrived = AtomicU32::new(0);
    thread::scope(|scope| {
        for cpu in 0..CPUS {
            let arrived = &arrived;
            scope.spawn(move || {
                wire.send_frames_from(cpu.into(), "v1", frames(cpu, arrived)).unwrap();
            });
        }
    });
}

/// The plan, with the way to all servers back through an interface.
fn back_through(interface: u32) -> Plan {
    let mut plan = plan(&["10.0.1.11:8080", "10.0.1.12:8080", "10.0.1.13:8080"]);
    for server in &mut plan.services[0].servers {
        if let Some(Hop::Link { interface: out, .. }) = &mut server.hop {
            *out = interface;
        }
    }
    plan
}

fn balanced(events: &[(Event, u64)]) -> u64 {
    let ours = [Event::New, Event::Known, Event::Contended];
    events.iter().filter(|(event, _)| ours.contains(event)).map(|(_, count)| count).sum()
}

#[test]
fn two_queues_lose_no_count_and_make_no_connection_twice() {
    let lab = Lab::new("lvs-queues").unwrap();
    let (director, wire) = (lab.namespace("director").unwrap(), lab.namespace("wire").unwrap());
    for namespace in [&director, &wire] {
        namespace.sysctl("net.ipv6.conf.default.disable_ipv6", "1").unwrap();
    }
    let queues = format!("numtxqueues {CPUS} numrxqueues {CPUS}");
    let peer = format!("peer name v1 {queues} netns {}", wire.name());
    director
        .ip(&[format!("link add v0 {queues} type veth {peer}"), "link set v0 up".to_owned()])
        .unwrap();
    wire.ip(&["link set v1 up"]).unwrap();
    // What the director sends is received on both queues too.
    let _receiver = TestProgram::pass(&wire, "v1").unwrap();
    let pins = lab.bpffs().unwrap();
    let settings = Settings {
        interfaces: vec!["v0".to_owned()],
        mode: Mode::Native,
        capacity: SMALL,
        suffices: Suffices::default(),
        pin_dir: pins.path().join("lvs"),
    };
    let (mut dataplane, opened) = director.run(|| Ok(Dataplane::open(&settings)?)).unwrap();
    dataplane.apply(&back_through(opened.interfaces[0].index)).unwrap();

    send_from_both(&wire);
    let each = u64::from(SHARED + OWN_PACKETS);
    // A queue may still have frames when its sender is done.
    wait_until(Duration::from_secs(10), "every frame is counted", || {
        (0..CPUS).all(|cpu| balanced(&dataplane.events_on(cpu.into())) >= each)
    })
    .unwrap();

    for cpu in 0..CPUS {
        assert_eq!(balanced(&dataplane.events_on(cpu.into())), each, "counted on CPU {cpu}");
    }
    judge(&dataplane);
    dataplane.detach().unwrap();
}

fn judge(dataplane: &Dataplane) {
    let connections = u64::from(SHARED + CPUS * OWN);
    let mut made = BTreeMap::new();
    for connection in dataplane.connections(Filter::default()) {
        *made.entry(connection.client).or_insert(0) += 1;
    }
    let twice = made.values().filter(|count| **count > 1).count();
    assert_eq!((made.len() as u64, twice), (connections, 0));
    assert_eq!(u64::from(loads(dataplane)), connections);
    assert_eq!(counted(dataplane, Event::New), connections);
    // One whose rival is interrupted at the wrong moment is dropped, and counted.
    let dropped = counted(dataplane, Event::Contended);
    assert!(dropped < 100, "{dropped}");
    let sent = u64::from(CPUS) * u64::from(SHARED + OWN_PACKETS);
    let servers = dataplane.counters().servers.into_values();
    let sums = servers.fold((0, 0), |(connections, packets), (counters, _)| {
        (connections + counters.connections, packets + counters.packets_in)
    });
    assert_eq!(sums, (connections, sent - dropped));
}
