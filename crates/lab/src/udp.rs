//! A UDP server that tells who answers and whom it sees.
use std::{
    io::ErrorKind,
    net::{SocketAddr, UdpSocket},
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context, Result, bail};
use socket2::{Domain, Socket, Type};

use crate::{
    http::wildcards,
    namespace::{Namespace, Task},
    stop::{Stop, Woken},
    sys::{self, Interest},
};

/// A UDP server in a namespace: it answers each datagram with `NAME CLIENT`, a newline, and what it
/// got, from the address that the datagram was sent to.
#[derive(Debug)]
pub struct UdpServer {
    namespace: Namespace,
    name: String,
    port: u16,
    answered: Arc<AtomicU64>,
    running: Option<Task>,
}

impl UdpServer {
    /// Starts one on every address of the namespace, IPv4 and IPv6.
    pub fn start(namespace: &Namespace, name: &str, port: u16) -> Result<Self> {
        let mut server = Self {
            namespace: namespace.clone(),
            name: name.to_owned(),
            port,
            answered: Arc::default(),
            running: None,
        };
        server.restart()?;
        Ok(server)
    }

    /// Starts it again after [`UdpServer::kill`]; does nothing while it runs.
    pub fn restart(&mut self) -> Result<()> {
        if self.running.is_some() {
            return Ok(());
        }
        let addresses = wildcards(self.port);
        let sockets: Vec<UdpSocket> =
            self.namespace.run(|| addresses.iter().map(open).collect())?;
        let (name, answered) = (self.name.clone(), Arc::clone(&self.answered));
        let serve = move |stop: &Stop| serve(&sockets, &name, &answered, stop);
        self.running = Some(self.namespace.spawn("udp", serve)?);
        Ok(())
    }

    /// Ends it: datagrams are answered with a port unreachable.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Datagrams answered so far.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

fn open(address: &SocketAddr) -> Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(*address), Type::DGRAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    sys::tell_destination(socket.as_fd(), address.is_ipv6())?;
    socket.bind(&(*address).into()).with_context(|| format!("bind UDP {address}"))?;
    Ok(socket.into())
}

fn serve(sockets: &[UdpSocket], name: &str, answered: &AtomicU64, stop: &Stop) -> Result<()> {
    let waited: Vec<_> = sockets.iter().map(|s| (s.as_fd(), Interest::Read)).collect();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let socket = match stop.wait(&waited, None)? {
            Woken::Stopped => return Ok(()),
            Woken::TimedOut => continue,
            Woken::Ready(number) => sockets.get(number).context("a socket woke")?.as_fd(),
        };
        match sys::receive_datagram(socket, &mut buffer) {
            Ok((length, client, own)) => {
                let mut answer = format!("{name} {client}\n").into_bytes();
                answer.extend_from_slice(buffer.get(..length).unwrap_or_default());
                // An answer that cannot be sent is one that the client misses and reports.
                if sys::send_datagram(socket, &answer, client, own).is_ok() {
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => bail!(error),
        }
    }
}
