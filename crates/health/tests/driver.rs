//! The driver against real listeners on loopback.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "clippy knows tests by their attribute, not their helpers"
)]
use std::{
    collections::BTreeSet,
    io::ErrorKind,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use lvs_health::{Driver, Event, Failure};
use lvs_model::{
    desired::{Check, Probe},
    observed::{Health, Target},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket},
    task::JoinHandle,
    time::timeout,
};

/// Far more than any wait here takes; a test that reaches it has failed.
const DEADLINE: Duration = Duration::from_secs(20);

/// As the promise of the checks is worded: every 200 ms, 1 s for an answer, down after 2.
fn target(address: SocketAddr, probe: Probe) -> Target {
    let check = Check {
        probe,
        port: None,
        interval: Duration::from_millis(200),
        timeout: Duration::from_secs(1),
        rise: 1,
        fall: 2,
    };
    Target { address, check }
}

fn http() -> Probe {
    Probe::Http { path: "/healthz".into(), host: None, status: vec![200] }
}

/// A server that answers every request in the same way until dropped.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Listens on any port of loopback; `None`: takes connections and never answers.
    fn start(answer: Option<&'static str>) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), answer)
    }

    fn start_at(address: SocketAddr, answer: Option<&'static str>) -> Self {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let socket = socket.unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(4096).unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(serve(listener, answer, Arc::clone(&connections)));
        Self { address, connections, task }
    }

    /// Stops listening and waits until that is so.
    async fn stop(mut self) -> SocketAddr {
        self.task.abort();
        drop((&mut self.task).await);
        self.address
    }
}

async fn serve(listener: TcpListener, answer: Option<&'static str>, count: Arc<AtomicUsize>) {
    let mut silent = Vec::new();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        count.fetch_add(1, Ordering::SeqCst);
        let Some(answer) = answer else {
            silent.push(stream);
            continue;
        };
        tokio::spawn(async move {
            let mut request = [0; 1024];
            if stream.read(&mut request).await.is_ok_and(|count| count > 0) {
                drop(stream.write_all(answer.as_bytes()).await);
            }
        });
    }
}

const OK: Option<&str> = Some("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
const BUSY: Option<&str> = Some("HTTP/1.1 503 Service Unavailable\r\n\r\n");

/// Starts to check targets of which none is up yet.
fn check(driver: &mut Driver, targets: impl IntoIterator<Item = Target>) {
    assert_eq!(driver.add(targets.into_iter().collect()), []);
}

async fn event(driver: &mut Driver) -> Event {
    timeout(DEADLINE, driver.next()).await.expect("an event in time")
}

/// Waits until what is known of a target satisfies the condition.
async fn last_failure(driver: &Driver, target: &Target) -> Failure {
    let end = Instant::now() + DEADLINE;
    loop {
        let last = driver.status(target).and_then(|status| status.last);
        if let Some(Err(failure)) = last.map(|last| last.result) {
            return failure;
        }
        assert!(Instant::now() < end, "no probe failed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_server_comes_up_goes_down_within_three_seconds_and_returns() {
    for probe in [Probe::Tcp, http()] {
        let server = Server::start(OK);
        let target = target(server.address, probe.clone());
        let mut driver = Driver::new();
        let started = Instant::now();
        check(&mut driver, [target.clone()]);
        let up = event(&mut driver).await;
        assert_eq!((&*up.target, up.health, up.reason), (&target, Health::Up, None));
        assert!(started.elapsed() < target.check.interval, "the first probe starts at once");
        let status = driver.status(&target).unwrap();
        assert!(status.last.unwrap().result.is_ok());

        let address = server.stop().await;
        let died = Instant::now();
        let down = event(&mut driver).await;
        assert_eq!(down.health, Health::Down);
        assert_eq!(down.reason, Some(Failure::Io(ErrorKind::ConnectionRefused)), "{probe:?}");
        assert!(died.elapsed() < Duration::from_secs(3));

        let _server = Server::start_at(address, OK);
        assert_eq!(event(&mut driver).await.health, Health::Up);
    }
}

#[tokio::test]
async fn a_server_that_goes_silent_is_down_within_three_seconds() {
    let server = Server::start(OK);
    let mut driver = Driver::new();
    check(&mut driver, [target(server.address, http())]);
    assert_eq!(event(&mut driver).await.health, Health::Up);
    let address = server.stop().await;
    let _silent = Server::start_at(address, None);
    let died = Instant::now();
    let down = event(&mut driver).await;
    assert_eq!(down.reason, Some(Failure::TimedOut(Duration::from_secs(1))));
    assert!(died.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn a_failure_says_why() {
    for (answer, failure) in [
        (BUSY, Failure::Status { got: 503, expected: vec![200] }),
        (Some(""), Failure::Closed),
        (None, Failure::TimedOut(Duration::from_secs(1))),
    ] {
        let server = Server::start(answer);
        let target = target(server.address, http());
        let mut driver = Driver::new();
        check(&mut driver, [target.clone()]);
        assert_eq!(last_failure(&driver, &target).await, failure);
        assert_eq!(driver.status(&target).unwrap().health, Health::Down);
    }
    let server = Server::start(Some("SSH-2.0-OpenSSH_9.2\r\n"));
    let target = target(server.address, http());
    let mut driver = Driver::new();
    check(&mut driver, [target.clone()]);
    let words = last_failure(&driver, &target).await.to_string();
    assert_eq!(words, "the answer is not HTTP: it does not begin with HTTP/1.x");
}

#[tokio::test]
async fn an_ipv6_server_is_checked() {
    let server = Server::start_at("[::1]:0".parse().unwrap(), OK);
    let mut driver = Driver::new();
    check(&mut driver, [target(server.address, http())]);
    assert_eq!(event(&mut driver).await.health, Health::Up);
}

#[tokio::test]
async fn probes_of_one_target_never_overlap() {
    let server = Server::start(None);
    let target = target(server.address, http());
    let mut driver = Driver::new();
    let started = Instant::now();
    check(&mut driver, [target.clone()]);
    let deadline = started + Duration::from_millis(2500);
    tokio::time::sleep_until(deadline.into()).await;
    // Each takes its whole second, although one would be due every 200 ms.
    let probes = server.connections.load(Ordering::SeqCst);
    assert!((1..=3).contains(&probes), "{probes} probes");
}

#[tokio::test]
async fn a_change_of_the_set_keeps_what_stays() {
    let (stays, goes) = (Server::start(OK), Server::start(OK));
    let stays_target = target(stays.address, http());
    let goes_target = target(goes.address, http());
    let mut driver = Driver::new();
    check(&mut driver, [stays_target.clone(), goes_target.clone()]);
    for _ in 0..2 {
        assert_eq!(event(&mut driver).await.health, Health::Up);
    }
    let since = driver.status(&stays_target).unwrap().since;
    driver.remove(std::slice::from_ref(&goes_target));
    assert_eq!(driver.status(&stays_target).unwrap().since, since);
    assert_eq!(driver.status(&goes_target), None);
    // What is left of the ended check is at most one connection in the listener's queue.
    let before = goes.connections.load(Ordering::SeqCst);
    let stays_before = stays.connections.load(Ordering::SeqCst);
    let end = Instant::now() + DEADLINE;
    while stays.connections.load(Ordering::SeqCst) < stays_before + 3 {
        assert!(Instant::now() < end, "the target that stays is not probed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(goes.connections.load(Ordering::SeqCst) <= before + 1);
}

#[tokio::test]
async fn a_server_that_was_up_stays_up_until_its_checks_fail() {
    let dead = Server::start(OK).stop().await;
    let target = target(dead, Probe::Tcp);
    let mut driver = Driver::new();
    driver.initial(target.clone(), Health::Up);
    let up = driver.add(vec![target.clone()]);
    assert_eq!(up.iter().map(|target| &**target).collect::<Vec<_>>(), [&target]);
    assert_eq!(driver.status(&target).unwrap().health, Health::Up);
    last_failure(&driver, &target).await;
    let down = event(&mut driver).await;
    assert_eq!((down.health, down.target.address), (Health::Down, dead));
}

#[tokio::test]
async fn a_change_of_the_timing_keeps_the_health_and_one_of_the_question_does_not() {
    let server = Server::start(OK);
    let mut target = target(server.address, http());
    let mut driver = Driver::new();
    check(&mut driver, [target.clone()]);
    assert_eq!(event(&mut driver).await.health, Health::Up);
    let old = target.clone();
    target.check.interval = Duration::from_millis(300);
    let up = driver.add(vec![target.clone()]);
    assert_eq!(up.len(), 1, "only the interval is new");
    driver.remove(&[old]);
    let Probe::Http { path, .. } = &mut target.check.probe else { unreachable!() };
    *path = "/other".into();
    let up = driver.add(vec![target]);
    assert_eq!(up, [], "another path may be answered otherwise");
}

/// Events of a target that was removed and added again meanwhile must not be taken for the new
/// one's.
#[tokio::test]
async fn what_a_removed_target_told_last_is_not_heard() {
    let server = Server::start(OK);
    let target = target(server.address, Probe::Tcp);
    let mut driver = Driver::new();
    check(&mut driver, [target.clone()]);
    let end = Instant::now() + DEADLINE;
    while driver.status(&target).unwrap().health == Health::Down {
        assert!(Instant::now() < end, "never up");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    driver.remove(std::slice::from_ref(&target));
    let dead = server.stop().await;
    let quiet = timeout(Duration::from_millis(300), driver.next()).await;
    assert!(quiet.is_err(), "{dead}: {quiet:?}");
}

#[tokio::test]
async fn two_thousand_targets_are_all_probed_at_once() {
    // Both ends of each connection are in this process.
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    // One listener, many targets: loopback is a whole network of addresses.
    let any = Server::start_at(SocketAddr::from(([0, 0, 0, 0], 0)), OK);
    let targets: BTreeSet<_> = (0..2000u32)
        .map(|n| {
            let address = (0x7f01_0000 + n).to_be_bytes();
            let mut target = target(SocketAddr::from((address, any.address.port())), http());
            target.check.interval = Duration::from_mins(1);
            target
        })
        .collect();
    let mut driver = Driver::new();
    let started = Instant::now();
    check(&mut driver, targets.clone());
    for _ in 0..targets.len() {
        assert_eq!(event(&mut driver).await.health, Health::Up);
    }
    assert!(started.elapsed() < Duration::from_secs(20), "not spread over their interval");
    assert_eq!(driver.statuses().filter(|(_, s)| s.health == Health::Up).count(), targets.len());
}

/// The model makes one target of a server that several services share; the driver asks it once.
#[tokio::test]
async fn a_shared_target_is_asked_once() {
    let server = Server::start(OK);
    let shared = target(server.address, http());
    let mut driver = Driver::new();
    check(&mut driver, [shared.clone(), shared.clone()]);
    assert_eq!(event(&mut driver).await.health, Health::Up);
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    assert_eq!(driver.statuses().count(), 1);
}
