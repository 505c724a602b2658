//! The ends of a cable: a generator of live frames, and a sink that counts what arrives.
use aya_ebpf::{
    bindings::xdp_action::{XDP_ABORTED, XDP_DROP, XDP_TX},
    btf_maps::PerCpuArray,
    macros::{btf_map, xdp},
    programs::XdpContext,
};

use crate::{
    config::Sample,
    packet::Start,
    wrapper::{CONFIG, flow, restore_v4},
};

/// Frames that arrived: for servers, by the last byte of their MAC address; for others, at 0.
#[btf_map]
static ARRIVED: PerCpuArray<u64, 256> = PerCpuArray::new();
/// How the last of them began. This and the above for each queue, which is polled on a CPU of its own.
#[btf_map]
static SAMPLE: PerCpuArray<Sample, 1> = PerCpuArray::new();

/// Makes a frame one of the next flow, with correct checksums of IPv4 and TCP, and sends it. What
/// it was before is of no consequence: the kernel uses a frame again after it was sent.
#[xdp]
pub fn generator(ctx: XdpContext) -> u32 {
    generate(&ctx).unwrap_or(XDP_ABORTED)
}

/// Counts the measurement's frames, and drops all.
#[xdp]
pub fn sink(ctx: XdpContext) -> u32 {
    count(&ctx);
    XDP_DROP
}

#[inline(always)]
fn generate(ctx: &XdpContext) -> Option<u32> {
    const IP_CHECKSUM: usize = 24;
    const TCP_CHECKSUM: usize = 50;
    let config = CONFIG.get_ptr_mut(0)?;
    // SAFETY: one run at a time, and user space looks at it only between the runs.
    let config = unsafe { &mut *config };
    let number = config.next;
    config.next = number + 1;
    let flow = flow(config, number);
    restore_v4(ctx, config, flow)?;
    let packet: Start<54> = Start::of(ctx)?;
    for at in [IP_CHECKSUM, TCP_CHECKSUM] {
        // The configured one leaves the flow's address out.
        let sum = u32::from(!packet.get::<u16>(at)) + (flow & 0xffff) + (flow >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        packet.put(at, !((sum & 0xffff) + (sum >> 16)) as u16);
    }
    Some(XDP_TX)
}

#[inline(always)]
fn count(ctx: &XdpContext) -> Option<()> {
    let packet: Start<60> = Start::of(ctx)?;
    let index = match packet.get::<[u8; 4]>(0) {
        [2, 0, 0, 1] => packet.get::<u8>(5),
        [2, 0, 0, 0] => 0,
        _ => return None,
    };
    let arrived = ARRIVED.get_ptr_mut(index.into())?;
    // SAFETY: only the one thread that polls a queue writes what is its CPU's.
    unsafe { *arrived += 1 };
    let sample = SAMPLE.get_ptr_mut(0)?;
    // SAFETY: likewise, and user space looks at it only when nothing is on its way.
    let sample = unsafe { &mut *sample };
    sample.start = packet.get(0);
    sample.rest = Start::<80>::of(ctx).map_or([0; 20], |packet| packet.get(60));
    Some(())
}
