//! A table in memory: a memory-mapped BPF map, or anonymous memory that stands for one.
#![expect(unsafe_code, reason = "memory that the kernel program reads and writes at any time")]

use std::{io, marker::PhantomData, os::fd::BorrowedFd, ptr::NonNull};

use lvs_core::{
    connection::{Narrow, Set, Wide},
    journal::{Head, Place},
    load::Load,
    shared::Shared64,
    tables::{Candidate, Counters, Events, IndexLine, Server, Service, Standing},
};

use crate::sizes::Meta;

/// A type of which any bytes are a valid value.
///
/// # Safety
/// So it is, and it has no drop glue and fits the alignment of a page.
pub(crate) unsafe trait Plain: 'static {}

// SAFETY: whole numbers in `repr(C)`, to the last byte.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl Plain for Shared64 {}
// SAFETY: as above.
unsafe impl Plain for Load {}
// SAFETY: as above.
unsafe impl Plain for IndexLine {}
// SAFETY: as above.
unsafe impl Plain for Service {}
// SAFETY: as above.
unsafe impl Plain for Standing {}
// SAFETY: as above.
unsafe impl Plain for [Candidate; 8] {}
// SAFETY: as above.
unsafe impl Plain for Server {}
// SAFETY: as above.
unsafe impl Plain for Set<Narrow> {}
// SAFETY: as above.
unsafe impl Plain for Set<Wide> {}
// SAFETY: as above.
unsafe impl Plain for Counters {}
// SAFETY: as above.
unsafe impl Plain for Events {}
// SAFETY: as above.
unsafe impl Plain for Head {}
// SAFETY: as above.
unsafe impl Plain for Place {}
// SAFETY: as above.
unsafe impl Plain for Meta {}

/// `len` values of `T` that others read and write too.
///
/// Words that change under a reader are [`Shared64`]. All else is a record: it is written only while
/// no published word leads to it, so no reader looks at it.
#[derive(Debug)]
pub(crate) struct Region<T> {
    base: NonNull<T>,
    len: u32,
    bytes: usize,
    of: PhantomData<T>,
}

// SAFETY: access from several threads is what it is for; see the type.
unsafe impl<T: Plain> Send for Region<T> {}
// SAFETY: as above.
unsafe impl<T: Plain> Sync for Region<T> {}

impl<T: Plain> Region<T> {
    /// Memory of this process alone, all zeros.
    pub(crate) fn anonymous(len: u32) -> io::Result<Self> {
        Self::new(len, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)
    }

    /// The values of an array map of that many bytes in all.
    pub(crate) fn of_map(map: BorrowedFd<'_>, len: u32) -> io::Result<Self> {
        use std::os::fd::AsRawFd as _;
        Self::new(len, libc::MAP_SHARED, map.as_raw_fd())
    }

    fn new(len: u32, flags: libc::c_int, fd: libc::c_int) -> io::Result<Self> {
        let bytes = size_of::<T>().saturating_mul(len as usize);
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at a place of the kernel's choice.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, flags, fd, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { base, len, bytes, of: PhantomData })
    }

    fn place(&self, at: u32) -> Option<NonNull<T>> {
        // SAFETY: in bounds.
        (at < self.len).then(|| unsafe { self.base.add(at as usize) })
    }

    /// A value in place.
    pub(crate) fn get(&self, at: u32) -> Option<&T> {
        // SAFETY: mapped as long as `self` lives, aligned, any bytes are a `T`; see the type for
        // who writes when.
        self.place(at).map(|place| unsafe { place.as_ref() })
    }

    /// A copy of a part of a value; volatile, since another thread may write it.
    pub(crate) fn part<U: Copy>(&self, at: u32, part: impl FnOnce(&T) -> &U) -> Option<U> {
        // SAFETY: a reference can be read.
        self.get(at).map(|value| unsafe { std::ptr::from_ref(part(value)).read_volatile() })
    }

    /// All values in order.
    pub(crate) fn all(&self) -> &[T] {
        // SAFETY: as in `get`.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.len as usize) }
    }
}

impl<T: Plain + Copy> Region<T> {
    /// A copy of a value; volatile, since counters change while they are read.
    pub(crate) fn read(&self, at: u32) -> Option<T> {
        // SAFETY: as in `get`.
        self.place(at).map(|place| unsafe { place.as_ptr().read_volatile() })
    }

    /// Writes a record to which no published word leads, or counters that nobody else counts.
    pub(crate) fn write(&self, at: u32, value: T) {
        if let Some(place) = self.place(at) {
            // SAFETY: as in `get`.
            unsafe { place.as_ptr().write_volatile(value) }
        }
    }
}

impl<T> Drop for Region<T> {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length; no reference outlives `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}
