//! The daemon's end of the API: it turns HTTP requests into [`Call`]s for the engine.
//!
//! ```text
//! socket ─ accept ─┬─ connection task ─┐
//!                  ├─ connection task ─┼─ mpsc<Call> ─→ engine
//!                  └─ connection task ─┘ ←─ oneshot<Result<_, ApiError>> ─┘
//!                       ↑ pieces
//!                  list or watch task ⇄ blocking thread: one piece
//! ```
use std::{convert::Infallible, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use lvs_model::change::Change;
use tokio::{
    net::UnixStream,
    sync::{Semaphore, mpsc, oneshot, watch},
    task::JoinSet,
};

use crate::{
    error::ApiError,
    types::{
        Changed, ConnectionFilter, Diff, Explained, Question, Reloaded, ServiceInfo, Stats, Status,
    },
};

use http::Client;
use peer::Peer;

mod http;
mod later;
mod lines;
mod peer;
mod socket;
mod stream;

pub use later::{Later, Listing, Watching};
pub use socket::{Listener, SocketError};

/// Requests that wait for the engine before clients have to wait with sending.
const QUEUE: usize = 64;
/// A client that sends no complete head within this time is hung up on.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long answers that are under way may take when the daemon leaves.
const GRACE: Duration = Duration::from_secs(1);

/// Where an answer goes.
pub type Reply<T> = oneshot::Sender<Result<T, ApiError>>;

/// A request to the engine, with the place for its answer.
#[derive(Debug)]
pub enum Call {
    /// How the daemon is.
    Status(Reply<Status>),
    /// All services.
    Services(Reply<Vec<ServiceInfo>>),
    /// The service of a name.
    Service(String, Reply<ServiceInfo>),
    /// Change what is desired.
    Change {
        /// The change.
        change: Box<Change>,
        /// Write it to the configuration file too.
        persist: bool,
        /// The answer.
        reply: Reply<Changed>,
    },
    /// List connections.
    Connections {
        /// Which.
        filter: ConnectionFilter,
        /// At most so many; `None`: all.
        limit: Option<u64>,
        /// The answer.
        reply: Reply<Listing>,
    },
    /// Count connections.
    Count(ConnectionFilter, Reply<Later<u64>>),
    /// Forget connections; answers how many.
    Flush(ConnectionFilter, Reply<Later<u64>>),
    /// Watch connections.
    Watch(ConnectionFilter, Reply<Watching>),
    /// Counters.
    Stats(Reply<Stats>),
    /// Read the configuration file again.
    Reload(Reply<Reloaded>),
    /// How what runs differs from the configuration file.
    Diff(Reply<Diff>),
    /// What runs, as a configuration file.
    Config(Reply<String>),
    /// Which server a packet would go to, and why.
    Explain(Question, Reply<Explained>),
}

/// The channel between [`serve`] and the engine.
pub fn channel() -> (mpsc::Sender<Call>, mpsc::Receiver<Call>) {
    mpsc::channel(QUEUE)
}

/// Serves until `stop` turns true (or its sender is gone), then lets answers under way finish.
pub async fn serve(listener: Listener, calls: mpsc::Sender<Call>, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    let streams = Arc::new(Semaphore::new(http::STREAMS));
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            accepted = listener.accept() => match accepted {
                Ok(stream) => {
                    let (calls, streams) = (calls.clone(), Arc::clone(&streams));
                    connections.spawn(connection(stream, calls, streams, stop.clone()));
                }
                // Out of file descriptors: they come back when connections end.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    // Whoever is not done by then is hung up on: dropping the set aborts its tasks.
    let all = async { while connections.join_next().await.is_some() {} };
    drop(tokio::time::timeout(GRACE, all).await);
}

async fn connection(
    stream: UnixStream,
    calls: mpsc::Sender<Call>,
    streams: Arc<Semaphore>,
    mut stop: watch::Receiver<bool>,
) {
    // Out of file descriptors.
    let Ok(peer) = Peer::of(&stream) else { return };
    let peer = Arc::new(peer);
    let client = Client { calls, peer: Arc::clone(&peer), streams };
    let service = service_fn(move |request| {
        let client = client.clone();
        async move { Ok::<_, Infallible>(http::answer(request, client).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // A client that hangs up or speaks no HTTP ends its own connection only.
    tokio::select! {
        biased;
        () = peer.is_over() => {}
        done = connection.as_mut() => drop(done),
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            drop(connection.await);
        }
    }
}

/// Waits for the end. That the sender is gone says the same.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}
