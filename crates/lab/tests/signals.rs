//! Whatever ends the program, nothing of the laboratory is left.
use std::{env, fs, path::Path, process::Command, thread, time::Duration};

use anyhow::{Context, Result};
use lvs_lab::{Lab, Layout, Method, Ports, Process, RealServer, Shape, wait_until};

const SOON: Duration = Duration::from_secs(10);
/// Set in the child: the prefix of its lab's names.
const CHILD: &str = "LVS_LAB_TEST_CHILD";

/// Not a test: what the children of the tests below run. It does nothing without the variable.
#[test]
fn child() {
    let Ok(prefix) = env::var(CHILD) else { return };
    let lab = Lab::new(&prefix).expect("the parent is root");
    Lab::cleanup_on_signals().expect("catches");
    let site = Layout::new(Shape::Lan, &[Method::Tunnel]).bring_up(&lab).expect("comes up");
    let _servers = RealServer::start_all(&site, Ports::default()).expect("start");
    let _bpffs = lab.bpffs().expect("mounts");
    let mut sleep = Command::new("sleep");
    sleep.arg("1000");
    let sleep = Process::start(site.director().expect("director"), sleep).expect("starts");
    println!("\nup: {} {}", lab.name(), sleep.pid());
    loop {
        thread::park();
    }
}

/// Starts a child, ends it with a signal when its lab is up, and returns its lab's name.
fn end_child_by(signal: i32, prefix: &str) -> Result<String> {
    let lab = Lab::new("lvstest")?;
    let namespace = lab.namespace("parent")?;
    let mut command = Command::new(env::current_exe()?);
    command.args(["--exact", "child", "--nocapture"]).env(CHILD, prefix);
    let child = Process::start(&namespace, command)?;
    let line = child.wait_for_line(SOON, "up: ")?.text;
    let mut words = line.split(' ').skip(1).map(str::to_owned);
    let (name, sleep) = (words.next().context("name")?, words.next().context("pid")?);
    assert_eq!(leftovers(&name), 5, "client, director, server, switch and a directory");
    child.signal(signal)?;
    let status = child.wait_for_exit(SOON)?;
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(signal));
    wait_until(SOON, "the program in its lab is dead", || {
        let status = fs::read_to_string(format!("/proc/{sleep}/status")).unwrap_or_default();
        status.is_empty() || status.contains("State:\tZ")
    })?;
    Ok(name)
}

fn leftovers(name: &str) -> usize {
    let count = |directory: &Path| {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(name)).count()
    };
    count(Path::new("/run/netns")) + count(&env::temp_dir())
}

#[test]
fn sigterm_and_sigint_remove_everything() {
    for signal in [15, 2] {
        let name = end_child_by(signal, "lvsterm").expect("ends");
        assert_eq!(leftovers(&name), 0, "signal {signal}");
    }
}

#[test]
fn the_next_lab_removes_what_sigkill_left() {
    let name = end_child_by(9, "lvskill").expect("ends");
    assert_eq!(leftovers(&name), 5, "nobody could remove it");
    let _next = Lab::new("lvskill").expect("root");
    assert_eq!(leftovers(&name), 0);
}
