//! What happens in the network around: addresses that change, narrow links.
use std::time::Duration;

use anyhow::{Context, Result};
use lvs_e2e::{Director, Protocol, Service};
use lvs_lab::{
    Client, Family, Lab, Layout, Method, Ports, RealServer, Shape, checksum_of, wait_for,
};

use crate::world::World;

#[test]
fn traffic_follows_a_servers_new_mac_address() -> Result<()> {
    for method in [Method::Direct, Method::Nat] {
        let world = World::with_servers(method, 1)?;
        let _director = world.direct(&[world.service(Family::V4, Protocol::Tcp)?])?;
        let (client, to) = (world.client()?, world.virtual_(Family::V4, Protocol::Tcp)?);
        client.http_get(to, "/")?;
        world.site.server(0)?.set_mac("eth0", [2, 0, 0, 0, 0, 42], true)?;
        let client = client.with_timeout(Duration::from_millis(300));
        wait_for(Duration::from_secs(5), "requests arrive again", || {
            client.http_get(to, "/").map(Some)
        })
        .with_context(|| format!("{method:?}"))?;
    }
    Ok(())
}

/// The router's link to the clients is narrower than both ends know: it tells the sender of large
/// packets, which is the virtual address. The error must reach the server that sent the packet.
#[test]
fn icmp_errors_about_answers_reach_the_server_that_sent_them() -> Result<()> {
    const LENGTH: u64 = 500_000;
    let lab = Lab::new("lvse2e")?;
    let methods = [Method::Direct, Method::Tunnel, Method::Nat];
    let site = Layout::new(Shape::RoutedLan, &methods).bring_up(&lab)?;
    let _servers = RealServer::start_all(&site, Ports::default())?;
    site.namespace("router")?.ip(&["link set eth0 mtu 1300"])?;
    for (number, method) in methods.into_iter().enumerate() {
        for family in Family::ALL {
            let to = (site.vip(family)?, 80).into();
            let server = (site.server_address(number, family)?, 80).into();
            let service = Service::new("web", to, method).server(server);
            let director = Director::start(&lab, &site, &[service])?;
            let response = Client::new(site.client(0)?)
                .http_get(to, &format!("/bytes/{LENGTH}"))
                .with_context(|| director.lvs(&["stats"]).unwrap_or_default())
                .with_context(|| format!("{method:?} {family:?}"))?;
            assert_eq!(response.checksum, checksum_of(LENGTH));
            let stats = director.lvs(&["stats"])?;
            assert!(stats.contains("related"), "{method:?} {family:?}: no error came\n{stats}");
        }
    }
    Ok(())
}
