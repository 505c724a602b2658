//! Which server gets each connection, as recorded from the real IPVS.
use std::net::SocketAddr;

use lvs_core::{forward::Method, scheduler::Scheduler, tables::Event, wire::Protocol};
use lvs_dataplane::Dataplane;
use lvs_model::plan::Plan;

use crate::{
    packets::{ACK, FIN, SYN, frame, send},
    world::{address, server, service, tables},
};

const RECORDED: &str = include_str!("sched.txt");

/// One case of the recording, as it is replayed.
struct Replay {
    title: String,
    tables: Dataplane,
    plan: Plan,
    next_port: u16,
    /// Clients with the server that each was given.
    open: Vec<(SocketAddr, String)>,
    checked: usize,
}

#[test]
fn every_connection_goes_where_ipvs_sent_it() {
    let mut checked = 0;
    for case in RECORDED.split("=== ").skip(1) {
        let mut lines = case.lines();
        let mut replay = Replay {
            title: lines.next().unwrap().to_owned(),
            tables: tables(),
            plan: Plan::default(),
            next_port: 20001,
            open: Vec::new(),
            checked: 0,
        };
        for line in lines {
            replay.line(line);
        }
        assert!(replay.checked > 0, "{}", replay.title);
        checked += replay.checked;
    }
    assert!(checked > 600, "only {checked} decisions were compared");
}

impl Replay {
    fn line(&mut self, line: &str) {
        if let Some(command) = line.strip_prefix("$ ipvsadm ") {
            self.command(&command.split(' ').collect::<Vec<_>>());
        } else if let Some((how, expected)) =
            line.strip_prefix("seq(").and_then(|l| l.split_once("): "))
        {
            if self.title.contains("then the r3 ones closed") && !self.open.is_empty() {
                self.close("r3");
            }
            self.sequence(how, expected);
        } else {
            for decision in line.split_whitespace() {
                let (client, expected) = decision.split_once('=').unwrap();
                let expected = if expected.starts_with("ERR") { "refused" } else { expected };
                self.connect(address(client), expected);
            }
        }
    }

    fn command(&mut self, words: &[&str]) {
        let after = |option| {
            let at = words.iter().position(|word| *word == option);
            at.map(|at| words[at + 1])
        };
        let weight = || after("-w").unwrap().parse().unwrap();
        if words[0] == "-A" {
            let name = after("-s").unwrap();
            let scheduler = Scheduler::ALL.iter().find(|s| s.name() == name).unwrap();
            self.plan.services = vec![service(Protocol::Tcp, after("-t").unwrap(), *scheduler)];
        } else {
            let servers = &mut self.plan.services[0].servers;
            let at = address(after("-r").unwrap());
            match words[0] {
                "-a" => servers.push(server(after("-r").unwrap(), weight(), Method::Nat)),
                "-e" => servers.iter_mut().find(|s| s.address == at).unwrap().weight = weight(),
                "-d" => servers.retain(|server| server.address != at),
                other => panic!("{other}"),
            }
        }
        self.tables.apply(&self.plan).unwrap();
    }

    fn sequence(&mut self, how: &str, expected: &str) {
        for expected in expected.split(' ') {
            let client = SocketAddr::from(([10, 0, 0, 2], self.next_port));
            self.next_port += 1;
            self.connect(client, expected);
            if how.contains("closed") {
                self.close(expected);
            }
        }
    }

    fn connect(&mut self, client: SocketAddr, expected: &str) {
        let to = self.plan.services[0].key.address;
        let outcome = send(&self.tables.host(), &frame(Protocol::Tcp, client, to, SYN));
        let got = match outcome.event() {
            Event::New => {
                format!("r{}", outcome.destination().to_string().strip_prefix("10.0.1.1").unwrap())
            }
            Event::NoServer => "refused".to_owned(),
            other => panic!("{}: {client}: {other:?}", self.title),
        };
        assert_eq!(got, expected, "{}: {client}, decision {}", self.title, self.checked);
        self.checked += 1;
        if got != "refused" {
            send(&self.tables.host(), &frame(Protocol::Tcp, client, to, ACK));
            self.open.push((client, got));
        }
    }

    /// Closes all connections with a server.
    fn close(&mut self, server: &str) {
        let to = self.plan.services[0].key.address;
        for (client, _) in self.open.extract_if(.., |(_, with)| with == server) {
            send(&self.tables.host(), &frame(Protocol::Tcp, client, to, FIN | ACK));
        }
    }
}
