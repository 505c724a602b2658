//! Changes written into a file keep everything that they do not change.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of tests may fail them"
)]
use std::path::Path;

use lvs_config::{PersistError, persist};
use lvs_model::{
    change::{Change, ServerEdit, ServiceEdit, TimeoutsEdit},
    desired::{Check, Probe, Scheduler, Server, ServerCheck},
};

const BLOCKS: &str = r#"# Our balancer.
[daemon]
interfaces = ["eth0"] # the clients' side

# The shop.
[[service]]
name = "web"
address = '192.0.2.10:80'   # the old address
scheduler = "wlc" # as ever
timeouts = { established = "900s" }

[service.check]
type = "http"
path = "/healthz"   # cheap

# Rack 1.
[[service.server]]
address = "10.0.0.11:80"
weight = 2 # twice as strong

# Rack 2.
[[service.server]]
address = "10.0.0.12:80"

# The names.
[[service]]
name = "dns"
protocol = "udp"
address = "192.0.2.10:53"
server = [
  { address = "10.0.0.21:53" }, # first
  # The second one is new.
  { address = "10.0.0.22:53", weight = 3 }, # second
  { address = "10.0.0.23:53" }, # third
]
# The end.
"#;

fn server(service: &str, address: &str) -> (String, std::net::SocketAddr) {
    (service.to_owned(), address.parse().unwrap())
}

/// The lines that a change takes away and adds.
fn lines_changed(change: Change) -> (Vec<String>, Vec<String>) {
    let text = persist(Path::new("lvs.toml"), BLOCKS, &[change]).unwrap();
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let (old, new) = (lines(BLOCKS), lines(&text));
    let front = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let back = old[front..].iter().rev().zip(new[front..].iter().rev());
    let back = back.take_while(|(a, b)| a == b).count();
    (old[front..old.len() - back].to_vec(), new[front..new.len() - back].to_vec())
}

#[test]
fn a_server_is_added_behind_the_others() {
    let (service, address) = server("web", "10.0.0.13:80");
    let (gone, new) = lines_changed(Change::AddServer { service, server: Server::new(address) });
    assert_eq!(gone, [""; 0]);
    assert_eq!(new, ["[[service.server]]", "address = \"10.0.0.13:80\"", ""]);

    let (service, address) = server("dns", "10.0.0.24:53");
    let (gone, new) = lines_changed(Change::AddServer { service, server: Server::new(address) });
    assert_eq!(gone, [""; 0]);
    assert_eq!(new, ["  { address = \"10.0.0.24:53\" },"]);
}

#[test]
fn a_removed_server_takes_only_its_own_comments_along() {
    let (service, address) = server("web", "10.0.0.11:80");
    let (gone, new) = lines_changed(Change::RemoveServer { service, address });
    let lines = [
        "# Rack 1.",
        "[[service.server]]",
        "address = \"10.0.0.11:80\"",
        "weight = 2 # twice as strong",
        "",
    ];
    assert_eq!(gone, lines);
    assert_eq!(new, [""; 0]);

    for (address, line) in [
        ("10.0.0.21:53", vec!["  { address = \"10.0.0.21:53\" }, # first"]),
        (
            "10.0.0.22:53",
            vec![
                "  # The second one is new.",
                "  { address = \"10.0.0.22:53\", weight = 3 }, # second",
            ],
        ),
        ("10.0.0.23:53", vec!["  { address = \"10.0.0.23:53\" }, # third"]),
    ] {
        let (service, address) = server("dns", address);
        let (gone, new) = lines_changed(Change::RemoveServer { service, address });
        assert_eq!((gone, new), (line.iter().map(ToString::to_string).collect(), vec![]));
    }
}

#[test]
fn an_edit_changes_its_value_and_nothing_else() {
    let edit = |edit| Change::EditService { service: "web".into(), edit };
    let (gone, new) = lines_changed(edit(ServiceEdit {
        scheduler: Some(Scheduler::Rr),
        ..ServiceEdit::default()
    }));
    assert_eq!(gone, ["scheduler = \"wlc\" # as ever"]);
    assert_eq!(new, ["scheduler = \"rr\" # as ever"]);

    let timeouts =
        TimeoutsEdit { fin: Some(std::time::Duration::from_mins(1)), ..Default::default() };
    let (gone, new) = lines_changed(edit(ServiceEdit { timeouts, ..ServiceEdit::default() }));
    assert_eq!(gone, ["timeouts = { established = \"900s\" }"]);
    assert_eq!(new, ["timeouts = { established = \"900s\", fin = \"1m\" }"]);

    let mut check = Check::new(Probe::http());
    check.fall = 5;
    check.probe = Probe::Http { path: "/live".into(), host: None, status: vec![200] };
    let (gone, new) =
        lines_changed(edit(ServiceEdit { check: Some(Some(check)), ..ServiceEdit::default() }));
    assert_eq!(gone, ["path = \"/healthz\"   # cheap"]);
    assert_eq!(new, ["path = \"/live\"   # cheap", "fall = 5"]);
}

#[test]
fn a_server_is_edited_in_both_forms() {
    let (service, address) = server("web", "10.0.0.11:80");
    let (gone, new) = lines_changed(Change::Drain { service, address, deadline: None });
    assert_eq!((gone, new), (vec![], vec!["drain = true".to_owned()]));
    let (service, address) = server("dns", "10.0.0.21:53");
    let (gone, new) =
        lines_changed(Change::Drain { service, address, deadline: Some(1_893_456_000) });
    assert_eq!(gone, ["  { address = \"10.0.0.21:53\" }, # first"]);
    assert_eq!(new, ["  { address = \"10.0.0.21:53\", drain = 2030-01-01T00:00:00Z }, # first"]);
    let (service, address) = server("dns", "10.0.0.22:53");
    let edit = ServerEdit { check: Some(ServerCheck::Off), weight: Some(1), ..Default::default() };
    let (_, new) = lines_changed(Change::EditServer { service, address, edit });
    let line =
        "  { address = \"10.0.0.22:53\", weight = 1, check = { type = \"none\" } }, # second";
    assert_eq!(new, [line]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let persist = |text, change| persist(Path::new("lvs.toml"), text, &[change]);
    let gone = Change::RemoveService { service: "mail".into() };
    assert!(matches!(persist(BLOCKS, gone.clone()), Err(PersistError::Change(_))));
    assert!(matches!(persist("[daemon", gone), Err(PersistError::File(_))));
}
