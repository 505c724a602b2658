//! The routing table, for the way back of NAT.
use aya_ebpf::{
    bindings::{bpf_fib_lookup as Parameters, xdp_md},
    btf_maps::PerCpuArray,
    helpers::bpf_fib_lookup,
    macros::btf_map,
};
use lvs_core::{clock::Ticks, tables::Route, wire::ethernet::swapped};

/// `struct bpf_fib_lookup` of the kernel's user-space interface, in whole words: the verifier
/// refuses the misaligned stores into the stack that the compiler would make of smaller fields.
/// From the lowest bits of each word on: family (8), protocol (8), ports (32), length (16);
/// interface (32), flow (32); source (128); destination (128); VLAN (32), source and destination
/// MAC address (96).
type Lookup = [u64; 8];

const _: () = assert!(size_of::<Lookup>() == size_of::<Parameters>());

const AF_INET: u64 = 2;
const AF_INET6: u64 = 10;
/// Statuses of the helper: found; the packet is longer than the way admits.
const SUCCESS: i64 = 0;
const TOO_LONG: i64 = 8;

/// Ways that are remembered on each CPU. Asking costs as much as three packets.
const LINES: usize = 1 << LINES_BITS;
const LINES_BITS: u32 = 12;
/// Ticks after which a way is asked for again, which the routing table may have changed.
const LIFETIME: u32 = 4;

/// A way as it was last found, for one pair of addresses.
#[repr(C)]
#[derive(Clone, Copy)]
struct Way {
    source: [u64; 2],
    destination: [u64; 2],
    /// As in [`Route`].
    macs: [u32; 3],
    interface: u32,
    mtu: u32,
    /// In ticks; 0: nothing here.
    expires: u32,
    /// Of IP.
    version: u64,
}

#[btf_map]
static WAYS: PerCpuArray<Way, LINES> = PerCpuArray::new();

/// The way of a packet that is forwarded, as the routing and the neighbour table have it, or had it
/// a second ago.
#[inline(always)]
pub(crate) fn find(
    ctx: *mut xdp_md,
    version: u8,
    source: [u32; 4],
    destination: [u32; 4],
    len: u16,
    now: Ticks,
) -> Option<Route> {
    let (source, destination) = (halves(source), halves(destination));
    let [a, b] = source;
    let [c, d] = destination;
    let hash = (a ^ b.rotate_left(32) ^ c.rotate_left(17) ^ d).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let line = WAYS.get_ptr_mut((hash >> (u64::BITS - LINES_BITS)) as u32)?;
    // SAFETY: nobody else has this CPU's element while the program runs on it.
    let way = unsafe { &mut *line };
    let differs = differs(source, way.source) | differs(destination, way.destination);
    let is_same = differs | (u64::from(version) ^ way.version) == 0;
    if is_same && Ticks(way.expires).since(now) > 0 && u32::from(len) <= way.mtu {
        return Some(Route { macs: way.macs, interface: way.interface, mtu: way.mtu as u16 });
    }
    let route = look_up(ctx, version, source, destination, len)?;
    if len <= route.mtu {
        let Route { macs, interface, mtu } = route;
        let expires = now.after(LIFETIME).0;
        *way = Way {
            source,
            destination,
            macs,
            interface,
            mtu: mtu.into(),
            expires,
            version: version.into(),
        };
    }
    Some(route)
}

/// 0: they do not.
#[inline(always)]
fn differs([a, b]: [u64; 2], [c, d]: [u64; 2]) -> u64 {
    (a ^ c) | (b ^ d)
}

#[inline(always)]
fn halves([a, b, c, d]: [u32; 4]) -> [u64; 2] {
    let join = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    [join(a, b), join(c, d)]
}

/// Asks the routing and the neighbour table.
#[inline(always)]
fn look_up(
    ctx: *mut xdp_md,
    version: u8,
    [s0, s1]: [u64; 2],
    [d0, d1]: [u64; 2],
    len: u16,
) -> Option<Route> {
    let family = if version == 4 { AF_INET } else { AF_INET6 };
    // SAFETY: the kernel's context is valid while the program runs.
    let interface = unsafe { (*ctx).ingress_ifindex };
    let mut lookup: Lookup =
        [family | u64::from(len) << 48, interface.into(), s0, s1, d0, d1, 0, 0];
    // SAFETY: `Lookup` is the structure that the helper expects, of the size that it is told.
    let status = unsafe {
        let parameters = (&raw mut lookup).cast::<Parameters>();
        bpf_fib_lookup(ctx.cast(), parameters, size_of::<Lookup>() as i32, 0)
    };
    let [first, interface, .., before, rest] = lookup;
    // The helper puts the MTU where the length was.
    let mtu = (first >> 48) as u16;
    let macs = [(before >> 32) as u32, rest as u32, (rest >> 32) as u32];
    match status {
        SUCCESS => Some(Route { macs: swapped(macs), interface: interface as u32, mtu }),
        TOO_LONG => Some(Route { macs: [0; 3], interface: 0, mtu }),
        _ => None,
    }
}
