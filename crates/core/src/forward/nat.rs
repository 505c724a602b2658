//! Network address translation: address and port of the server for those of the service, and back.
use super::direct;
use crate::{
    family::Family,
    flow::Flow,
    packet::{Packet, Truncated},
    tables::Server,
    wire::{Protocol, checksum::Sum, ethernet::Macs, tcp::Tcp, udp::Udp},
};

/// Readdresses a packet of a client to the server.
///
/// # Errors
/// The packet is too short.
#[inline(always)]
pub fn to_server<F: Family>(
    packet: &mut impl Packet,
    flow: &Flow<F>,
    server: &Server,
) -> Result<(), Truncated> {
    let to = (F::address(server.address), server.transport.port());
    translate(packet, flow, false, (flow.ip.destination, flow.destination_port), to)?;
    direct::readdress(packet, server.macs)
}

/// Makes an answer of the server one of the service.
///
/// # Errors
/// The packet is too short.
#[inline(always)]
pub fn to_client<F: Family>(
    packet: &mut impl Packet,
    flow: &Flow<F>,
    server: &Server,
    macs: Macs,
) -> Result<(), Truncated> {
    let to = (F::address(server.virtual_address), server.virtual_port);
    translate(packet, flow, true, (flow.ip.source, flow.source_port), to)?;
    direct::readdress(packet, macs)
}

/// Exchanges an address and a port, and brings the checksums up to date (RFC 1624, RFC 3022).
#[inline(always)]
fn translate<F: Family>(
    packet: &mut impl Packet,
    flow: &Flow<F>,
    source: bool,
    (old_address, old_port): (F::Address, u16),
    (address, port): (F::Address, u16),
) -> Result<(), Truncated> {
    F::set_address(packet, flow.ip.l3(), source, address)?;
    let change = Sum::default()
        .sub_words(F::words(old_address))
        .add_words(F::words(address))
        .sub16(old_port)
        .add16(port);
    match flow.protocol {
        Protocol::Tcp => {
            let tcp: &mut Tcp = packet.view_mut(flow.ip.l4())?;
            let field = if source { &mut tcp.source } else { &mut tcp.destination };
            field.set(port);
            tcp.checksum = change.update(tcp.checksum.get()).into();
        }
        Protocol::Udp => {
            let udp: &mut Udp = packet.view_mut(flow.ip.l4())?;
            let field = if source { &mut udp.source } else { &mut udp.destination };
            field.set(port);
            udp.checksum = change.update_udp(udp.checksum.get()).into();
        }
    }
    Ok(())
}
