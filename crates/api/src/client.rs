//! A blocking client: one connection for each request, no runtime to start.
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use lvs_model::change::Change;
use serde::de::DeserializeOwned;

use crate::{
    error::ApiError,
    routes::Route,
    types::{
        Changed, Connection, ConnectionFilter, Count, Diff, Explained, Question, Reloaded,
        ServiceInfo, Services, Stats, Status, Toml, Watched,
    },
};

mod http;

/// Why there is no answer, or not the one that was hoped for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("no lvsd answers at {0}")]
    NoDaemon(PathBuf),
    /// The socket is not for this user.
    #[error("no permission to use {0}")]
    NotPermitted(PathBuf),
    /// The daemon refused.
    #[error(transparent)]
    Refused(#[from] ApiError),
    /// The connection broke.
    #[error("the connection to lvsd broke")]
    Io(#[from] io::Error),
    /// The answer is not HTTP.
    #[error("lvsd's answer is not HTTP/1.1")]
    Http(#[from] httparse::Error),
    /// The answer is HTTP, but not what was asked for.
    #[error("lvsd's answer (status {status}) is not what was asked for; do the versions differ?")]
    Answer {
        /// The HTTP status.
        status: u16,
        /// What does not fit.
        source: serde_json::Error,
    },
}

type Result<T, E = ClientError> = std::result::Result<T, E>;

/// Speaks with the daemon at one socket.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

#[expect(clippy::missing_errors_doc, reason = "they are the variants of ClientError")]
impl Client {
    /// A client of the daemon at `socket`; connects with each request.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// Where the daemon is expected.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// How the daemon is.
    pub fn status(&self) -> Result<Status> {
        self.get(&Route::Status)
    }

    /// All services.
    pub fn services(&self) -> Result<Vec<ServiceInfo>> {
        Ok(self.get::<Services>(&Route::Services)?.services)
    }

    /// The service of a name.
    pub fn service(&self, name: &str) -> Result<ServiceInfo> {
        self.get(&Route::Service(name.to_owned()))
    }

    /// Changes what is desired, and with `persist` the configuration file too.
    pub fn change(&self, change: &Change, persist: bool) -> Result<Changed> {
        let body = serde_json::to_vec(change)
            .map_err(|source| ClientError::Answer { status: 0, source })?;
        self.json(&Route::Change { persist }, &body)
    }

    /// Lists connections while they arrive.
    pub fn connections(
        &self,
        filter: &ConnectionFilter,
        limit: Option<u64>,
    ) -> Result<impl Iterator<Item = Result<Connection>> + use<>> {
        self.lines(&Route::Connections { filter: filter.clone(), limit })
    }

    /// Watches connections: what happens to them, while it happens.
    pub fn watch(
        &self,
        filter: &ConnectionFilter,
    ) -> Result<impl Iterator<Item = Result<Watched>> + use<>> {
        self.lines(&Route::Watch(filter.clone()))
    }

    /// Counts connections.
    pub fn count(&self, filter: &ConnectionFilter) -> Result<u64> {
        Ok(self.get::<Count>(&Route::Count(filter.clone()))?.count)
    }

    /// Forgets connections; returns how many.
    pub fn flush(&self, filter: &ConnectionFilter) -> Result<u64> {
        Ok(self.get::<Count>(&Route::Flush(filter.clone()))?.count)
    }

    /// Counters.
    pub fn stats(&self) -> Result<Stats> {
        self.get(&Route::Stats)
    }

    /// Has the configuration file read again.
    pub fn reload(&self) -> Result<Reloaded> {
        self.get(&Route::Reload)
    }

    /// How what runs differs from the configuration file.
    pub fn diff(&self) -> Result<Diff> {
        self.get(&Route::Diff)
    }

    /// What runs, as a configuration file.
    pub fn config(&self) -> Result<String> {
        Ok(self.get::<Toml>(&Route::Config)?.toml)
    }

    /// Which server a packet would go to, and why.
    pub fn explain(&self, question: &Question) -> Result<Explained> {
        self.get(&Route::Explain(*question))
    }

    fn get<T: DeserializeOwned>(&self, route: &Route) -> Result<T> {
        self.json(route, b"")
    }

    /// An answer of one JSON object a line, while it arrives.
    fn lines<T: DeserializeOwned>(
        &self,
        route: &Route,
    ) -> Result<impl Iterator<Item = Result<T>> + use<T>> {
        let lines = BufReader::new(self.exchange(route, b"")?).lines();
        Ok(lines.map(|line| {
            serde_json::from_str(&line?)
                .map_err(|source| ClientError::Answer { status: 200, source })
        }))
    }

    fn json<T: DeserializeOwned>(&self, route: &Route, body: &[u8]) -> Result<T> {
        let mut answer = Vec::new();
        self.exchange(route, body)?.read_to_end(&mut answer)?;
        serde_json::from_slice(&answer)
            .map_err(|source| ClientError::Answer { status: 200, source })
    }

    /// Sends a request; returns the body of a good answer.
    fn exchange(&self, route: &Route, body: &[u8]) -> Result<http::Body<UnixStream>> {
        let mut stream = UnixStream::connect(&self.socket).map_err(|error| self.no_way(error))?;
        let (method, target, length) = (route.method(), route.target(), body.len());
        let mut request = format!(
            "{method} {target} HTTP/1.1\r\nHost: lvs\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        )
        .into_bytes();
        request.extend_from_slice(body);
        // A daemon that refuses a large body answers and closes before it has read all of it.
        match stream.write_all(&request) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        let (status, mut body) = http::read_head(stream)?;
        if status == 200 {
            return Ok(body);
        }
        let mut refusal = Vec::new();
        body.read_to_end(&mut refusal)?;
        Err(match serde_json::from_slice::<ApiError>(&refusal) {
            Ok(refusal) => ClientError::Refused(refusal),
            Err(source) => ClientError::Answer { status, source },
        })
    }

    /// Why nobody can be reached at the socket.
    fn no_way(&self, error: io::Error) -> ClientError {
        let kind = error.kind();
        if matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
            ClientError::NoDaemon(self.socket.clone())
        } else if kind == io::ErrorKind::PermissionDenied {
            ClientError::NotPermitted(self.socket.clone())
        } else {
            ClientError::Io(error)
        }
    }
}
