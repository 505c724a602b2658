use super::*;
use crate::desired::{Drain, OnFailure, SchedulerFlags, ServiceKey};

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn service(edit: impl FnOnce(&mut Service)) -> Vec<(Option<usize>, Field)> {
    let mut service = Service::new("web", ServiceKey::tcp(address("192.0.2.1:80")));
    service.servers.push(Server::new(address("10.0.0.1:80")));
    edit(&mut service);
    let found = Desired { services: vec![service] }.violations();
    for violation in &found {
        assert!(!violation.rule.to_string().is_empty() && !violation.rule.remedy().is_empty());
    }
    found.into_iter().map(|violation| (violation.server, violation.field)).collect()
}

fn server(edit: impl FnOnce(&mut Server)) -> Vec<(Option<usize>, Field)> {
    service(|service| edit(&mut service.servers[0]))
}

fn check(edit: impl FnOnce(&mut Check)) -> Vec<(Option<usize>, Field)> {
    let mut check = Check::new(Probe::http());
    edit(&mut check);
    service(|service| service.check = Some(check))
}

#[test]
fn a_plain_service_is_valid() {
    assert_eq!(service(|service| service.on_failure = OnFailure::Reset), []);
    assert_eq!(check(|_| {}), []);
}

#[test]
fn each_rule_of_a_service_names_its_setting() {
    for name in ["", "a b", "192.0.2.1", "web:80", "wéb"] {
        assert_eq!(service(|s| s.name = name.into()), [(None, Field::Name)], "{name}");
    }
    for bad in ["0.0.0.0:80", "224.0.0.1:80", "255.255.255.255:80"] {
        assert_eq!(service(|s| s.key.address = address(bad)), [(None, Field::Address)], "{bad}");
    }
    for bad in ["[::]:80", "[ff02::1]:80", "[fe80::1]:80", "[::ffff:192.0.2.1]:80"] {
        let found = service(|s| {
            s.key.address = address(bad);
            s.servers.clear();
        });
        assert_eq!(found, [(None, Field::Address)], "{bad}");
    }
    assert!(service(|s| s.key.address.set_port(0)).contains(&(None, Field::Address)));
    assert_eq!(service(|s| s.scheduler_flags.0 = 1), [(None, Field::SchedulerFlags)]);
    assert_eq!(service(|s| s.stray = Stray::Hash), [(None, Field::Stray)]);
    assert_eq!(service(|s| s.state = Entries::Moved), [(None, Field::State)]);
    let hashed = |change: fn(&mut Service)| {
        service(|s| {
            (s.scheduler, s.state, s.stray) = (Scheduler::Mh, Entries::Moved, Stray::Hash);
            change(s);
        })
    };
    assert_eq!(hashed(|_| {}), []);
    assert_eq!(hashed(|s| s.stray = Stray::Stack), [(None, Field::Stray)]);
    assert_eq!(hashed(|s| s.forward = Method::Nat), [(None, Field::Forward)]);
    let nat = hashed(|s| s.servers[0].forward = Some(Method::Nat));
    assert_eq!(nat, [(Some(0), Field::Forward)]);
    assert_eq!(service(|s| s.forward = Method::Local), [(None, Field::Forward)]);
    assert_eq!(service(|s| s.timeouts.fin = Duration::ZERO), [(None, Field::TimeoutFin)]);
    let unknown_bit = |s: &mut Service| {
        s.scheduler = Scheduler::Mh;
        s.scheduler_flags = SchedulerFlags(4);
    };
    assert_eq!(service(unknown_bit), [(None, Field::SchedulerFlags)]);
}

#[test]
fn each_rule_of_a_server_names_it() {
    let at = |field| [(Some(0), field)];
    assert_eq!(server(|s| s.address = address("10.0.0.1:8080")), at(Field::Address));
    assert_eq!(server(|s| s.address = address("[2001:db8::1]:80")), at(Field::Address));
    assert_eq!(server(|s| s.address = address("0.0.0.0:80")), at(Field::Address));
    assert_eq!(server(|s| s.address = address("10.0.0.1:0")), at(Field::Address));
    assert_eq!(server(|s| s.weight = MAX_WEIGHT + 1), at(Field::Weight));
    assert_eq!(server(|s| s.weight = MAX_WEIGHT), []);
    let late = Some(Drain { deadline: Some(u64::MAX) });
    assert_eq!(server(|s| s.drain = late), at(Field::Drain));
    let twice = |s: &mut Service| s.servers.push(s.servers[0].clone());
    assert_eq!(service(twice), [(Some(1), Field::Address)]);
}

#[test]
fn nat_may_change_the_port_and_a_tunnel_the_family() {
    let nat = |s: &mut Server| {
        s.address = address("10.0.0.1:8080");
        s.forward = Some(Method::Nat);
    };
    assert_eq!(server(nat), []);
    let tunnel = |s: &mut Server| {
        s.address = address("[2001:db8::1]:80");
        s.forward = Some(Method::Tunnel);
    };
    assert_eq!(server(tunnel), []);
}

#[test]
fn each_rule_of_a_check_names_its_setting() {
    fn http(path: &str, host: Option<&str>, status: &[u16]) -> Vec<(Option<usize>, Field)> {
        let (path, host, status) = (path.into(), host.map(Into::into), status.to_vec());
        check(|check| check.probe = Probe::Http { path, host, status })
    }
    assert_eq!(check(|c| c.interval = Duration::ZERO), [(None, Field::CheckInterval)]);
    assert_eq!(check(|c| c.timeout = Duration::ZERO), [(None, Field::CheckTimeout)]);
    assert_eq!(check(|c| c.rise = 0), [(None, Field::CheckRise)]);
    assert_eq!(check(|c| c.fall = 0), [(None, Field::CheckFall)]);
    assert_eq!(check(|c| c.port = Some(0)), [(None, Field::CheckPort)]);
    assert_eq!(http("healthz", None, &[200]), [(None, Field::CheckPath)]);
    assert_eq!(http("/a b", None, &[200]), [(None, Field::CheckPath)]);
    assert_eq!(http("/", Some("a\r\nb"), &[200]), [(None, Field::CheckHost)]);
    assert_eq!(http("/", None, &[]), [(None, Field::CheckStatus)]);
    assert_eq!(http("/", None, &[200, 600]), [(None, Field::CheckStatus)]);
}

#[test]
fn names_and_keys_are_unique() {
    let one = Service::new("web", ServiceKey::tcp(address("192.0.2.1:80")));
    let udp = Service::new("dns", ServiceKey::udp(address("192.0.2.1:80")));
    let both = Desired { services: vec![one.clone(), udp, one] };
    let found: Vec<_> = both.violations().into_iter().map(|v| (v.service, v.field)).collect();
    assert_eq!(found, [(2, Field::Name), (2, Field::Address)]);
}
