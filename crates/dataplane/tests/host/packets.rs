//! Packets to the director, and what became of them.
use std::net::{IpAddr, SocketAddr};

use lvs_core::{
    director::{self, Action, Verdict},
    packet::Buffer,
    tables::{Event, Tables},
    wire::Protocol,
};
use lvs_lab::packet;

/// Control bits of TCP.
pub(crate) const SYN: u8 = 2;
pub(crate) const ACK: u8 = 16;
pub(crate) const FIN: u8 = 1;

/// A frame with a segment or datagram without payload.
pub(crate) fn frame(protocol: Protocol, from: SocketAddr, to: SocketAddr, flags: u8) -> Vec<u8> {
    let packet = match protocol {
        Protocol::Tcp => packet::tcp(from, to, flags, &[]),
        Protocol::Udp => packet::udp(from, to, &[]),
    };
    packet::ethernet_ip([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], &packet)
}

/// What became of a packet.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    pub(crate) bytes: Vec<u8>,
}

impl Outcome {
    /// What was counted.
    pub(crate) fn event(&self) -> Event {
        Event::ALL[usize::from(self.verdict.event())]
    }

    /// Whether it went out.
    pub(crate) fn is_forwarded(&self) -> bool {
        matches!(self.verdict.action(), Action::Transmit | Action::Redirect(_))
    }
}

/// Destination in the outermost IP header of a frame.
pub(crate) fn destination(frame: &[u8]) -> IpAddr {
    match frame[12..14] {
        [8, 0] => IpAddr::from(<[u8; 4]>::try_from(&frame[30..34]).unwrap()),
        _ => IpAddr::from(<[u8; 16]>::try_from(&frame[38..54]).unwrap()),
    }
}

/// Sends a frame through the director.
pub(crate) fn send(tables: &impl Tables, frame: &[u8]) -> Outcome {
    let mut buffer = Buffer::new(frame, 1);
    let verdict = director::process(&mut buffer, tables);
    tables.count_event(verdict.event());
    Outcome { verdict, bytes: buffer.bytes().to_vec() }
}
