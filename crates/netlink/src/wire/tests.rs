use proptest::prelude::*;

use super::*;

/// A datagram with one message of this kind.
fn datagram(kind: u16, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(16 + payload.len()).unwrap();
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend([0; 10]);
    bytes.extend(payload);
    bytes
}

fn only_event(bytes: &[u8]) -> Option<Event> {
    let frame = frames(bytes).next().unwrap();
    event(&frame).unwrap()
}

fn emitted(message: RouteNetlinkMessage) -> Vec<u8> {
    let mut bytes = Vec::new();
    push(&mut bytes, message, 0, 7);
    bytes
}

fn server() -> NeighbourKey {
    NeighbourKey { interface: 3, address: "10.0.0.11".parse().unwrap() }
}

#[test]
fn a_managed_neighbour_reads_back_as_our_own() {
    let Some(Event::Neighbour(neighbour)) = only_event(&emitted(manage_request(server()))) else {
        panic!("no neighbour")
    };
    assert_eq!((neighbour.key, neighbour.owner), (server(), Owner::Lvs));
    assert!(neighbour.managed && neighbour.mac.is_none() && !neighbour.failed);
}

#[test]
fn a_static_entry_belongs_to_another_even_with_our_mark() {
    let RouteNetlinkMessage::NewNeighbour(mut message) = manage_request(server()) else {
        unreachable!()
    };
    message.header.state = NeighbourState::Permanent;
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(vec![2, 0, 0, 0, 0, 1]));
    let event = only_event(&emitted(RouteNetlinkMessage::NewNeighbour(message)));
    let Some(Event::Neighbour(neighbour)) = event else { panic!("no neighbour") };
    assert_eq!(neighbour.owner, Owner::Foreign);
    assert_eq!(neighbour.mac, Some([2, 0, 0, 0, 0, 1]));
}

#[test]
fn a_route_concerns_the_addresses_of_its_prefix() {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    let event = only_event(&emitted(RouteNetlinkMessage::NewRoute(message.clone())));
    assert_eq!(event, Some(Event::AllRoutes), "a default route");
    message.header.destination_prefix_length = 24;
    let destination = RouteAddress::Inet([10, 0, 1, 0].into());
    message.attributes.push(RouteAttribute::Destination(destination));
    let event = only_event(&emitted(RouteNetlinkMessage::DelRoute(message)));
    let range = Range::of_prefix("10.0.1.0".parse().unwrap(), 24);
    assert_eq!(event, Some(Event::Routes(range)));
}

#[test]
fn addresses_rules_and_nexthops_concern_every_route() {
    for kind in [RTM_NEWADDR, RTM_DELADDR, RTM_NEWRULE, RTM_DELRULE, RTM_NEWNEXTHOP] {
        assert_eq!(only_event(&datagram(kind, &[])), Some(Event::AllRoutes));
    }
}

#[test]
fn a_bridge_port_is_no_link_of_its_own() {
    let mut message = LinkMessage::default();
    message.header.interface_family = AddressFamily::Bridge;
    message.header.index = 4;
    assert_eq!(only_event(&emitted(RouteNetlinkMessage::DelLink(message))), None);
}

#[test]
fn errors_and_acknowledgements_are_told_apart_from_data() {
    let of = |kind, payload: &[u8]| {
        let bytes = datagram(kind, payload);
        verdict(&frames(&bytes).next().unwrap())
    };
    assert_eq!(of(NLMSG_ERROR, &0i32.to_ne_bytes()), Some(Ok(())));
    assert_eq!(of(NLMSG_ERROR, &(-101i32).to_ne_bytes()), Some(Err(Errno::NETUNREACH)));
    assert_eq!(of(NLMSG_DONE, &[]), Some(Ok(())));
    assert_eq!(of(RTM_NEWLINK, &[]), None);
}

proptest! {
    /// Any bytes: understood, ignored or refused, never a panic.
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        for frame in frames(&bytes) {
            verdict(&frame);
            drop(event(&frame));
        }
    }

    /// Any payload of a kind that is decoded.
    #[test]
    fn any_payload_is_survived(
        kind in prop_oneof![Just(RTM_NEWLINK), Just(RTM_NEWNEIGH), Just(RTM_NEWROUTE)],
        payload in proptest::collection::vec(any::<u8>(), 0..128),
    ) {
        let bytes = datagram(kind, &payload);
        for frame in frames(&bytes) {
            drop(event(&frame));
            drop(resolution(&frame, "10.0.0.1".parse().unwrap()));
        }
    }
}
