//! What happens to a packet, decided once for the kernel and for the host.
//!
//! The kernel program (`lvs-xdp`) and the host build (tests, `lvs explain`) compile this very code;
//! they differ only in how bytes are reached ([`packet::Packet`]) and where tables live
//! ([`tables::Tables`]). Start reading at [`director::process`].
#![cfg_attr(not(test), no_std)]
#![warn(missing_docs)]
// Only the second way to build the kernel program has this target; see `shared::bpf`.
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics), expect(internal_features))]
#![expect(
    clippy::inline_always,
    reason = "a BPF function takes five words and returns one; what is not cold is one function"
)]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "fields are cut out of words; const fn has no From"
)]
#![expect(
    clippy::needless_bitwise_bool,
    reason = "the kernel verifies each way through a chain of short cuts"
)]
#![expect(
    clippy::many_single_char_names,
    reason = "the words of an address are named in their order"
)]

pub mod answer;
pub mod clock;
pub mod connection;
pub mod director;
pub mod family;
pub mod flow;
pub mod forward;
pub mod hash;
pub mod index;
pub mod journal;
pub mod load;
pub mod moved;
pub mod packet;
pub mod related;
pub mod scheduler;
pub mod shared;
pub mod state;
pub mod tables;
pub mod wire;
