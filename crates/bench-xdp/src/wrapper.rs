//! Wrappers: restore the packet that the run before changed, make it one of the next flow, and go
//! over to the program under test.
use aya_ebpf::{
    bindings::xdp_action::XDP_ABORTED,
    btf_maps::Array,
    helpers::bpf_xdp_adjust_head,
    macros::{btf_map, map, xdp},
    maps::ProgramArray,
    programs::XdpContext,
};

use crate::{
    config::{Config, HEADER},
    packet::Start,
};

#[btf_map]
pub(crate) static CONFIG: Array<Config, 1> = Array::new();
/// The program under test. Its place is constant, so the kernel makes a direct jump of the call.
#[map]
static PROGRAMS: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// For IPv4, and frames that are not IP.
#[xdp]
pub fn wrapper_v4(ctx: XdpContext) -> u32 {
    wrap(&ctx, restore_v4).unwrap_or(XDP_ABORTED)
}

/// For IPv6.
#[xdp]
pub fn wrapper_v6(ctx: XdpContext) -> u32 {
    wrap(&ctx, restore_v6).unwrap_or(XDP_ABORTED)
}

#[inline(always)]
fn wrap(ctx: &XdpContext, restore: fn(&XdpContext, &Config, u32) -> Option<()>) -> Option<u32> {
    let config = CONFIG.get_ptr_mut(0)?;
    // SAFETY: one run at a time, and user space looks at it only between the runs.
    let config = unsafe { &mut *config };
    let number = config.next;
    config.next = number + 1;
    let grown = ctx.data_end() - ctx.data() > config.len as usize;
    // SAFETY: the kernel's context; the packet is looked at anew.
    if grown && unsafe { bpf_xdp_adjust_head(ctx.ctx, config.outer as i32) } != 0 {
        return None;
    }
    restore(ctx, config, flow(config, number))?;
    // SAFETY: the kernel's context. It returns only when it fails.
    unsafe { PROGRAMS.tail_call(ctx, 0) };
    None
}

/// The address of the client of a packet.
#[inline(always)]
pub(crate) fn flow(config: &Config, number: u64) -> u32 {
    let flow = if config.cold_share == 0 {
        (number.wrapping_mul(config.stride) & config.mask).wrapping_mul(config.scale) >> 32
    } else {
        let random = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let random = (random ^ random >> 32).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let cold = random >> 54 < config.cold_share;
        random >> 24 & if cold { config.mask } else { config.hot_mask }
    };
    (config.base.wrapping_add(flow) as u32).to_be()
}

/// Writes the word of type `$word` at `$at` as the configuration has it.
///
/// The places are those of the header's fields: a program that loads across the border of two
/// stores just made would wait for both to reach the cache, which no received packet makes it do.
macro_rules! copy {
    ($config:ident to $packet:ident: $($word:ident at $at:literal),*) => {
        $($packet.put::<$word>($at, word($config, $at));)*
    };
}

#[inline(always)]
fn word<T: Copy>(config: &Config, at: usize) -> T {
    debug_assert!(at + size_of::<T>() <= HEADER);
    // SAFETY: all callers read at constant places in the header.
    unsafe { config.header.as_ptr().add(at).cast::<T>().read_unaligned() }
}

#[inline(always)]
pub(crate) fn restore_v4(ctx: &XdpContext, config: &Config, flow: u32) -> Option<()> {
    let packet: Start<54> = Start::of(ctx)?;
    copy!(config to packet: u32 at 0, u32 at 4, u32 at 8, u16 at 12);
    copy!(config to packet: u64 at 14, u32 at 22, u64 at 34, u32 at 42, u64 at 46);
    let both = u64::from(flow) << 32 | u64::from(flow);
    let mask = config.destination << 32 | config.source;
    packet.put(26, word::<u64>(config, 26) | both & mask);
    Some(())
}

#[inline(always)]
fn restore_v6(ctx: &XdpContext, config: &Config, flow: u32) -> Option<()> {
    let packet: Start<74> = Start::of(ctx)?;
    copy!(config to packet: u32 at 0, u32 at 4, u32 at 8, u16 at 12);
    copy!(config to packet: u64 at 14, u64 at 22, u64 at 38, u64 at 54, u32 at 62, u64 at 66);
    let flow = u64::from(flow);
    packet.put(30, word::<u64>(config, 30) | (flow & config.source) << 32);
    packet.put(46, word::<u64>(config, 46) | (flow & config.destination) << 32);
    Some(())
}
