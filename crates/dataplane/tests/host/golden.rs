//! Which server gets each connection, as recorded from the real IPVS.
use std::net::SocketAddr;

use lvs_core::{forward::Method, scheduler::Scheduler, wire::Protocol};
use lvs_dataplane::{Dataplane, Filter};
use lvs_model::plan::Plan;

use crate::{
    packets::{ACK, FIN, SYN, destination, frame},
    world::{address, server, service},
};

const RECORDED: &str = include_str!("sched.txt");

/// Sends a frame through the director and returns what is left in its place.
type Send = fn(&Dataplane, &[u8]) -> Vec<u8>;

/// One case of the recording, as it is replayed.
struct Replay<'a> {
    title: String,
    tables: &'a mut Dataplane,
    send: Send,
    plan: Plan,
    next_port: u16,
    /// Clients with the server that each was given.
    open: Vec<(SocketAddr, String)>,
    checked: usize,
}

/// Replays everything, in tables that are empty at first.
pub(crate) fn replay(tables: &mut Dataplane, send: Send) {
    let mut checked = 0;
    for case in RECORDED.split("=== ").skip(1) {
        let mut lines = case.lines();
        let mut replay = Replay {
            title: lines.next().unwrap().to_owned(),
            tables,
            send,
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
        tables.apply(&Plan::default()).unwrap();
        tables.flush(Filter::default());
    }
    assert!(checked > 600, "only {checked} decisions were compared");
}

impl Replay<'_> {
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
        let sent = (self.send)(self.tables, &frame(Protocol::Tcp, client, to, SYN));
        let to_whom = destination(&sent);
        let got = match to_whom.to_string().strip_prefix("10.0.1.1") {
            Some(number) => format!("r{number}"),
            // Answered with a RST.
            None if to_whom == client.ip() => "refused".to_owned(),
            None => format!("to {to_whom}"),
        };
        assert_eq!(got, expected, "{}: {client}, decision {}", self.title, self.checked);
        self.checked += 1;
        if got != "refused" {
            (self.send)(self.tables, &frame(Protocol::Tcp, client, to, ACK));
            self.open.push((client, got));
        }
    }

    /// Closes all connections with a server.
    fn close(&mut self, server: &str) {
        let to = self.plan.services[0].key.address;
        for (client, _) in self.open.extract_if(.., |(_, with)| with == server) {
            (self.send)(self.tables, &frame(Protocol::Tcp, client, to, FIN | ACK));
        }
    }
}
