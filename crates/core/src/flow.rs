//! The transport header: ports and control bits.
use crate::{
    director::Verdict,
    family::{Family, Ip},
    index::{Endpoint, Transport},
    packet::Packet,
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
    /// Reads the header after those of `ip`.
    ///
    /// # Errors
    /// What becomes of a packet that cannot be balanced.
    #[inline(always)]
    pub fn read(packet: &impl Packet, ip: Ip<F>) -> Result<Self, Verdict> {
        let protocol = Protocol::from_number(ip.protocol).ok_or(Verdict::pass(Event::NotOurs))?;
        let len = match protocol {
            Protocol::Tcp => size_of::<Tcp>(),
            Protocol::Udp => size_of::<Udp>(),
        };
        // The IP packet may end before the frame does.
        if ip.l4() - ip.l3() + len > ip.len.into() {
            return Err(Verdict::pass(Event::Truncated));
        }
        let (source_port, destination_port, flags) = match protocol {
            Protocol::Tcp => {
                let tcp: &Tcp = packet.view(ip.l4())?;
                if usize::from(tcp.data_offset >> 4) * 4 < size_of::<Tcp>() {
                    return Err(Verdict::pass(Event::Malformed));
                }
                (tcp.source.get(), tcp.destination.get(), tcp.flags)
            }
            Protocol::Udp => {
                let udp: &Udp = packet.view(ip.l4())?;
                (udp.source.get(), udp.destination.get(), Flags(0))
            }
        };
        Ok(Self { ip, source_port, destination_port, protocol, flags })
    }

    /// As [`Self::read`], of a packet as nearly all are: see [`Family::plain`].
    #[inline(always)]
    pub fn plain(packet: &impl Packet) -> Option<Self> {
        Self::read(packet, F::plain(packet)?).ok()
    }

    /// Whether it asks for a new TCP connection.
    #[inline(always)]
    pub fn opens(&self) -> bool {
        self.protocol == Protocol::Tcp && self.flags.opens()
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
            transport: Transport::new(port, self.ip.protocol, F::VERSION),
        }
    }
}
