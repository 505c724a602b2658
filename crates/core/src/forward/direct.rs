//! Direct routing: the packet goes to the server's MAC address as it is.
use crate::{
    packet::{Packet, Truncated},
    wire::ethernet::{Macs, write_macs},
};

/// Readdresses the frame.
///
/// # Errors
/// The packet is too short.
#[inline(always)]
pub fn readdress(packet: &mut impl Packet, macs: Macs) -> Result<(), Truncated> {
    write_macs(packet, macs)
}
