//! The transport header: ports and control bits.
use crate::{
    family::{Family, Ip},
    index::Endpoint,
    packet::{Packet, Truncated},
    tables::Event,
    wire::{
        Protocol,
        tcp::{Flags, Tcp},
        udp::Udp,
    },
};

/// A packet of a transport protocol that can be balanced.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Flow<F: Family> {
    /// The IP headers.
    pub ip: Ip<F>,
    /// The protocol.
    pub protocol: Protocol,
    /// Source port, as it stands in the packet.
    pub source_port: u16,
    /// Destination port, likewise.
    pub destination_port: u16,
    /// Control bits of TCP; 0 for others.
    pub flags: Flags,
}

impl<F: Family> Flow<F> {
    /// Reads the transport header after `ip`.
    ///
    /// # Errors
    /// Why the packet cannot be balanced.
    #[inline(always)]
    pub fn parse(packet: &impl Packet, ip: Ip<F>) -> Result<Self, Event> {
        let protocol = Protocol::from_number(ip.protocol).ok_or(Event::NotOurs)?;
        let len = match protocol {
            Protocol::Tcp => size_of::<Tcp>(),
            Protocol::Udp => size_of::<Udp>(),
        };
        // The IP packet may end before the frame does.
        if ip.l4() - ip.l3() + len > ip.len.into() {
            return Err(Event::Truncated);
        }
        let (source_port, destination_port, flags) = match protocol {
            Protocol::Tcp => {
                let tcp: &Tcp = packet.view(ip.l4()).map_err(|Truncated| Event::Truncated)?;
                if usize::from(tcp.data_offset >> 4) * 4 < size_of::<Tcp>() {
                    return Err(Event::Malformed);
                }
                (tcp.source.get(), tcp.destination.get(), tcp.flags)
            }
            Protocol::Udp => {
                let udp: &Udp = packet.view(ip.l4()).map_err(|Truncated| Event::Truncated)?;
                (udp.source.get(), udp.destination.get(), Flags(0))
            }
        };
        Ok(Self { ip, protocol, source_port, destination_port, flags })
    }

    /// Where it goes.
    #[inline(always)]
    pub fn destination(&self) -> Endpoint {
        Endpoint {
            address: F::words(self.ip.destination),
            port: self.destination_port,
            protocol: self.ip.protocol,
            version: F::VERSION,
        }
    }
}
