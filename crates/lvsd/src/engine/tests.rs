use std::{fs, net::SocketAddr, path::PathBuf};

use lvs_api::{
    error::Code,
    server::Call,
    types::{ConnectionFilter, ServerState},
};
use lvs_model::{
    change::{Change, ServerEdit, ServiceEdit},
    desired::{Probe, Server, ServiceKey},
    observed::Health,
    plan::Admission,
};

use super::{HealthEvent, HopEvent};
use crate::state;

mod fake;

use fake::{TestEngine, cold, start};

const FILE: &str = r#"
[daemon]
interfaces = ["eth0"]

[[service]]
name = "web" # the shop
address = "192.0.2.10:80"
check = { type = "tcp" }

[[service.server]]
address = "10.0.0.11:80"

[[service.server]]
address = "10.0.0.12:80"
"#;

struct Setup {
    dir: tempfile::TempDir,
}

impl Setup {
    fn new() -> Self {
        let setup = Self { dir: tempfile::tempdir().unwrap() };
        setup.write(FILE);
        setup
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("lvs.toml")
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("lvsd.state.json")
    }

    fn write(&self, text: &str) {
        fs::write(self.path(), text).unwrap();
    }

    /// An engine with both servers up and reachable.
    fn running(&self) -> TestEngine {
        let mut engine = start(&self.path());
        engine.save_to(self.state());
        engine.all_resolve();
        engine.all_are(Health::Up, 100);
        engine
    }
}

/// A file with so many services, each with a server.
fn services(count: u8, server: impl Fn(u8) -> String) -> String {
    let service = |number| {
        format!(
            "[[service]]\nname = \"s{number}\"\naddress = \"192.0.2.{number}:80\"\n\
             check = {{ type = \"tcp\" }}\nserver = [{{ address = \"{}\" }}]\n",
            server(number)
        )
    };
    let services: String = (0..count).map(service).collect();
    format!("[daemon]\ninterfaces = [\"eth0\"]\n{services}")
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn add(server: &str) -> Change {
    Change::AddServer { service: "web".to_owned(), server: Server::new(address(server)) }
}

fn drain(server: &str, deadline: Option<u64>) -> Change {
    Change::Drain { service: "web".to_owned(), address: address(server), deadline }
}

fn change(
    change: Change,
    persist: bool,
) -> impl FnOnce(lvs_api::server::Reply<lvs_api::types::Changed>) -> Call {
    move |reply| Call::Change { change: Box::new(change), persist, reply }
}

#[test]
fn servers_start_down_and_open_when_their_check_passes() {
    let setup = Setup::new();
    let mut engine = start(&setup.path());
    engine.all_resolve();
    assert_eq!(engine.admission("10.0.0.11:80"), Some(Admission::Failed));
    assert_eq!(engine.watch.targets.len(), 2);
    engine.all_are(Health::Up, 100);
    assert_eq!(engine.admission("10.0.0.11:80"), Some(Admission::Open));
    engine.all_are(Health::Down, 200);
    assert_eq!(engine.admission("10.0.0.11:80"), Some(Admission::Failed));
    let service = engine.ask(|reply| Call::Service("web".to_owned(), reply), 201).unwrap();
    assert_eq!(service.servers[0].state, ServerState::Down);
    assert_eq!(service.servers[0].reason.as_deref(), Some("timed out"));
    assert_eq!(service.servers[0].since, Some(200));
}

#[test]
fn a_burst_of_events_changes_the_tables_once() {
    let setup = Setup::new();
    let mut engine = start(&setup.path());
    let before = engine.tables.applied;
    for target in engine.watch.targets.clone() {
        engine.on_health(HealthEvent { target, health: Health::Up, reason: None }, 100);
    }
    for number in [11, 12] {
        let address = [10, 0, 0, number].into();
        engine.on_hop(HopEvent { address, hop: Ok(fake::hop(number)) });
    }
    engine.settle();
    engine.settle();
    assert_eq!(engine.tables.applied, before + 1);
}

#[test]
fn a_way_that_changes_reaches_the_tables() {
    let setup = Setup::new();
    let mut engine = setup.running();
    let ip = [10, 0, 0, 11].into();
    engine.on_hop(HopEvent { address: ip, hop: Ok(fake::hop(99)) });
    engine.settle();
    assert_eq!(engine.tables.held.services[0].servers[0].hop, Some(fake::hop(99)));
    engine.on_hop(HopEvent { address: ip, hop: Err("no route".to_owned()) });
    engine.settle();
    assert_eq!(engine.tables.held.services[0].servers[0].hop, None);
    assert_eq!(engine.admission("10.0.0.11:80"), Some(Admission::Draining));
    let service = engine.ask(|reply| Call::Service("web".to_owned(), reply), 101).unwrap();
    assert_eq!(service.servers[0].state, ServerState::Unresolved);
    assert_eq!(service.servers[0].reason.as_deref(), Some("no route"));
}

#[test]
fn the_way_to_a_server_that_was_removed_is_not_taken_in() {
    let setup = Setup::new();
    let mut engine = setup.running();
    let server = address("10.0.0.13:80");
    engine.ask(change(add("10.0.0.13:80"), false), 101).unwrap();
    let remove = Change::RemoveServer { service: "web".to_owned(), address: server };
    engine.ask(change(remove, false), 102).unwrap();
    // These were under way when the server went.
    for hop in [Err("no route".to_owned()), Ok(fake::hop(13))] {
        engine.on_hop(HopEvent { address: server.ip(), hop });
        assert!(!engine.observed.hops.contains_key(&server.ip()));
        assert!(!engine.unresolved.contains_key(&server.ip()));
    }

    engine.ask(change(add("10.0.0.13:80"), false), 103).unwrap();
    engine.all_are(Health::Up, 104);
    assert_eq!(engine.admission("10.0.0.13:80"), Some(Admission::Draining), "no way is known");
    engine.all_resolve();
    assert_eq!(engine.admission("10.0.0.13:80"), Some(Admission::Open));
}

#[test]
fn a_bad_file_changes_nothing() {
    let setup = Setup::new();
    let mut engine = setup.running();
    let (held, applied) = (engine.tables.held.clone(), engine.tables.applied);
    for (bad, hint) in [
        (FILE.replace("check", "chekc"), "lvs.toml:8:1"),
        (FILE.replace("\"eth0\"", "\"eth7\""), "eth7"),
        (FILE.replace("10.0.0.12:80", "10.0.0.12:80000"), "lvs.toml:14"),
    ] {
        setup.write(&bad);
        let refusal = engine.ask(Call::Reload, 300).unwrap_err();
        assert_eq!(refusal.code, Code::Config);
        assert!(refusal.details.join("\n").contains(hint), "{refusal:?}");
    }
    assert_eq!((&engine.tables.held, engine.tables.applied), (&held, applied));
    let status = engine.ask(Call::Status, 300).unwrap();
    assert!(status.last_reload.unwrap().error.is_some());
    assert_eq!(status.differences, 0);
}

#[test]
fn a_reload_undoes_changes_and_keeps_health() {
    let setup = Setup::new();
    let mut engine = setup.running();
    engine.ask(change(add("10.0.0.13:80"), false), 101).unwrap();
    assert_eq!(engine.ask(Call::Diff, 101).unwrap().differences.len(), 1);
    let edited = FILE.replace("interfaces", "connections = 5000\ninterfaces");
    setup.write(&edited);
    let reloaded = engine.ask(Call::Reload, 102).unwrap();
    assert_eq!(reloaded.differences.len(), 1);
    assert_eq!(reloaded.restart, ["connections"]);
    // It still does not hold, so the next one says it again.
    assert_eq!(engine.ask(Call::Reload, 103).unwrap().restart, ["connections"]);
    assert_eq!(engine.servers(), ["10.0.0.11:80", "10.0.0.12:80"]);
    assert_eq!(engine.admission("10.0.0.11:80"), Some(Admission::Open));
    assert_eq!(engine.watch.targets.len(), 2);
}

#[test]
fn what_the_data_plane_refuses_did_not_happen() {
    let setup = Setup::new();
    let mut engine = setup.running();
    engine.tables.refuses = true;
    let refusal = engine.ask(change(add("10.0.0.13:80"), true), 101).unwrap_err();
    assert_eq!(refusal.code, Code::Dataplane);
    assert_eq!(refusal.details, ["the map is full"]);
    assert!(engine.ask(Call::Diff, 101).unwrap().differences.is_empty());
    assert_eq!(engine.watch.targets.len(), 2);
    assert_eq!(fs::read_to_string(setup.path()).unwrap(), FILE);
    engine.tables.refuses = false;
    engine.all_are(Health::Down, 102);
    assert_eq!(engine.servers(), ["10.0.0.11:80", "10.0.0.12:80"]);
}

#[test]
fn tables_that_fell_behind_catch_up_with_a_tick() {
    let setup = Setup::new();
    let mut engine = setup.running();
    engine.tables.refuses = true;
    engine.all_are(Health::Down, 101);
    assert_eq!(engine.admission("10.0.0.11:80"), Some(Admission::Open));
    assert_eq!(engine.ask(Call::Status, 101).unwrap().warnings.len(), 1);
    engine.tables.refuses = false;
    engine.on_tick(102);
    assert_eq!(engine.tables.swept, 1);
    assert_eq!(engine.admission("10.0.0.11:80"), Some(Admission::Failed));
    assert!(engine.ask(Call::Status, 102).unwrap().warnings.is_empty());
}

/// A server that fails may be one of so many services that the tables have no room for all their
/// rings at once, or for those of one of them.
#[test]
fn a_failed_server_closes_wherever_the_tables_have_room_for_the_change() {
    let setup = Setup::new();
    setup.write(&services(9, |_| "10.0.0.11:80".to_owned()));
    let mut engine = setup.running();
    engine.tables.most = Some(2);
    engine.tables.refused = Some(ServiceKey::tcp(address("192.0.2.4:80")));
    engine.all_are(Health::Down, 101);
    let open = |engine: &TestEngine| {
        let services = engine.tables.held.services.iter();
        let open = services.filter(|s| s.servers.iter().any(|s| s.admission == Admission::Open));
        open.map(|service| service.key.address.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(open(&engine), ["192.0.2.4:80"]);
    assert_eq!(engine.ask(Call::Status, 101).unwrap().warnings.len(), 1);

    engine.all_are(Health::Up, 102);
    engine.all_are(Health::Down, 103);
    assert_eq!(open(&engine), ["192.0.2.4:80"], "later events are not lost");
    engine.tables.refused = None;
    engine.on_tick(104);
    assert!(open(&engine).is_empty());
    assert!(engine.ask(Call::Status, 104).unwrap().warnings.is_empty());
}

#[test]
fn a_removed_service_is_gone_and_events_find_those_that_moved_up() {
    let setup = Setup::new();
    setup.write(&services(3, |number| format!("10.0.0.1{number}:80")));
    let mut engine = setup.running();
    let remove = Change::RemoveService { service: "s0".to_owned() };
    engine.ask(change(remove, false), 101).unwrap();
    assert_eq!(engine.servers(), ["10.0.0.11:80", "10.0.0.12:80"]);
    assert_eq!((engine.watch.targets.len(), engine.watch.addresses.len()), (2, 2));
    let of_second = engine.watch.targets.iter().find(|t| t.address == address("10.0.0.11:80"));
    let (target, health) = (of_second.unwrap().clone(), Health::Down);
    engine.on_health(HealthEvent { target, health, reason: None }, 102);
    engine.on_hop(HopEvent { address: [10, 0, 0, 12].into(), hop: Err("gone".to_owned()) });
    engine.settle();
    assert_eq!(engine.admission("10.0.0.11:80"), Some(Admission::Failed));
    assert_eq!(engine.admission("10.0.0.12:80"), Some(Admission::Draining));
    drop(engine); // as kill -9 does

    let mut successor = cold(&setup.path());
    successor.restore(&state::read(&setup.state()).unwrap());
    successor.watch_all();
    successor.settle();
    assert_eq!(successor.servers(), ["10.0.0.11:80", "10.0.0.12:80"]);
}

#[test]
fn a_persisted_change_survives_a_reload_and_keeps_comments() {
    let setup = Setup::new();
    let mut engine = setup.running();
    let changed = engine.ask(change(add("10.0.0.13:80"), true), 101).unwrap();
    assert_eq!(changed.persisted, Some(setup.path()));
    assert!(fs::read_to_string(setup.path()).unwrap().contains("# the shop"));
    assert!(engine.ask(Call::Diff, 101).unwrap().differences.is_empty());
    assert!(engine.ask(Call::Reload, 102).unwrap().differences.is_empty());
    assert_eq!(engine.servers().len(), 3);
}

#[test]
fn a_change_that_the_file_cannot_take_is_not_made() {
    let setup = Setup::new();
    let mut engine = setup.running();
    engine.ask(change(add("10.0.0.13:80"), false), 101).unwrap();
    let edit = ServerEdit { weight: Some(5), ..ServerEdit::default() };
    let address = address("10.0.0.13:80");
    let edit = Change::EditServer { service: "web".to_owned(), address, edit };
    let refusal = engine.ask(change(edit, true), 101).unwrap_err();
    assert_eq!(refusal.code, Code::NotFound);
    assert_eq!(engine.tables.held.services[0].servers[2].weight, 1);
}

#[test]
fn a_drain_ends_what_is_left_at_its_deadline_and_stays() {
    let setup = Setup::new();
    let mut engine = setup.running();
    engine.ask(change(drain("10.0.0.11:80", Some(110)), false), 101).unwrap();
    assert_eq!(engine.admission("10.0.0.11:80"), Some(Admission::Draining));
    engine.on_tick(109);
    assert!(engine.tables.evicted.is_empty());
    engine.on_tick(110);
    let web = ServiceKey::tcp(address("192.0.2.10:80"));
    assert_eq!(engine.tables.evicted, [(web, address("10.0.0.11:80"))]);
    assert_eq!(engine.admission("10.0.0.11:80"), Some(Admission::Draining));
    let (service, ip) = ("web".to_owned(), address("10.0.0.11:80"));
    engine.ask(change(Change::Resume { service, address: ip }, false), 111).unwrap();
    assert_eq!(engine.admission("10.0.0.11:80"), Some(Admission::Open));
}

#[test]
fn a_successor_knows_health_and_changes() {
    let setup = Setup::new();
    let mut engine = setup.running();
    engine.ask(change(drain("10.0.0.11:80", None), false), 101).unwrap();
    engine.ask(change(add("10.0.0.13:80"), false), 102).unwrap();
    let down = engine.watch.targets.iter().find(|t| t.address == address("10.0.0.12:80"));
    let (target, health) = (down.unwrap().clone(), Health::Down);
    engine.on_health(HealthEvent { target, health, reason: None }, 103);
    engine.settle();
    drop(engine); // as kill -9 does: nothing is written any more

    let mut successor = cold(&setup.path());
    successor.restore(&state::read(&setup.state()).unwrap());
    assert_eq!(successor.up().count(), 1);
    successor.watch_all();
    successor.settle();
    assert_eq!(successor.admission("10.0.0.11:80"), Some(Admission::Draining));
    assert_eq!(successor.admission("10.0.0.12:80"), Some(Admission::Failed));
    assert_eq!(successor.admission("10.0.0.13:80"), Some(Admission::Failed));
}

#[test]
fn a_successor_keeps_a_way_until_it_is_found_anew_or_not_for_long() {
    let setup = Setup::new();
    drop(setup.running());

    let mut successor = cold(&setup.path());
    successor.restore(&state::read(&setup.state()).unwrap());
    successor.watch_all();
    assert!(!successor.knows_all_ways());
    for number in [11, 12] {
        let hop = Err("waiting for its MAC address".to_owned());
        successor.on_hop(HopEvent { address: [10, 0, 0, number].into(), hop });
    }
    successor.settle();
    assert_eq!(successor.admission("10.0.0.11:80"), Some(Admission::Open));
    let hop = Ok(fake::hop(11));
    successor.on_hop(HopEvent { address: [10, 0, 0, 11].into(), hop });
    successor.on_tick(10_000);
    assert_eq!(successor.admission("10.0.0.11:80"), Some(Admission::Open));
    assert_eq!(successor.admission("10.0.0.12:80"), Some(Admission::Draining));
}

#[test]
fn an_edited_file_wins_over_changes_but_not_over_health() {
    let setup = Setup::new();
    let mut engine = setup.running();
    engine.ask(change(add("10.0.0.13:80"), false), 102).unwrap();
    drop(engine);
    setup.write(&FILE.replace("10.0.0.12:80", "10.0.0.22:80"));
    let mut successor = cold(&setup.path());
    successor.restore(&state::read(&setup.state()).unwrap());
    successor.watch_all();
    successor.all_resolve();
    assert_eq!(successor.servers(), ["10.0.0.11:80", "10.0.0.22:80"]);
    assert_eq!(successor.admission("10.0.0.11:80"), Some(Admission::Open));
    assert_eq!(successor.admission("10.0.0.22:80"), Some(Admission::Failed));
}

#[test]
fn a_new_target_that_is_up_is_never_closed_in_between() {
    let setup = Setup::new();
    let mut engine = setup.running();
    // As the driver does it for a check whose timing alone is new.
    let mut faster = engine.watch.targets.clone();
    engine.watch.up = std::mem::take(&mut faster)
        .into_iter()
        .map(|mut target| {
            target.check.interval /= 2;
            target
        })
        .collect();
    setup.write(&FILE.replace(r#"type = "tcp""#, r#"type = "tcp", interval = "1s""#));
    let before = engine.tables.applied;
    engine.ask(Call::Reload, 102).unwrap();
    assert_eq!(engine.tables.applied, before + 1);
    assert_eq!(engine.admission("10.0.0.11:80"), Some(Admission::Open));
}

/// Whoever asks another question has no answer yet, but no reason to close the service either.
#[test]
fn servers_stay_as_they_are_until_another_check_says_otherwise() {
    let setup = Setup::new();
    let mut engine = setup.running();
    let mut check = engine.running.services[0].check.clone().unwrap();
    check.probe = Probe::Http { path: "/alive".to_owned(), host: None, status: vec![200] };
    let edit = ServiceEdit { check: Some(Some(check)), ..ServiceEdit::default() };
    let edit = Change::EditService { service: "web".to_owned(), edit };
    let down = engine.watch.targets.iter().find(|t| t.address == address("10.0.0.12:80"));
    let event = HealthEvent { target: down.unwrap().clone(), health: Health::Down, reason: None };
    engine.on_health(event, 101);
    engine.settle();
    let admissions = |engine: &TestEngine| {
        ["10.0.0.11:80", "10.0.0.12:80"].map(|server| engine.admission(server).unwrap())
    };
    let expected = [Admission::Open, Admission::Failed];
    engine.ask(change(edit, false), 102).unwrap();
    assert_eq!(admissions(&engine), expected);
    setup.write(&FILE.replace(r#"type = "tcp""#, r#"type = "http", path = "/ready""#));
    engine.ask(Call::Reload, 103).unwrap();
    assert_eq!(admissions(&engine), expected);
    engine.all_are(Health::Down, 104);
    assert_eq!(admissions(&engine), [Admission::Failed; 2]);
}

#[test]
fn a_filter_by_what_does_not_exist_is_refused() {
    let setup = Setup::new();
    let mut engine = setup.running();
    let named = |name: &str| ConnectionFilter {
        service: Some(name.to_owned()),
        ..ConnectionFilter::default()
    };
    assert_eq!(engine.ask(|reply| Call::Count(named("web"), reply), 1).unwrap().now(), 7);
    let refusal = engine.ask(|reply| Call::Flush(named("wbe"), reply), 1).unwrap_err();
    assert_eq!(refusal.code, Code::NotFound);
    assert_eq!(refusal.remedy.as_deref(), Some("did you mean `web`?"));
    let state = Some("ESTABLISED".to_owned());
    let filter = ConnectionFilter { state, ..ConnectionFilter::default() };
    let refusal = engine.ask(|reply| Call::Flush(filter, reply), 1).unwrap_err();
    assert!(refusal.remedy.unwrap().contains("ESTABLISHED"));
    assert!(engine.tables.evicted.is_empty());
}
