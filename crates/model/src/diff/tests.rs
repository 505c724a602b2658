use super::*;
use crate::{
    change::{Change, ServerEdit, ServiceEdit},
    desired::{Scheduler, ServiceKey},
};

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn web() -> Desired {
    let mut service = Service::new("web", ServiceKey::tcp(address("192.0.2.1:80")));
    service.servers = ["10.0.0.1:80", "10.0.0.2:80"].map(|a| Server::new(address(a))).into();
    Desired { services: vec![service] }
}

fn told(before: &Desired, after: &Desired) -> Vec<String> {
    diff(before, after).iter().map(Difference::to_string).collect()
}

#[test]
fn says_what_a_change_did() {
    let web = || "web".to_owned();
    let first = address("10.0.0.1:80");
    let edit = ServiceEdit { scheduler: Some(Scheduler::Rr), ..ServiceEdit::default() };
    let weight = ServerEdit { weight: Some(5), ..ServerEdit::default() };
    let check = ServiceEdit { check: Some(Some(Check::new(Probe::Tcp))), ..Default::default() };
    let server = Server::new(address("10.0.0.3:80"));
    for (change, text) in [
        (Change::EditService { service: web(), edit }, "~ service web: scheduler wlc -> rr"),
        (
            Change::EditService { service: web(), edit: check },
            "~ service web: check none -> tcp interval 2s timeout 1s rise 1 fall 2",
        ),
        (
            Change::EditServer { service: web(), address: first, edit: weight },
            "~ server web 10.0.0.1:80: weight 1 -> 5",
        ),
        (
            Change::Drain { service: web(), address: first, deadline: None },
            "~ server web 10.0.0.1:80: drain no -> yes",
        ),
        (Change::RemoveServer { service: web(), address: first }, "- server web 10.0.0.1:80"),
        (Change::AddServer { service: web(), server }, "+ server web 10.0.0.3:80 weight 1"),
        (Change::RemoveService { service: web() }, "- service web (tcp 192.0.2.1:80)"),
    ] {
        let before = self::web();
        let mut after = before.clone();
        after.apply(&change).unwrap();
        assert_eq!(told(&before, &after), [text]);
    }
}

#[test]
fn order_counts_for_servers_only() {
    let before = web();
    let mut after = web();
    after.services[0].servers.reverse();
    assert_eq!(told(&before, &after), ["~ service web: order of servers"]);

    let mut two = web();
    let mut other = two.services[0].clone();
    other.name = "other".into();
    two.services.push(other);
    let mut turned = two.clone();
    turned.services.reverse();
    assert!(told(&two, &turned).is_empty());
}
