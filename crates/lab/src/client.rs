//! Clients: what a user of the virtual service does and sees.
use std::{
    io::{self, BufReader, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::{
    http::{Checksum, read_header, send_pattern},
    namespace::Namespace,
    stop::Stop,
};

/// How long a client waits for a connection, and for each piece of an answer.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of a body that are kept.
const KEPT: usize = 64 << 10;

/// A client in a namespace.
#[derive(Clone, Debug)]
pub struct Client {
    namespace: Namespace,
    timeout: Duration,
    source: Option<IpAddr>,
}

/// An answer over HTTP.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Name of the server (`X-Server`); empty when it is not the laboratory's.
    pub server: String,
    /// The client's address as the server saw it (`X-Client`).
    pub client_seen: Option<SocketAddr>,
    /// Length of the body.
    pub bytes: u64,
    /// Its checksum; compare with [`crate::checksum_of`].
    pub checksum: u64,
    /// Its first 64 KiB.
    pub body: Vec<u8>,
    /// From the start of the request (of the connection, for [`Client::http_get`]) to the end of
    /// the answer.
    pub took: Duration,
}

impl Response {
    /// The body (what was kept of it) as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// An answer over UDP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpAnswer {
    /// Name of the server.
    pub server: String,
    /// The client's address as the server saw it.
    pub client_seen: SocketAddr,
    /// What was sent, as it came back.
    pub payload: Vec<u8>,
    /// From question to answer.
    pub took: Duration,
}

impl Client {
    /// A client with [`DEFAULT_TIMEOUT`].
    pub fn new(namespace: &Namespace) -> Self {
        Self { namespace: namespace.clone(), timeout: DEFAULT_TIMEOUT, source: None }
    }

    /// The same one with another patience.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The same one that speaks from this address.
    #[must_use]
    pub fn with_source(self, source: IpAddr) -> Self {
        Self { source: Some(source), ..self }
    }

    /// Where it is.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Gets a page over a connection of its own.
    pub fn http_get(&self, server: SocketAddr, path: &str) -> Result<Response> {
        self.namespace.run(|| self.http_get_here(server, path))
    }

    /// As [`Client::http_get`], on a thread that is in the namespace already.
    pub(crate) fn http_get_here(&self, server: SocketAddr, path: &str) -> Result<Response> {
        let start = Instant::now();
        let mut connection = self.connect_here(server, 0)?;
        let mut response = connection.ask(&format!("GET {path}"), "Connection: close\r\n", 0)?;
        response.took = start.elapsed();
        Ok(response)
    }

    /// Sends `length` bytes and returns the answer; the server tells in it what came.
    pub fn http_post(&self, server: SocketAddr, path: &str, length: u64) -> Result<Response> {
        self.connect(server)?.post(path, length)
    }

    /// Opens a connection that stays open.
    pub fn connect(&self, server: SocketAddr) -> Result<Connection> {
        self.connect_from(server, 0)
    }

    /// As [`Client::connect`], from a chosen source port.
    pub fn connect_from(&self, server: SocketAddr, source_port: u16) -> Result<Connection> {
        self.namespace.run(|| self.connect_here(server, source_port))
    }

    fn connect_here(&self, server: SocketAddr, source_port: u16) -> Result<Connection> {
        let connect = || -> io::Result<TcpStream> {
            let socket = self.socket(server, Type::STREAM, source_port)?;
            socket.connect_timeout(&server.into(), self.timeout)?;
            socket.set_read_timeout(Some(self.timeout))?;
            socket.set_write_timeout(Some(self.timeout))?;
            socket.set_tcp_nodelay(true)?;
            Ok(socket.into())
        };
        let stream = connect().with_context(|| format!("connect to {server}"))?;
        Ok(Connection { stream: BufReader::with_capacity(64 << 10, stream), server })
    }

    fn socket(&self, to: SocketAddr, kind: Type, source_port: u16) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(to), kind, None)?;
        let any: IpAddr = if to.is_ipv6() { [0; 16].into() } else { [0; 4].into() };
        let source = SocketAddr::new(self.source.unwrap_or(any), source_port);
        if self.source.is_some() || source_port != 0 {
            socket.set_reuse_address(true)?;
            socket.bind(&SockAddr::from(source))?;
        }
        Ok(socket)
    }

    /// Asks over UDP; source port 0 means any.
    ///
    /// An ICMP port unreachable is an error of the kind [`io::ErrorKind::ConnectionRefused`].
    pub fn udp_ask(
        &self,
        server: SocketAddr,
        payload: &[u8],
        source_port: u16,
    ) -> Result<UdpAnswer> {
        self.namespace.run(|| self.udp_ask_here(server, payload, source_port))
    }

    /// As [`Client::udp_ask`], on a thread that is in the namespace already.
    pub(crate) fn udp_ask_here(
        &self,
        server: SocketAddr,
        payload: &[u8],
        source_port: u16,
    ) -> Result<UdpAnswer> {
        let start = Instant::now();
        let exchange = || -> io::Result<Vec<u8>> {
            let socket = self.socket(server, Type::DGRAM, source_port)?;
            // Connected: answers from another address are not for it, and ICMP errors reach it.
            socket.connect(&server.into())?;
            let socket = UdpSocket::from(socket);
            socket.set_read_timeout(Some(self.timeout))?;
            socket.send(payload)?;
            let mut buffer = vec![0; 1 << 16];
            let length = socket.recv(&mut buffer)?;
            buffer.truncate(length);
            Ok(buffer)
        };
        let answer = exchange().with_context(|| format!("ask {server} over UDP"))?;
        let end = answer.iter().position(|byte| *byte == b'\n').context("an answer has a line")?;
        let (line, payload) = answer.split_at(end);
        let line = String::from_utf8_lossy(line);
        let (server, seen) = line.split_once(' ').context("an answer names server and client")?;
        Ok(UdpAnswer {
            server: server.to_owned(),
            client_seen: seen.parse().context("the client's address")?,
            payload: payload.get(1..).unwrap_or_default().to_vec(),
            took: start.elapsed(),
        })
    }
}

/// An open HTTP connection: its requests all reach one server.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
    server: SocketAddr,
}

impl Connection {
    /// The client's own address and port.
    pub fn local_address(&self) -> Result<SocketAddr> {
        Ok(self.stream.get_ref().local_addr()?)
    }

    /// The socket, for what is not HTTP.
    pub fn stream(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    /// Gets a page; the connection stays open.
    pub fn get(&mut self, path: &str) -> Result<Response> {
        self.ask(&format!("GET {path}"), "", 0)
    }

    /// Sends `length` bytes; the connection stays open.
    pub fn post(&mut self, path: &str, length: u64) -> Result<Response> {
        self.ask(&format!("POST {path}"), &format!("Content-Length: {length}\r\n"), length)
    }

    fn ask(&mut self, what: &str, headers: &str, length: u64) -> Result<Response> {
        let start = Instant::now();
        let mut exchange = || -> Result<Response> {
            let mut output = self.stream.get_ref();
            // At once: each write is a packet.
            let head = format!("{what} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", self.server);
            output.write_all(head.as_bytes())?;
            send_pattern(&mut output, length, None, &Stop::new()?)?;
            self.read_response()
        };
        let mut response = exchange().with_context(|| format!("{what} from {}", self.server))?;
        response.took = start.elapsed();
        Ok(response)
    }

    fn read_response(&mut self) -> Result<Response> {
        let mut line = String::new();
        io::BufRead::read_line(&mut self.stream, &mut line)?;
        ensure!(!line.is_empty(), "the connection ended before an answer came");
        let status = line.split(' ').nth(1).context("an answer begins with its status")?;
        let mut response = Response {
            status: status.trim().parse().context("status")?,
            server: String::new(),
            client_seen: None,
            bytes: 0,
            checksum: 0,
            body: Vec::new(),
            took: Duration::ZERO,
        };
        let mut length = None;
        while let Some((name, value)) = read_header(&mut self.stream)? {
            match name.as_str() {
                "x-server" => response.server = value,
                "x-client" => response.client_seen = Some(value.parse().context("X-Client")?),
                "content-length" => length = Some(value.parse().context("Content-Length")?),
                _ => {}
            }
        }
        self.read_body(length, &mut response)?;
        Ok(response)
    }

    /// Reads the body: `length` bytes, or all until the connection ends.
    fn read_body(&mut self, length: Option<u64>, response: &mut Response) -> Result<()> {
        let mut checksum = Checksum::default();
        let mut body = (&mut self.stream).take(length.unwrap_or(u64::MAX));
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = body
                .read(&mut buffer)
                .with_context(|| format!("after {} bytes of the body", response.bytes))?;
            let piece = buffer.get(..count).unwrap_or_default();
            if piece.is_empty() {
                break;
            }
            response.bytes += piece.len() as u64;
            checksum.add(piece);
            let room = KEPT - response.body.len();
            response.body.extend_from_slice(piece.get(..room).unwrap_or(piece));
        }
        let wanted = length.unwrap_or(response.bytes);
        ensure!(response.bytes == wanted, "{} of {wanted} bytes came", response.bytes);
        response.checksum = checksum.finish();
        Ok(())
    }
}
