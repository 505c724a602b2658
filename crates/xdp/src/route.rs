//! The routing table, for the way back of NAT.
use aya_ebpf::{
    bindings::{bpf_fib_lookup as Parameters, xdp_md},
    helpers::bpf_fib_lookup,
};
use lvs_core::{tables::Route, wire::ethernet::swapped};

/// `struct bpf_fib_lookup` of the kernel's user-space interface, in whole words: the verifier
/// refuses the misaligned stores into the stack that the compiler would make of smaller fields.
/// From the lowest bits of each word on: family (8), protocol (8), ports (32), length (16);
/// interface (32), flow (32); source (128); destination (128); VLAN (32), source and destination
/// MAC address (96).
type Lookup = [u64; 8];

const _: () = assert!(size_of::<Lookup>() == size_of::<Parameters>());

const AF_INET: u64 = 2;
const AF_INET6: u64 = 10;

/// Asks the routing and the neighbour table, as for a packet that is forwarded.
#[inline(always)]
pub(crate) fn look_up(
    ctx: *mut xdp_md,
    version: u8,
    [s0, s1, s2, s3]: [u32; 4],
    [d0, d1, d2, d3]: [u32; 4],
    len: u16,
) -> Option<Route> {
    let join = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    let family = if version == 4 { AF_INET } else { AF_INET6 };
    // SAFETY: the kernel's context is valid while the program runs.
    let interface = unsafe { (*ctx).ingress_ifindex };
    let mut lookup: Lookup = [
        family | u64::from(len) << 48,
        interface.into(),
        join(s0, s1),
        join(s2, s3),
        join(d0, d1),
        join(d2, d3),
        0,
        0,
    ];
    // SAFETY: `Lookup` is the structure that the helper expects, of the size that it is told.
    let status = unsafe {
        let parameters = (&raw mut lookup).cast::<Parameters>();
        bpf_fib_lookup(ctx.cast(), parameters, size_of::<Lookup>() as i32, 0)
    };
    let [_, interface, .., first, rest] = lookup;
    let macs = [(first >> 32) as u32, rest as u32, (rest >> 32) as u32];
    (status == 0).then(|| Route { macs: swapped(macs), interface: interface as u32 })
}
