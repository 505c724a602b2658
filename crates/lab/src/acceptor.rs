//! A TCP server that only accepts: all that a TCP check asks for, however many ask at once.
use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::fd::AsFd,
};

use anyhow::{Context, Result};
use socket2::{Domain, Socket, Type};

use crate::{
    namespace::{Namespace, Task},
    stop::{Stop, Woken},
    sys::Interest,
};

/// Connections that may wait to be accepted: none is refused because a machine is busy.
const WAITING: i32 = 65_535;

/// A server in a namespace, on all its IPv4 addresses; dropping it ends it.
#[derive(Debug)]
pub struct Acceptor(#[expect(dead_code, reason = "held to be dropped")] Task);

impl Acceptor {
    /// Starts one.
    pub fn start(namespace: &Namespace, port: u16) -> Result<Self> {
        namespace.sysctl("net.core.somaxconn", &WAITING.to_string())?;
        namespace.sysctl("net.ipv4.tcp_max_syn_backlog", &WAITING.to_string())?;
        let listener = namespace.run(|| listen(port))?;
        Ok(Self(namespace.spawn("acceptor", move |stop| accept(&listener, stop))?))
    }
}

fn listen(port: u16) -> Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
    socket.listen(WAITING).with_context(|| format!("listen on port {port}"))?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn accept(listener: &TcpListener, stop: &Stop) -> Result<()> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => drop(stream),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if stop.wait(&[(listener.as_fd(), Interest::Read)], None)? == Woken::Stopped {
                    return Ok(());
                }
            }
            // The client has gone before it was accepted.
            Err(_) => {}
        }
    }
}
