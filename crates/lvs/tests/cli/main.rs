//! The real program against the real API server with fixed answers.
//!
//! `LVS_BLESS=1 cargo test -p lvs` rewrites the golden outputs.
#![expect(clippy::unwrap_used, reason = "helpers of tests, which end them so")]
use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use lvs_model::{
    change::{Change, ServiceEdit},
    desired::{
        Check, Method, Probe, Protocol, Scheduler, SchedulerFlags, Server, ServerCheck, Service,
        ServiceKey, Stray,
    },
};

mod daemon;

use daemon::Daemon;

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// Compares with a golden file, or writes it.
fn golden(name: &str, output: &Output) {
    let found = format!("{}{}", text(&output.stdout), text(&output.stderr));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/golden").join(name);
    if env::var_os("LVS_BLESS").is_some() {
        fs::write(path, found).unwrap();
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == found, "{name} differs; expected:\n{expected}\nfound:\n{found}");
}

/// What an operator reads about each command is what he will see.
#[test]
fn the_manual_shows_what_the_commands_print() {
    let daemon = Daemon::start();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/commands.md");
    let manual = fs::read_to_string(&path).unwrap();
    let mut fresh = Vec::new();
    let (mut console, mut output, mut examples) = (false, false, 0);
    for line in manual.lines() {
        if line.starts_with("```") {
            (console, output) = (line == "```console", false);
        }
        if let Some(command) = line.strip_prefix("$ lvs ").filter(|_| console) {
            let found = daemon.lvs(&command.split(' ').collect::<Vec<_>>());
            assert_eq!(status(&found), 0, "{line}: {found:?}");
            fresh.push(line.to_owned());
            let printed = [text(&found.stdout), text(&found.stderr)].concat();
            fresh.extend(printed.lines().map(str::to_owned));
            (output, examples) = (true, examples + 1);
        } else if !output {
            fresh.push(line.to_owned());
        }
    }
    assert!(examples >= 20, "{examples}");
    if env::var_os("LVS_BLESS").is_some() {
        fs::write(&path, fresh.join("\n") + "\n").unwrap();
        return;
    }
    for (expected, found) in manual.lines().zip(&fresh) {
        assert_eq!(expected, found, "docs/commands.md");
    }
    assert_eq!(manual.lines().count(), fresh.len());
}

#[test]
fn listings_are_as_they_were() {
    let daemon = Daemon::start();
    for (name, args) in [
        ("service-show-flags.txt", &["service", "show", "dns"][..]),
        ("stats-rate.txt", &["stats", "--rate", "--interval", "1ms"]),
    ] {
        let output = daemon.lvs(args);
        assert_eq!(status(&output), 0, "{args:?}: {output:?}");
        golden(name, &output);
    }
}

#[test]
fn refusals_say_what_to_do_and_exit_with_1() {
    let daemon = Daemon::refusing();
    for (name, args) in [
        ("refused-reload.txt", &["reload"][..]),
        ("refused-show.txt", &["service", "show", "wbe"]),
        ("refused-remove.txt", &["server", "remove", "web", "10.0.0.11:8080"]),
    ] {
        let output = daemon.lvs(args);
        assert_eq!(status(&output), 1, "{args:?}");
        assert!(output.stdout.is_empty());
        golden(name, &output);
    }
}

#[test]
fn every_command_has_json() {
    let daemon = Daemon::start();
    for args in [
        &["status"][..],
        &["service", "list"],
        &["service", "show", "web"],
        &["service", "remove", "web"],
        &["server", "list"],
        &["server", "list", "web"],
        &["server", "drain", "web", "10.0.0.11:80"],
        &["connection", "list"],
        &["connection", "list", "--limit", "0"],
        &["connection", "count"],
        &["connection", "flush", "--all"],
        &["stats"],
        &["stats", "--rate", "--interval", "1ms"],
        &["diff"],
        &["save"],
        &["explain", "--from", "198.51.100.7:40000", "--to", "192.0.2.10:80"],
    ] {
        let output = daemon.lvs(&[&["-o", "json"], args].concat());
        assert_eq!(status(&output), 0, "{args:?}: {output:?}");
        let value: Result<serde_json::Value, _> = serde_json::from_slice(&output.stdout);
        assert!(value.is_ok(), "{args:?}: {}", text(&output.stdout));
    }
}

#[test]
fn without_a_daemon_the_exit_status_is_3() {
    let daemon = Daemon::start();
    let output = daemon.lvs(&["--socket", "/nonexistent/lvsd.sock", "status"]);
    assert_eq!(status(&output), 3);
    golden("no-daemon.txt", &output);
}

#[test]
fn wrong_usage_exits_with_2() {
    let daemon = Daemon::start();
    for args in [
        &["frobnicate"][..],
        &["service", "add", "web", "192.0.2.10"],
        &["service", "add", "web", "192.0.2.10:80", "--scheduler", "wlcc"],
        &["service", "add", "web", "192.0.2.10:80", "--forward", "local"],
        &["service", "add", "web", "192.0.2.10:80", "-s", "sh", "--scheduler-flags", "mh-port"],
        &["service", "add", "web", "192.0.2.10:80", "--check", "tcp", "--check-path", "/"],
        &["server", "drain", "web", "10.0.0.11:80", "--deadline", "5"],
        &["connection", "flush"],
    ] {
        let output = daemon.lvs(args);
        assert_eq!(status(&output), 2, "{args:?}: {output:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
    assert!(daemon.asked.lock().unwrap().is_empty());
    assert_eq!(status(&daemon.lvs(&["--help"])), 0);
}

#[test]
fn a_change_is_asked_for_as_it_was_given() {
    let daemon = Daemon::start();
    let web = || "web".to_owned();
    let address = "10.0.0.13:80".parse().unwrap();

    daemon.lvs(&["server", "add", "web", "10.0.0.13:80", "--weight", "2", "--persist"]);
    let server = Server { weight: 2, ..Server::new(address) };
    assert_eq!(daemon.asked(), (Change::AddServer { service: web(), server }, true));

    daemon.lvs(&[
        "server",
        "add",
        "web",
        "10.0.0.13:80",
        "--forward",
        "nat",
        "--check",
        "http",
        "--check-path",
        "/ready",
        "--check-interval",
        "200ms",
    ]);
    let mut check = Check::new(Probe::http());
    check.probe = Probe::Http { path: "/ready".to_owned(), host: None, status: vec![200] };
    check.interval = Duration::from_millis(200);
    let (forward, check) = (Some(Method::Nat), ServerCheck::Own(check));
    let server = Server { forward, check, ..Server::new(address) };
    assert_eq!(daemon.asked(), (Change::AddServer { service: web(), server }, false));

    daemon.lvs(&[
        "service",
        "add",
        "dns",
        "[2001:db8::53]:53",
        "-p",
        "udp",
        "-s",
        "mh",
        "--scheduler-flags",
        "mh-port,mh-fallback",
    ]);
    let key = ServiceKey { protocol: Protocol::Udp, address: "[2001:db8::53]:53".parse().unwrap() };
    let mut service = Service::new("dns", key);
    service.scheduler = Scheduler::Mh;
    service.scheduler_flags = SchedulerFlags(SchedulerFlags::PORT | SchedulerFlags::FALLBACK);
    service.stray = Stray::Hash;
    assert_eq!(daemon.asked(), (Change::AddService { service }, false));

    daemon.lvs(&["server", "resume", "web", "10.0.0.12:80"]);
    let address = "10.0.0.12:80".parse().unwrap();
    assert_eq!(daemon.asked(), (Change::Resume { service: web(), address }, false));
}

#[test]
fn a_deadline_counts_from_now() {
    let daemon = Daemon::start();
    let before = daemon::now();
    daemon.lvs(&["server", "drain", "web", "10.0.0.11:80", "--deadline", "5m"]);
    let (change, _) = daemon.asked();
    let Change::Drain { deadline: Some(deadline), .. } = change else { panic!("{change:?}") };
    assert!((before + 300..=daemon::now() + 300).contains(&deadline));
}

#[test]
fn settings_of_a_check_change_the_one_that_is_there() {
    let daemon = Daemon::start();
    daemon.lvs(&["service", "edit", "web", "--check-interval", "5s"]);
    let mut check = daemon::web().check.unwrap();
    check.interval = Duration::from_secs(5);
    let edit = ServiceEdit { check: Some(Some(check)), ..ServiceEdit::default() };
    let change = Change::EditService { service: "web".to_owned(), edit };
    assert_eq!(daemon.asked(), (change, false));
    let output = daemon.lvs(&["service", "edit", "dns", "--check-interval", "5s"]);
    assert_eq!(status(&output), 1);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let daemon = Daemon::start();
    let mut child = daemon
        .command(&["connection", "list"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::with_capacity(64, child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("PROTOCOL"));
    let output = child.wait_with_output().unwrap();
    assert_eq!((status(&output), text(&output.stderr)), (0, ""));
}

#[test]
fn a_watch_draws_again() {
    let daemon = Daemon::start();
    let mut child = daemon
        .command(&["stats", "--watch", "--interval", "10ms"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let pictures = lines.map(|line| line.unwrap()).filter(|line| line.starts_with("\x1b[H\x1b[J"));
    assert_eq!(pictures.take(3).count(), 3);
    // Its reader is gone: it ends by itself.
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn connections_are_watched_line_by_line() {
    let daemon = Daemon::start();
    let lines = |args: &[&str], count| {
        let all = [&["connection", "watch"], args].concat();
        let mut child = daemon.command(&all).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let lines: Vec<String> = lines.map(Result::unwrap).take(count).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        lines
    };
    let first = |line: &String| line.split(' ').next().unwrap().to_owned();
    let words: Vec<_> = lines(&[], 5).iter().map(first).collect();
    assert_eq!(words, ["CHANGE", "new", "state", "is", "end"]);
    let objects = lines(&["-o", "json"], 5);
    let objects: Vec<serde_json::Value> =
        objects.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<_> = objects.iter().map(|object| &object["change"]).collect();
    assert_eq!(kinds, ["new", "state", "missed", "is", "end"]);
    assert_eq!(
        (&objects[0]["client"], &objects[2]["count"]),
        (&"198.51.100.7:40000".into(), &5.into())
    );
}

#[test]
fn save_replaces_a_file_as_a_whole() {
    let daemon = Daemon::start();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("saved.toml");
    fs::write(&path, "an older and longer file that must not shine through at the end").unwrap();
    let output = daemon.lvs(&["save", path.to_str().unwrap()]);
    assert_eq!((status(&output), output.stdout.len()), (0, 0));
    assert_eq!(fs::read_to_string(&path).unwrap(), "[daemon]\ninterfaces = [\"eth0\"]\n");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    assert_eq!(status(&daemon.lvs(&["save", "/nonexistent/x.toml"])), 1);
}

#[test]
fn each_shell_gets_a_completion_script() {
    let daemon = Daemon::start();
    for shell in ["bash", "zsh", "fish"] {
        let output = daemon.lvs(&["completions", shell]);
        assert_eq!(status(&output), 0);
        assert!(text(&output.stdout).contains("drain"), "{shell}");
    }
}
