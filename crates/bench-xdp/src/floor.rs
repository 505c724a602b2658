//! What any balancer costs at least.
use aya_ebpf::{
    bindings::{
        BPF_F_MMAPABLE,
        xdp_action::{XDP_DROP, XDP_TX},
    },
    btf_maps::Array,
    helpers::bpf_xdp_adjust_head,
    macros::{btf_map, xdp},
    programs::XdpContext,
};

use crate::packet::Start;

/// The floor F: sends the packet back as it is.
#[xdp]
pub fn floor(_: XdpContext) -> u32 {
    XDP_TX
}

/// The practical floor P for IPv4: exchanges the addresses and adds an IPIP header. Decides nothing.
#[xdp]
pub fn practical_v4(ctx: XdpContext) -> u32 {
    v4(&ctx, 0).unwrap_or(XDP_DROP)
}

/// As many lines as the connection table of 2 Mi connections has sets.
const LINES: usize = (2 << 20) * 10 / 24 + 1;
#[btf_map]
static MEMORY: Array<[u64; 8], LINES, { BPF_F_MMAPABLE as usize }> = Array::new();

/// The practical floor for IPv4 with one read from memory on which the outer header depends, and
/// where depends on the client: what any table of connections costs at least.
#[xdp]
pub fn practical_read_v4(ctx: XdpContext) -> u32 {
    read_v4(&ctx).unwrap_or(XDP_DROP)
}

/// The practical floor P for IPv6.
#[xdp]
pub fn practical_v6(ctx: XdpContext) -> u32 {
    v6(&ctx).unwrap_or(XDP_DROP)
}

/// MAC addresses and ethertype, the addresses exchanged.
struct Ethernet([u32; 3], u16);

impl Ethernet {
    #[inline(always)]
    fn exchanged<const N: usize>(packet: Start<N>) -> Self {
        let [a, b, c] = [packet.get::<u32>(0), packet.get(4), packet.get(8)];
        Self([b >> 16 | c << 16, c >> 16 | a << 16, a >> 16 | b << 16], packet.get(12))
    }

    #[inline(always)]
    fn write<const N: usize>(self, packet: Start<N>) {
        let Self([a, b, c], ethertype) = self;
        packet.put(0, a);
        packet.put(4, b);
        packet.put(8, c);
        packet.put(12, ethertype);
    }
}

#[inline(always)]
fn grow<const N: usize>(ctx: &XdpContext, by: i32) -> Option<Start<N>> {
    // SAFETY: the kernel's context; the packet is looked at anew.
    (unsafe { bpf_xdp_adjust_head(ctx.ctx, -by) } == 0).then(|| Start::of(ctx))?
}

#[inline(always)]
fn read_v4(ctx: &XdpContext) -> Option<u32> {
    let client: u32 = Start::<34>::of(ctx)?.get(26);
    let half = (u64::from(client).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32;
    let mixed = (half ^ half >> 15).wrapping_mul(0x85eb_ca6b);
    let [zero, ..] = MEMORY.get(((u64::from(mixed) * LINES as u64) >> 32) as u32)?;
    v4(ctx, *zero as u16)
}

/// `zero` is added to the length, so that it must be known first.
#[inline(always)]
fn v4(ctx: &XdpContext, zero: u16) -> Option<u32> {
    /// Words of the outer header that never change: version, protocol, addresses.
    const FIXED: u32 = 0x4500 + 0x4004 + 0x0a01 + 0x0001 + 0x0a01 + 0x0002;
    let packet: Start<34> = Start::of(ctx)?;
    let ethernet = Ethernet::exchanged(packet);
    let addresses: u64 = packet.get(26);
    packet.put(26, addresses.rotate_right(32));
    let len = u16::from_be(packet.get::<u16>(16)) + 20 + zero;
    let packet: Start<34> = grow(ctx, 20)?;
    ethernet.write(packet);
    let sum = FIXED + u32::from(len);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    packet.put(14, 0x4500_0000_u32.to_be() | u32::from(len.to_be()) << 16);
    packet.put(18, 0_u32);
    packet.put(22, u32::from(0x4004_u16.to_be()) | u32::from(sum.to_be()) << 16);
    packet.put(26, 0x0a01_0001_u32.to_be());
    packet.put(30, 0x0a01_0002_u32.to_be());
    Some(XDP_TX)
}

#[inline(always)]
fn v6(ctx: &XdpContext) -> Option<u32> {
    const OUTER: u64 = 0xfd00_0001_u64 << 32;
    let packet: Start<54> = Start::of(ctx)?;
    let ethernet = Ethernet::exchanged(packet);
    let [a, b, c, d] = [packet.get::<u64>(22), packet.get(30), packet.get(38), packet.get(46)];
    packet.put(22, c);
    packet.put(30, d);
    packet.put(38, a);
    packet.put(46, b);
    let len = u16::from_be(packet.get::<u16>(18)) + 40;
    let packet: Start<54> = grow(ctx, 40)?;
    ethernet.write(packet);
    packet.put(14, 0x6000_0000_u32.to_be());
    packet.put(18, u32::from(len.to_be()) | u32::from(0x2940_u16.to_be()) << 16);
    packet.put(22, OUTER.to_be());
    packet.put(30, 1_u64.to_be());
    packet.put(38, OUTER.to_be());
    packet.put(46, 2_u64.to_be());
    Some(XDP_TX)
}
