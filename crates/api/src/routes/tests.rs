use lvs_model::desired::Protocol;
use proptest::prelude::*;

use super::*;

fn filter() -> impl Strategy<Value = ConnectionFilter> {
    let protocol = prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)];
    (
        proptest::option::of(".+"),
        proptest::option::of(protocol),
        proptest::option::of(any::<std::net::IpAddr>()),
        proptest::option::of(any::<std::net::SocketAddrV4>()),
        proptest::option::of(any::<std::net::SocketAddrV6>()),
        proptest::option::of("[A-Z_]+"),
    )
        .prop_map(|(service, protocol, client, virtual_, server, state)| ConnectionFilter {
            service,
            protocol,
            client,
            virtual_: virtual_.map(Into::into),
            // Flow labels do not travel: an address as text has none.
            server: server.map(|s| std::net::SocketAddr::new((*s.ip()).into(), s.port())),
            state,
        })
}

fn route() -> impl Strategy<Value = Route> {
    let question = (any::<std::net::SocketAddrV4>(), any::<std::net::SocketAddrV4>()).prop_map(
        |(from, to)| Question { from: from.into(), to: to.into(), protocol: Protocol::Udp },
    );
    prop_oneof![
        Just(Route::Status),
        Just(Route::Services),
        ".+".prop_map(Route::Service),
        any::<bool>().prop_map(|persist| Route::Change { persist }),
        (filter(), any::<Option<u64>>())
            .prop_map(|(filter, limit)| Route::Connections { filter, limit }),
        filter().prop_map(Route::Count),
        filter().prop_map(Route::Flush),
        Just(Route::Stats),
        Just(Route::Reload),
        Just(Route::Diff),
        Just(Route::Config),
        question.prop_map(Route::Explain),
    ]
}

proptest! {
    #[test]
    fn the_server_reads_what_the_client_writes(route in route()) {
        let target = route.target();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        prop_assert_eq!(Route::parse(route.method(), path, query), Ok(route));
    }

    #[test]
    fn no_request_panics(method in "[A-Z]*", path in "/v1/.*", query in ".*") {
        drop(Route::parse(&method, &path, &query));
    }
}

#[test]
fn what_has_no_route_is_told_apart() {
    let code =
        |method, path, query| ApiError::from(Route::parse(method, path, query).unwrap_err()).code;
    assert_eq!(code("GET", "/", ""), Code::NotFound);
    assert_eq!(code("GET", "/v1/", ""), Code::NotFound);
    assert_eq!(code("GET", "/v1/services/", ""), Code::NotFound);
    assert_eq!(code("GET", "/v2/status", ""), Code::UnsupportedVersion);
    assert_eq!(code("POST", "/v1/status", ""), Code::WrongMethod);
    assert_eq!(code("GET", "/v1/reload", ""), Code::WrongMethod);
    assert_eq!(code("GET", "/v1/explain", "from=10.0.0.1:1"), Code::BadRequest);
}

#[test]
fn a_flush_with_a_misspelt_field_is_refused() {
    let error = Route::parse("DELETE", "/v1/connections", "servr=10.0.0.1:80").unwrap_err();
    assert!(matches!(error, RouteError::Query(_)));
}
