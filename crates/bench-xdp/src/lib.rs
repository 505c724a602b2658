//! Kernel programs that measure the data plane's: wrappers that make every run of
//! `BPF_PROG_TEST_RUN` see a fresh packet, floors to compare with, and both ends of a cable.
#![no_std]
#![expect(unsafe_code, reason = "maps, helpers and packet memory are reached through raw pointers")]
#![expect(
    clippy::inline_always,
    clippy::cast_possible_truncation,
    clippy::needless_pass_by_value,
    unreachable_pub,
    reason = "calls cost time; words are cut; entry points own their context and \
              are reached by name"
)]

mod cable;
mod config;
mod floor;
mod packet;
mod wrapper;

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
