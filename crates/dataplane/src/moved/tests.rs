//! Who settles a ring, and what a successor makes of one.
use lvs_core::{hash::Keys, moved::Phase, scheduler::Scheduler};
use lvs_model::{
    desired::{Entries, Method, ServiceKey},
    plan::{Admission, PlannedServer, PlannedService},
};

use super::Places;
use crate::{Capacity, Dataplane, takeover};

const CAPACITY: Capacity = Capacity { connections: 1000, services: 2, servers: 20 };

fn dataplane() -> Dataplane {
    Dataplane::in_memory(CAPACITY, 1, Keys([1, 2, 3, 4, 5, 6]), || {}).unwrap()
}

/// A service with servers of these weights.
fn service(weights: &[u32]) -> PlannedService {
    let server = |(number, &weight)| PlannedServer {
        address: ([10, 0, 0, number], 80).into(),
        weight,
        method: Method::Direct,
        admission: Admission::Open,
        hop: None,
    };
    let key = ServiceKey::tcp(([192, 0, 2, 1], 80).into());
    let servers = (1..).zip(weights).map(server).collect();
    PlannedService { state: Entries::Moved, servers, ..PlannedService::new(key, Scheduler::Mh) }
}

fn places(dataplane: &Dataplane) -> Places {
    let record = dataplane.service(&service(&[]).key).unwrap();
    Places::read(&dataplane.memory, &record)
}

fn watched(dataplane: &Dataplane) -> usize {
    places(dataplane).ring.iter().filter(|place| place.phase() == Phase::Watched).count()
}

#[test]
fn a_place_settles_when_two_passes_after_its_last_change_find_it_unused() {
    let mut dataplane = dataplane();
    let update = |dataplane: &mut Dataplane, weights: &[u32]| {
        dataplane.update(&[service(weights)]).unwrap();
    };
    update(&mut dataplane, &[1, 1]);
    update(&mut dataplane, &[1, 1, 1]);
    update(&mut dataplane, &[1, 1]);
    let moved = watched(&dataplane);
    assert!(moved > 0, "they went and came back");
    dataplane.settle().unwrap();
    assert_eq!(watched(&dataplane), moved, "found once");
    update(&mut dataplane, &[1, 1, 1]);
    update(&mut dataplane, &[1, 1]);
    dataplane.settle().unwrap();
    assert_eq!(watched(&dataplane), moved, "found once since they changed");
    dataplane.settle().unwrap();
    assert_eq!(watched(&dataplane), 0);
}

#[test]
fn a_successor_knows_which_places_move_and_until_when() {
    let mut dataplane = dataplane();
    dataplane.update(&[service(&[1, 1])]).unwrap();
    dataplane.update(&[service(&[1, 1, 1])]).unwrap();
    let before = places(&dataplane);
    assert!(before.before.is_some());
    dataplane.mirror = takeover::rebuild(&dataplane.memory);
    let applied = dataplane.update(&[service(&[1, 1, 1])]).unwrap();
    assert_eq!((applied.services, places(&dataplane)), (0, before));
}

#[test]
fn a_successor_fills_the_ring_anew_where_only_the_weights_had_changed() {
    let mut dataplane = dataplane();
    dataplane.update(&[service(&[1, 1])]).unwrap();
    // Died after the weights were noted, before the service was switched.
    let held = &dataplane.mirror.services[&service(&[]).key];
    let heavier = held.servers[&([10, 0, 0, 2], 80).into()];
    dataplane.memory.weights.get(heavier).unwrap().set(3);
    dataplane.mirror = takeover::rebuild(&dataplane.memory);
    dataplane.update(&[service(&[1, 3])]).unwrap();
    let count = places(&dataplane).servers().iter().filter(|&&server| server == heavier).count();
    assert!(count > 2500, "{count} of 4093 for three of four");
}

#[test]
fn a_service_without_servers_has_a_ring_only_while_it_remembers_moved_ones() {
    let mut dataplane = dataplane();
    for (state, len) in [(Entries::Moved, 4093), (Entries::All, 0), (Entries::Moved, 4093)] {
        dataplane.update(&[PlannedService { state, ..service(&[]) }]).unwrap();
        assert_eq!(places(&dataplane).ring.len(), len, "{state:?}");
    }
}
