//! The resolver against the kernel: a director and a server in network namespaces of their own,
//! each held by a thread and gone with it. Needs root.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy knows tests by their attribute, not their helpers"
)]
use std::{
    collections::BTreeSet,
    net::IpAddr,
    process::Command,
    sync::mpsc as std_mpsc,
    thread,
    time::{Duration, Instant},
};

use lvs_model::observed::Hop;
use lvs_netlink::{Change, Client, Resolution, Resolver, Unreachable, Unresolved};
use rustix::thread::{UnshareFlags, gettid, unshare_unsafe};
use tokio::{sync::mpsc, time::timeout};

/// Far more than any wait here takes; a test that reaches it has failed.
const DEADLINE: Duration = Duration::from_secs(20);

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace: a thread in it that does what it is given until dropped.
struct Namespace {
    thread_id: i32,
    jobs: std_mpsc::Sender<Job>,
}

impl Namespace {
    fn new() -> Self {
        assert!(rustix::process::geteuid().is_root(), "needs root: it makes network namespaces");
        let (jobs, inbox) = std_mpsc::channel::<Job>();
        let (ready, id) = std_mpsc::channel();
        thread::spawn(move || {
            #[expect(unsafe_code, reason = "rustix marks every unshare as unsafe")]
            // SAFETY: only the network namespace is unshared, no file descriptors.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.expect("a new network namespace");
            ready.send(gettid().as_raw_nonzero().get()).unwrap();
            for job in inbox {
                job();
            }
        });
        let thread_id = id.recv().expect("the namespace's thread");
        let namespace = Self { thread_id, jobs };
        namespace.ip("link set lo up");
        namespace
    }

    /// Does something in the namespace and waits for its end.
    fn within<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = std_mpsc::channel();
        let job = move || {
            let job = std::panic::AssertUnwindSafe(job);
            done.send(std::panic::catch_unwind(job)).unwrap();
        };
        self.jobs.send(Box::new(job)).unwrap();
        result.recv().unwrap().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn ip(&self, arguments: &str) {
        let command = format!("ip {arguments}");
        self.within(move || run(&command));
    }

    /// Runs a test inside.
    fn block_on<F: Future<Output = ()>>(&self, test: impl FnOnce() -> F + Send + 'static) {
        self.within(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async { timeout(DEADLINE * 3, test()).await.unwrap() });
        });
    }
}

/// Runs a command in the namespace of the calling thread.
fn run(command: &str) {
    let words: Vec<_> = command.split_whitespace().collect();
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A director (`eth0`, 10.9.0.1, `fd09::1`) and a server (`eth0`, 10.9.0.11 and .12, `fd09::11`) on
/// one link.
fn pair() -> (Namespace, Namespace) {
    let (director, server) = (Namespace::new(), Namespace::new());
    director.ip(&format!("link add eth0 type veth peer name eth0 netns {}", server.thread_id));
    server.ip("link set eth0 address 02:00:00:00:00:11");
    // The server announces a change of its MAC address, as a real one that is replaced does.
    server.within(|| std::fs::write("/proc/sys/net/ipv4/conf/eth0/arp_notify", "1")).unwrap();
    for (namespace, addresses) in [
        (&director, ["10.9.0.1/24", "fd09::1/64"].as_slice()),
        (&server, ["10.9.0.11/24", "10.9.0.12/24", "fd09::11/64"].as_slice()),
    ] {
        for address in addresses {
            let nodad = if address.contains(':') { "nodad" } else { "" };
            namespace.ip(&format!("address add {address} dev eth0 {nodad}"));
        }
        namespace.ip("link set eth0 up");
    }
    (director, server)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn set(addresses: &[&str]) -> BTreeSet<IpAddr> {
    addresses.iter().map(|address| ip(address)).collect()
}

/// Waits for the change of an address that satisfies the condition.
async fn wait_for(
    changes: &mut mpsc::Receiver<Vec<Change>>,
    address: &str,
    condition: impl Fn(&Result<Hop, Unresolved>) -> bool,
) -> Change {
    let mut last = None;
    let found = timeout(DEADLINE, async {
        loop {
            for change in changes.recv().await.expect("the resolver runs") {
                if change.address == ip(address) {
                    last = Some(change.hop);
                    if condition(&change.hop) {
                        return change;
                    }
                }
            }
        }
    });
    found.await.unwrap_or_else(|_| panic!("{address}: the last change was {last:?}"))
}

fn through(mac: u8) -> impl Fn(&Result<Hop, Unresolved>) -> bool {
    move |hop| matches!(hop, Ok(Hop::Link { neighbour_mac, .. }) if *neighbour_mac == [2, 0, 0, 0, 0, mac])
}

/// Whether `ip neigh` shows the address with the word.
fn neighbour_shows(address: &str, word: &str) -> bool {
    let output = Command::new("ip").args(["-d", "neigh", "show", "to", address]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).split_whitespace().any(|found| found == word)
}

fn neighbours() -> String {
    let output = Command::new("ip").args(["-d", "neigh", "show"]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "never: {what}\n{}", neighbours());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[test]
fn the_kernel_says_which_way_an_address_goes() {
    let (director, _server) = pair();
    director.ip("route add 10.50.0.0/16 via 10.9.0.11 mtu 1280");
    director.ip("route add blackhole 10.60.0.0/16");
    director.ip("route add prohibit 10.61.0.0/16");
    director.ip("route add unreachable fd60::/64");
    director.ip("route add 10.70.0.0/16 via inet6 fd09::11 dev eth0");
    director.block_on(|| async {
        let mut client = Client::open().unwrap();
        let links = client.links().await.unwrap();
        let eth0 = links.by_name("eth0").expect("eth0");
        assert!(eth0.up && eth0.mac.is_some() && eth0.mtu == 1500, "{eth0:?}");
        assert_eq!(links.by_name("lo").unwrap().mac, None);
        for (address, next, source, mtu) in [
            ("10.9.0.11", "10.9.0.11", "10.9.0.1", None),
            ("10.50.1.1", "10.9.0.11", "10.9.0.1", Some(1280)),
            ("fd09::11", "fd09::11", "fd09::1", None),
            ("10.70.1.1", "fd09::11", "10.9.0.1", None),
        ] {
            let Resolution::Via(hop) = client.resolve(ip(address)).await.unwrap() else {
                panic!("{address} is not reached through a neighbour")
            };
            assert_eq!((hop.interface, hop.mtu), (eth0.index, mtu), "{address}");
            assert_eq!((hop.address, hop.source), (ip(next), ip(source)), "{address}");
        }
        for (address, expected) in [
            ("10.9.0.1", Resolution::Local),
            ("127.0.0.1", Resolution::Local),
            ("::1", Resolution::Local),
            ("fd09::1", Resolution::Local),
            ("192.0.2.1", Resolution::Unreachable(Unreachable::NoRoute)),
            ("2001:db8::1", Resolution::Unreachable(Unreachable::NoRoute)),
            ("10.60.0.1", Resolution::Unreachable(Unreachable::Blackhole)),
            ("10.61.0.1", Resolution::Unreachable(Unreachable::Prohibited)),
            ("fd60::1", Resolution::Unreachable(Unreachable::Host)),
            ("10.9.0.255", Resolution::Unreachable(Unreachable::NotUnicast)),
        ] {
            assert_eq!(client.resolve(ip(address)).await.unwrap(), expected, "{address}");
        }
    });
}

#[test]
fn a_hop_follows_its_server_to_another_mac_and_another_route() {
    let (director, server) = pair();
    director.block_on(|| async move {
        let (resolver, mut changes) = Resolver::start().await.unwrap();
        resolver.set_addresses(set(&["10.9.0.11", "fd09::11", "10.9.0.1"]));
        let hop = wait_for(&mut changes, "10.9.0.11", Result::is_ok).await.hop;
        let Ok(Hop::Link { source, mtu, .. }) = hop else { panic!("{hop:?}") };
        assert_eq!((source, mtu), (ip("10.9.0.1"), 1500));
        assert!(through(0x11)(&hop));

        server.ip("link set eth0 address 02:00:00:00:00:22");
        wait_for(&mut changes, "10.9.0.11", through(0x22)).await;

        // Through a gateway that answers with the same MAC address and is reached with less MTU.
        run("ip route add 10.9.0.11/32 via 10.9.0.12 mtu 1400");
        let small = |hop: &Result<Hop, Unresolved>| matches!(hop, Ok(Hop::Link { mtu: 1400, .. }));
        wait_for(&mut changes, "10.9.0.11", small).await;
        until("the gateway is managed", || neighbour_shows("10.9.0.12", "managed")).await;
        until("the server is released", || !neighbour_shows("10.9.0.11", "managed")).await;

        run("ip route replace blackhole 10.9.0.11/32");
        let blackhole = Err(Unresolved::Unreachable(Unreachable::Blackhole));
        wait_for(&mut changes, "10.9.0.11", |hop| *hop == blackhole).await;
        resolver.finish().await.unwrap();
    });
}

#[test]
fn both_families_and_the_directors_own_address_resolve() {
    let (director, _server) = pair();
    director.block_on(|| async {
        let (resolver, mut changes) = Resolver::start().await.unwrap();
        resolver.set_addresses(set(&["10.9.0.1"]));
        let local = |hop: &Result<Hop, Unresolved>| *hop == Ok(Hop::Local);
        wait_for(&mut changes, "10.9.0.1", local).await;
        resolver.set_addresses(set(&["10.9.0.1", "fd09::11"]));
        let hop = wait_for(&mut changes, "fd09::11", through(0x11)).await.hop;
        assert!(matches!(hop, Ok(Hop::Link { source, .. }) if source == ip("fd09::1")));

        // An address that becomes the director's own, as with a VIP that moves here.
        resolver.set_addresses(set(&["10.9.0.50"]));
        wait_for(&mut changes, "10.9.0.50", Result::is_err).await;
        run("ip address add 10.9.0.50/32 dev lo");
        wait_for(&mut changes, "10.9.0.50", local).await;
        resolver.finish().await.unwrap();
    });
}

#[test]
fn an_address_that_went_and_came_back_unseen_is_reported_again() {
    let (director, _server) = pair();
    director.block_on(|| async {
        let (resolver, mut changes) = Resolver::start().await.unwrap();
        let batch = |changes: Option<Vec<Change>>| -> Vec<_> {
            changes.expect("the resolver runs").iter().map(|c| (c.address, c.hop)).collect()
        };
        // The director's own: each is reported once, and nothing changes it later.
        let local = |address: &str| (ip(address), Ok(Hop::Local));
        resolver.set_addresses(set(&["10.9.0.1", "127.0.0.1"]));
        let first = timeout(DEADLINE, changes.recv()).await.expect("the first word");
        assert_eq!(batch(first), [local("10.9.0.1"), local("127.0.0.1")]);
        // Nothing is awaited in between, so the task sees only the second call.
        resolver.set_addresses(set(&["127.0.0.1"]));
        resolver.set_addresses(set(&["10.9.0.1", "127.0.0.1"]));
        let again = timeout(DEADLINE, changes.recv()).await.expect("the way is reported again");
        assert_eq!(batch(again), [local("10.9.0.1")], "and not that of the one that stayed");

        // All at once, as by two reloads; the kernel goes on managing the neighbour.
        resolver.set_addresses(set(&["10.9.0.11"]));
        wait_for(&mut changes, "10.9.0.11", through(0x11)).await;
        until("it is managed", || neighbour_shows("10.9.0.11", "managed")).await;
        resolver.set_addresses(BTreeSet::new());
        resolver.set_addresses(set(&["10.9.0.11"]));
        wait_for(&mut changes, "10.9.0.11", through(0x11)).await;
        assert!(neighbour_shows("10.9.0.11", "managed"));
        resolver.finish().await.unwrap();
    });
}

#[test]
fn only_entries_of_lvs_are_removed_and_a_successor_knows_them() {
    let (director, _server) = pair();
    director.ip("neigh add 10.9.0.12 lladdr 02:00:00:00:00:77 dev eth0 nud permanent");
    director.block_on(|| async {
        let (resolver, mut changes) = Resolver::start().await.unwrap();
        resolver.set_addresses(set(&["10.9.0.11", "10.9.0.12", "fd09::11"]));
        wait_for(&mut changes, "10.9.0.12", through(0x77)).await;
        until("it is managed", || neighbour_shows("10.9.0.11", "managed")).await;
        until("IPv6 too", || neighbour_shows("fd09::11", "managed")).await;
        drop((resolver, changes));

        // The successor needs one of the two; it must find the other although it never made it.
        let (resolver, mut changes) = Resolver::start().await.unwrap();
        resolver.set_addresses(set(&["10.9.0.11", "10.9.0.12"]));
        wait_for(&mut changes, "10.9.0.11", through(0x11)).await;
        until("the leftover goes", || !neighbour_shows("fd09::11", "managed")).await;
        assert!(neighbour_shows("10.9.0.11", "managed"));

        drop(changes);
        resolver.finish().await.unwrap();
        until("ours is gone", || !neighbour_shows("10.9.0.11", "managed")).await;
        assert!(neighbour_shows("10.9.0.12", "PERMANENT"), "the operator's own stays");
    });
}

#[test]
fn a_deleted_entry_is_made_again_and_a_dead_server_keeps_its_hop() {
    let (director, server) = pair();
    director.block_on(|| async move {
        let (resolver, mut changes) = Resolver::start().await.unwrap();
        resolver.set_addresses(set(&["10.9.0.11", "10.9.0.99"]));
        wait_for(&mut changes, "10.9.0.11", through(0x11)).await;
        let silent = Err(Unresolved::Silent(ip("10.9.0.99")));
        wait_for(&mut changes, "10.9.0.99", |hop| *hop == silent).await;

        run("ip neigh del 10.9.0.11 dev eth0");
        until("it is made again", || neighbour_shows("10.9.0.11", "managed")).await;

        server.ip("address del 10.9.0.11/24 dev eth0");
        server.ip("address add 10.9.0.12/24 dev eth0");
        run("ip neigh replace 10.9.0.11 lladdr 02:00:00:00:00:11 dev eth0 nud probe");
        until("it fails", || neighbour_shows("10.9.0.11", "FAILED")).await;
        while let Ok(batch) = changes.try_recv() {
            let lost = batch.iter().find(|c| c.address == ip("10.9.0.11") && c.hop.is_err());
            assert_eq!(lost, None);
        }
        resolver.finish().await.unwrap();
    });
}

#[test]
fn links_that_come_and_go_are_told() {
    let director = Namespace::new();
    director.block_on(|| async {
        let (resolver, _changes) = Resolver::start().await.unwrap();
        let mut links = resolver.links();
        assert!(links.borrow().by_name("late0").is_none());
        run("ip link add late0 type veth peer name late1");
        timeout(DEADLINE, links.wait_for(|links| links.by_name("late0").is_some()))
            .await
            .expect("in time")
            .unwrap();
        run("ip link set late0 up");
        let up = |links: &lvs_netlink::Links| links.by_name("late0").is_some_and(|link| link.up);
        timeout(DEADLINE, links.wait_for(up)).await.expect("in time").unwrap();
        run("ip link del late0");
        timeout(DEADLINE, links.wait_for(|links| links.by_name("late0").is_none()))
            .await
            .expect("in time")
            .unwrap();
    });
}

#[test]
fn ten_thousand_servers_resolve_through_one_gateway_and_move_together() {
    let (director, _server) = pair();
    director.ip("route add 10.200.0.0/16 via 10.9.0.11");
    director.block_on(|| async {
        let (resolver, mut changes) = Resolver::start().await.unwrap();
        let addresses: BTreeSet<_> =
            (0..10_000u32).map(|n| IpAddr::from((0x0ac8_0000 + n).to_be_bytes())).collect();
        resolver.set_addresses(addresses.clone());
        all(&mut changes, &addresses, through(0x11)).await;
        run("ip link set eth0 mtu 1300");
        let small = |hop: &Result<Hop, Unresolved>| matches!(hop, Ok(Hop::Link { mtu: 1300, .. }));
        all(&mut changes, &addresses, small).await;
        resolver.finish().await.unwrap();
    });
}

/// More than the kernel's table of neighbours takes by default (`gc_thresh3`, 1024).
#[test]
fn three_thousand_servers_on_one_link_need_no_tuning() {
    let (director, server) = pair();
    server.ip("route add local 10.10.0.0/16 dev lo");
    director.ip("route add 10.10.0.0/16 dev eth0");
    director.block_on(|| async {
        let (resolver, mut changes) = Resolver::start().await.unwrap();
        let addresses: BTreeSet<_> =
            (1..=3000u32).map(|n| IpAddr::from((0x0a0a_0000 + n).to_be_bytes())).collect();
        resolver.set_addresses(addresses.clone());
        all(&mut changes, &addresses, through(0x11)).await;
        drop(changes);
        resolver.finish().await.unwrap();
        assert!(!neighbour_shows("10.10.0.0/16", "managed"), "all are removed");
    });
}

/// Waits until the last change of every address satisfies the condition.
async fn all(
    changes: &mut mpsc::Receiver<Vec<Change>>,
    addresses: &BTreeSet<IpAddr>,
    condition: impl Fn(&Result<Hop, Unresolved>) -> bool,
) {
    let mut left = addresses.clone();
    let done = timeout(DEADLINE, async {
        while !left.is_empty() {
            for change in changes.recv().await.expect("the resolver runs") {
                if condition(&change.hop) {
                    left.remove(&change.address);
                }
            }
        }
    });
    let done = done.await;
    assert!(done.is_ok(), "{} of {} never changed", left.len(), addresses.len());
}
