//! The acts. Each returns what it proved from what was recorded, or why it failed.
use std::{
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use lvs_e2e::Fields;
use lvs_lab::{Report, checksum_of};

use super::stage::Stage;

const WEB: usize = 0;
const VIDEO: usize = 1;
const SHOP: usize = 2;
/// How long a change of health may take: checks are 200 ms apart.
const SOON: Duration = Duration::from_secs(3);

/// Answers of a server.
fn answers(report: &Report, server: &str) -> usize {
    report.samples.iter().filter(|sample| sample.server == server).count()
}

fn ensure_near(what: &str, is: usize, expected: usize) -> Result<()> {
    let slack = expected / 5 + 3;
    ensure!(is.abs_diff(expected) <= slack, "{what}: {is} answers, about {expected} expected");
    Ok(())
}

/// Every server of a service answered its share since a moment.
fn ensure_shares(report: &Report, shares: &[(&str, usize)]) -> Result<()> {
    let total: usize = shares.iter().map(|(_, share)| share).sum();
    let all = report.samples.len();
    ensure!(all >= 20, "only {all} answers came");
    for (server, share) in shares {
        ensure_near(server, answers(report, server), all * share / total)?;
    }
    Ok(())
}

pub(super) fn requests_spread(stage: &mut Stage<'_>) -> Result<String> {
    stage.say("  Each client gets a page from its service 60 times a second.");
    let start = stage.now();
    stage.watch(Duration::from_secs(8));
    let total = stage.ensure_none_lost_since(&start)?;
    ensure_shares(&stage.since(&start, WEB)?, &[("server1", 1), ("server2", 1), ("server3", 1)])?;
    ensure_shares(&stage.since(&start, VIDEO)?, &[("server4", 3), ("server5", 1)])?;
    ensure_shares(&stage.since(&start, SHOP)?, &[("server6", 1), ("server7", 1)])?;
    Ok(format!(
        "{total} requests by direct routing, tunnel and NAT, every one answered\n\
         web and shop spread evenly, video 3 to 1 as its weights say"
    ))
}

pub(super) fn a_server_dies(stage: &mut Stage<'_>) -> Result<String> {
    let address = stage.service(WEB)?.servers.get(1).context("web has three servers")?.1;
    let killed = (stage.now(), Instant::now());
    stage.say("  The HTTP server on server2 is killed.");
    stage.servers.get_mut(1).context("server2")?.kill();
    stage.director.wait_for_state("web", address, "down", SOON)?;
    let took = killed.1.elapsed();
    let out = stage.now();
    stage.watch(Duration::from_secs(5));
    let met = stage.since(&killed.0, WEB)?.failures.len();
    stage.ensure_none_lost_since(&out).context("after the server was out")?;
    let report = stage.since(&out, WEB)?;
    ensure!(answers(&report, "server2") == 0, "the dead server answers");
    ensure_shares(&report, &[("server1", 1), ("server3", 1)])?;
    Ok(format!(
        "out {:.1} s after its death; {met} requests met it dead\n\
         since then {} requests to web, all answered by the other two",
        took.as_secs_f32(),
        report.samples.len()
    ))
}

pub(super) fn it_comes_back(stage: &mut Stage<'_>) -> Result<String> {
    let address = stage.service(WEB)?.servers.get(1).context("web has three servers")?.1;
    let start = (stage.now(), Instant::now());
    stage.say("  It is started again.");
    stage.servers.get_mut(1).context("server2")?.restart()?;
    stage.director.wait_for_state("web", address, "up", SOON)?;
    let took = start.1.elapsed();
    let back = stage.now();
    stage.watch(Duration::from_secs(5));
    stage.ensure_none_lost_since(&start.0)?;
    ensure_shares(&stage.since(&back, WEB)?, &[("server1", 1), ("server2", 1), ("server3", 1)])?;
    Ok(format!("back after {:.1} s with a full share, no request lost", took.as_secs_f32()))
}

pub(super) fn a_server_is_drained(stage: &mut Stage<'_>) -> Result<String> {
    let address = stage.service(WEB)?.servers.get(2).context("web has three servers")?.1;
    let mut download = stage.connect_to(WEB, "server3")?;
    stage.say("  A client downloads 4 MB from server3, slowly; then server3 is drained.");
    let running = thread::spawn(move || download.get("/bytes/4000000/1000000"));
    stage.type_lvs(&["server", "drain", "web", &address.to_string()])?;
    let drained = stage.now();
    stage.type_lvs(&["server", "list", "web"])?;
    let state = stage.director.state("web", address)?;
    ensure!(state == "draining", "server3 is {state}");
    stage.watch(Duration::from_secs(5));
    let response = match running.join() {
        Ok(response) => response.context("the download")?,
        Err(_) => bail!("the download panicked"),
    };
    ensure!(response.checksum == checksum_of(4_000_000), "the download has wrong bytes");
    stage.ensure_none_lost_since(&drained)?;
    let report = stage.since(&drained, WEB)?;
    ensure!(answers(&report, "server3") == 0, "the drained server got new connections");
    let resumed = stage.now();
    stage.type_lvs(&["server", "resume", "web", &address.to_string()])?;
    stage.watch(Duration::from_secs(3));
    ensure!(answers(&stage.since(&resumed, WEB)?, "server3") > 0, "no connections after resume");
    Ok(format!(
        "no new connection among {}; the download came to its end, whole\n\
         after `resume` it takes new connections again",
        report.samples.len()
    ))
}

pub(super) fn the_daemon_is_killed(stage: &mut Stage<'_>) -> Result<String> {
    let pid = stage.director.daemon()?.pid();
    let mut kept = stage.connect_to(SHOP, "server7")?;
    let start = stage.now();
    stage.say(format!("  $ kill -9 {pid}"));
    stage.director.kill_daemon()?;
    stage.watch(Duration::from_secs(8));
    let status = stage.director.try_lvs(&["status"])?.status;
    ensure!(status == 3, "`lvs status` ends with {status}: a daemon still answers");
    ensure!(kept.get("/")?.server == "server7", "an open connection changed its server");
    let total = stage.ensure_none_lost_since(&start)?;
    ensure_shares(&stage.since(&start, WEB)?, &[("server1", 1), ("server2", 1), ("server3", 1)])?;
    Ok(format!("{total} requests without any daemon, every one answered, spread as before"))
}

pub(super) fn the_next_one_takes_over(stage: &mut Stage<'_>) -> Result<String> {
    let mut kept = stage.connect_to(SHOP, "server6")?;
    let own = kept.local_address()?.to_string();
    let start = stage.now();
    stage.say("  lvsd is started again.");
    stage.director.start_daemon()?;
    let status = stage.director.json(&["status"])?;
    ensure!(status.get("taken_over") == Some(&true.into()), "it did not take over: {status}");
    let connections = stage.director.lvs(&["connection", "list"])?;
    ensure!(connections.contains(&own), "the open connection {own} is not known any more");
    stage.watch(Duration::from_secs(5));
    ensure!(kept.get("/")?.server == "server6", "an open connection changed its server");
    let total = stage.ensure_none_lost_since(&start)?;
    let counted = status.get("traffic").context("traffic")?.number("connections")?;
    ensure!(counted > 1000, "counters began anew: {counted} connections");
    Ok(format!(
        "it took over all connections, and counters of {counted} connections\n\
         {total} requests meanwhile, every one answered"
    ))
}

pub(super) fn the_configuration_is_reloaded(stage: &mut Stage<'_>) -> Result<String> {
    let mut kept = stage.connect_to(VIDEO, "server4")?;
    let good = stage.director.text(&stage.services);
    let start = stage.now();
    stage.say("  A file with a mistake is refused, and nothing changes:");
    fs::write(stage.director.file(), good.replace("weight = 3", "weigth = 3"))?;
    let refused = stage.director.try_lvs(&["reload"])?;
    for line in refused.stderr.lines() {
        let short: String = line.chars().take(76).collect();
        stage.say(format!("    {short}"));
    }
    ensure!(refused.status == 1, "the bad file was not refused: {refused:?}");
    ensure!(refused.stderr.contains("weigth"), "the mistake is not named: {}", refused.stderr);
    let spread = stage.director.lvs(&["diff"])?;
    ensure!(spread.trim().is_empty() || !spread.contains("server"), "it changed: {spread}");

    stage.say("  Then the weights of video are turned round:");
    let second = stage.service(VIDEO)?.servers.get(1).context("video has two servers")?.1;
    let text = good.replace(", weight = 3", "");
    let turned = text.replace(
        &format!("{{ address = \"{second}\" }}"),
        &format!("{{ address = \"{second}\", weight = 3 }}"),
    );
    fs::write(stage.director.file(), turned)?;
    stage.type_lvs(&["reload"])?;
    let reloaded = stage.now();
    stage.watch(Duration::from_secs(5));
    ensure!(kept.get("/")?.server == "server4", "an open connection changed its server");
    let total = stage.ensure_none_lost_since(&start)?;
    ensure_shares(&stage.since(&reloaded, VIDEO)?, &[("server4", 1), ("server5", 3)])?;
    Ok(format!(
        "the bad file was refused with its place\n\
         video now spreads 1 to 3; open connections stay, {total} requests and none lost"
    ))
}
