use std::net::IpAddr;

use proptest::prelude::*;

use super::*;

const ETH: u32 = 2;
const DIRECTOR: Mac = [2, 0, 0, 0, 0, 1];
const ROUTER: Mac = [2, 0, 0, 0, 0, 9];
const SERVER: Mac = [2, 0, 0, 0, 0, 11];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn eth() -> Link {
    Link { index: ETH, name: "eth0".into(), mac: Some(DIRECTOR), mtu: 1500, up: true }
}

fn via(address: &str) -> Resolution {
    Resolution::Via(NextHop {
        interface: ETH,
        address: ip(address),
        source: ip("10.0.0.1"),
        mtu: None,
    })
}

fn key_of(address: &str) -> NeighbourKey {
    NeighbourKey { interface: ETH, address: ip(address) }
}

fn answered(address: &str, mac: Mac) -> Neighbour {
    Neighbour {
        key: key_of(address),
        mac: Some(mac),
        failed: false,
        managed: true,
        owner: Owner::Lvs,
    }
}

fn failed(address: &str) -> Neighbour {
    Neighbour { mac: None, failed: true, ..answered(address, SERVER) }
}

fn hop(mac: Mac) -> Hop {
    Hop::Link {
        interface: ETH,
        source_mac: DIRECTOR,
        neighbour_mac: mac,
        source: ip("10.0.0.1"),
        mtu: 1500,
    }
}

/// A cache that follows these addresses, each asked for once and found through the second.
fn cache(ways: &[(&str, &str)]) -> Cache {
    let mut cache = Cache::default();
    cache.on_links([eth()].into_iter().collect());
    cache.set_addresses(&ways.iter().map(|(address, _)| (ip(address), 1)).collect());
    assert_eq!(cache.take_questions().len(), ways.len());
    for (address, next) in ways {
        cache.on_resolution(ip(address), via(next));
    }
    cache
}

fn changes(cache: &mut Cache) -> Vec<(String, Result<Hop, Unresolved>)> {
    cache.take_changes().into_iter().map(|c| (c.address.to_string(), c.hop)).collect()
}

#[test]
fn an_address_waits_until_its_neighbour_answers() {
    let mut cache = cache(&[("10.0.0.11", "10.0.0.11")]);
    assert_eq!(cache.take_wanted(), [key_of("10.0.0.11")]);
    let waiting = Err(Unresolved::Waiting(ip("10.0.0.11")));
    assert_eq!(changes(&mut cache), [("10.0.0.11".into(), waiting)]);
    cache.on_neighbour(&failed("10.0.0.11"));
    let silent = Err(Unresolved::Silent(ip("10.0.0.11")));
    assert_eq!(changes(&mut cache), [("10.0.0.11".into(), silent)]);
    cache.on_neighbour(&answered("10.0.0.11", SERVER));
    assert_eq!(changes(&mut cache), [("10.0.0.11".into(), Ok(hop(SERVER)))]);
}

#[test]
fn a_change_of_mac_is_told_and_a_failure_keeps_the_last_one() {
    let mut cache = cache(&[("10.0.0.11", "10.0.0.11")]);
    cache.on_neighbour(&answered("10.0.0.11", SERVER));
    changes(&mut cache);
    cache.on_neighbour(&answered("10.0.0.11", ROUTER));
    assert_eq!(changes(&mut cache), [("10.0.0.11".into(), Ok(hop(ROUTER)))]);
    cache.on_neighbour(&failed("10.0.0.11"));
    assert_eq!(changes(&mut cache), []);
}

#[test]
fn servers_behind_one_gateway_share_one_neighbour() {
    let mut cache = cache(&[("10.1.0.1", "10.0.0.9"), ("10.1.0.2", "10.0.0.9")]);
    assert_eq!(cache.take_wanted(), [key_of("10.0.0.9")]);
    cache.on_neighbour(&answered("10.0.0.9", ROUTER));
    assert_eq!(
        changes(&mut cache),
        [("10.1.0.1".into(), Ok(hop(ROUTER))), ("10.1.0.2".into(), Ok(hop(ROUTER)))]
    );
    cache.set_addresses(&[(ip("10.1.0.2"), 1)].into());
    assert_eq!(cache.take_released(), [], "still needed");
    cache.set_addresses(&BTreeMap::new());
    assert_eq!(cache.take_released(), [key_of("10.0.0.9")]);
}

#[test]
fn an_address_that_came_back_is_told_again_and_keeps_its_neighbour() {
    let mut cache = cache(&[("10.1.0.1", "10.0.0.11"), ("10.1.0.2", "10.0.0.9")]);
    cache.on_neighbour(&answered("10.0.0.11", SERVER));
    cache.on_neighbour(&answered("10.0.0.9", ROUTER));
    changes(&mut cache);
    cache.take_wanted();
    cache.set_addresses(&[(ip("10.1.0.1"), 2), (ip("10.1.0.2"), 1)].into());
    assert_eq!(cache.take_questions(), [ip("10.1.0.1")], "not the one that stayed");
    cache.on_resolution(ip("10.1.0.1"), via("10.0.0.11"));
    assert_eq!(cache.take_wanted(), [key_of("10.0.0.11")]);
    cache.on_neighbour(&answered("10.0.0.11", SERVER));
    assert_eq!(cache.take_released(), []);
    assert_eq!(changes(&mut cache), [("10.1.0.1".into(), Ok(hop(SERVER)))]);
}

#[test]
fn a_route_that_moves_releases_the_old_neighbour_and_waits_for_the_new() {
    let mut cache = cache(&[("10.0.0.11", "10.0.0.11")]);
    cache.on_neighbour(&answered("10.0.0.11", SERVER));
    changes(&mut cache);
    cache.take_wanted();
    cache.on_event(Event::Routes(Range::of_prefix(ip("10.0.0.11"), 32)));
    assert_eq!(cache.take_questions(), [ip("10.0.0.11")]);
    cache.on_resolution(ip("10.0.0.11"), via("10.0.0.9"));
    assert_eq!(cache.take_wanted(), [key_of("10.0.0.9")]);
    assert_eq!(cache.take_released(), [key_of("10.0.0.11")]);
    assert!(matches!(changes(&mut cache)[..], [(_, Err(Unresolved::Waiting(_)))]));
    cache.on_neighbour(&answered("10.0.0.9", ROUTER));
    assert_eq!(changes(&mut cache), [("10.0.0.11".into(), Ok(hop(ROUTER)))]);
}

#[test]
fn only_the_addresses_of_a_changed_prefix_are_asked_again() {
    let mut cache =
        cache(&[("10.0.0.11", "10.0.0.11"), ("10.0.1.11", "10.0.0.9"), ("fd00::1", "fd00::1")]);
    cache.on_event(Event::Routes(Range::of_prefix(ip("10.0.1.0"), 24)));
    assert_eq!(cache.take_questions(), [ip("10.0.1.11")]);
    cache.on_event(Event::AllRoutes);
    assert_eq!(cache.take_questions().len(), 3);
}

#[test]
fn a_link_that_changes_its_mac_or_mtu_changes_the_hops_through_it() {
    let mut cache = cache(&[("10.0.0.11", "10.0.0.11")]);
    cache.on_neighbour(&answered("10.0.0.11", SERVER));
    changes(&mut cache);
    cache.on_event(Event::Link(eth()));
    assert_eq!(changes(&mut cache), [], "nothing changed");
    cache.on_event(Event::Link(Link { mtu: 1400, ..eth() }));
    assert!(matches!(changes(&mut cache)[..], [(_, Ok(Hop::Link { mtu: 1400, .. }))]));
    cache.on_event(Event::Link(Link { mtu: 1400, mac: Some(ROUTER), ..eth() }));
    assert!(matches!(changes(&mut cache)[..], [(_, Ok(Hop::Link { source_mac: ROUTER, .. }))]));
    cache.on_event(Event::LinkGone(ETH));
    assert!(matches!(changes(&mut cache)[..], [(_, Err(Unresolved::NoLink(ETH)))]));
}

#[test]
fn the_smaller_of_the_mtus_of_route_and_link_counts() {
    for (route, mtu) in [(None, 1500), (Some(1280), 1280), (Some(9000), 1500)] {
        let mut cache = cache(&[("10.0.0.11", "10.0.0.11")]);
        cache.on_neighbour(&answered("10.0.0.11", SERVER));
        let Resolution::Via(next) = via("10.0.0.11") else { unreachable!() };
        cache.on_resolution(ip("10.0.0.11"), Resolution::Via(NextHop { mtu: route, ..next }));
        let told = changes(&mut cache);
        assert!(matches!(told[..], [(_, Ok(Hop::Link { mtu: m, .. }))] if m == mtu), "{told:?}");
    }
}

#[test]
fn what_needs_no_neighbour_is_told_at_once() {
    for (resolution, expected) in [
        (Resolution::Local, Ok(Hop::Local)),
        (
            Resolution::Unreachable(Unreachable::NoRoute),
            Err(Unresolved::Unreachable(Unreachable::NoRoute)),
        ),
    ] {
        let mut cache = cache(&[("10.0.0.11", "10.0.0.11")]);
        cache.on_resolution(ip("10.0.0.11"), resolution);
        assert_eq!(changes(&mut cache), [("10.0.0.11".into(), expected)]);
        assert_eq!(cache.take_wanted(), [], "the neighbour of the first answer is forgotten");
    }
}

#[test]
fn a_link_without_mac_says_so() {
    let mut cache = cache(&[("10.0.0.11", "10.0.0.11")]);
    cache.on_event(Event::Link(Link { mac: None, ..eth() }));
    assert!(matches!(changes(&mut cache)[..], [(_, Err(Unresolved::PointToPoint(ETH)))]));
}

#[test]
fn an_entry_that_another_made_is_used_and_never_touched() {
    let mut cache = cache(&[("10.0.0.11", "10.0.0.11")]);
    cache.take_wanted();
    cache.on_neighbour(&Neighbour { owner: Owner::Foreign, ..answered("10.0.0.11", SERVER) });
    assert!(!cache.is_ours_to_manage(key_of("10.0.0.11")));
    assert_eq!(changes(&mut cache), [("10.0.0.11".into(), Ok(hop(SERVER)))]);
    cache.refresh();
    assert_eq!(cache.take_wanted(), []);
    cache.set_addresses(&BTreeMap::new());
    assert_eq!(cache.take_released(), []);
}

#[test]
fn an_entry_that_disappears_is_made_again() {
    let mut cache = cache(&[("10.0.0.11", "10.0.0.11")]);
    cache.on_neighbour(&answered("10.0.0.11", SERVER));
    cache.take_wanted();
    changes(&mut cache);
    cache.on_event(Event::NeighbourGone(key_of("10.0.0.11")));
    assert_eq!(cache.take_wanted(), [key_of("10.0.0.11")]);
    assert_eq!(changes(&mut cache), [], "its last MAC address still counts");
}

#[test]
fn what_the_kernel_does_not_manage_is_asked_for_again() {
    let mut cache = cache(&[("10.0.0.11", "10.0.0.11")]);
    cache.take_wanted();
    cache.on_neighbour(&Neighbour { managed: false, ..answered("10.0.0.11", SERVER) });
    cache.refresh();
    assert_eq!(cache.take_wanted(), [key_of("10.0.0.11")]);
    cache.on_neighbour(&answered("10.0.0.11", SERVER));
    cache.refresh();
    assert_eq!(cache.take_wanted(), []);
}

#[test]
fn a_listing_finds_what_notifications_missed() {
    let mut cache = cache(&[("10.0.0.11", "10.0.0.11"), ("10.0.0.12", "10.0.0.12")]);
    cache.take_wanted();
    changes(&mut cache);
    cache.on_neighbours(&[answered("10.0.0.11", SERVER), answered("10.0.0.77", ROUTER)]);
    assert_eq!(changes(&mut cache), [("10.0.0.11".into(), Ok(hop(SERVER)))]);
    assert_eq!(cache.take_wanted(), [key_of("10.0.0.12")], "lost");
    assert_eq!(cache.take_released(), [key_of("10.0.0.77")], "left by a daemon before this one");
}

#[test]
fn a_neighbour_made_while_its_user_went_is_removed() {
    let mut cache = cache(&[("10.0.0.11", "10.0.0.11")]);
    cache.take_wanted();
    cache.set_addresses(&BTreeMap::new());
    cache.on_managed(key_of("10.0.0.11"));
    assert_eq!(cache.take_released(), [key_of("10.0.0.11")]);
}

/// One thing that may happen to a cache of three addresses and three possible next hops.
#[derive(Clone, Debug)]
enum Step {
    /// Which addresses are followed, and which of them went and came back just before.
    Addresses(u8, u8),
    Resolved(u8, u8),
    Unreachable(u8),
    Neighbour(u8, u8),
    Gone(u8),
    Tell,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..8u8, 0..8u8).prop_map(|(set, renewed)| Step::Addresses(set, renewed)),
        (0..3u8, 0..3u8).prop_map(|(address, next)| Step::Resolved(address, next)),
        (0..3u8).prop_map(Step::Unreachable),
        (0..3u8, 0..4u8).prop_map(|(next, mac)| Step::Neighbour(next, mac)),
        (0..3u8).prop_map(Step::Gone),
        Just(Step::Tell),
    ]
}

proptest! {
    /// Whatever happens in whatever order: a change is told exactly when the hop differs from
    /// what was told, and a neighbour is followed exactly while a way goes through it.
    #[test]
    fn changes_are_told_once_and_neighbours_followed_while_needed(
        steps in proptest::collection::vec(step(), 1..60)
    ) {
        let address = |n: u8| IpAddr::from([10, 1, 0, n]);
        let next = |n: u8| format!("10.0.0.{n}");
        let mut cache = Cache::default();
        cache.on_links([eth()].into_iter().collect());
        let mut told: BTreeMap<IpAddr, Result<Hop, Unresolved>> = BTreeMap::new();
        let mut serials = [0; 3];
        for step in steps {
            match step {
                Step::Addresses(set, renewed) => {
                    let mut wanted = BTreeMap::new();
                    for (n, serial) in (0..3).zip(&mut serials) {
                        let (follow, renew) = (set & (1 << n) != 0, renewed & (1 << n) != 0);
                        *serial += Serial::from(renew || !follow);
                        if renew || !follow {
                            told.remove(&address(n));
                        }
                        if follow {
                            wanted.insert(address(n), *serial);
                        }
                    }
                    cache.set_addresses(&wanted);
                }
                Step::Resolved(a, n) => cache.on_resolution(address(a), via(&next(n))),
                Step::Unreachable(a) => cache
                    .on_resolution(address(a), Resolution::Unreachable(Unreachable::NoRoute)),
                Step::Neighbour(n, 0) => cache.on_neighbour(&failed(&next(n))),
                Step::Neighbour(n, mac) => cache.on_neighbour(&answered(&next(n), [2, 0, 0, 0, 1, mac])),
                Step::Gone(n) => cache.on_event(Event::NeighbourGone(key_of(&next(n)))),
                Step::Tell => for change in cache.take_changes() {
                    let before = told.insert(change.address, change.hop);
                    prop_assert_ne!(before, Some(change.hop));
                }
            }
            let needed: BTreeSet<_> =
                cache.ways.values().filter_map(|way| key(way.resolution)).collect();
            prop_assert_eq!(needed, cache.neighbours.keys().copied().collect::<BTreeSet<_>>());
        }
        for change in cache.take_changes() {
            told.insert(change.address, change.hop);
        }
        for (address, way) in &cache.ways {
            let hop = way.resolution.map(|resolution| cache.hop(resolution));
            prop_assert_eq!(told.get(address).copied(), hop);
        }
    }
}

/// The program's answers to clients need the gateway's MAC address, and nothing else asks for it.
#[test]
fn gateways_of_routes_are_kept_while_any_server_is_followed() {
    let mut cache = cache(&[("10.0.0.11", "10.0.0.11")]);
    cache.take_wanted();
    cache.take_changes();
    let unlinked = NeighbourKey { interface: ETH + 1, address: ip("10.0.0.8") };
    cache.on_gateways([key_of("10.0.0.9"), key_of("10.0.0.9"), unlinked]);
    assert_eq!(cache.take_wanted(), [key_of("10.0.0.9")]);
    cache.on_neighbour(&answered("10.0.0.9", ROUTER));
    assert_eq!(cache.take_changes(), [], "it is the way to no server");
    cache.set_addresses(&BTreeMap::new());
    assert!(cache.take_released().contains(&key_of("10.0.0.9")), "nothing is left behind");
}
