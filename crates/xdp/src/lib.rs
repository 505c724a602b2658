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
    unreachable_pub,
    reason = "calls cost time; words are cut; what is public is reached by name"
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
    director::{self, Action, Stage, Step, Verdict},
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
    ($($(#[$doc:meta])* $name:ident = $stage:ident $(until $step:ident)?;)*) => {$(
        $(#[$doc])*
        #[xdp]
        pub fn $name(ctx: XdpContext) -> u32 {
            run(&ctx, Stage::$stage, None$(.or(Some(Step::$step)))?)
        }
    )*};
}

programs! {
    /// See [`Stage::Entry`].
    lvs = Entry;
    /// See [`Stage::NewV4`].
    lvs_new_v4 = NewV4;
    /// See [`Stage::ReplyV4`].
    lvs_reply_v4 = ReplyV4;
    /// See [`Stage::RelatedV4`].
    lvs_related_v4 = RelatedV4;
    /// See [`Stage::PlainV6`].
    lvs_plain_v6 = PlainV6;
    /// See [`Stage::NewV6`].
    lvs_new_v6 = NewV6;
    /// See [`Stage::ReplyV6`].
    lvs_reply_v6 = ReplyV6;
    /// See [`Stage::RelatedV6`].
    lvs_related_v6 = RelatedV6;
    /// See [`Stage::AnyV4`].
    lvs_any_v4 = AnyV4;
    /// See [`Stage::AnyV6`].
    lvs_any_v6 = AnyV6;
    /// See [`Stage::MovedV4`].
    lvs_moved_v4 = MovedV4;
    /// See [`Stage::MovedV6`].
    lvs_moved_v6 = MovedV6;
    /// See [`Stage::NewAnyV4`].
    lvs_new_any_v4 = NewAnyV4;
    /// See [`Stage::NewAnyV6`].
    lvs_new_any_v6 = NewAnyV6;
}

#[cfg(feature = "profile")]
mod profile {
    use super::{Stage, Step, XdpContext, run, xdp};

    programs! {
        until_parse = Entry until Parse;
        until_service = Entry until Service;
        until_hash = Entry until Hash;
        until_connection = Entry until Connection;
        until_state = Entry until State;
        until_count = Entry until Count;
    }
}

#[inline(always)]
fn run(ctx: &XdpContext, stage: Stage, until: Option<Step>) -> u32 {
    let tables = maps::Kernel::new(ctx, until);
    let verdict = match director::run(stage, &mut frame::Frame::new(ctx), &tables) {
        Ok(verdict) => verdict,
        Err(next) => {
            go_on(ctx, next);
            // The kernel ends a chain of some thirty jumps.
            Verdict::drop(if next == stage { Event::Contended } else { Event::Inconsistent })
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
    // Another read, or two, after each: of arms that are alike, the compiler makes one call with a
    // variable number, and the kernel an indirect jump of that.
    match stage {
        Stage::PlainV6 | Stage::AnyV6 | Stage::NewAnyV4 | Stage::NewAnyV6 => {
            jump(stage);
            frame::read_zero::<u8>();
        }
        Stage::ReplyV4 | Stage::ReplyV6 => {
            jump(stage);
            frame::read_zero::<u16>();
        }
        Stage::RelatedV4 | Stage::RelatedV6 => {
            jump(stage);
            frame::read_zero::<u32>();
        }
        Stage::AnyV4 => {
            jump(stage);
            frame::read_zero::<u64>();
        }
        Stage::MovedV4 | Stage::MovedV6 => {
            jump(stage);
            frame::read_zero::<u8>();
            frame::read_zero::<u16>();
        }
        Stage::Entry | Stage::NewV4 | Stage::NewV6 => jump(stage),
    }
}
