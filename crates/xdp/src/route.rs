//! The routing table, for the way back of NAT.
use aya_ebpf::{
    bindings::{bpf_fib_lookup as Parameters, xdp_md},
    helpers::bpf_fib_lookup,
};
use lvs_core::{tables::Route, wire::ethernet::macs};

/// `struct bpf_fib_lookup` of the kernel's user-space interface, without its unions.
#[repr(C)]
struct Lookup {
    family: u8,
    protocol: u8,
    ports: [u16; 2],
    len: u16,
    interface: u32,
    flow_info: u32,
    source: [u32; 4],
    destination: [u32; 4],
    vlan: u32,
    source_mac: [u8; 6],
    destination_mac: [u8; 6],
}

const _: () = assert!(size_of::<Lookup>() == 64 && size_of::<Parameters>() == 64);

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// Asks the routing and the neighbour table, as for a packet that is forwarded.
#[inline(always)]
pub(crate) fn look_up(
    ctx: *mut xdp_md,
    version: u8,
    source: [u32; 4],
    destination: [u32; 4],
    len: u16,
) -> Option<Route> {
    let mut lookup = Lookup {
        family: if version == 4 { AF_INET } else { AF_INET6 },
        protocol: 0,
        ports: [0; 2],
        len,
        // SAFETY: the kernel's context is valid while the program runs.
        interface: unsafe { (*ctx).ingress_ifindex },
        flow_info: 0,
        source,
        destination,
        vlan: 0,
        source_mac: [0; 6],
        destination_mac: [0; 6],
    };
    // SAFETY: `Lookup` is the structure that the helper expects, of the size that it is told.
    let status = unsafe {
        let parameters = (&raw mut lookup).cast::<Parameters>();
        bpf_fib_lookup(ctx.cast(), parameters, size_of::<Lookup>() as i32, 0)
    };
    (status == 0).then(|| Route {
        macs: macs(lookup.destination_mac, lookup.source_mac),
        interface: lookup.interface,
    })
}
