use std::io::Write as _;

use lvs_model::desired::{Probe, ServiceKey};

use super::*;

fn service(name: &str, host: u8) -> Service {
    Service::new(name, ServiceKey::tcp(([192, 0, 2, host], 80).into()))
}

fn health(host: u8, health: Health, since: u64) -> Event {
    let address = ([10, 0, 0, host], 80).into();
    Event::Health { address, check: Check::new(Probe::Tcp), health, since }
}

fn hop(mtu: u32) -> Hop {
    let source = [10, 0, 0, 1].into();
    Hop::Link { interface: 2, source_mac: [2; 6], neighbour_mac: [4; 6], source, mtu }
}

/// A store with a file that says what runs: the file's services, with two ways.
fn store(folder: &tempfile::TempDir, file: &Desired) -> Store {
    let mut store = Store::new(folder.path().join("state.json"));
    let hops = [([10, 0, 0, 1].into(), hop(1500)), ([10, 0, 0, 2].into(), hop(1500))];
    store.write(&Whole::new(file, file, [], &hops.into())).unwrap();
    store
}

#[test]
fn what_was_appended_last_holds() {
    let folder = tempfile::tempdir().unwrap();
    let file = Desired { services: vec![service("a", 1), service("b", 2)] };
    let mut store = store(&folder, &file);
    let (mut b, c) = (service("b", 2), service("c", 3));
    b.timeouts.fin *= 2;
    let events = [
        health(7, Health::Up, 100),
        Event::Service(b.clone()),
        Event::Hop { address: [10, 0, 0, 1].into(), hop: None },
        Event::Hop { address: [10, 0, 0, 2].into(), hop: Some(hop(1400)) },
    ];
    assert!(store.append(&events).unwrap());
    assert!(store.append(&[Event::Service(c.clone()), health(7, Health::Down, 101)]).unwrap());
    let state = read(store.path()).unwrap();
    let services = vec![service("a", 1), b, c];
    assert_eq!(state.running(&file), Some(Desired { services }));
    assert_eq!(state.running(&Desired::default()), None, "the file is another one");
    let told = state.health().map(|(_, health, since)| (health, since)).last();
    assert_eq!(told, Some((Health::Down, 101)));
    assert_eq!(state.hops(), [([10, 0, 0, 2].into(), hop(1400))].into());
}

#[test]
fn services_that_went_and_came_back_are_as_they_came_last() {
    let folder = tempfile::tempdir().unwrap();
    let file = Desired { services: vec![service("a", 1), service("b", 2), service("c", 3)] };
    let mut store = store(&folder, &file);
    let back = service("a", 9);
    let removed = |name: &str| Event::Removed(name.to_owned());
    let events = [removed("a"), removed("b"), Event::Service(back.clone()), removed("none")];
    assert!(store.append(&events).unwrap());
    let state = read(store.path()).unwrap();
    assert!(state.has_changes());
    let services = vec![service("c", 3), back];
    assert_eq!(state.running(&file), Some(Desired { services }));
}

#[test]
fn a_daemon_killed_when_it_had_written_the_file_leaves_its_other_changes() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = Desired { services: vec![service("a", 1), service("b", 2)] };
    let mut store = store(&folder, &file);
    let (a, b) = (service("a", 8), service("b", 9));
    assert!(store.append(&[Event::Service(a.clone()), Event::Service(b.clone())]).unwrap());
    let other = Desired { services: vec![service("a", 7), service("b", 2)] };
    file.services[1] = b.clone();
    assert!(store.append(&[Event::base(&file)]).unwrap());
    let state = read(store.path()).unwrap();
    assert_eq!(state.running(&file), Some(Desired { services: vec![a, b] }));
    assert_eq!(state.running(&other), None);
}

#[test]
fn half_an_event_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = Desired::default();
    let mut store = store(&folder, &file);
    assert!(store.append(&[health(7, Health::Up, 100)]).unwrap());
    let mut bytes = fs::OpenOptions::new().append(true).open(store.path()).unwrap();
    bytes.write_all(br#"{"Health":{"address":"10.0.0.8:80","che"#).unwrap();
    assert_eq!(read(store.path()).unwrap().health().count(), 1);
}

#[test]
fn a_file_to_which_much_was_appended_is_written_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = store(&folder, &Desired::default());
    let events = [100; 100].map(|since| health(7, Health::Up, since));
    let size = || fs::metadata(folder.path().join("state.json")).unwrap().len();
    let whole = size();
    while store.append(&events).unwrap() {
        assert!(size() < whole + (1 << 20), "it grows for ever");
    }
    assert!(size() > whole);
    store
        .write(&Whole::new(&Desired::default(), &Desired::default(), [], &BTreeMap::new()))
        .unwrap();
    assert!(size() < whole);
    assert!(store.append(&events).unwrap());
}

#[test]
fn nothing_is_appended_to_what_a_predecessor_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let path = store(&folder, &Desired::default()).path().to_owned();
    assert!(!Store::new(path).append(&[health(7, Health::Up, 100)]).unwrap());
}
