//! What became of a packet that was sent to be explained, in words.
use lvs_api::types::Explained;
use lvs_core::{
    director::Action,
    tables::{Admission, Event},
};
use lvs_dataplane::{MetServer, MetService};
use lvs_model::words::Word;

/// Each step on the way, in the order in which the director takes it.
pub(super) fn told(explained: &lvs_dataplane::Explained) -> Explained {
    let mut steps = Vec::new();
    if let Some(service) = &explained.service {
        steps.push(candidates(service));
        steps.extend(service.candidates.iter().map(candidate));
    }
    steps.push(reason(explained.event).to_owned());
    match explained.action {
        Action::Transmit => steps.push("out where it came in".to_owned()),
        Action::Redirect(interface) => steps.push(format!("out on interface {interface}")),
        Action::Pass | Action::Drop => {}
    }
    Explained {
        verdict: explained.event.name().to_owned(),
        service: None,
        server: explained.server.map(|server| server.address),
        forward: explained.server.map(|server| server.method),
        steps,
    }
}

fn candidates(service: &MetService) -> String {
    let scheduler = service.scheduler.map_or("its scheduler", Word::word);
    match service.candidates.len() {
        0 => "it has no server that takes new connections".to_owned(),
        1 => format!("{scheduler} picks from 1 server"),
        count => format!("{scheduler} picks from {count} servers"),
    }
}

fn candidate(server: &MetServer) -> String {
    let MetServer { address, weight, load, .. } = server;
    let (active, inactive) = (load.active, load.inactive);
    let state = match server.admission {
        Admission::Open if server.is_resolved => "open",
        Admission::Open => "open, but the way to it is not known",
        Admission::Draining => "draining",
        Admission::Kept | Admission::Reset => "failed",
    };
    format!("{address}: {state}, weight {weight}, {active} active, {inactive} inactive")
}

/// What the director found, in the operator's words.
fn reason(event: Event) -> &'static str {
    match event {
        Event::Known => "a known connection: it stays with its server",
        Event::New => "a new connection: the scheduler picked the server",
        Event::Stray => "of no known connection: the hash says which server",
        Event::Reply => "an answer on its way to the client",
        Event::Related => "an ICMP error about a connection",
        Event::Local => "the director itself is the server: up its stack",
        Event::NoServer => "no server takes new connections: refused at once",
        Event::Reset => "the connection's server failed or was removed: reset",
        Event::TooBig => "too big for the way to the server: the client is told",
        Event::TimeExceeded => "its time to live ran out: the client is told",
        Event::NotIp => "neither IPv4 nor IPv6: up the director's stack",
        Event::NotOurs => "no service has this protocol, address and port: up the director's stack",
        Event::NoConnection => "TCP of no known connection and no SYN: up the director's stack",
        Event::Fragment => "a fragment: up the director's stack",
        Event::Malformed => "a header contradicts itself: up the director's stack",
        Event::Truncated => "shorter than its headers say: up the director's stack",
        Event::Unresolved => "the way to the server is not known: dropped",
        Event::NoRoute => "no way leads back to the client: dropped",
        Event::NoRoom => "no room for an outer header: dropped",
        Event::Inconsistent => "a table contradicts itself: dropped",
        Event::Contended => "another CPU held the connection's set for too long: dropped",
        Event::Displaced => "a half-open connection made room for it",
        Event::TableFull => "the connection table is full: balanced without an entry",
    }
}
