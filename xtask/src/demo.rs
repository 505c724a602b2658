//! `cargo xtask demo`: a play in seven acts, each of which must truly have happened.
mod acts;
mod stage;
mod table;

use std::{fs, time::Instant};

use anyhow::{Context, Result, ensure};
use lvs_e2e::Programs;

use crate::{
    cargo,
    screen::{Paint, Screen},
    setup,
};
use stage::Stage;

/// Shows lvs at work: requests spread, a server dies and returns, another is drained, the daemon is
/// killed, the configuration is reloaded.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It runs for about a minute and ends by itself: exit status 0 only if everything that it tells truly
happened. Everything is in network namespaces that are removed at the end, also after Ctrl-C.")]
pub(crate) struct Demo {}

/// What an act is called, and what proves it.
type Act = (&'static str, fn(&mut Stage<'_>) -> Result<String>);

const ACTS: [Act; 7] = [
    ("Requests spread over the servers", acts::requests_spread),
    ("A server dies", acts::a_server_dies),
    ("It comes back", acts::it_comes_back),
    ("A server is drained", acts::a_server_is_drained),
    ("The daemon is killed with -9", acts::the_daemon_is_killed),
    ("The next daemon takes over", acts::the_next_one_takes_over),
    ("The configuration is reloaded", acts::the_configuration_is_reloaded),
];

impl Demo {
    pub(crate) fn run(self) -> Result<()> {
        let Self {} = self;
        let mut screen = Screen::new();
        setup::prepare(&mut screen, "demo")?;
        screen.line("Building lvsd and lvs ...");
        let built = cargo::build(&["build", "--quiet", "--package", "lvsd", "--package", "lvs"])?;
        let programs = Programs::in_directory(&cargo::folder_of(&built, "lvsd")?);
        lvs_lab::Lab::cleanup_on_signals()?;

        let start = Instant::now();
        let lab = lvs_lab::Lab::new("lvsdemo")?;
        let name = lab.name().to_owned();
        let results = play(&mut screen, &lab, programs)?;
        drop(lab);
        summary(&mut screen, &results, &name, start)
    }
}

/// What each act proved, or why it failed.
fn play(
    screen: &mut Screen,
    lab: &lvs_lab::Lab,
    programs: Programs,
) -> Result<Vec<(&'static str, Result<String>)>> {
    let mut stage = Stage::set(screen, lab, programs).context("the stage cannot be set")?;
    let mut results = Vec::new();
    for (number, (title, act)) in (1..).zip(ACTS) {
        stage.open(number, ACTS.len(), title);
        let result = act(&mut stage);
        stage.close(&result);
        results.push((title, result));
    }
    Ok(results)
}

fn summary(
    screen: &mut Screen,
    results: &[(&str, Result<String>)],
    lab: &str,
    start: Instant,
) -> Result<()> {
    screen.line("");
    screen.line(screen.paint(Paint::Bold, "Summary"));
    for (title, result) in results {
        tell(screen, title, result.is_ok());
    }
    let left = leftovers(lab)?;
    tell(screen, "Nothing is left behind", left.is_empty());
    for path in &left {
        screen.line(format_args!("      {path}"));
    }
    let failed = results.iter().filter(|(_, result)| result.is_err()).count();
    screen.line(format_args!("  {} seconds", start.elapsed().as_secs()));
    ensure!(failed == 0, "{failed} of {} acts failed", results.len());
    ensure!(left.is_empty(), "something was left behind");
    Ok(())
}

fn tell(screen: &mut Screen, title: &str, good: bool) {
    let sign =
        if good { screen.paint(Paint::Good, "ok  ") } else { screen.paint(Paint::Bad, "FAIL") };
    screen.line(format_args!("  {sign} {title}"));
}

/// Namespaces, directories, mounts and programs of the laboratory that still exist.
fn leftovers(lab: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for directory in ["/run/netns".into(), std::env::temp_dir()] {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(lab) {
                found.push(entry.path().display().to_string());
            }
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("read /proc")?;
    found.extend(mounts.lines().filter(|line| line.contains(lab)).map(str::to_owned));
    for entry in fs::read_dir("/proc").context("read /proc")?.flatten() {
        // Other processes come and go: those that cannot be read are gone.
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains(lab) {
            found.push(format!("process {}", entry.file_name().to_string_lossy()));
        }
    }
    Ok(found)
}
