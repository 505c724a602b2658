//! Packets, built and taken apart by hand.
use std::net::{IpAddr, SocketAddr};

use lvs_core::{
    director::{self, Action, Verdict},
    packet::Buffer,
    tables::{Event, Tables},
    wire::Protocol,
};

/// Control bits of TCP.
pub(crate) const SYN: u8 = 2;
pub(crate) const ACK: u8 = 16;
pub(crate) const FIN: u8 = 1;

/// A frame with a segment or datagram without payload; checksums are not looked at.
pub(crate) fn frame(protocol: Protocol, from: SocketAddr, to: SocketAddr, flags: u8) -> Vec<u8> {
    let mut transport = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
    match protocol {
        Protocol::Tcp => {
            transport.extend([0; 8]);
            transport.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        }
        Protocol::Udp => transport.extend([0, 8, 0, 0]),
    }
    let len = u16::try_from(transport.len()).unwrap();
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            frame.extend([8, 0, 0x45, 0]);
            frame.extend((len + 20).to_be_bytes());
            frame.extend([0, 0, 0, 0, 64, protocol as u8, 0, 0]);
            frame.extend(from.octets());
            frame.extend(to.octets());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend(len.to_be_bytes());
            frame.extend([protocol as u8, 64]);
            frame.extend(from.octets());
            frame.extend(to.octets());
        }
        mixed => panic!("{mixed:?}"),
    }
    frame.extend(transport);
    frame
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
