//! The real server's end of a tunnel, for kernels without the ipip and `ip6_tunnel` modules.
use std::{
    fs::File,
    io::{ErrorKind, Read, Write},
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context, Result, bail};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{
    namespace::{Namespace, Task},
    stop::{Stop, Woken},
    sys::{self, Interest},
};

const INTERFACE: &str = "decap0";
const IPV4_IN_IP: i32 = 4;
const IPV6_IN_IP: i32 = 41;

/// Takes IP packets out of IP packets (4in4, 6in4, 4in6, 6in6) and hands them to the namespace's own
/// stack, as arriving from the device decap0.
///
/// It listens on raw sockets, so the kernel reassembles outer fragments, and does not answer with
/// protocol unreachable: somebody took the packet.
#[derive(Debug)]
pub struct Decapsulator {
    counters: Arc<[AtomicU64; 4]>,
    _running: Task,
}

/// Packets taken out of a tunnel, by inner and outer family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// IPv4 in IPv4.
    pub v4_in_v4: u64,
    /// IPv6 in IPv4.
    pub v6_in_v4: u64,
    /// IPv4 in IPv6.
    pub v4_in_v6: u64,
    /// IPv6 in IPv6.
    pub v6_in_v6: u64,
}

impl Decapsulator {
    /// Starts one.
    pub fn start(namespace: &Namespace) -> Result<Self> {
        let (tun, sockets) = namespace.run(|| {
            let tun = sys::open_tun(INTERFACE).context("make a TUN device")?;
            let sockets = [
                listen(Domain::IPV4, IPV4_IN_IP)?,
                listen(Domain::IPV4, IPV6_IN_IP)?,
                listen(Domain::IPV6, IPV4_IN_IP)?,
                listen(Domain::IPV6, IPV6_IN_IP)?,
            ];
            Ok((tun, sockets))
        })?;
        namespace.sysctl(&format!("net.ipv4.conf.{INTERFACE}.rp_filter"), "0")?;
        namespace.ip(&[format!("link set {INTERFACE} up")])?;
        let counters = Arc::<[AtomicU64; 4]>::default();
        let theirs = Arc::clone(&counters);
        let running =
            namespace.spawn("decapsulate", move |stop| forward(&tun, &sockets, &theirs, stop))?;
        Ok(Self { counters, _running: running })
    }

    /// Packets so far.
    pub fn counts(&self) -> Counts {
        let [v4_in_v4, v6_in_v4, v4_in_v6, v6_in_v6] =
            self.counters.each_ref().map(|counter| counter.load(Ordering::Relaxed));
        Counts { v4_in_v4, v6_in_v4, v4_in_v6, v6_in_v6 }
    }
}

fn listen(outer: Domain, protocol: i32) -> Result<Socket> {
    let socket = Socket::new(outer, Type::RAW, Some(Protocol::from(protocol)))
        .with_context(|| format!("open a raw socket for protocol {protocol}"))?;
    sys::set_receive_buffer(socket.as_fd(), 2 << 20)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn forward(
    tun: &File,
    sockets: &[Socket; 4],
    counters: &[AtomicU64; 4],
    stop: &Stop,
) -> Result<()> {
    let waited = sockets.each_ref().map(|socket| (socket.as_fd(), Interest::Read));
    let mut buffer = vec![0; 1 << 16];
    loop {
        match stop.wait(&waited, None)? {
            Woken::Stopped => return Ok(()),
            Woken::TimedOut | Woken::Ready(_) => {}
        }
        for (number, (socket, counter)) in sockets.iter().zip(counters).enumerate() {
            // A raw IPv4 socket delivers the outer header too, a raw IPv6 socket does not.
            let with_header = number < 2;
            drain(tun, socket, with_header, counter, &mut buffer)?;
        }
    }
}

fn drain(
    mut tun: &File,
    mut socket: &Socket,
    with_header: bool,
    counter: &AtomicU64,
    buffer: &mut [u8],
) -> Result<()> {
    loop {
        let length = match socket.read(buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => bail!(anyhow::Error::from(error).context("read a raw socket")),
        };
        let packet = buffer.get(..length).unwrap_or_default();
        let header = match packet.first() {
            Some(first) if with_header => usize::from(first & 15) * 4,
            _ => 0,
        };
        // The kernel refuses what is no IP packet; a stack would drop it as well.
        if tun.write_all(packet.get(header..).unwrap_or_default()).is_ok() {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::{
        Client, Family, Lab, Layout, Method, Ports, RealServer, Shape, checksum_of, packet,
    };

    /// Wraps every packet that arrives on a TUN device into IPv4 towards the real server.
    fn encapsulate(director: &Namespace, from: SocketAddr, to: SocketAddr) -> Result<Task> {
        let (mut tun, socket) = director.run(|| {
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255)))?;
            Ok((sys::open_tun("encap0")?, socket))
        })?;
        director.ip(&["link set encap0 up"])?;
        let mut buffer = vec![0; 1 << 16];
        director.spawn("encapsulate", move |stop| {
            loop {
                if stop.wait(&[(tun.as_fd(), Interest::Read)], None)? == Woken::Stopped {
                    return Ok(());
                }
                let length = tun.read(&mut buffer)?;
                let inner = if buffer[0] >> 4 == 4 {
                    packet::protocol::IPV4
                } else {
                    packet::protocol::IPV6
                };
                let outer = packet::ip(from.ip(), to.ip(), inner, &buffer[..length]);
                socket.send_to(&outer, &to.into())?;
            }
        })
    }

    /// GRO on the way merges what is inside tunnels, and must be undone before the tunnel's end.
    #[test]
    fn an_upload_through_a_tunnel_arrives_whole() {
        let lab = Lab::new("lvstest").expect("these tests need root");
        let layout = Layout::new(Shape::TwoNetworks, &[Method::Tunnel]);
        let site = layout.bring_up(&lab).expect("comes up");
        let server = RealServer::start(&site, 0, Ports::default()).expect("starts");
        let (client, director) =
            (site.client(0).expect("client"), site.director().expect("director"));
        let network = site.topology().network("server").expect("network");
        let from = SocketAddr::new(network.host(Family::V4, 1), 0);
        let to = SocketAddr::new(site.server_address(0, Family::V4).expect("address"), 0);
        let _tunnel = encapsulate(director, from, to).expect("starts");
        for family in Family::ALL {
            let vip = site.vip(family).expect("a virtual address");
            let gateway = site.address("director", family).expect("address");
            let bits = if family == Family::V4 { 32 } else { 128 };
            director
                .ip(&[
                    format!("address del {vip}/{bits} dev eth0"),
                    format!("route add {vip}/{bits} dev encap0"),
                ])
                .expect("routes");
            client.ip(&[format!("route add {vip}/{bits} via {gateway} mtu 1400")]).expect("routes");
            let length = 20_000_000;
            let answer = Client::new(client)
                .http_post(SocketAddr::new(vip, 80), "/", length)
                .expect("uploads");
            assert_eq!(answer.text(), format!("{length} {:016x}\n", checksum_of(length)));
            let answer = Client::new(client)
                .udp_ask(SocketAddr::new(vip, 5353), b"question", 0)
                .expect("the answer comes from the virtual address");
            assert_eq!(answer.server, "server1");
        }
        let counts = server.decapsulator.as_ref().expect("a tunnel's end").counts();
        assert!(counts.v4_in_v4 > 10_000 && counts.v6_in_v4 > 10_000, "{counts:?}");
    }
}
