//! Which server gets each connection, and how many each has then, as recorded from the real IPVS.
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use lvs_core::{
    forward::Method,
    scheduler::{Scheduler, SchedulerFlags},
    wire::Protocol,
};
use lvs_dataplane::Filter;
use lvs_model::{
    desired::{ServiceKey, Stray},
    plan::{Plan, PlannedServer},
};

use crate::{
    frame::{ACK, FIN, Frame, SYN, tcp, udp},
    runner::{Runner, capacity, in_kernel},
    scenario::Room,
    verify::verify,
    world::{CLIENTS, SERVERS, at, server, service},
};

/// Commands of `ipvsadm`, the servers that connections were then given, and its listings. A
/// connection is kept open, or closed by both ends at once, as the text says.
const RECORDED: &str = include_str!("golden.txt");

#[test]
fn connections_go_where_ipvs_sent_them_on_the_host() {
    replay_all(&mut Runner::host(capacity(Room::Ample)));
}

#[test]
fn connections_go_where_ipvs_sent_them_in_the_kernel() {
    in_kernel(|| replay_all(&mut Runner::kernel(capacity(Room::Ample))));
}

fn replay_all(runner: &mut Runner) {
    let (mut decisions, mut listings) = (0, 0);
    for case in RECORDED.split("=== ").skip(1) {
        let mut lines = case.lines();
        let title = lines.next().unwrap();
        let mut replay = Replay {
            title,
            runner,
            plan: Plan::default(),
            limits: Vec::new(),
            port: 20001,
            open: Vec::new(),
            decisions: 0,
            listings: 0,
        };
        lines.for_each(|line| replay.line(line));
        assert!(replay.decisions > 0, "{title}");
        decisions += replay.decisions;
        listings += replay.listings;
        runner.dataplane.apply(&Plan::default()).unwrap();
        runner.dataplane.flush(Filter::default());
        runner.dataplane.sweep().unwrap();
        runner.dataplane.sweep().unwrap();
    }
    assert!(decisions > 700 && listings > 50, "only {decisions} and {listings} were compared");
}

/// Clients 10.0.0.2 to .13 of port 8080 over servers 172.16.0.2 to .4:8080, added in this order with
/// these weights, with the scheduler's port flag or without, and the last octets of the servers that
/// IPVS gave them. With the flag, client n comes from port 4n0.
const HASHED: [(Scheduler, bool, [u32; 3], [usize; 12]); 5] = [
    (Scheduler::Mh, false, [1, 1, 1], [2, 2, 2, 4, 3, 2, 3, 3, 4, 3, 4, 3]),
    (Scheduler::Mh, false, [3, 1, 2], [2, 2, 2, 4, 4, 2, 2, 3, 4, 3, 4, 2]),
    (Scheduler::Mh, true, [1, 1, 1], [4, 2, 3, 4, 4, 4, 3, 4, 2, 4, 3, 3]),
    (Scheduler::Sh, false, [1, 1, 1], [2, 3, 2, 4, 3, 4, 2, 4, 3, 4, 3, 4]),
    (Scheduler::Sh, true, [2, 1, 1], [2, 2, 3, 3, 3, 4, 4, 2, 2, 2, 2, 2]),
];

/// SYNs, and strays likewise, since the hash is the same.
#[test]
fn hashes_are_those_of_ipvs_in_the_kernel() {
    in_kernel(|| {
        let mut runner = Runner::kernel(capacity(Room::Ample));
        for (scheduler, by_port, weights, recorded) in HASHED {
            let vip = at("192.0.2.1:8080");
            let servers = ["172.16.0.2:8080", "172.16.0.3:8080", "172.16.0.4:8080"].map(at);
            let mut hashed = service(Protocol::Tcp, vip);
            (hashed.scheduler, hashed.stray) = (scheduler, Stray::Hash);
            hashed.scheduler_flags = SchedulerFlags(if by_port { SchedulerFlags::PORT } else { 0 });
            for (address, weight) in servers.into_iter().zip(weights) {
                hashed.servers.push(PlannedServer { weight, ..server(address, Method::Direct) });
            }
            runner.dataplane.apply(&Plan { services: vec![hashed] }).unwrap();
            for flags in [SYN, ACK] {
                let got: Vec<usize> = (2..14_u8)
                    .map(|n| {
                        let port = if by_port { format!("4{n}0").parse().unwrap() } else { 5000 };
                        let frame = tcp(([10, 0, 0, n], port).into(), vip, flags).bytes();
                        usize::from(runner.send(CLIENTS, &frame).bytes[5])
                    })
                    .collect();
                assert_eq!(got, recorded, "{scheduler:?} {weights:?} {by_port} {flags}");
                runner.dataplane.flush(Filter::default());
            }
        }
    });
}

/// One case of the recording.
struct Replay<'a> {
    title: &'a str,
    runner: &'a mut Runner,
    plan: Plan,
    /// Servers with their upper threshold of connections.
    limits: Vec<(SocketAddr, usize)>,
    /// The next client's port.
    port: u16,
    /// Connections that are open: client and server.
    open: Vec<(SocketAddr, SocketAddr)>,
    decisions: usize,
    listings: usize,
}

impl Replay<'_> {
    fn line(&mut self, line: &str) {
        let words: Vec<_> = line.split_whitespace().collect();
        if let Some(command) = line.strip_prefix("$ ipvsadm ") {
            self.command(&command.split(' ').collect::<Vec<_>>());
        } else if let Some((how, expected)) =
            line.strip_prefix("seq(").and_then(|l| l.split_once("): "))
        {
            // That the r3 ones were closed before the next sequence, the case's title says.
            for expected in expected.split(' ') {
                self.next_client(expected, how.contains("closed"));
            }
            if how == "kept open" && self.title.contains("then the r3 ones closed") {
                self.close(|server| server.ip().to_string().ends_with('3'));
            }
        } else if let ["->", server, _, _, active, inactive] = words[..] {
            let load = [active, inactive].map(|count| count.parse().unwrap());
            self.listed(at(server), load);
        } else if self.title.starts_with("udp") {
            let expected = words.last().copied().unwrap_or("");
            expected
                .split(',')
                .filter(|e| !e.is_empty())
                .for_each(|expected| self.next_client(expected, false));
        } else if line.starts_with("  10.") {
            for decision in words {
                let (client, expected) = decision.split_once('=').unwrap();
                self.connect(
                    at(client),
                    if expected.starts_with("ERR") { "refused" } else { expected },
                );
                self.close(|_| true);
            }
        }
    }

    fn next_client(&mut self, expected: &str, closes: bool) {
        let client = SocketAddr::from(([10, 0, 0, 2], self.port));
        self.port += 1;
        self.connect(client, expected);
        if closes {
            self.close(|_| true);
        }
    }

    fn command(&mut self, words: &[&str]) {
        let after =
            |option: &str| words.iter().position(|word| *word == option).map(|at| words[at + 1]);
        if words[0] == "-A" {
            let (protocol, address) = match after("-t") {
                Some(address) => (Protocol::Tcp, address),
                None => (Protocol::Udp, after("-u").unwrap()),
            };
            let mut new = service(protocol, at(address));
            new.scheduler = *Scheduler::ALL.iter().find(|s| Some(s.name()) == after("-s")).unwrap();
            if after("-b").is_some_and(|flag| flag.ends_with("-fallback")) {
                new.scheduler_flags = SchedulerFlags(SchedulerFlags::FALLBACK);
            }
            self.plan.services = vec![new];
        } else {
            let address = at(after("-r").unwrap());
            let method = if words.contains(&"-i") { Method::Tunnel } else { Method::Nat };
            let weight = || after("-w").unwrap().parse().unwrap();
            let servers = &mut self.plan.services[0].servers;
            match words[0] {
                "-a" => {
                    let mut new = server(address, method);
                    new.weight = weight();
                    servers.push(new);
                }
                "-e" => {
                    servers.iter_mut().find(|s| s.address == address).unwrap().weight = weight();
                }
                "-d" => servers.retain(|server| server.address != address),
                other => panic!("{other}"),
            }
            if let Some(limit) = after("-x") {
                self.limits.push((address, limit.parse().unwrap()));
            }
        }
        self.runner.dataplane.apply(&self.plan).unwrap();
    }

    fn key(&self) -> ServiceKey {
        self.plan.services[0].key
    }

    fn send(&self, interface: u32, frame: &Frame) -> Vec<u8> {
        let bytes = self.runner.send(interface, &frame.bytes()).bytes;
        assert_eq!(verify(&bytes), Ok(()), "{}: {bytes:02x?}", self.title);
        bytes
    }

    fn connect(&mut self, client: SocketAddr, expected: &str) {
        let ServiceKey { protocol, address } = self.key();
        let first = match protocol {
            Protocol::Tcp => tcp(client, address, SYN),
            Protocol::Udp => udp(client, address, b"data"),
        };
        let sent = self.send(CLIENTS, &first);
        let to = IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(&sent[30..34]).unwrap()));
        let server = self.plan.services[0]
            .servers
            .iter()
            .rev()
            .find(|s| s.address.ip() == to && s.weight > 0);
        let got = match server {
            Some(_) => format!("r{}", &to.to_string()["10.0.1.1".len()..]),
            None if to == client.ip() => "refused".to_owned(),
            None => to.to_string(),
        };
        assert_eq!(got, expected, "{}: {client}, decision {}", self.title, self.decisions);
        self.decisions += 1;
        let Some(server) = server.cloned() else { return };
        if protocol == Protocol::Tcp {
            if server.method == Method::Nat {
                self.send(SERVERS, &tcp(server.address, client, SYN | ACK));
            }
            self.send(CLIENTS, &tcp(client, address, ACK));
        }
        self.open.push((client, server.address));
        self.respect_limit(server.address);
    }

    /// A server that has as many connections as it may is not available, as one of weight 0.
    fn respect_limit(&mut self, server: SocketAddr) {
        let Some((_, limit)) = self.limits.iter().find(|(limited, _)| *limited == server) else {
            return;
        };
        let filter = Filter { server: Some(server), ..Filter::default() };
        if self.runner.dataplane.count(filter) as usize >= *limit {
            self.plan.services[0]
                .servers
                .iter_mut()
                .find(|s| s.address == server)
                .unwrap()
                .weight = 0;
            self.runner.dataplane.apply(&self.plan).unwrap();
        }
    }

    /// Closes connections with these servers: the client first, then the server.
    fn close(&mut self, which: impl Fn(SocketAddr) -> bool) {
        let address = self.key().address;
        let open = std::mem::take(&mut self.open);
        for (client, server) in open {
            if !which(server) {
                self.open.push((client, server));
                continue;
            }
            self.send(CLIENTS, &tcp(client, address, FIN | ACK));
            if self.plan.services[0]
                .servers
                .iter()
                .any(|s| s.address == server && s.method == Method::Nat)
            {
                self.send(SERVERS, &tcp(server, client, FIN | ACK));
            }
            self.send(CLIENTS, &tcp(client, address, ACK));
        }
    }

    /// Compares with a row of `ipvsadm -L`. Those of tunnels show the service's port.
    fn listed(&mut self, address: SocketAddr, load: [u32; 2]) {
        let readings = self.runner.dataplane.counters();
        let mut rows = readings.servers.iter();
        let (_, (_, counted)) =
            rows.find(|((key, at), _)| *key == self.key() && at.ip() == address.ip()).unwrap();
        assert_eq!([counted.active, counted.inactive], load, "{}: {address}", self.title);
        self.listings += 1;
    }
}
