//! Changes at run time.
use std::fs;

use anyhow::Result;
use lvs_e2e::Protocol;
use lvs_lab::{Family, HttpServer, Load, Method};

use crate::world::World;

#[test]
fn servers_are_added_and_removed_at_run_time_and_nothing_is_lost() -> Result<()> {
    let world = World::new(Method::Direct)?;
    let real = |number| world.real(number, Family::V4, Protocol::Tcp);
    let service = world.empty_service(Family::V4, Protocol::Tcp)?.server(real(0)?).server(real(1)?);
    let director = world.direct(&[service])?;
    let to = world.virtual_(Family::V4, Protocol::Tcp)?;
    assert_eq!(world.names(6)?, ["server1", "server2"]);
    let load = Load::http(&world.client()?, to, "/", 100)?;

    let third = real(2)?.to_string();
    let said = director.lvs(&["server", "add", "web", &third, "--weight", "1"])?;
    assert!(said.contains(&format!("+ server web {third}")), "{said}");
    director.wait_until_all_are("up")?;
    assert_eq!(world.names(6)?, ["server1", "server2", "server3"]);

    director.lvs(&["server", "remove", "web", &real(0)?.to_string()])?;
    assert_eq!(world.names(6)?, ["server2", "server3"]);
    load.finish()?.ensure_none_lost()?;

    let diff = director.lvs(&["diff"])?;
    assert!(diff.contains(&format!("+ server web {third}")), "{diff}");
    director.lvs(&["reload"])?;
    director.wait_until_all_are("up")?; // the way to server1 was forgotten
    assert_eq!(world.names(6)?, ["server1", "server2"], "the file is the truth again");
    Ok(())
}

#[test]
fn a_change_that_is_persisted_outlasts_a_reload_and_comments_stay() -> Result<()> {
    let world = World::with_servers(Method::Direct, 2)?;
    let real = |number| world.real(number, Family::V4, Protocol::Tcp);
    let service = world.empty_service(Family::V4, Protocol::Tcp)?.server(real(0)?);
    let director = world.direct(&[service])?;
    let text = fs::read_to_string(director.file())?;
    director.write_text(&format!("# Ours.\n{text}"))?;
    director.lvs(&["reload"])?;
    director.lvs(&["server", "add", "web", &real(1)?.to_string(), "--persist"])?;
    director.lvs(&["reload"])?;
    director.wait_until_all_are("up")?;
    assert_eq!(world.names(4)?, ["server1", "server2"]);
    assert!(fs::read_to_string(director.file())?.starts_with("# Ours.\n"));
    Ok(())
}

#[test]
fn a_service_is_made_filled_and_removed_at_run_time() -> Result<()> {
    let world = World::with_servers(Method::Tunnel, 1)?;
    let director = world.start(&[])?;
    let to = world.virtual_(Family::V6, Protocol::Tcp)?;
    director.lvs(&["service", "add", "web", &to.to_string(), "--forward", "tunnel"])?;
    let server = world.real(0, Family::V6, Protocol::Tcp)?.to_string();
    director.lvs(&["server", "add", "web", &server])?;
    director.wait_until_all_are("up")?;
    assert_eq!(world.client()?.http_get(to, "/")?.server, "server1");
    director.lvs(&["service", "remove", "web"])?;
    world.client()?.http_get(to, "/").expect_err("nobody serves it");
    Ok(())
}

#[test]
fn weights_of_wrr_change_at_run_time() -> Result<()> {
    let world = World::with_servers(Method::Nat, 2)?;
    let service = world.service(Family::V4, Protocol::Tcp)?.scheduler("wrr");
    let director = world.direct(&[service])?;
    let server = world.real(0, Family::V4, Protocol::Tcp)?.to_string();
    director.lvs(&["server", "edit", "web", &server, "--weight", "3"])?;
    let counts = world.ask_http(Family::V4, 40)?;
    assert_eq!((counts.get("server1"), counts.get("server2")), (Some(&30), Some(&10)));
    Ok(())
}

#[test]
fn the_director_itself_can_be_a_server() -> Result<()> {
    let world = World::with_servers(Method::Direct, 1)?;
    let own = world.site.address("director", Family::V4)?;
    let _local = HttpServer::start(world.site.director()?, "director", 80)?;
    let service = world.service(Family::V4, Protocol::Tcp)?.server((own, 80).into());
    let _director = world.direct(&[service])?;
    let counts = world.ask_http(Family::V4, 10)?;
    assert_eq!((counts.get("server1"), counts.get("director")), (Some(&5), Some(&5)));
    Ok(())
}
