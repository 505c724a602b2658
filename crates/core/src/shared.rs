//! Words of memory that the kernel program and the daemon read and write at the same time.
#![expect(unsafe_code, reason = "volatile access to the word inside an atomic")]

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
#[cfg(not(target_arch = "bpf"))]
use core::sync::atomic::{AtomicU32, AtomicU64};

#[cfg(target_arch = "bpf")]
use bpf::{AtomicU32, AtomicU64};

#[cfg(target_arch = "bpf")]
mod bpf;

macro_rules! shared {
    ($(#[$doc:meta])* $name:ident, $atomic:ident, $int:ident) => {
        $(#[$doc])*
        #[repr(transparent)]
        #[derive(Debug, Default)]
        pub struct $name($atomic);

        impl $name {
            /// A word that holds `value`.
            pub const fn new(value: $int) -> Self {
                Self($atomic::new(value))
            }

            /// Reads the word.
            #[inline(always)]
            pub fn get(&self) -> $int {
                // SAFETY: the pointer is valid for the life of `self`. A relaxed atomic load cannot
                // be compiled for BPF before CPU v4; a volatile one is the same instruction.
                unsafe { self.0.as_ptr().read_volatile() }
            }

            /// Reads the word before all that is read afterwards. On the host only.
            #[inline(always)]
            pub fn acquire(&self) -> $int {
                let value = self.get();
                core::sync::atomic::fence(Acquire);
                value
            }

            /// Writes the word.
            #[inline(always)]
            pub fn set(&self, value: $int) {
                // SAFETY: as in `get`.
                unsafe { self.0.as_ptr().write_volatile(value) }
            }

            /// Replaces `old` by `new`; tells what stood there instead of `old`.
            ///
            /// # Errors
            /// The value found, when it was not `old`.
            #[inline(always)]
            pub fn exchange(&self, old: $int, new: $int) -> Result<(), $int> {
                self.0.compare_exchange(old, new, AcqRel, Acquire).map(|_| ())
            }

            /// Adds `delta`, wrapping.
            #[inline(always)]
            pub fn add(&self, delta: $int) {
                self.0.fetch_add(delta, Relaxed);
            }
        }
    };
}

shared!(
    /// A shared 32-bit word.
    Shared32, AtomicU32, u32
);
shared!(
    /// A shared 64-bit word.
    Shared64, AtomicU64, u64
);
