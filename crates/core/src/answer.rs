//! What the director itself answers: TCP resets and ICMP errors, in place of the packet.
use crate::{
    director::Verdict,
    family::{Family, Ip},
    flow::Flow,
    forward::prepend,
    packet::{Packet, Truncated},
    tables::Event,
    wire::{
        Raw32,
        checksum::Sum,
        ethernet::{read_macs, swapped, write_macs},
        icmp::{self, Icmp},
        tcp::{self, Flags, Tcp},
    },
};

/// Tells the client that nobody serves it: TCP gets a RST, others "port unreachable".
#[inline(always)]
pub fn refuse<F: Family>(packet: &mut impl Packet, flow: &Flow<F>, event: Event) -> Verdict {
    match flow.protocol {
        crate::wire::Protocol::Tcp => reset(packet, flow, event),
        crate::wire::Protocol::Udp => error(packet, &flow.ip, icmp::Error::PortUnreachable, event),
    }
}

/// Answers a TCP segment with a RST (RFC 9293, section 3.10.7.1).
#[inline(always)]
pub fn reset<F: Family>(packet: &mut impl Packet, flow: &Flow<F>, event: Event) -> Verdict {
    if flow.flags.has(Flags::RST) {
        return Verdict::drop(event);
    }
    let Ip { len, .. } = flow.ip;
    verdict(write_reset::<F>(&mut packet.apart(), flow.ip.l3(), flow.ip.l4(), len), event)
}

/// Answers a packet with an ICMP error that embeds the start of it.
#[inline(always)]
pub fn error<F: Family>(
    packet: &mut impl Packet,
    ip: &Ip<F>,
    error: icmp::Error,
    event: Event,
) -> Verdict {
    let (kind, code, rest) = F::icmp_error(error);
    let written = write_error::<F>(&mut packet.apart(), ip.l3(), ip.l4(), [kind, code], rest);
    verdict(written, event)
}

#[inline(always)]
fn verdict(written: Result<(), Truncated>, event: Event) -> Verdict {
    match written {
        Ok(()) => Verdict::transmit(event),
        Err(Truncated) => Verdict::drop(Event::NoRoom),
    }
}

// Neither gets the headers as they were read: what a function borrows must lie in memory.

#[inline(never)]
fn write_reset<F: Family>(
    packet: &mut impl Packet,
    l3: usize,
    l4: usize,
    len: u16,
) -> Result<(), Truncated> {
    let (source, destination) = F::addresses(packet, l3)?;
    let segment: &Tcp = packet.view(l4)?;
    let data = usize::from(len).wrapping_sub(l4 - l3 + usize::from(segment.data_offset >> 4) * 4);
    let flags = segment.flags;
    let mut header = Tcp {
        source: segment.destination,
        destination: segment.source,
        sequence: segment.acknowledgement,
        acknowledgement: 0.into(),
        data_offset: (tcp::LEN as u8 / 4) << 4,
        flags: Flags::RST,
        window: 0.into(),
        checksum: 0.into(),
        urgent: 0.into(),
    };
    if !flags.has(Flags::ACK) {
        let controls = u32::from(flags.has(Flags::SYN)) + u32::from(flags.has(Flags::FIN));
        let next = segment.sequence.get().wrapping_add(data as u32 & 0xffff).wrapping_add(controls);
        header.sequence = 0.into();
        header.acknowledgement = next.into();
        header.flags = Flags::RST.and(Flags::ACK);
    }
    let macs = read_macs(packet)?;
    packet.resize(l3 + F::HEADER + tcp::LEN)?;
    write_macs(packet, swapped(macs))?;
    F::write(packet, l3, destination, source, crate::wire::Protocol::Tcp as u8, tcp::LEN as u16)?;
    packet.put(l3 + F::HEADER, header)?;
    let sum = pseudo_header::<F>(destination, source, crate::wire::Protocol::Tcp as u8, tcp::LEN);
    let checksum = sum_of(packet, l3 + F::HEADER, tcp::LEN, sum)?.checksum();
    packet.view_mut::<Tcp>(l3 + F::HEADER)?.checksum = checksum.into();
    Ok(())
}

/// Bytes of the offending packet that an error embeds at most: the largest IPv4 header and the
/// 8 bytes that RFC 792 wants, or an IPv6 header with a few extensions.
const EMBEDDED: usize = 128;

#[inline(never)]
fn write_error<F: Family>(
    packet: &mut impl Packet,
    l3: usize,
    l4: usize,
    [kind, code]: [u8; 2],
    rest: u32,
) -> Result<(), Truncated> {
    let (source, destination) = F::addresses(packet, l3)?;
    let room = F::HEADER + icmp::LEN;
    let embedded = (l4 - l3 + 8).min(EMBEDDED);
    let macs = read_macs(packet)?;
    prepend(packet, l3, room, swapped(macs), F::ETHERTYPE)?;
    packet.resize(l3 + room + embedded)?;
    let len = icmp::LEN + embedded;
    F::write(packet, l3, destination, source, F::ICMP, len as u16)?;
    let at = l3 + F::HEADER;
    packet.put(at, Icmp { kind, code, checksum: 0.into(), rest: rest.into() })?;
    let sum = F::icmp_pseudo_header(destination, source, len);
    let checksum = sum_of(packet, at, len, sum)?.checksum();
    packet.view_mut::<Icmp>(at)?.checksum = checksum.into();
    Ok(())
}

/// The sum over the pseudo header of a transport protocol (RFC 9293, section 3.1; RFC 8200, 8.1).
#[inline(always)]
pub fn pseudo_header<F: Family>(
    source: F::Address,
    destination: F::Address,
    protocol: u8,
    len: usize,
) -> Sum {
    Sum::default()
        .add_words(F::words(source))
        .add_words(F::words(destination))
        .add16((len as u16).to_be())
        .add16(u16::from(protocol).to_be())
}

/// Adds `len` bytes from `at`, a multiple of four and at most `EMBEDDED` and an ICMP header.
#[inline(always)]
fn sum_of(packet: &impl Packet, at: usize, len: usize, mut sum: Sum) -> Result<Sum, Truncated> {
    for word in 0..(EMBEDDED + icmp::LEN) / 4 {
        if word * 4 >= len {
            break;
        }
        sum = sum.add32(packet.view::<Raw32>(at + word * 4)?.get());
    }
    Ok(sum)
}
