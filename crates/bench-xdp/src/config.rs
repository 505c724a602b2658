//! What a wrapper is told, and what a sink tells; the same file is part of the program that fills it in.

/// Longest packet start that is restored: Ethernet, IPv6 and TCP headers, in whole words.
pub const HEADER: usize = 80;

/// The packet of a scenario and the order of its flows.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Config {
    /// Number of the next packet.
    pub next: u64,
    /// `2^n - 1`: as many numbers without the first one.
    pub mask: u64,
    /// Odd: packet `n` has the number `n * stride & mask`, a permutation of all.
    pub stride: u64,
    /// Flows for 2^32 numbers: the flow of a number is `number * scale / 2^32`.
    pub scale: u64,
    /// `2^n - 1`: the few flows that get most packets, without the first one, when there are such.
    pub hot_mask: u64,
    /// Packets of 1,024 that go to any flow, the others to the few; 0: all in order.
    pub cold_share: u64,
    /// Address of flow 0, in the byte order of the machine.
    pub base: u64,
    /// The bits of the source's last word that are the flow's address; the header has zeros there.
    pub source: u64,
    /// Likewise of the destination's.
    pub destination: u64,
    /// Length of the packet.
    pub len: u64,
    /// Length of the outer header that the program under test adds; 0: none.
    pub outer: u64,
    /// How the packet begins.
    pub header: [u8; HEADER],
}

/// The start of a frame that arrived; zeros after its end.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Sample {
    /// As much as all frames have.
    pub start: [u8; 60],
    /// As much as an outer header adds.
    pub rest: [u8; 20],
}
