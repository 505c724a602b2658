//! Layouts come up, everybody reaches everybody, and nothing is left behind.
use std::{
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use lvs_lab::{
    Capture, Client, Family, Lab, Layout, Load, Method, Ports, Process, RealServer, Shape, Site,
    checksum_of, wait_until,
};

const SOON: Duration = Duration::from_secs(5);

#[expect(clippy::expect_used, reason = "without root a test fails, and says so")]
fn lab() -> Lab {
    Lab::new("lvstest").expect("these tests need root")
}

/// Asks each real server at its own address, over HTTP and UDP, IPv4 and IPv6.
fn reach_all(site: &Site, servers: &[RealServer]) -> Result<()> {
    let client = Client::new(site.client(0)?);
    let ports = Ports::default();
    for (number, server) in servers.iter().enumerate() {
        for family in Family::ALL {
            let address = site.server_address(number, family)?;
            let own = site.client_address(0, family)?;
            let response = client.http_get(SocketAddr::new(address, ports.http), "/")?;
            assert_eq!(response.server, server.name());
            assert_eq!(response.client_seen.context("X-Client")?.ip(), own);
            let answer = client.udp_ask(SocketAddr::new(address, ports.udp), b"hello", 4242)?;
            assert_eq!(answer.server, server.name());
            assert_eq!(answer.client_seen, SocketAddr::new(own, 4242));
            assert_eq!(answer.payload, b"hello");
        }
    }
    Ok(())
}

#[test]
fn clients_reach_the_servers_of_every_layout() {
    use Method::{Direct, Nat, Tunnel};
    let lab = lab();
    for (shape, methods) in [
        (Shape::Lan, &[Direct, Tunnel, Direct][..]),
        (Shape::RoutedLan, &[Direct, Nat, Tunnel]),
        (Shape::TwoNetworks, &[Nat, Nat]),
        (Shape::TwoNetworks, &[Direct, Nat, Tunnel]),
    ] {
        let site = Layout::new(shape, methods).bring_up(&lab).expect("comes up");
        let servers = RealServer::start_all(&site, Ports::default()).expect("servers start");
        reach_all(&site, &servers)
            .with_context(|| format!("{shape:?} {methods:?}"))
            .expect("reaches all");
    }
}

#[test]
fn nothing_is_left_after_drop_nor_after_a_panic() {
    let leftovers = |name: &str| {
        let list = Command::new("ip").args(["netns", "list"]).output().expect("ip runs").stdout;
        let namespaces = String::from_utf8_lossy(&list).matches(name).count();
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("readable");
        let directories = std::fs::read_dir(std::env::temp_dir()).expect("readable").flatten();
        let directories =
            directories.filter(|entry| entry.file_name().to_string_lossy().starts_with(name));
        let below = std::env::temp_dir().join(name);
        let mounts = mounts.matches(below.to_str().expect("text")).count();
        (namespaces, mounts, directories.count())
    };
    for panics in [false, true] {
        let mut name = String::new();
        let mut program = 0;
        let result = catch_unwind(AssertUnwindSafe(|| {
            let lab = lab();
            name = format!("{}-", lab.name());
            let site = Layout::new(Shape::Lan, &[Method::Direct]).bring_up(&lab).expect("comes up");
            let _servers = RealServer::start_all(&site, Ports::default()).expect("start");
            let bpffs = lab.bpffs().expect("mounts");
            std::fs::create_dir(bpffs.path().join("pins")).expect("it is a filesystem");
            let mut sleep = Command::new("sleep");
            sleep.arg("1000");
            let sleep = Process::start(site.client(0).expect("client"), sleep).expect("starts");
            program = sleep.pid();
            assert_eq!(leftovers(&name), (4, 1, 1), "while it is up");
            assert!(!panics, "the test of a panic");
        }));
        assert_eq!(result.is_err(), panics);
        assert_eq!(leftovers(&name), (0, 0, 0), "panics: {panics}");
        let gone = || !std::path::Path::new(&format!("/proc/{program}")).exists();
        assert!(gone(), "the program is dead and reaped");
    }
}

#[test]
fn leftovers_of_a_killed_run_go_at_the_next_start() {
    // The name of a run whose number no process can have.
    let name = "lvsstale-4194305-0-client";
    let status = Command::new("ip").args(["netns", "add", name]).status().expect("ip runs");
    assert!(status.success());
    let inside = format!("--net=/run/netns/{name}");
    let mut program =
        Command::new("nsenter").args([&inside, "sleep", "1000"]).spawn().expect("starts");
    let directory = std::env::temp_dir().join("lvsstale-4194305-0-dir");
    std::fs::create_dir_all(directory.join("deep")).expect("makes a directory");
    // nsenter has to be inside before the lab looks.
    wait_until(SOON, "sleep is in the namespace", || {
        let pids = Command::new("ip").args(["netns", "pids", name]).output().expect("ip runs");
        !pids.stdout.is_empty()
    })
    .expect("enters");
    let _lab = Lab::new("lvsstale").expect("these tests need root");
    assert!(!std::path::Path::new("/run/netns").join(name).exists());
    assert!(!directory.exists());
    let status = program.wait().expect("a child");
    assert!(!status.success(), "it was killed");
}

#[test]
fn fifty_megabytes_arrive_whole_both_ways() {
    let lab = lab();
    let site = Layout::new(Shape::TwoNetworks, &[Method::Nat]).bring_up(&lab).expect("comes up");
    let server = RealServer::start(&site, 0, Ports::default()).expect("starts");
    let client = Client::new(site.client(0).expect("client"));
    let to = SocketAddr::new(site.server_address(0, Family::V4).expect("address"), 80);
    let length = 50_000_000;
    let response = client.http_get(to, &format!("/bytes/{length}")).expect("downloads");
    assert_eq!((response.bytes, response.checksum), (length, checksum_of(length)));
    let response = client.http_post(to, "/", length).expect("uploads");
    assert_eq!(response.text(), format!("{length} {:016x}\n", checksum_of(length)));
    assert_eq!(server.http.requests(), 2);
}

#[test]
fn a_killed_server_resets_and_refuses_and_serves_again_after_restart() {
    let lab = lab();
    let site = Layout::new(Shape::Lan, &[Method::Direct]).bring_up(&lab).expect("comes up");
    let mut server = RealServer::start(&site, 0, Ports::default()).expect("starts");
    let client = Client::new(site.client(0).expect("client"));
    let to = SocketAddr::new(site.server_address(0, Family::V6).expect("address"), 80);
    server.http.set_healthy(false);
    assert_eq!(client.http_get(to, "/healthz").expect("answers").status, 503);
    let mut connection = client.connect(to).expect("connects");
    connection.get("/").expect("answers");
    server.kill();
    let error = connection.get("/").expect_err("the connection is gone");
    let kind = error.root_cause().downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    assert_eq!(kind, Some(std::io::ErrorKind::ConnectionReset), "{error:#}");
    for result in [
        client.http_get(to, "/").map(drop),
        client.udp_ask(SocketAddr::new(to.ip(), 5353), b"x", 0).map(drop),
    ] {
        let error = result.expect_err("nobody is there");
        let kind = error.root_cause().downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        assert_eq!(kind, Some(std::io::ErrorKind::ConnectionRefused), "{error:#}");
    }
    server.restart().expect("starts again");
    assert_eq!(client.http_get(to, "/").expect("answers").status, 200);
}

#[test]
fn load_records_every_answer_and_every_failure() {
    let lab = lab();
    let site = Layout::new(Shape::Lan, &[Method::Direct]).bring_up(&lab).expect("comes up");
    let mut server = RealServer::start(&site, 0, Ports::default()).expect("starts");
    let client = Client::new(site.client(0).expect("client"));
    let ip = site.server_address(0, Family::V4).expect("address");
    let http = Load::http(&client, SocketAddr::new(ip, 80), "/", 200).expect("starts");
    let udp = Load::udp(&client, SocketAddr::new(ip, 5353), 200).expect("starts");
    let answered = |load: &Load, count| load.counts().0 >= count;
    wait_until(SOON, "50 answers", || answered(&http, 50) && answered(&udp, 50)).expect("answers");
    http.report().ensure_none_lost().expect("none lost");
    server.kill();
    wait_until(SOON, "failures", || http.counts().1 > 5 && udp.counts().1 > 5).expect("failures");
    let report = http.finish().expect("ends");
    assert_eq!(report.per_server().get("server1"), Some(&report.samples.len()));
    let error = report.ensure_none_lost().expect_err("some were lost").to_string();
    assert!(error.contains("requests failed") && error.contains("connect to 10.0.0.11:80"));
    udp.finish().expect("ends").ensure_none_lost().expect_err("some were lost");
}

#[test]
fn a_changed_mac_address_is_seen_on_the_wire() {
    let lab = lab();
    let site = Layout::new(Shape::Lan, &[Method::Direct]).bring_up(&lab).expect("comes up");
    let server = RealServer::start(&site, 0, Ports::default()).expect("starts");
    let client = site.client(0).expect("client");
    let to = SocketAddr::new(site.server_address(0, Family::V4).expect("address"), 80);
    let capture = Capture::start(client, "eth0").expect("captures");
    Client::new(client).http_get(to, "/").expect("answers");
    let old = server.namespace().mac("eth0").expect("has one");
    let from_server = |mac: [u8; 6]| {
        move |frame: &lvs_lab::Captured| {
            frame.parse().is_some_and(|parsed| !frame.outgoing && parsed.source_mac == mac)
        }
    };
    capture.wait_for(SOON, "an answer", from_server(old)).expect("captured");
    let new = [2, 0, 0, 0, 0, 42];
    server.namespace().set_mac("eth0", new, true).expect("changes");
    Client::new(client).http_get(to, "/").expect("answers");
    capture.wait_for(SOON, "an answer from the new address", from_server(new)).expect("captured");
    let directory = lab.temp_dir("pcap").expect("makes one");
    let file = directory.path().join("client.pcap");
    capture.write_pcap(&file).expect("writes");
    let length = std::fs::metadata(&file).expect("is there").len();
    let frames = capture.frames();
    let bytes: usize = frames.iter().map(|frame| 16 + frame.bytes.len()).sum();
    assert!(length >= 24 + 1000 && length <= 24 + bytes as u64);
}

#[test]
fn a_program_runs_in_the_namespace_and_its_lines_are_kept() {
    let lab = lab();
    let namespace = lab.namespace("alone").expect("made");
    let shell = |script: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::start(&namespace, command).expect("starts")
    };
    let process = shell("ls /sys/class/net | wc -l; ip -o link | wc -l; echo oops >&2; exit 3");
    let status = process.wait_for_exit(SOON).expect("ends");
    assert_eq!(status.code(), Some(3));
    let lines = process.lines();
    let links = lines.iter().filter(|line| !line.error).nth(1).expect("two lines");
    assert_eq!(links.text.trim(), "1", "only lo is in the namespace");
    assert!(lines.iter().any(|line| line.error && line.text == "oops"));
    let sleeper = shell("echo ready; exec sleep 1000");
    sleeper.wait_for_line(SOON, "ready").expect("written");
    let error = sleeper.wait_for_line(Duration::ZERO, "never").expect_err("not written");
    assert!(error.to_string().contains("| ready"), "an error tells the log: {error}");
    sleeper.kill().expect("dies");
    assert!(!sleeper.is_running());
}

/// Real servers of direct routing have the virtual address, but the director alone answers for it.
#[test]
fn the_virtual_address_leads_to_the_director_only() {
    let lab = lab();
    let layout = Layout::new(Shape::Lan, &[Method::Direct, Method::Tunnel]);
    let site = layout.bring_up(&lab).expect("comes up");
    let _servers = RealServer::start_all(&site, Ports::default()).expect("start");
    let client = site.client(0).expect("client");
    for family in Family::ALL {
        let to = SocketAddr::new(site.vip(family).expect("address"), 80);
        for _ in 0..5 {
            client.forget_neighbours().expect("forgets");
            let error = Client::new(client).http_get(to, "/").expect_err("no director runs");
            let kind = error.root_cause().downcast_ref().map(std::io::Error::kind);
            assert_eq!(kind, Some(std::io::ErrorKind::ConnectionRefused), "{error:#}");
        }
    }
}

/// What the machine does not have is not tested: these programs are an extra.
#[test]
fn servers_and_clients_of_others_work_where_they_are_installed() {
    let lab = lab();
    let site = Layout::new(Shape::Lan, &[Method::Direct]).bring_up(&lab).expect("comes up");
    let server = site.server(0).expect("server");
    let files = lab.temp_dir("files").expect("made");
    std::fs::write(files.path().join("name"), "python\n").expect("writes");
    let python = lvs_lab::python_http(server, files.path(), "::", 80).expect("starts");
    assert_eq!(python.is_some(), lvs_lab::find_program("python3").is_some());
    let to = SocketAddr::new(site.server_address(0, Family::V6).expect("address"), 80);
    let client = site.client(0).expect("client");
    if python.is_some() {
        let response = Client::new(client).http_get(to, "/name").expect("answers");
        assert_eq!((response.status, response.text().as_str()), (200, "python\n"));
    }
    drop(python);
    let _ours = RealServer::start(&site, 0, Ports::default()).expect("starts");
    let text = lvs_lab::curl(client, &format!("http://{to}/")).expect("answers");
    assert_eq!(text.is_some(), lvs_lab::find_program("curl").is_some());
    assert!(text.is_none_or(|text| text.starts_with("server1 [fd00::2]:")));
}
