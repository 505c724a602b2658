//! The maps, and `lvs-core`'s tables in them.
//!
//! All are memory-mapped by the daemon and sized when the program is loaded.
use core::{ops::ControlFlow, ptr::read_volatile};

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, xdp_md},
    btf_maps::Array,
    cty::c_void,
    helpers::{bpf_get_smp_processor_id, bpf_jiffies64, bpf_loop},
    macros::btf_map,
    programs::XdpContext,
};
use lvs_core::{
    clock::Ticks,
    connection::{self, Name, Narrow, Set, Wide, Word},
    family::{V4, V6},
    hash::Keys,
    scheduler::{self, Client},
    shared::Shared64,
    tables::{Candidate, Counters, Events, IndexLine, Route, Server, Service, Standing, Tables},
};

const MMAP: usize = BPF_F_MMAPABLE as usize;

macro_rules! constants {
    ($($(#[$doc:meta])* $name:ident / $read:ident: $type:ty = $initial:expr;)*) => {$(
        $(#[$doc])*
        #[unsafe(no_mangle)]
        #[unsafe(link_section = ".rodata")]
        pub static $name: $type = $initial;

        #[inline(always)]
        fn $read() -> $type {
            // SAFETY: a valid static. Volatile, since the loader changes its value.
            unsafe { read_volatile(&raw const $name) }
        }
    )*};
}

// Read-only from the moment that the program is loaded: the verifier knows their values.
constants! {
    /// Keys of the hashes.
    KEYS / keys: [u64; 6] = [1; 6];
    /// Turn jiffies into ticks: factor and offset.
    CLOCK / clock: [u64; 2] = [1, 0];
    /// Lines of `INDEX`.
    INDEX_LINES / index_lines: u32 = 1;
    /// Sets of `NARROW`.
    NARROW_SETS / narrow_sets: u32 = 1;
    /// Sets of `WIDE`.
    WIDE_SETS / wide_sets: u32 = 1;
    /// Elements of `COUNTERS` that belong to one CPU.
    SERVER_NUMBERS / server_numbers: u32 = 1;
}

#[btf_map]
static INDEX: Array<IndexLine, 1, MMAP> = Array::new();
#[btf_map]
static SERVICES: Array<Service, 1, MMAP> = Array::new();
#[btf_map]
static STANDINGS: Array<Standing, 1, MMAP> = Array::new();
#[btf_map]
static CANDIDATES: Array<[Candidate; 8], 1, MMAP> = Array::new();
// The kernel rounds every element up to 8 bytes; sixteen places make one without gaps.
#[btf_map]
static RINGS: Array<[u32; 16], 1, MMAP> = Array::new();
#[btf_map]
static HANDLES: Array<Shared64, 1, MMAP> = Array::new();
#[btf_map]
static SERVERS: Array<Server, 1, MMAP> = Array::new();
#[btf_map]
static LOADS: Array<Shared64, 1, MMAP> = Array::new();
#[btf_map]
static NARROW: Array<Set<Narrow>, 1, MMAP> = Array::new();
#[btf_map]
static WIDE: Array<Set<Wide>, 1, MMAP> = Array::new();
#[btf_map]
static COUNTERS: Array<Counters, 1, MMAP> = Array::new();
#[btf_map]
static EVENTS: Array<Events, 1, MMAP> = Array::new();

/// The tables as the program sees them.
pub(crate) struct Kernel {
    /// Null in the global functions, which have no packet.
    ctx: *mut xdp_md,
}

impl Kernel {
    #[inline(always)]
    pub(crate) fn new(ctx: &XdpContext) -> Self {
        Self { ctx: ctx.ctx }
    }

    #[inline(always)]
    fn global() -> Self {
        Self { ctx: core::ptr::null_mut() }
    }
}

impl Tables for Kernel {
    #[inline(always)]
    fn now(&self) -> Ticks {
        // SAFETY: a helper without arguments, which the kernel replaces by a load.
        let jiffies = unsafe { bpf_jiffies64() };
        let [factor, offset] = clock();
        Ticks((jiffies.wrapping_mul(factor).wrapping_add(offset) >> 32) as u32)
    }

    #[inline(always)]
    fn keys(&self) -> Keys {
        Keys(keys())
    }

    #[inline(always)]
    fn pair_keys(&self) -> [u64; 3] {
        // SAFETY: as in `keys`; the beginning of the same array.
        unsafe { read_volatile((&raw const KEYS).cast()) }
    }

    #[inline(always)]
    fn forget(&self, value: usize, limit: usize) -> usize {
        crate::frame::forget(value, limit)
    }

    #[inline(always)]
    fn index_lines(&self) -> u32 {
        index_lines()
    }

    #[inline(always)]
    fn index_line(&self, line: u32) -> Option<&IndexLine> {
        INDEX.get(line)
    }

    #[inline(always)]
    fn pick(&self, by: u8, service: &Service, client: &Client) -> u32 {
        let [a, b, c, d] = client.address;
        let service = u64::from(service.record) << 16 | u64::from(client.port);
        lvs_pick(by, service, join(a, b), join(c, d))
    }

    #[inline(always)]
    fn insert_narrow(&self, name: &Name<u64>, word: Word, now: Ticks) -> bool {
        lvs_insert_narrow(name.key, name.hash, word.0, now.0) != 0
    }

    #[inline(always)]
    fn insert_wide(&self, name: &Name<[u64; 3]>, word: Word, now: Ticks) -> bool {
        let [a, b, rest] = name.key;
        lvs_insert_wide(a, b, rest << 32 | u64::from(now.0), name.hash, word.0) != 0
    }

    #[inline(always)]
    fn make_room_narrow(&self, name: &Name<u64>, word: Word, now: Ticks) -> bool {
        lvs_make_room_narrow(name.key, name.hash, word.0, now.0) != 0
    }

    #[inline(always)]
    fn make_room_wide(&self, name: &Name<[u64; 3]>, word: Word, now: Ticks) -> bool {
        let [a, b, rest] = name.key;
        lvs_make_room_wide(a, b, rest << 32 | u64::from(now.0), name.hash, word.0) != 0
    }

    #[inline(always)]
    fn service(&self, record: u32) -> Option<&Service> {
        SERVICES.get(record)
    }

    #[inline(always)]
    fn standing(&self, service: u32) -> Option<&Standing> {
        STANDINGS.get(service)
    }

    #[inline(always)]
    fn candidates(&self, block: u32) -> Option<&[Candidate; 8]> {
        CANDIDATES.get(block)
    }

    #[inline(always)]
    fn ring(&self, place: u32) -> Option<u32> {
        RINGS.get(place / 16)?.get((place % 16) as usize).copied()
    }

    #[inline(always)]
    fn handle(&self, server: u32) -> Option<&Shared64> {
        HANDLES.get(server)
    }

    #[inline(always)]
    fn server(&self, record: u32) -> Option<&Server> {
        SERVERS.get(record)
    }

    #[inline(always)]
    fn load(&self, server: u32) -> Option<&Shared64> {
        LOADS.get(server)
    }

    #[inline(always)]
    fn narrow_sets(&self) -> u32 {
        narrow_sets()
    }

    #[inline(always)]
    fn narrow(&self, set: u32) -> Option<&Set<Narrow>> {
        NARROW.get(set)
    }

    #[inline(always)]
    fn wide_sets(&self) -> u32 {
        wide_sets()
    }

    #[inline(always)]
    fn wide(&self, set: u32) -> Option<&Set<Wide>> {
        WIDE.get(set)
    }

    #[inline(always)]
    fn count_event(&self, event: u8) {
        // SAFETY: a helper without arguments.
        let cpu = unsafe { bpf_get_smp_processor_id() };
        if let Some(events) = EVENTS.get_ptr_mut(cpu) {
            // SAFETY: nobody else writes this CPU's element while the program runs on it.
            if let Some(counter) = unsafe { &mut *events }.0.get_mut(usize::from(event & 31)) {
                *counter += 1;
            }
        }
    }

    #[inline(always)]
    fn count(&self, server: u32, count: impl FnOnce(&mut Counters)) {
        // SAFETY: a helper without arguments.
        let cpu = unsafe { bpf_get_smp_processor_id() };
        if let Some(counters) = COUNTERS.get_ptr_mut(cpu * server_numbers() + server) {
            // SAFETY: as in `count_event`.
            count(unsafe { &mut *counters });
        }
    }

    #[inline(always)]
    fn route(
        &self,
        version: u8,
        source: [u32; 4],
        destination: [u32; 4],
        len: u16,
    ) -> Option<Route> {
        crate::route::find(self.ctx, version, source, destination, len, self.now())
    }

    #[inline(always)]
    fn each<B: FnMut(u32) -> ControlFlow<()>>(&self, rounds: u32, mut body: B) {
        // SAFETY: `call` gets the closure back as what it is, and only while it lives.
        unsafe {
            bpf_loop(rounds, call::<B> as *mut c_void, (&raw mut body).cast(), 0);
        }
    }
}

/// What `bpf_loop` calls: one round of the closure behind `body`; 1 ends the loop.
unsafe extern "C" fn call<B: FnMut(u32) -> ControlFlow<()>>(round: u64, body: *mut c_void) -> i64 {
    // SAFETY: see `each`.
    let body = unsafe { &mut *body.cast::<B>() };
    i64::from(body(round as u32).is_break())
}

#[inline(always)]
fn join(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

// Functions that the kernel verifies once, on their own, since they are global and take numbers
// only; those that are static it verifies again at every call.

/// [`Tables::pick`]: the scheduler, the service's record (47 to 16) and the client's port (15 to 0),
/// its address.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn lvs_pick(by: u8, service: u64, high: u64, low: u64) -> u32 {
    let address = [(high >> 32) as u32, high as u32, (low >> 32) as u32, low as u32];
    let client = Client { address, port: service as u16 };
    let tables = Kernel::global();
    match tables.service((service >> 16) as u32) {
        Some(service) => scheduler::pick_by(by, &tables, service, &client),
        None => 0,
    }
}

/// [`Tables::insert_narrow`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn lvs_insert_narrow(key: u64, hash: u64, word: u64, now: u32) -> u32 {
    let (name, word, now) = (Name { key, hash }, Word(word), Ticks(now));
    connection::insert_where_room::<V4>(&Kernel::global(), &name, word, now).into()
}

/// [`Tables::make_room_narrow`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn lvs_make_room_narrow(key: u64, hash: u64, word: u64, now: u32) -> u32 {
    let (name, word, now) = (Name { key, hash }, Word(word), Ticks(now));
    connection::make_room::<V4>(&Kernel::global(), &name, word, now).into()
}

/// [`Tables::insert_wide`]; the third word of the key and the time share a word.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn lvs_insert_wide(a: u64, b: u64, rest_now: u64, hash: u64, word: u64) -> u32 {
    let name = Name { key: [a, b, rest_now >> 32], hash };
    let (word, now) = (Word(word), Ticks(rest_now as u32));
    connection::insert_where_room::<V6>(&Kernel::global(), &name, word, now).into()
}

/// [`Tables::make_room_wide`], likewise.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn lvs_make_room_wide(a: u64, b: u64, rest_now: u64, hash: u64, word: u64) -> u32 {
    let name = Name { key: [a, b, rest_now >> 32], hash };
    let (word, now) = (Word(word), Ticks(rest_now as u32));
    connection::make_room::<V6>(&Kernel::global(), &name, word, now).into()
}
