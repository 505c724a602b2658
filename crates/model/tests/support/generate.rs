//! Generators of valid desired states and of changes that may or may not fit them.
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use lvs_model::{
    change::{Change, ServerEdit, ServerMethod, ServiceEdit, TimeoutsEdit},
    desired::{
        Check, Desired, Drain, Entries, MAX_WEIGHT, Method, OnFailure, Probe, Protocol, Scheduler,
        SchedulerFlags, Server, ServerCheck, Service, ServiceKey, Stray, Timeouts,
    },
    validate::MAX_DEADLINE,
    words::{FlagWord, Word},
};
use proptest::{collection::vec, option, prelude::*, sample::select};

/// A valid state of a few services.
pub(crate) fn desired() -> impl Strategy<Value = Desired> {
    vec(service(), 0..5).prop_map(|mut services| {
        let mut seen: Vec<(String, ServiceKey)> = Vec::new();
        services.retain(|service| {
            let fresh = seen.iter().all(|(name, key)| *name != service.name && *key != service.key);
            seen.push((service.name.clone(), service.key));
            fresh
        });
        Desired { services }
    })
}

/// Any of a table's values.
pub(crate) fn word<T: Word + std::fmt::Debug>() -> impl Strategy<Value = T> {
    select(T::TABLE).prop_map(|(_, value)| value)
}

fn method() -> impl Strategy<Value = Method> {
    select(vec![Method::Direct, Method::Tunnel, Method::Nat])
}

/// Few names, so that they meet.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[a-d]", 1 => "[A-Za-z][A-Za-z0-9_.-]{0,12}"]
}

/// Few addresses and ports, so that they meet.
fn address() -> impl Strategy<Value = SocketAddr> {
    let v4 = (1u8..6).prop_map(|host| IpAddr::V4(Ipv4Addr::new(192, 0, 2, host)));
    let v6 =
        (1u16..4).prop_map(|host| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host)));
    (prop_oneof![3 => v4, 1 => v6], select(vec![80, 443, 8080, 65535]))
        .prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

fn key() -> impl Strategy<Value = ServiceKey> {
    (word::<Protocol>(), address()).prop_map(|(protocol, address)| ServiceKey { protocol, address })
}

fn idle() -> impl Strategy<Value = Duration> {
    prop_oneof![
        (1u64..1000).prop_map(Duration::from_secs),
        (1000u64..1_000_000).prop_map(Duration::from_millis)
    ]
}

fn timeouts() -> impl Strategy<Value = Timeouts> {
    prop_oneof![
        Just(Timeouts::default()),
        (idle(), idle(), idle()).prop_map(|(established, fin, udp)| Timeouts {
            established,
            fin,
            udp
        })
    ]
}

/// A valid check.
pub(crate) fn check() -> impl Strategy<Value = Check> {
    let http = ("/[!-~]{0,8}", option::of("[!-~]{1,8}"), vec(100u16..600, 1..4))
        .prop_map(|(path, host, status)| Probe::Http { path, host, status });
    let probe = prop_oneof![Just(Probe::Tcp), Just(Probe::http()), http];
    let millis = || (1u64..100_000).prop_map(Duration::from_millis);
    (probe, option::of(1u16..), millis(), millis(), 1u32..9, 1u32..9).prop_map(
        |(probe, port, interval, timeout, rise, fall)| Check {
            probe,
            port,
            interval,
            timeout,
            rise,
            fall,
        },
    )
}

fn server_check() -> impl Strategy<Value = ServerCheck> {
    prop_oneof![
        3 => Just(ServerCheck::Inherit),
        1 => Just(ServerCheck::Off),
        1 => check().prop_map(ServerCheck::Own)
    ]
}

fn deadline() -> impl Strategy<Value = Option<u64>> {
    option::of(0..=MAX_DEADLINE)
}

/// A server that may not fit the service that it meets.
pub(crate) fn server() -> impl Strategy<Value = Server> {
    let drain = option::weighted(0.2, deadline().prop_map(|deadline| Drain { deadline }));
    let weight = prop_oneof![3 => 0u32..10, 1 => 0u32..=MAX_WEIGHT];
    (address(), weight, option::weighted(0.3, method()), server_check(), drain).prop_map(
        |(address, weight, forward, check, drain)| Server {
            address,
            weight,
            forward,
            check,
            drain,
        },
    )
}

/// A valid service.
pub(crate) fn service() -> impl Strategy<Value = Service> {
    let scheduling = (word::<Scheduler>(), 0u8..4, any::<bool>(), any::<bool>());
    let rest = (method(), word::<OnFailure>(), timeouts(), option::of(check()));
    (name(), key(), scheduling, rest, vec(server(), 0..5)).prop_map(
        |(
            name,
            key,
            (scheduler, bits, stack, moved),
            (forward, on_failure, timeouts, check),
            servers,
        )| {
            let hash = Stray::default_of(scheduler) == Stray::Hash;
            let moved = hash && !stack && moved && forward != Method::Nat;
            let mut service = Service {
                name,
                key,
                scheduler,
                scheduler_flags: SchedulerFlags(if hash { bits } else { 0 }),
                forward,
                state: if moved { Entries::Moved } else { Entries::All },
                stray: if hash && !stack { Stray::Hash } else { Stray::Stack },
                on_failure,
                timeouts,
                check,
                servers: Vec::new(),
            };
            for server in servers {
                push(&mut service, server);
            }
            service
        },
    )
}

/// Adds a server, made to fit the service.
fn push(service: &mut Service, mut server: Server) {
    if server.address.is_ipv4() != service.key.address.is_ipv4() {
        server.forward = Some(Method::Tunnel);
    }
    if service.state == Entries::Moved && server.forward == Some(Method::Nat) {
        server.forward = Some(Method::Tunnel);
    }
    if service.method_of(&server) != Method::Nat {
        server.address.set_port(service.key.address.port());
    }
    if service.servers.iter().all(|known| known.address != server.address) {
        service.servers.push(server);
    }
}

fn service_edit() -> impl Strategy<Value = ServiceEdit> {
    let timeouts = (option::of(idle()), option::of(idle()), option::of(idle()))
        .prop_map(|(established, fin, udp)| TimeoutsEdit { established, fin, udp });
    (
        option::of(word::<Scheduler>()),
        option::of(vec(word::<FlagWord>(), 0..3)),
        option::of(word::<Method>()),
        option::of((word::<Entries>(), word::<Stray>())),
        option::of(word::<OnFailure>()),
        timeouts,
        option::of(option::of(check())),
    )
        .prop_map(
            |(scheduler, scheduler_flags, forward, kept, on_failure, timeouts, check)| {
                ServiceEdit {
                    scheduler,
                    scheduler_flags,
                    forward,
                    state: kept.map(|(state, _)| state),
                    stray: kept.map(|(_, stray)| stray),
                    on_failure,
                    timeouts,
                    check,
                }
            },
        )
}

fn server_edit() -> impl Strategy<Value = ServerEdit> {
    let weight = option::of(prop_oneof![4 => 0u32..10, 1 => any::<u32>()]);
    (weight, option::of(word::<ServerMethod>()), option::of(server_check()))
        .prop_map(|(weight, forward, check)| ServerEdit { weight, forward, check })
}

/// What a change picks from a state: the service and server by index, where there are such.
type Pick = (usize, usize);

/// A change of a state, mostly of something that is there.
pub(crate) fn change(desired: &Desired, pick: Pick, seed: ChangeSeed) -> Change {
    let count = desired.services.len().max(1);
    let at = desired.services.get(pick.0 % (count + usize::from(pick.0.is_multiple_of(7))));
    let service = at.map_or_else(|| "ghost".to_owned(), |service| service.name.clone());
    let address = at
        .and_then(|service| service.servers.get(pick.1 % service.servers.len().max(1)))
        .map_or(seed.address, |server| server.address);
    match seed.kind {
        0 => Change::AddService { service: seed.service },
        1 | 2 => Change::EditService { service, edit: seed.service_edit },
        3 => Change::RemoveService { service },
        4 | 5 => Change::AddServer { service, server: seed.server },
        6 | 7 => Change::EditServer { service, address, edit: seed.server_edit },
        8 => Change::RemoveServer { service, address },
        9 => Change::Drain { service, address, deadline: seed.deadline },
        _ => Change::Resume { service, address },
    }
}

/// The material of a change.
#[derive(Clone, Debug)]
pub(crate) struct ChangeSeed {
    kind: u8,
    service: Service,
    service_edit: ServiceEdit,
    server: Server,
    server_edit: ServerEdit,
    address: SocketAddr,
    deadline: Option<u64>,
}

/// Material for a number of changes.
pub(crate) fn changes(most: usize) -> impl Strategy<Value = Vec<(Pick, ChangeSeed)>> {
    let edits = (service_edit(), server_edit());
    let seed = (0u8..11, service(), edits, server(), address(), deadline()).prop_map(
        |(kind, service, (service_edit, server_edit), server, address, deadline)| ChangeSeed {
            kind,
            service,
            service_edit,
            server,
            server_edit,
            address,
            deadline,
        },
    );
    vec(((any::<usize>(), any::<usize>()), seed), 1..=most)
}
