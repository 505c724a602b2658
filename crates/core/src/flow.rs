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
    /// Source port, as it stands in the packet.
    pub source_port: u16,
    /// Destination port, likewise.
    pub destination_port: u16,
    /// The protocol.
    pub protocol: Protocol,
    /// Control bits of TCP; 0 for others.
    pub flags: Flags,
}

impl<F: Family> Flow<F> {
    /// All zero, to be filled in.
    #[inline(always)]
    pub fn blank() -> Self {
        Self {
            ip: Ip::blank(),
            protocol: Protocol::Tcp,
            source_port: 0,
            destination_port: 0,
            flags: Flags(0),
        }
    }

    /// Reads the headers from `l3` on.
    ///
    /// # Errors
    /// Why the packet cannot be balanced. If it is ICMP, `self.ip` is read all the same.
    #[inline(always)]
    pub fn read(&mut self, packet: &impl Packet, l3: usize) -> Result<(), Event> {
        F::read(packet, l3, true, &mut self.ip)?;
        self.protocol = Protocol::from_number(self.ip.protocol).ok_or(Event::NotOurs)?;
        let len = match self.protocol {
            Protocol::Tcp => size_of::<Tcp>(),
            Protocol::Udp => size_of::<Udp>(),
        };
        // The IP packet may end before the frame does.
        if self.ip.l4() - self.ip.l3() + len > self.ip.len.into() {
            return Err(Event::Truncated);
        }
        match self.protocol {
            Protocol::Tcp => {
                let tcp: &Tcp = packet.view(self.ip.l4()).map_err(|Truncated| Event::Truncated)?;
                if usize::from(tcp.data_offset >> 4) * 4 < size_of::<Tcp>() {
                    return Err(Event::Malformed);
                }
                (self.source_port, self.destination_port) =
                    (tcp.source.get(), tcp.destination.get());
                self.flags = tcp.flags;
            }
            Protocol::Udp => {
                let udp: &Udp = packet.view(self.ip.l4()).map_err(|Truncated| Event::Truncated)?;
                (self.source_port, self.destination_port) =
                    (udp.source.get(), udp.destination.get());
            }
        }
        Ok(())
    }

    /// Where it goes.
    #[inline(always)]
    pub fn destination(&self) -> Endpoint {
        self.endpoint(self.ip.destination, self.destination_port)
    }

    /// Where it comes from.
    #[inline(always)]
    pub fn source(&self) -> Endpoint {
        self.endpoint(self.ip.source, self.source_port)
    }

    #[inline(always)]
    fn endpoint(&self, address: F::Address, port: u16) -> Endpoint {
        Endpoint {
            address: F::words(address),
            port,
            protocol: self.ip.protocol,
            version: F::VERSION,
        }
    }
}
