//! Packet memory.
use core::ptr::{read_unaligned, write_unaligned};

use aya_ebpf::programs::XdpContext;

/// The first `N` bytes of a packet, if it has as many. One comparison for the verifier, which then
/// knows that everything at a constant place inside is in bounds.
#[derive(Clone, Copy)]
pub(crate) struct Start<const N: usize>(usize);

impl<const N: usize> Start<N> {
    #[inline(always)]
    pub(crate) fn of(ctx: &XdpContext) -> Option<Self> {
        let start = ctx.data();
        (start + N <= ctx.data_end()).then_some(Self(start))
    }

    #[inline(always)]
    pub(crate) fn get<T: Copy>(self, at: usize) -> T {
        // SAFETY: all callers read at constant places below `N`; the verifier checks it.
        unsafe { read_unaligned((self.0 + at) as *const T) }
    }

    #[inline(always)]
    pub(crate) fn put<T>(self, at: usize, value: T) {
        // SAFETY: as in `get`.
        unsafe { write_unaligned((self.0 + at) as *mut T, value) }
    }
}
