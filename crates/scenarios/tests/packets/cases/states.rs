//! TCP states and timeouts, in all three directions, through packets.
use lvs_core::{forward::Method, state::State, tables::Event, wire::Protocol};

use crate::{
    frame::{ACK, FIN, Frame, RST, SYN, tcp},
    scenario::{Check, Scenario, Step},
    world::{CLIENT_MAC, CLIENTS_MAC, client, forwarded, real, server, single, vip},
};

/// IPVS's table: state before; then, from the client (replies seen), from the server, from the
/// client (replies not seen), each the state after SYN, FIN, ACK and RST.
const TABLE: &str = include_str!("states.txt");

/// IPVS's timeouts in seconds.
const TIMEOUTS: [(State, u64); 11] = [
    (State::NONE, 2),
    (State::ESTABLISHED, 900),
    (State::SYN_SENT, 120),
    (State::SYN_RECV, 60),
    (State::FIN_WAIT, 120),
    (State::TIME_WAIT, 120),
    (State::CLOSE, 10),
    (State::CLOSE_WAIT, 60),
    (State::LAST_ACK, 30),
    (State::LISTEN, 120),
    (State::SYNACK, 120),
];

fn named(name: &str) -> (State, u64) {
    let found = TIMEOUTS.into_iter().find(|(state, _)| state.name() == name.trim());
    found.unwrap_or_else(|| panic!("{name}"))
}

pub(crate) fn all() -> Vec<Scenario> {
    let mut all = Vec::new();
    for line in TABLE.lines() {
        let cells: Vec<_> = line.split('|').collect();
        let [before, client, server, client_only] = cells[..] else { panic!("{line}") };
        let before = named(before).0;
        // No packet meets this one through a packet of its own: a new entry leaves it at once.
        for (method, from_server, row) in [
            (Method::Nat, false, client),
            (Method::Nat, true, server),
            (Method::Direct, false, client_only),
            (Method::Tunnel, false, client_only),
        ] {
            let row: Vec<_> = row.split('/').collect();
            let [syn, fin, ack, rst] = row[..] else { panic!("{line}") };
            let flags = [
                (SYN, syn),
                (FIN, fin),
                (ACK, ack),
                (RST, rst),
                // RST is looked at first, then SYN, FIN, ACK; none of them closes.
                (RST | ACK, rst),
                (FIN | ACK, fin),
                (RST | SYN | FIN | ACK, rst),
                (SYN | FIN | ACK, syn),
                (0, "CLOSE"),
                (0x28, "CLOSE"),
            ];
            all.extend(
                flags.map(|(flags, after)| one(before, method, from_server, flags, named(after))),
            );
        }
    }
    all.push(configured_timeouts());
    all
}

fn one(
    before: State,
    method: Method,
    from_server: bool,
    flags: u8,
    (after, seconds): (State, u64),
) -> Scenario {
    let (from, port) = (client(4, 40000), if method == Method::Nat { 8080 } else { 80 });
    let at = real(4, 11, port);
    let syn = tcp(from, vip(4), SYN);
    let sent = |frame: &Frame| forwarded(frame, at, method);
    let direction = if from_server { "from the server" } else { "from the client" };
    let name = format!("{} {direction}, {}, flags {flags:#x}", method.name(), before.name());
    let scenario = Scenario::new(name, single(Protocol::Tcp, vip(4), server(at, method)))
        .goes(&syn, Event::New, &sent(&syn))
        .step(Step::Age(from, 1))
        .step(Step::State(from, before));
    let scenario = if from_server {
        let segment = tcp(at, from, flags);
        let expected = segment.clone().sent_from(vip(4)).hop().macs(CLIENT_MAC, CLIENTS_MAC);
        scenario.returns(&segment, Event::Reply, &expected)
    } else {
        let segment = tcp(from, vip(4), flags);
        let opens = flags & (SYN | RST) == SYN;
        let anew = opens && matches!(before, State::TIME_WAIT | State::CLOSE);
        scenario.goes(&segment, if anew { Event::New } else { Event::Known }, &sent(&segment))
    };
    let service = lvs_model::desired::ServiceKey { protocol: Protocol::Tcp, address: vip(4) };
    let active = u32::from(after == State::ESTABLISHED);
    scenario
        .check(Check::Connection { client: from, server: at, state: after, seconds })
        .check(Check::Load { service, server: at, load: [active, 1 - active] })
}

/// The service's own timeouts hold for the states that `ipvsadm --set` means.
fn configured_timeouts() -> Scenario {
    let (from, at) = (client(4, 40000), real(4, 11, 80));
    let mut plan = single(Protocol::Tcp, vip(4), server(at, Method::Direct));
    plan.services[0].timeouts.established = std::time::Duration::from_secs(77);
    plan.services[0].timeouts.fin = std::time::Duration::from_secs(33);
    let [syn, ack, fin] = [SYN, ACK, FIN | ACK].map(|flags| tcp(from, vip(4), flags));
    let other = client(4, 40001);
    let [syn2, ack2] = [SYN, ACK].map(|flags| tcp(other, vip(4), flags));
    let sent = |frame: &Frame| forwarded(frame, at, Method::Direct);
    Scenario::new("configured timeouts", plan)
        .goes(&syn, Event::New, &sent(&syn))
        .goes(&ack, Event::Known, &sent(&ack))
        .goes(&fin, Event::Known, &sent(&fin))
        .goes(&syn2, Event::New, &sent(&syn2))
        .goes(&ack2, Event::Known, &sent(&ack2))
        .check(Check::Connection { client: from, server: at, state: State::FIN_WAIT, seconds: 33 })
        .check(Check::Connection {
            client: other,
            server: at,
            state: State::ESTABLISHED,
            seconds: 77,
        })
}
