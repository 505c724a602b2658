//! The kernel program: entry point, maps, and the kernel's side of `lvs-core`'s traits.
//!
//! No decision lives here: a packet's whole way is [`lvs_core::director::process`], of which each
//! stage is a program.
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
    macros::{map, xdp},
    maps::ProgramArray,
    programs::XdpContext,
};
use lvs_core::{
    director::{self, Action, Stage, Verdict},
    tables::{Event, Tables as _},
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

/// The programs of the stages, by their numbers. The kernel makes a jump of a call with a constant
/// number, and empties the map when nobody has it open and nothing pins it.
#[map]
static STAGES: ProgramArray = ProgramArray::with_max_entries(Stage::ALL.len() as u32, 0);

macro_rules! programs {
    ($($(#[$doc:meta])* $name:ident = $stage:ident;)*) => {$(
        $(#[$doc])*
        #[xdp]
        pub fn $name(ctx: XdpContext) -> u32 {
            run(&ctx, Stage::$stage)
        }
    )*};
}

programs! {
    /// See [`Stage::Entry`].
    lvs = Entry;
    /// See [`Stage::OtherV4`].
    lvs_other_v4 = OtherV4;
    /// See [`Stage::KnownV6`].
    lvs_known_v6 = KnownV6;
    /// See [`Stage::OtherV6`].
    lvs_other_v6 = OtherV6;
}

#[inline(always)]
fn run(ctx: &XdpContext, stage: Stage) -> u32 {
    let tables = maps::Kernel::new(ctx);
    let verdict = match director::run(stage, &mut frame::Frame::new(ctx), &tables) {
        Ok(verdict) => verdict,
        Err(next) => {
            go_on(ctx, next);
            Verdict::drop(Event::Inconsistent)
        }
    };
    tables.count_event(verdict.event());
    match verdict.action() {
        Action::Transmit => XDP_TX,
        // SAFETY: a helper without pointers.
        Action::Redirect(interface) => unsafe { bpf_redirect(interface, 0) as u32 },
        Action::Pass => XDP_PASS,
        Action::Drop => XDP_DROP,
    }
}

/// Jumps to a stage; comes back only when that fails.
#[inline(always)]
fn go_on(ctx: &XdpContext, stage: Stage) {
    // SAFETY: the kernel's context.
    let jump = |stage: Stage| unsafe { STAGES.tail_call(ctx, stage as u32) };
    match stage {
        Stage::KnownV6 => {
            jump(Stage::KnownV6);
            // Something that the other arms have not: else the compiler makes one call of all, with
            // a variable number, and the kernel an indirect jump.
            frame::forget(0, 0);
        }
        other => jump(other),
    }
}
