//! The kernel program: entry point, maps, and the kernel's side of `lvs-core`'s traits.
//!
//! No decision lives here: a packet's whole way is [`lvs_core::director::process`].
#![no_std]
#![expect(
    clippy::inline_always,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::needless_pass_by_value,
    unreachable_pub,
    reason = "calls cost time; words are cut; the entry point owns its context; \
              what is public is reached by name"
)]
#![expect(unsafe_code, reason = "maps, helpers and packet memory are reached through raw pointers")]

mod frame;
mod maps;
mod route;

use aya_ebpf::{
    bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_TX},
    helpers::bpf_redirect,
    macros::xdp,
    programs::XdpContext,
};
use lvs_core::{
    director::{self, Action},
    tables::Tables as _,
};

/// No panic is left in a program that loads; the symbol must exist all the same.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The licence that the kernel sees.
#[unsafe(no_mangle)]
#[unsafe(link_section = "license")]
pub static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Balances one packet.
#[xdp]
pub fn lvs(ctx: XdpContext) -> u32 {
    let tables = maps::Kernel::new(&ctx);
    let verdict = director::process(&mut frame::Frame::new(&ctx), &tables);
    tables.count_event(verdict.event());
    match verdict.action() {
        Action::Transmit => XDP_TX,
        // SAFETY: a helper without pointers.
        Action::Redirect(interface) => unsafe { bpf_redirect(interface, 0) as u32 },
        Action::Pass => XDP_PASS,
        Action::Drop => XDP_DROP,
    }
}
