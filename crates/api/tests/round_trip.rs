//! Client and server over a real socket, with a stand-in for the engine.
#![expect(clippy::unwrap_used, reason = "helpers of tests, which end them so")]
use std::{
    io::{Read, Write},
    iter,
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use lvs_api::{
    client::{Client, ClientError},
    error::{ApiError, Code},
    server::{self, Call, Later, Listener, Listing, Watching},
    types::{Changed, Connection, ConnectionFilter, Explained, Question},
};
use lvs_model::{
    change::Change,
    desired::{Method, Protocol, Server},
    diff::Difference,
};
use tokio::sync::watch;

/// A server on a socket of its own; ends when it is dropped.
struct Daemon {
    dir: tempfile::TempDir,
    stop: watch::Sender<bool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Daemon {
    fn start(mut answer: impl FnMut(Call) + Send + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("lvsd.sock");
        let (stop, stopped) = watch::channel(false);
        let (up, is_up) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let listener = Listener::bind(&socket).unwrap();
                up.send(()).unwrap();
                let (calls, mut requests) = server::channel();
                let serve = server::serve(listener, calls, stopped);
                let engine = async {
                    while let Some(call) = requests.recv().await {
                        answer(call);
                    }
                };
                tokio::join!(serve, engine);
            });
        });
        is_up.recv().unwrap();
        Self { dir, stop, thread: Some(thread) }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("lvsd.sock")
    }

    fn client(&self) -> Client {
        Client::new(self.socket())
    }

    /// Sends bytes as they are; returns all that comes back.
    fn raw(&self, request: &[u8]) -> String {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        // The server may hang up before it has read all.
        drop(stream.write_all(request));
        let mut answer = String::new();
        drop(stream.read_to_string(&mut answer));
        answer
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn connection(port: u16) -> Connection {
    Connection {
        protocol: Protocol::Tcp,
        client: SocketAddr::new("2001:db8::7".parse().unwrap(), port),
        virtual_: address("192.0.2.10:80"),
        server: address("10.0.0.11:80"),
        forward: Method::Tunnel,
        state: "ESTABLISHED".into(),
        expires: Duration::from_millis(1500),
    }
}

#[test]
fn a_change_and_its_answer_arrive_whole() {
    let change = Change::AddServer {
        service: "web".to_owned(),
        server: Server { weight: 3, ..Server::new(address("10.0.0.12:80")) },
    };
    let expected = change.clone();
    let difference = Difference::ServerAdded {
        service: "web".to_owned(),
        address: address("10.0.0.12:80"),
        weight: 3,
    };
    let answer = Changed {
        differences: vec![difference],
        persisted: Some("/etc/lvs/lvs.toml".into()),
        warnings: Vec::new(),
    };
    let answered = answer.clone();
    let daemon = Daemon::start(move |call| {
        let Call::Change { change, persist, reply } = call else { panic!("{call:?}") };
        assert_eq!(*change, expected);
        assert!(persist);
        reply.send(Ok(answered.clone())).unwrap();
    });
    assert_eq!(daemon.client().change(&change, true).unwrap(), answer);
}

#[test]
fn more_connections_than_a_chunk_holds_arrive_in_order() {
    let all: Vec<Connection> = (0..5000).map(connection).collect();
    let expected = all.clone();
    let asked = ConnectionFilter {
        service: Some("a b/ü".to_owned()),
        client: Some("2001:db8::7".parse().unwrap()),
        ..ConnectionFilter::default()
    };
    let filter_asked = asked.clone();
    let daemon = Daemon::start(move |call| {
        let Call::Connections { filter, limit, reply } = call else { panic!("{call:?}") };
        assert_eq!((filter, limit), (filter_asked.clone(), Some(9000)));
        reply.send(Ok(Listing::new(all.clone().into_iter()))).unwrap();
    });
    let listed: Result<Vec<Connection>, ClientError> =
        daemon.client().connections(&asked, Some(9000)).unwrap().collect();
    assert_eq!(listed.unwrap(), expected);
}

/// A table of any size is listed in little memory, and whoever listens slowly keeps nobody waiting.
#[test]
fn a_listing_without_end_is_made_as_it_is_read() {
    let made = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&made);
    let daemon = Daemon::start(move |call| {
        if let Call::Connections { reply, .. } = call {
            let counter = Arc::clone(&counter);
            let endless = (0..=u16::MAX).cycle().map(move |port| {
                counter.fetch_add(1, Relaxed);
                connection(port)
            });
            reply.send(Ok(Listing::new(endless))).unwrap();
        } else {
            let Call::Count(_, reply) = call else { panic!("{call:?}") };
            reply.send(Ok(Later::new(|| 42))).unwrap();
        }
    });
    let (client, filter) = (daemon.client(), ConnectionFilter::default());
    let mut listing = client.connections(&filter, None).unwrap();
    let first = listing.next().unwrap().unwrap();
    assert_eq!(first, connection(0));
    // Nobody reads on: the daemon makes what sockets and chunks hold, then rests.
    let mut before = 0;
    wait_until(|| std::mem::replace(&mut before, made.load(Relaxed)) == made.load(Relaxed));
    assert!(before < 20_000, "{before} connections were made ready");
    assert_eq!(client.count(&filter).unwrap(), 42);
    // Whoever leaves ends the work; else the daemon would not end, and this test neither.
    drop(listing);
}

/// Looks a tenth of a second apart, for ten seconds at most.
fn wait_until(mut is_so: impl FnMut() -> bool) {
    let looks = iter::repeat_with(|| {
        thread::sleep(Duration::from_millis(100));
        is_so()
    });
    assert!(looks.take(100).any(|is_so| is_so), "it did not come to that");
}

#[test]
fn a_refusal_arrives_with_its_remedy() {
    let refusal = ApiError::new(Code::NotFound, "there is no service `wbe`")
        .remedy("did you mean `web`?")
        .details(["one".to_owned(), "two".to_owned()]);
    let answered = refusal.clone();
    let daemon = Daemon::start(move |call| {
        let Call::Service(name, reply) = call else { panic!("{call:?}") };
        assert_eq!(name, "wbe");
        reply.send(Err(answered.clone())).unwrap();
    });
    let error = daemon.client().service("wbe").unwrap_err();
    assert!(matches!(error, ClientError::Refused(error) if error == refusal));
}

#[test]
fn an_explanation_may_leave_things_out() {
    let explained = Explained {
        verdict: "stack".to_owned(),
        service: None,
        server: None,
        forward: None,
        steps: vec!["no service".to_owned()],
    };
    let answered = explained.clone();
    let daemon = Daemon::start(move |call| {
        let Call::Explain(_, reply) = call else { panic!("{call:?}") };
        reply.send(Ok(answered.clone())).unwrap();
    });
    let (from, to) = (address("10.0.0.1:1"), address("[2001:db8::1]:80"));
    let question = Question { from, to, protocol: Protocol::Udp };
    assert_eq!(daemon.client().explain(&question).unwrap(), explained);
}

#[test]
fn what_is_no_request_is_answered_properly() {
    let daemon = Daemon::start(|call| panic!("{call:?}"));
    let get = |path: &str| {
        daemon
            .raw(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
    };
    assert!(get("/v2/status").starts_with("HTTP/1.1 404"));
    assert!(get("/v2/status").contains("unsupported_version"));
    assert!(get("/nothing").contains("not_found"));
    let wrong = get("/v1/reload");
    assert!(wrong.starts_with("HTTP/1.1 405"), "{wrong}");
    assert!(wrong.contains("allow: POST"), "{wrong}");
    assert!(daemon.raw(b"nonsense\r\n\r\n").starts_with("HTTP/1.1 400"));
}

#[test]
fn a_body_is_bounded_and_checked() {
    let daemon = Daemon::start(|call| panic!("{call:?}"));
    let post = |body: &[u8]| {
        let head = format!(
            "POST /v1/changes HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        daemon.raw(&[head.as_bytes(), body].concat())
    };
    assert!(post(br#"{"change": "explode"}"#).starts_with("HTTP/1.1 400"));
    let large = post(&vec![b' '; (1 << 20) + 1]);
    assert!(large.starts_with("HTTP/1.1 413"), "{large}");
}

#[test]
fn without_a_daemon_the_client_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lvsd.sock");
    let nobody =
        |path: &PathBuf| matches!(Client::new(path).status(), Err(ClientError::NoDaemon(_)));
    assert!(nobody(&path));
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(nobody(&path));
}

/// A daemon that nothing happens in; tells whether a watch of it goes on.
fn idle() -> (Daemon, impl Fn() -> bool) {
    let watched = Arc::new(());
    let token = Arc::clone(&watched);
    let daemon = Daemon::start(move |call| {
        if let Call::Watch(_, reply) = call {
            let token = Arc::clone(&token);
            reply.send(Ok(Watching::new(move |_| _ = &token))).unwrap();
        } else if let Call::Count(_, reply) = call {
            reply.send(Ok(Later::new(|| 7))).unwrap();
        }
    });
    (daemon, move || Arc::strong_count(&watched) > 2)
}

/// Sends bytes, and waits for the status of the first answer.
fn begin(daemon: &Daemon, request: &[u8]) -> (UnixStream, String) {
    let mut stream = UnixStream::connect(daemon.socket()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request).unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    (stream, String::from_utf8_lossy(&status).into_owned())
}

const WATCH: &[u8] = b"GET /v1/connections/watch HTTP/1.1\r\nHost: x\r\n\r\n";
const LAST: &[u8] = b"GET /v1/connections/watch HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/// Whether or not it had said that it would send no more, or sent more that nobody reads.
#[test]
fn the_watch_of_a_client_that_leaves_ends() {
    let (daemon, is_watched) = idle();
    for request in [WATCH, LAST, &[WATCH, b"\n"].concat(), &[WATCH, WATCH].concat()] {
        let (stream, _) = begin(&daemon, request);
        wait_until(&is_watched);
        drop(stream);
        wait_until(|| !is_watched());
    }
}

#[test]
fn many_watches_leave_room_for_other_requests() {
    let (daemon, _) = idle();
    let streams: Vec<_> = (0..64).map(|_| begin(&daemon, WATCH)).collect();
    assert!(streams.iter().all(|(_, status)| status == "HTTP/1.1 200"));
    let (client, filter) = (daemon.client(), ConnectionFilter::default());
    assert_eq!(client.count(&filter).unwrap(), 7);
    let Err(ClientError::Refused(error)) = client.watch(&filter).map(drop) else {
        panic!("one more than may be")
    };
    assert_eq!(error.code, Code::Busy);
    assert!(error.remedy.is_some());
    drop(streams);
    wait_until(|| client.watch(&filter).is_ok());
}
