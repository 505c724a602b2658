//! Atomic words for rustc's own BPF target, whose `core` has neither 32-bit atomics nor
//! compare-and-exchange, though the CPU that we compile for has both. Named and called like `core`'s.
use core::{
    cell::UnsafeCell,
    intrinsics::{AtomicOrdering, atomic_cxchg, atomic_xadd},
    sync::atomic::Ordering,
};

macro_rules! atomic {
    ($name:ident, $int:ident, $align:literal) => {
        #[repr(C, align($align))]
        #[derive(Debug, Default)]
        pub(super) struct $name(UnsafeCell<$int>);

        // SAFETY: the word is only reached by the operations below and by volatile access.
        unsafe impl Sync for $name {}

        impl $name {
            pub(super) const fn new(value: $int) -> Self {
                Self(UnsafeCell::new(value))
            }

            pub(super) const fn as_ptr(&self) -> *mut $int {
                self.0.get()
            }

            /// Always `AcqRel`, and `Acquire` when it fails.
            #[inline(always)]
            pub(super) fn compare_exchange(
                &self,
                old: $int,
                new: $int,
                _: Ordering,
                _: Ordering,
            ) -> Result<$int, $int> {
                const SUCCESS: AtomicOrdering = AtomicOrdering::AcqRel;
                const FAILURE: AtomicOrdering = AtomicOrdering::Acquire;
                // SAFETY: the pointer is valid and aligned for the life of `self`.
                match unsafe { atomic_cxchg::<_, SUCCESS, FAILURE>(self.as_ptr(), old, new) } {
                    (found, true) => Ok(found),
                    (found, false) => Err(found),
                }
            }

            /// Always `Relaxed`.
            #[inline(always)]
            pub(super) fn fetch_add(&self, delta: $int, _: Ordering) -> $int {
                const RELAXED: AtomicOrdering = AtomicOrdering::Relaxed;
                // SAFETY: as above.
                unsafe { atomic_xadd::<_, $int, RELAXED>(self.as_ptr(), delta) }
            }
        }
    };
}

atomic!(AtomicU32, u32, 4);
atomic!(AtomicU64, u64, 8);
