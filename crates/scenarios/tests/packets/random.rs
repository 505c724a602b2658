//! Packets that nobody planned: whatever arrives, no panic, a sound verdict, true counts.
use std::{
    env,
    net::{IpAddr, SocketAddr},
};

use lvs_core::{
    clock::Ticks,
    connection::Word,
    director::{self, Action, Verdict},
    forward::Method,
    packet::Buffer,
    scheduler::Scheduler,
    state::{TCP_TIMEOUTS, UDP_TIMEOUTS},
    tables::{Event, Tables},
    wire::Protocol,
};
use lvs_dataplane::{Capacity, Filter};
use lvs_model::{
    desired::{Entries, OnFailure, Stray},
    plan::{Admission, Plan, PlannedService},
};
use proptest::prelude::*;

use crate::{
    frame::{ACK, Body, FIN, Frame, MF, RST, SYN, frame, icmp, tcp, udp},
    runner::{Outcome, Runner, capacity, in_kernel, route},
    scenario::Room,
    verify::verify,
    world::{
        CLIENTS, PROTOCOLS, SERVERS, VERSIONS, client, forwarded, link, real, server, service,
        single, vip,
    },
};

/// So few that the tables fill up.
const CAPACITY: Capacity = Capacity { connections: 100, services: 64, servers: 256 };

/// Marsaglia's xorshift, from a fixed seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `n`.
    fn below(&mut self, n: usize) -> usize {
        ((self.next() >> 32) as usize * n) >> 32
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// What the services have, port by port.
const WAYS: [(Method, Scheduler, bool); 9] = [
    (Method::Direct, Scheduler::Rr, false),
    (Method::Tunnel, Scheduler::Wlc, false),
    (Method::Tunnel, Scheduler::Wrr, true),
    (Method::Nat, Scheduler::Mh, false),
    (Method::Nat, Scheduler::Sh, false),
    (Method::Nat, Scheduler::Lc, false),
    (Method::Direct, Scheduler::Mh, false),
    (Method::Tunnel, Scheduler::Sh, false),
    (Method::Local, Scheduler::Rr, false),
];

/// Services of all kinds; in every other round some servers fail, drain, are removed or unresolved.
fn plan(round: usize) -> Plan {
    let mut services = Vec::new();
    for version in VERSIONS {
        for protocol in PROTOCOLS {
            for (port, (method, scheduler, crosses)) in (80..).zip(WAYS) {
                let outer = if crosses { 10 - version } else { version };
                let mut one = service(protocol, (vip(version).ip(), port).into());
                one.scheduler = scheduler;
                one.stray = Stray::default_of(scheduler);
                // Hash schedulers without NAT, in turn.
                if port >= 86 && scheduler.is_hash() && (round + usize::from(version)) % 4 < 2 {
                    one.state = Entries::Moved;
                }
                one.on_failure = if port % 2 == 0 { OnFailure::Keep } else { OnFailure::Reset };
                for number in 11..14 {
                    let at = match method {
                        // Several services share these.
                        Method::Nat => real(outer, number, 8080),
                        _ => real(outer, number, port),
                    };
                    let mut server = server(at, method);
                    if method != Method::Local && number == 12 {
                        server.hop =
                            Some(link(at, if port % 2 == 0 { CLIENTS } else { SERVERS }, 600));
                    }
                    one.servers.push(server);
                }
                disturb(&mut one, round + usize::from(port));
                services.push(one);
            }
            services.push(service(protocol, (vip(version).ip(), 99).into()));
        }
    }
    Plan { services }
}

fn disturb(service: &mut PlannedService, round: usize) {
    match round % 7 {
        0 => service.servers[0].admission = Admission::Failed,
        1 => service.servers[1].admission = Admission::Draining,
        2 => drop(service.servers.remove(2)),
        3 if service.servers[0].method != Method::Local => service.servers[0].hop = None,
        4 => service.servers[1].weight = 3,
        5 => service.servers.clear(),
        _ => {}
    }
}

/// Well-formed frames of all kinds, each with the interface on which it arrives.
fn seeds(random: &mut Random) -> Vec<(u32, Vec<u8>)> {
    let mut seeds = Vec::new();
    for _ in 0..6000 {
        let version = random.of(&VERSIONS);
        let from = client(version, 40000 + random.below(48) as u16);
        let to =
            (vip(version).ip(), random.of(&[80, 81, 82, 83, 84, 85, 86, 87, 88, 99, 100])).into();
        let server = real(version, random.of(&[11, 12, 13]), 8080);
        let flags = random.of(&[
            SYN,
            SYN,
            SYN,
            ACK,
            ACK,
            SYN | ACK,
            FIN | ACK,
            FIN,
            RST,
            RST | ACK,
            0x18,
            0,
        ]);
        let data = vec![random.next() as u8; random.of(&[0, 0, 1, 7, 64, 500, 700, 1400])];
        let (source, destination, interface) =
            if random.below(4) == 0 { (server, from, SERVERS) } else { (from, to, CLIENTS) };
        let mut one = if random.below(2) == 0 {
            tcp(source, destination, flags).data(&data)
        } else {
            udp(source, destination, &data)
        };
        if random.below(8) == 0 {
            one = error_about(random, &one);
        }
        seeds.push((interface, dressed(random, one).bytes()));
    }
    seeds
}

/// An ICMP error about a packet that came the other way.
fn error_about(random: &mut Random, about: &Frame) -> Frame {
    let mut back = about.clone();
    let (source, destination) = (back.ip.destination, back.ip.source);
    (back.ip.source, back.ip.destination) = (source, destination);
    match &mut back.ip.body {
        Body::Tcp(tcp) => std::mem::swap(&mut tcp.source, &mut tcp.destination),
        Body::Udp(udp) => std::mem::swap(&mut udp.source, &mut udp.destination),
        other => panic!("{other:?}"),
    }
    let v4 = source.is_ipv4();
    let kind = random.of(if v4 {
        &[(3, 4), (3, 1), (11, 0), (8, 0)]
    } else {
        &[(2, 0), (1, 0), (3, 0), (128, 0)]
    });
    let embedded = if random.below(2) == 0 { back.ip.start() } else { back.ip.bytes() };
    let from: IpAddr = if random.below(2) == 0 { destination } else { about.ip.source };
    icmp(from, source, kind, 1280, &embedded)
}

fn dressed(random: &mut Random, mut one: Frame) -> Frame {
    let v4 = one.ip.source.is_ipv4();
    one = match random.below(8) {
        0 => one.tag(0x8100, 5),
        1 => one.tag(0x88a8, 5).tag(0x8100, 6),
        _ => one,
    };
    one = match random.below(12) {
        0 => one.ttl(1),
        1 => one.ttl(2),
        2 if v4 => one.options(&[1; 12]),
        3 if v4 => one.fragment(MF),
        2 => one.extension(60, &[0, 1, 4, 0, 0, 0, 0]),
        3 => one.extension(44, &[0, 0, 0, 0, 0, 0, 9]),
        4 => one.extension(44, &[0, 0, 9, 0, 0, 0, 9]),
        5 => one.trailer(6),
        _ => one,
    };
    if random.below(40) == 0 {
        let (source, destination) = (one.ip.source, one.ip.destination);
        one.ip = frame(source, destination, Body::Other(132, vec![0; 30])).ip;
    }
    one
}

/// Damages a frame, or not.
fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    if random.below(3) == 0 {
        return;
    }
    for _ in 0..=random.below(3) {
        // Most of what matters is at the front.
        let near = bytes.len().min(if random.below(2) == 0 { 40 } else { 120 });
        let at = random.below(near);
        match random.below(7) {
            0 => bytes.truncate(14.max(random.below(bytes.len()))),
            1 => bytes.extend(std::iter::repeat_n(random.next() as u8, random.below(64))),
            2 => bytes[at] ^= 1 << random.below(8),
            3 => {
                bytes[at] = random
                    .of(&[0, 1, 4, 6, 17, 0x45, 0x4f, 0x60, 41, 44, 58, 59, 60, 0x7f, 0x80, 0xff]);
            }
            4 => bytes[at] = random.next() as u8,
            5 => {
                // Nonsense from here on, for a few words.
                for byte in bytes.iter_mut().skip(at).take(16) {
                    *byte = random.next() as u8;
                }
            }
            _ => {
                // A length or another number of 16 bits.
                let value = (random.next() as u16 >> random.below(16)).to_be_bytes();
                bytes.iter_mut().skip(at & !1).zip(value).for_each(|(byte, value)| *byte = value);
            }
        }
    }
}

/// What may be done with a packet to which this happened.
fn fits(action: Action, event: Event) -> bool {
    use Event::{
        Contended, Displaced, Fragment, Inconsistent, Known, Local, Malformed, New, NoConnection,
        NoRoom, NoRoute, NoServer, NotIp, NotOurs, Related, Reply, Reset, Stray, TableFull,
        TimeExceeded, TooBig, Truncated, Unresolved,
    };
    match event {
        Known | New | Stray | Related | Reply => {
            matches!(action, Action::Transmit | Action::Redirect(CLIENTS | SERVERS))
        }
        TooBig | TimeExceeded => action == Action::Transmit,
        // A RST is never answered.
        NoServer | Reset => matches!(action, Action::Transmit | Action::Drop),
        Local | NotIp | NotOurs | NoConnection | Fragment | Malformed | Truncated => {
            action == Action::Pass
        }
        Unresolved | NoRoute | NoRoom => action == Action::Drop,
        Inconsistent | Contended | Displaced | TableFull => false,
    }
}

/// Judges what became of a packet, from the bytes before and after.
fn judge(packet: &[u8], verdict: Verdict, after: &[u8]) {
    let event = Event::ALL[usize::from(verdict.event())];
    assert!(fits(verdict.action(), event), "{verdict:?}: {packet:02x?}");
    match verdict.action() {
        Action::Pass => {
            assert!(packet == after, "{verdict:?} but changed: {packet:02x?}\n{after:02x?}");
        }
        Action::Transmit | Action::Redirect(_) if verify(packet).is_ok() => {
            assert_eq!(verify(after), Ok(()), "{verdict:?}: {packet:02x?}\n{after:02x?}");
        }
        _ => {}
    }
}

/// How many random packets go through the host build: `LVS_RANDOM_PACKETS`, or ten million.
fn packets() -> u64 {
    env::var("LVS_RANDOM_PACKETS").map_or(10_000_000, |number| number.parse().unwrap())
}

#[test]
fn random_packets_meet_a_sound_director() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let mut runner = Runner::host(CAPACITY);
    let seeds = seeds(&mut random);
    let mut seen = [0_u64; Event::ALL.len()];
    let mut now = Ticks(1_000_000);
    let mut bytes = Vec::new();
    let packets = packets();
    for number in 0..packets {
        if number % 50_000 == 0 {
            runner.recount("random packets");
            runner.dataplane.apply(&plan((number / 50_000) as usize)).unwrap();
        }
        // Mostly a few packets a tick; now and then a pause in which entries expire.
        now = now.after(u32::from(random.below(8) == 0));
        if random.below(2000) == 0 {
            now = now.after(random.below(4000) as u32);
        }
        let (interface, seed) = &seeds[random.below(seeds.len())];
        bytes.clear();
        bytes.extend_from_slice(seed);
        mutate(&mut random, &mut bytes);
        let host = runner.dataplane.host().at(now).routing(&route);
        let mut buffer = Buffer::new(&bytes, *interface);
        let verdict = director::process(&mut buffer, &host);
        host.count_event(verdict.event());
        seen[usize::from(verdict.event())] += 1;
        judge(&bytes, verdict, buffer.bytes());
    }
    runner.recount("random packets");
    let events = runner.dataplane.counters().events;
    for (event, count) in events {
        let possible = ![Event::Inconsistent, Event::Contended].contains(&event);
        assert!(
            (count > packets / 100_000) == possible,
            "{} times {}: {seen:?}",
            count,
            event.name()
        );
    }
}

/// The same packets through both builds, on tables that are equal.
#[test]
fn random_packets_fare_alike_in_the_kernel_and_on_the_host() {
    in_kernel(|| {
        let mut kernel = Runner::kernel(CAPACITY);
        let mut host = Runner::host_like(CAPACITY, &kernel);
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let seeds = seeds(&mut random);
        let mut bytes = Vec::new();
        for number in 0..40_000_u32 {
            let tick = host.dataplane.host().now();
            if number % 2000 == 0 {
                for runner in [&mut kernel, &mut host] {
                    runner.dataplane.apply(&plan((number / 2000) as usize)).unwrap();
                }
            }
            let (interface, seed) = &seeds[random.below(seeds.len())];
            bytes.clear();
            bytes.extend_from_slice(seed);
            mutate(&mut random, &mut bytes);
            let there = kernel.send(*interface, &bytes);
            let mut here = host.send(*interface, &bytes);
            if let Action::Redirect(interface) = &mut here.action {
                *interface = 0;
            }
            alike(number, &bytes, &there, &here);
            // The two clocks may be a moment apart. Entries that end at other times here and there
            // could expire or make room in another order, so they go before they can.
            let in_step = in_step(number, &kernel, &host);
            if !in_step || host.dataplane.host().now() != tick {
                kernel.recount("kernel");
                host.recount("host");
                let ended = [&mut kernel, &mut host].map(|r| r.dataplane.flush(Filter::default()));
                assert_eq!(ended[0], ended[1], "connections after packet {number}");
            }
        }
        let counted = [&kernel, &host].map(|runner| runner.dataplane.counters());
        assert_eq!(counted[0].events, counted[1].events);
        assert_eq!(counted[0].servers, counted[1].servers);
    });
}

/// Compares both tables slot by slot; says whether their connections end in the same ticks too.
fn in_step(number: u32, kernel: &Runner, host: &Runner) -> bool {
    let [there, here] = [kernel, host].map(|runner| {
        let mut slots = Vec::new();
        runner.each_slot(|client, word| slots.push((client, Word(word.get()))));
        slots
    });
    let named = |slots: &[(SocketAddr, Word)]| -> Vec<_> {
        slots.iter().map(|(client, word)| (*client, word.state(), word.server())).collect()
    };
    assert_eq!(named(&there), named(&here), "tables after packet {number}");
    let apart = |((_, there), (_, here)): (&(SocketAddr, Word), &(SocketAddr, Word))| {
        let apart = there.expires().since(here.expires()).abs();
        // Either a tick, or in one place it was not time yet to write the entry.
        let at = there.state().timeout_index();
        let timeout = TCP_TIMEOUTS[at].max(UDP_TIMEOUTS[at]);
        let later = Ticks::span(u64::from(timeout) * 1000).cast_signed() / 64;
        let in_time = apart <= 1 || (later..=later + 2).contains(&apart);
        assert!(in_time, "{apart} ticks apart after packet {number}: {there:?}");
        apart
    };
    there.iter().zip(&here).map(apart).max().unwrap_or(0) == 0
}

fn alike(number: u32, packet: &[u8], kernel: &Outcome, host: &Outcome) {
    let same = if kernel.action == Action::Drop {
        // Of a packet that is dropped, nobody sees the bytes.
        (kernel.action, &kernel.events) == (host.action, &host.events)
    } else {
        kernel == host
    };
    assert!(same, "packet {number}: {packet:02x?}\nkernel: {kernel:02x?}\nhost: {host:02x?}");
}

proptest! {
    /// Any bytes at all, with an ethertype in front so that some get further.
    #[test]
    fn any_bytes_pass_or_are_answered(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        kind in proptest::sample::select(vec![[8, 0], [0x86, 0xdd], [0x81, 0], [0x88, 0xa8], [8, 6]]),
        first in proptest::sample::select(vec![0x45, 0x46, 0x4f, 0x60, 0x00]),
    ) {
        let mut packet = bytes;
        if packet.len() > 14 {
            packet[12..14].copy_from_slice(&kind);
            packet[14] = first;
        }
        let mut runner = Runner::host(capacity(Room::Four));
        runner.dataplane.apply(&single(Protocol::Udp, vip(4), server(real(4, 11, 80), Method::Nat))).unwrap();
        let mut buffer = Buffer::new(&packet, CLIENTS);
        let verdict = director::process(&mut buffer, &runner.dataplane.host().routing(&route));
        judge(&packet, verdict, buffer.bytes());
    }

    /// Any well-formed packet of a client reaches the server as the builder would have built it,
    /// and the answer likewise reaches the client.
    #[test]
    fn any_packet_keeps_its_checksums(
        version in proptest::sample::select(VERSIONS.to_vec()),
        is_udp in any::<bool>(),
        method in proptest::sample::select(vec![Method::Direct, Method::Tunnel, Method::Nat]),
        ports in any::<[u16; 3]>(),
        ttl in 2..=255_u8,
        tos in any::<u8>(),
        id in any::<u16>(),
        data in proptest::collection::vec(any::<u8>(), 0..300),
        has_options in any::<bool>(),
    ) {
        let [client_port, virtual_port, server_port] = ports;
        let (from, to) = (client(version, client_port), (vip(version).ip(), virtual_port).into());
        let at = real(version, 11, if method == Method::Nat { server_port } else { virtual_port });
        let protocol = if is_udp { Protocol::Udp } else { Protocol::Tcp };
        let wear = |frame: Frame| {
            let mut frame = frame.ttl(ttl).tos(tos).data(&data);
            frame.ip.id = id;
            match (has_options, version) {
                (false, _) => frame,
                (true, 4) => frame.options(&[1; 16]),
                (true, _) => frame.extension(0, &[0, 1, 4, 0, 0, 0, 0]),
            }
        };
        let first = wear(if is_udp { udp(from, to, b"") } else { tcp(from, to, SYN) });
        let mut runner = Runner::host(capacity(Room::Four));
        runner.dataplane.apply(&single(protocol, to, server(at, method))).unwrap();
        let sent = runner.send(CLIENTS, &first.bytes());
        prop_assert_eq!(sent.bytes, forwarded(&first, at, method).bytes());
        if method == Method::Nat {
            let answer = wear(if is_udp { udp(at, from, b"") } else { tcp(at, from, SYN | ACK) });
            let sent = runner.send(SERVERS, &answer.bytes());
            let expected = answer.sent_from(to).hop().macs(crate::world::CLIENT_MAC, crate::world::CLIENTS_MAC);
            prop_assert_eq!(sent.bytes, expected.bytes());
        }
    }
}
