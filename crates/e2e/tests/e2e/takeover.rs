//! The daemon may die: packets do not notice, and the next one takes over.
use std::{thread, time::Duration};

use anyhow::{Context, Result, bail};
use lvs_e2e::{Fields, Protocol};
use lvs_lab::{Family, Load, Method, checksum_of, wait_until};

use crate::world::World;

const LENGTH: u64 = 30_000_000;

fn nothing_is_lost_while_the_daemon_dies_and_returns(method: Method) -> Result<()> {
    let world = World::new(method)?;
    let mut director = world.direct(&[world.service(Family::V4, Protocol::Tcp)?.checked()])?;
    let to = world.virtual_(Family::V4, Protocol::Tcp)?;
    let mut slow = world.client()?.connect(to)?;
    let own = slow.local_address()?.to_string();
    let transfer = thread::spawn(move || slow.get(&format!("/bytes/{LENGTH}/5000000")));
    let load = Load::http(&world.client()?, to, "/", 100)?;
    let more = |count| {
        let goal = load.counts().0 + count;
        wait_until(Duration::from_secs(20), "more answers", || load.counts().0 >= goal)
    };
    more(50)?;
    director.kill_daemon()?;
    assert_eq!(director.try_lvs(&["status"])?.status, 3, "no daemon answers");
    more(150)?;
    director.start_daemon()?;
    let status = director.json(&["status"])?;
    assert_eq!(status.get("taken_over"), Some(&true.into()), "{status}");
    let counted = status.get("traffic").context("traffic")?.number("connections")?;
    assert!(counted >= 200, "counters go on: {counted}");
    assert!(director.lvs(&["connection", "list"])?.contains(&own), "connections go on");
    more(100)?;
    let Ok(response) = transfer.join() else { bail!("the transfer panicked") };
    assert_eq!(response.context("the transfer")?.checksum, checksum_of(LENGTH));
    let told = || director.lvs(&["stats"]).unwrap_or_default();
    load.finish()?.ensure_none_lost().with_context(told)
}

#[test]
fn nothing_is_lost_by_direct_routing_while_the_daemon_dies_and_returns() -> Result<()> {
    nothing_is_lost_while_the_daemon_dies_and_returns(Method::Direct)
}

#[test]
fn nothing_is_lost_by_tunnel_while_the_daemon_dies_and_returns() -> Result<()> {
    nothing_is_lost_while_the_daemon_dies_and_returns(Method::Tunnel)
}

#[test]
fn nothing_is_lost_by_nat_while_the_daemon_dies_and_returns() -> Result<()> {
    nothing_is_lost_while_the_daemon_dies_and_returns(Method::Nat)
}

#[test]
fn the_next_daemon_follows_the_file_where_it_was_changed_meanwhile() -> Result<()> {
    let world = World::with_servers(Method::Direct, 2)?;
    let mut director = world.direct(&[world.service(Family::V4, Protocol::Tcp)?])?;
    let second = world.real(1, Family::V4, Protocol::Tcp)?;
    director.lvs(&["server", "edit", "web", &second.to_string(), "--weight", "0"])?;
    director.kill_daemon()?;
    director.start_daemon()?;
    assert_eq!(director.state("web", second)?, "quiet", "changes at run time are remembered");
    director.kill_daemon()?;
    let first = world.real(0, Family::V4, Protocol::Tcp)?;
    let only = world.empty_service(Family::V4, Protocol::Tcp)?.server(first);
    director.write(&[only])?;
    director.start_daemon()?;
    assert_eq!(world.names(4)?, ["server1"]);
    assert!(!director.lvs(&["server", "list"])?.contains(&second.to_string()));
    Ok(())
}

#[test]
fn changes_of_run_time_outlive_tables_of_another_capacity() -> Result<()> {
    let world = World::with_servers(Method::Direct, 2)?;
    let services = [world.service(Family::V4, Protocol::Tcp)?];
    let mut director = world.direct(&services)?;
    let second = world.real(1, Family::V4, Protocol::Tcp)?;
    director.lvs(&["server", "edit", "web", &second.to_string(), "--weight", "0"])?;
    director.kill_daemon()?;
    director.write_text(&director.text(&services).replace("65536", "131072"))?;
    director.start_daemon()?;
    let status = director.json(&["status"])?;
    assert_eq!(status.get("taken_over"), Some(&false.into()), "{status}");
    assert_eq!(director.state("web", second)?, "quiet");
    assert_eq!(world.names(4)?, ["server1"]);
    Ok(())
}

#[test]
fn a_daemon_that_is_told_to_end_leaves_traffic_and_with_detach_nothing() -> Result<()> {
    let world = World::with_servers(Method::Direct, 1)?;
    let mut director = world.direct(&[world.service(Family::V4, Protocol::Tcp)?])?;
    let to = world.virtual_(Family::V4, Protocol::Tcp)?;
    director.stop_daemon()?;
    world.client()?.http_get(to, "/").context("traffic goes on")?;

    let daemon = director.spawn(&["--detach"])?;
    wait_until(Duration::from_secs(20), "lvsd answers", || {
        director.try_lvs(&["status"]).is_ok_and(|output| output.status == 0)
    })?;
    let status = daemon.terminate(Duration::from_secs(10))?;
    assert!(status.success(), "{}", daemon.log());
    assert!(!director.pins().join("lvs").exists(), "pins are removed");
    world.client()?.http_get(to, "/").expect_err("nothing is balanced any more");
    Ok(())
}
