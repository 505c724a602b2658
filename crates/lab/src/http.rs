//! An HTTP/1.1 server that tells who answers and whom it sees.
use std::{
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use socket2::{Domain, SockRef, Socket, Type};

use crate::{
    namespace::{Namespace, Task},
    stop::{Stop, Woken},
    sys::Interest,
};

/// Bytes written at once; a multiple of 8.
const PIECE: usize = 64 << 10;
/// Longest request line and header line.
const LONGEST_LINE: u64 = 8 << 10;

/// An HTTP server in a namespace.
///
/// Every answer has the headers `X-Server` (its name) and `X-Client` (address and port of the peer
/// as it sees it). Paths: `/healthz` (200, or 503 after [`HttpServer::set_healthy`]`(false)`),
/// `/bytes/N` (a body of N bytes with [`checksum_of`]`(N)`), `/bytes/N/RATE` (the same at RATE bytes
/// per second), any other: `NAME CLIENT`. A POST is answered with length and checksum of what came.
#[derive(Debug)]
pub struct HttpServer {
    namespace: Namespace,
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
    running: Option<Task>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    healthy: AtomicBool,
    requests: AtomicU64,
    connections: AtomicU64,
}

impl HttpServer {
    /// Starts one that listens on every address of the namespace, IPv4 and IPv6.
    pub fn start(namespace: &Namespace, name: &str, port: u16) -> Result<Self> {
        Self::start_on(namespace, name, &wildcards(port))
    }

    /// Starts one that listens on these addresses.
    pub fn start_on(namespace: &Namespace, name: &str, addresses: &[SocketAddr]) -> Result<Self> {
        let shared = Shared {
            name: name.to_owned(),
            healthy: AtomicBool::new(true),
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
        };
        let mut server = Self {
            namespace: namespace.clone(),
            addresses: addresses.to_vec(),
            shared: Arc::new(shared),
            running: None,
        };
        server.restart()?;
        Ok(server)
    }

    /// Starts it again after [`HttpServer::kill`]; does nothing while it runs.
    pub fn restart(&mut self) -> Result<()> {
        if self.running.is_some() {
            return Ok(());
        }
        let listeners: Vec<_> =
            self.namespace.run(|| self.addresses.iter().map(listen).collect())?;
        let shared = Arc::clone(&self.shared);
        self.running =
            Some(self.namespace.spawn("http", move |stop| accept(&listeners, stop, &shared))?);
        Ok(())
    }

    /// Ends it as SIGKILL would end a program: its connections are reset, and new ones refused.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Chooses the answer at `/healthz`.
    pub fn set_healthy(&self, healthy: bool) {
        self.shared.healthy.store(healthy, Ordering::Relaxed);
    }

    /// Requests answered so far, health checks included.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Connections that are open now.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

/// Every address of either family.
pub(crate) fn wildcards(port: u16) -> [SocketAddr; 2] {
    [(Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into()]
}

fn listen(address: &SocketAddr) -> Result<TcpListener> {
    let make = || -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(*address), Type::STREAM, None)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.bind(&(*address).into())?;
        socket.listen(1024)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    };
    make().with_context(|| format!("listen on {address}"))
}

fn accept(listeners: &[TcpListener], stop: &Stop, shared: &Shared) -> Result<()> {
    let waited: Vec<_> = listeners.iter().map(|l| (l.as_fd(), Interest::Read)).collect();
    thread::scope(|scope| {
        loop {
            let listener = match stop.wait(&waited, None)? {
                Woken::Stopped => return Ok(()),
                Woken::TimedOut => continue,
                Woken::Ready(number) => listeners.get(number).context("a listener woke")?,
            };
            // The client may have gone meanwhile: then there is none to take.
            if let Ok((stream, client)) = listener.accept() {
                scope.spawn(move || {
                    shared.connections.fetch_add(1, Ordering::Relaxed);
                    // A connection that fails is its client's concern: the client reports it.
                    drop(serve(&stream, client, stop, shared));
                    shared.connections.fetch_sub(1, Ordering::Relaxed);
                    if stop.is_raised() {
                        drop(SockRef::from(&stream).set_linger(Some(Duration::ZERO)));
                    }
                });
            }
        }
    })
}

/// A connection whose reads and writes end when the server is stopped.
#[derive(Clone, Copy)]
struct Patient<'a> {
    stream: &'a TcpStream,
    stop: &'a Stop,
}

impl Patient<'_> {
    fn retry<T>(
        &self,
        interest: Interest,
        mut act: impl FnMut() -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            match act() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let woken = self.stop.wait(&[(self.stream.as_fd(), interest)], None);
                    if woken.map_err(io::Error::other)? == Woken::Stopped {
                        return Err(ErrorKind::ConnectionAborted.into());
                    }
                }
                done => return done,
            }
        }
    }
}

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut stream = self.stream;
        self.retry(Interest::Read, || stream.read(buffer))
    }
}

impl Write for Patient<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut stream = self.stream;
        self.retry(Interest::Write, || stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn serve(stream: &TcpStream, client: SocketAddr, stop: &Stop, shared: &Shared) -> Result<()> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    let mut output = Patient { stream, stop };
    let mut input = BufReader::with_capacity(PIECE, output);
    while let Some(request) = read_request(&mut input)? {
        let mut checksum = Checksum::default();
        let came = io::copy(&mut (&mut input).take(request.length), &mut checksum)?;
        let answer = if request.method == "POST" {
            Answer::text(200, format!("{came} {:016x}\n", checksum.finish()))
        } else {
            answer(&request.path, client, shared)
        };
        // Written at once: each write is a packet.
        let head = format!(
            "HTTP/1.1 {} -\r\nX-Server: {}\r\nX-Client: {client}\r\nContent-Length: {}\r\n\r\n{}",
            answer.status,
            shared.name,
            answer.text.len() as u64 + answer.bytes,
            answer.text
        );
        output.write_all(head.as_bytes())?;
        send_pattern(&mut output, answer.bytes, answer.rate, stop)?;
        shared.requests.fetch_add(1, Ordering::Relaxed);
        if request.close {
            break;
        }
    }
    Ok(())
}

struct Request {
    method: String,
    path: String,
    length: u64,
    close: bool,
}

/// Reads the head of a request; `None` at the end of the connection.
fn read_request(input: &mut impl BufRead) -> Result<Option<Request>> {
    let first = read_line(input)?;
    let mut words = first.split_whitespace().map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(None) };
    let mut request = Request { method, path, length: 0, close: false };
    while let Some((name, value)) = read_header(input)? {
        match name.as_str() {
            "content-length" => request.length = value.parse().context("Content-Length")?,
            "connection" => request.close = value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
    Ok(Some(request))
}

fn read_line(input: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    input.take(LONGEST_LINE).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

/// Reads a header, its name in lower case; `None` at the empty line that ends them.
pub(crate) fn read_header(input: &mut impl BufRead) -> Result<Option<(String, String)>> {
    let line = read_line(input)?;
    Ok(line.split_once(':').map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())))
}

#[derive(Default)]
struct Answer {
    status: u16,
    text: String,
    /// Length of the pattern after the text.
    bytes: u64,
    /// Bytes per second of it.
    rate: Option<u64>,
}

impl Answer {
    fn text(status: u16, text: String) -> Self {
        Self { status, text, ..Self::default() }
    }
}

fn answer(path: &str, client: SocketAddr, shared: &Shared) -> Answer {
    let mut parts = path.trim_matches('/').split('/');
    match (parts.next(), parts.next().map(str::parse)) {
        (Some("healthz"), _) if shared.healthy.load(Ordering::Relaxed) => {
            Answer::text(200, "healthy\n".to_owned())
        }
        (Some("healthz"), _) => Answer::text(503, "unhealthy\n".to_owned()),
        (Some("bytes"), Some(Ok(bytes))) => {
            let rate = parts.next().and_then(|rate| rate.parse().ok());
            Answer { status: 200, bytes, rate, ..Answer::default() }
        }
        (Some("bytes"), _) => Answer::text(404, "/bytes/NUMBER\n".to_owned()),
        _ => Answer::text(200, format!("{} {client}\n", shared.name)),
    }
}

/// Sends the first bytes of the pattern.
pub(crate) fn send_pattern(
    output: &mut impl Write,
    length: u64,
    rate: Option<u64>,
    stop: &Stop,
) -> Result<()> {
    let start = Instant::now();
    let piece = rate.map_or(PIECE, |rate| usize::try_from(rate / 100 / 8 * 8).unwrap_or(PIECE));
    let mut buffer = vec![0; piece.clamp(8, PIECE)];
    let mut sent = 0;
    while sent < length {
        let due = rate
            .map(|rate| Duration::from_secs(sent) / u32::try_from(rate.max(1)).unwrap_or(u32::MAX));
        if let Some(early) = due.and_then(|due| due.checked_sub(start.elapsed()))
            && stop.sleep(early)
        {
            return Ok(());
        }
        fill_pattern(&mut buffer, sent);
        let left = usize::try_from(length - sent).unwrap_or(PIECE);
        let piece = buffer.get(..left.min(buffer.len())).context("never beyond the buffer")?;
        output.write_all(piece)?;
        sent += piece.len() as u64;
    }
    Ok(())
}

/// Every word of the pattern differs, so that a lost, doubled or displaced piece is noticed.
fn fill_pattern(buffer: &mut [u8], offset: u64) {
    for (word, number) in buffer.chunks_mut(8).zip(offset / 8..) {
        let value = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
        word.iter_mut().zip(value).for_each(|(to, from)| *to = from);
    }
}

/// The checksum of the `length` bytes that `/bytes/LENGTH` has.
pub fn checksum_of(length: u64) -> u64 {
    let mut checksum = Checksum::default();
    let mut buffer = vec![0; PIECE];
    for offset in (0..length).step_by(PIECE) {
        fill_pattern(&mut buffer, offset);
        let left = usize::try_from(length - offset).unwrap_or(PIECE);
        checksum.add(buffer.get(..left).unwrap_or(&buffer));
    }
    checksum.finish()
}

/// A checksum over all bytes and their places; quick also without optimisation.
#[derive(Debug, Default)]
pub(crate) struct Checksum {
    state: u64,
    /// Bytes that do not fill a word yet.
    rest: Vec<u8>,
}

impl Checksum {
    /// Adds bytes.
    pub(crate) fn add(&mut self, mut bytes: &[u8]) {
        if !self.rest.is_empty() {
            let missing = (8 - self.rest.len()).min(bytes.len());
            let (head, tail) = bytes.split_at(missing);
            self.rest.extend_from_slice(head);
            bytes = tail;
            if let Ok(word) = <[u8; 8]>::try_from(self.rest.as_slice()) {
                self.word(u64::from_le_bytes(word));
                self.rest.clear();
            }
        }
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        self.rest.extend_from_slice(rest);
    }

    fn word(&mut self, word: u64) {
        self.state = (self.state ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    }

    /// The checksum of all bytes added.
    pub(crate) fn finish(mut self) -> u64 {
        let rest = std::mem::take(&mut self.rest);
        for byte in rest {
            self.word(u64::from(byte) + 256);
        }
        self.state
    }
}

impl Write for Checksum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.add(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_does_not_depend_on_how_the_bytes_are_cut() {
        let mut whole = vec![0; 1003];
        fill_pattern(&mut whole, 0);
        for step in [1, 7, 8, 9, 500] {
            let mut checksum = Checksum::default();
            whole.chunks(step).for_each(|piece| checksum.add(piece));
            assert_eq!(checksum.finish(), checksum_of(1003), "in pieces of {step}");
        }
    }

    #[test]
    fn checksum_notices_swapped_words_and_a_lost_end() {
        let sum = |bytes: &[u8]| {
            let mut checksum = Checksum::default();
            checksum.add(bytes);
            checksum.finish()
        };
        assert_ne!(sum(b"aaaaaaaabbbbbbbb"), sum(b"bbbbbbbbaaaaaaaa"));
        assert_ne!(sum(b"aaaaaaaa\0"), sum(b"aaaaaaaa"));
    }
}
