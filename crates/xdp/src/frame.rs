//! A packet in the kernel.
use aya_ebpf::{
    bindings::xdp_md,
    helpers::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail},
    programs::XdpContext,
};
use lvs_core::packet::{Packet, Truncated, Wire};

/// The memory of the packet that the program was called for.
pub(crate) struct Frame {
    ctx: *mut xdp_md,
    start: usize,
    end: usize,
    interface: u32,
}

impl Frame {
    #[inline(always)]
    pub(crate) fn new(ctx: &XdpContext) -> Self {
        // Read here, though needed last: it takes three loads, one after the other.
        // SAFETY: the kernel's context is valid while the program runs.
        let interface = unsafe { (*ctx.ctx).ingress_ifindex };
        Self { ctx: ctx.ctx, start: ctx.data(), end: ctx.data_end(), interface }
    }

    /// The address of a `T` at `at`. The verifier accepts an access only after it has seen
    /// `pointer + size > end` compared on the same pointer: exactly that and nothing else.
    #[inline(always)]
    fn address<T>(&self, at: usize) -> Result<usize, Truncated> {
        let address = self.start + at;
        if address + size_of::<T>() > self.end { Err(Truncated) } else { Ok(address) }
    }
}

impl Packet for Frame {
    #[inline(always)]
    fn interface(&self) -> u32 {
        self.interface
    }

    #[inline(always)]
    fn len(&self) -> usize {
        // Not `self.end`: see `Packet::look_anew`.
        window_end(self.ctx) - self.start
    }

    #[inline(always)]
    fn apart(&mut self) -> impl Packet {
        Self { ..*self }
    }

    #[inline(always)]
    fn look_anew(&mut self) {
        (self.start, self.end) = (window_start(self.ctx), window_end(self.ctx));
    }

    #[inline(always)]
    fn forget(&self, value: usize, limit: usize) -> usize {
        forget(value, limit)
    }

    #[inline(always)]
    fn view<T: Wire>(&self, at: usize) -> Result<&T, Truncated> {
        // SAFETY: in bounds; `Wire` admits any bytes at any alignment.
        self.address::<T>(at).map(|address| unsafe { &*(address as *const T) })
    }

    #[inline(always)]
    fn view_mut<T: Wire>(&mut self, at: usize) -> Result<&mut T, Truncated> {
        // SAFETY: as in `view`; `self` is borrowed mutably, so nobody else looks at the packet.
        self.address::<T>(at).map(|address| unsafe { &mut *(address as *mut T) })
    }

    #[inline(always)]
    fn grow_front(&mut self, by: i32) -> Result<(), Truncated> {
        // SAFETY: the helper checks the bounds; `look_anew` drops the old pointers.
        let failed = unsafe { bpf_xdp_adjust_head(self.ctx, -by) } != 0;
        self.look_anew();
        if failed { Err(Truncated) } else { Ok(()) }
    }

    #[inline(always)]
    fn resize(&mut self, len: usize) -> Result<(), Truncated> {
        // The length as a number: of pointers, the compiler would subtract the lower halves.
        let by = len as i32 - forget(self.len(), 0xffff) as i32;
        // SAFETY: as in `grow_front`.
        let failed = unsafe { bpf_xdp_adjust_tail(self.ctx, by) } != 0;
        self.look_anew();
        if failed { Err(Truncated) } else { Ok(()) }
    }
}

// Volatile: a helper may have moved the window, and the compiler is not to know if none has.

#[inline(always)]
fn window_start(ctx: *mut xdp_md) -> usize {
    // SAFETY: the kernel's context is valid while the program runs.
    unsafe { (&raw const (*ctx).data).read_volatile() as usize }
}

#[inline(always)]
fn window_end(ctx: *mut xdp_md) -> usize {
    // SAFETY: as above.
    unsafe { (&raw const (*ctx).data_end).read_volatile() as usize }
}

/// Zero, in memory that the loader might change: so neither the compiler nor the verifier knows.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss")]
static mut ZERO: usize = 0;

/// Zero, read from memory.
#[inline(always)]
pub(crate) fn read_zero<T>() -> T {
    // SAFETY: a valid static that nobody writes, as large as any `T` here.
    unsafe { (&raw const ZERO).cast::<T>().read_volatile() }
}

/// See [`Packet::forget`].
#[inline(always)]
pub(crate) fn forget(value: usize, limit: usize) -> usize {
    let value = value ^ read_zero::<usize>();
    if value > limit { limit } else { value }
}
