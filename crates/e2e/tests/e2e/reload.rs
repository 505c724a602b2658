//! A reload keeps what did not change.
use anyhow::{Context, Result};
use lvs_e2e::Protocol;
use lvs_lab::{Family, Load, Method};

use crate::world::World;

#[test]
fn a_reload_keeps_connections_and_health() -> Result<()> {
    let world = World::new(Method::Nat)?;
    let service = || Ok::<_, anyhow::Error>(world.service(Family::V4, Protocol::Tcp)?.checked());
    let director = world.direct(&[service()?])?;
    let to = world.virtual_(Family::V4, Protocol::Tcp)?;
    let mut kept = world.client()?.connect(to)?;
    let name = kept.get("/")?.server;
    let load = Load::http(&world.client()?, to, "/", 100)?;

    let changed = service()?.scheduler("wlc").line("timeouts = { established = \"1h\" }");
    director.write(&[changed])?;
    let said = director.lvs(&["reload"])?;
    assert!(said.contains("scheduler rr -> wlc"), "{said}");
    // At once: health is not found out anew.
    let states = director.lvs(&["server", "list"])?;
    assert_eq!(states.matches(" up ").count(), 3, "{states}");
    assert_eq!(kept.get("/")?.server, name);

    // Also of a server that the file does not have any more.
    let number = world.servers.iter().position(|server| server.name() == name).context("which")?;
    let mut rest = world.empty_service(Family::V4, Protocol::Tcp)?.checked();
    for other in (0..3).filter(|other| *other != number) {
        rest = rest.server(world.real(other, Family::V4, Protocol::Tcp)?);
    }
    director.write(&[rest])?;
    director.lvs(&["reload"])?;
    assert_eq!(kept.get("/").context("the removed server keeps its connection")?.server, name);
    assert_eq!(world.ask_http(Family::V4, 9)?.get(&name), None);
    load.finish()?.ensure_none_lost()
}
