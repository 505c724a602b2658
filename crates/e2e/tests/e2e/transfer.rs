//! Large transfers arrive whole.
use anyhow::{Context, Result};
use lvs_e2e::Protocol;
use lvs_lab::{Family, Method, checksum_of};

use crate::world::World;

const LENGTH: u64 = 50_000_000;

/// 50 MB down and 50 MB up. By tunnel, packets towards the server grow beyond the MTU of 1500:
/// only a client that learns so gets through.
fn fifty_megabytes_arrive_whole(method: Method) -> Result<()> {
    let world = World::with_servers(method, 1)?;
    let director = world.direct(&world.all_services()?)?;
    for family in Family::ALL {
        let to = world.virtual_(family, Protocol::Tcp)?;
        let told = || director.lvs(&["stats"]).unwrap_or_default();
        let client = world.client()?;
        let down = client.http_get(to, &format!("/bytes/{LENGTH}")).with_context(told)?;
        assert_eq!((down.bytes, down.checksum), (LENGTH, checksum_of(LENGTH)), "{family:?} down");
        let up = client.http_post(to, "/", LENGTH).with_context(told)?;
        assert_eq!(up.text(), format!("{LENGTH} {:016x}\n", checksum_of(LENGTH)), "{family:?} up");
        if method == Method::Tunnel {
            assert_eq!(path_mtu(&world, family)?, 1500 - overhead(family), "{family:?}");
        }
    }
    Ok(())
}

/// Of a tunnel's header.
fn overhead(family: Family) -> u32 {
    match family {
        Family::V4 => 20,
        Family::V6 => 40,
    }
}

#[test]
fn a_tunnel_may_be_of_the_other_family() -> Result<()> {
    const LENGTH: u64 = 5_000_000;
    let world = World::with_servers(Method::Tunnel, 1)?;
    let mut services = Vec::new();
    for (name, inner, outer) in
        [("in-v6", Family::V4, Family::V6), ("in-v4", Family::V6, Family::V4)]
    {
        let service = world.empty_service(inner, Protocol::Tcp)?.name(name);
        services.push(service.server(world.real(0, outer, Protocol::Tcp)?));
    }
    let _director = world.direct(&services)?;
    for (inner, outer) in [(Family::V4, Family::V6), (Family::V6, Family::V4)] {
        let to = world.virtual_(inner, Protocol::Tcp)?;
        let up =
            world.client()?.http_post(to, "/", LENGTH).with_context(|| format!("{inner:?}"))?;
        assert_eq!(up.text(), format!("{LENGTH} {:016x}\n", checksum_of(LENGTH)), "{inner:?}");
        assert_eq!(path_mtu(&world, inner)?, 1500 - overhead(outer), "{inner:?}");
    }
    Ok(())
}

/// What the client's kernel knows of the way to the virtual address.
fn path_mtu(world: &World, family: Family) -> Result<u32> {
    let output = std::process::Command::new("ip")
        .args(["-n", world.site.client(0)?.name(), "route", "get"])
        .arg(world.site.vip(family)?.to_string())
        .output()
        .context("run ip route get")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mtu = text.split_whitespace().skip_while(|word| *word != "mtu").nth(1);
    mtu.with_context(|| format!("no path MTU in {text}"))?.parse().context("MTU")
}

#[test]
fn fifty_megabytes_arrive_whole_by_direct_routing() -> Result<()> {
    fifty_megabytes_arrive_whole(Method::Direct)
}

#[test]
fn fifty_megabytes_arrive_whole_by_tunnel_and_the_path_mtu_adapts() -> Result<()> {
    fifty_megabytes_arrive_whole(Method::Tunnel)
}

#[test]
fn fifty_megabytes_arrive_whole_by_nat() -> Result<()> {
    fifty_megabytes_arrive_whole(Method::Nat)
}
