//! The maps, and `lvs-core`'s tables in them.
//!
//! All are memory-mapped by the daemon and sized when the program is loaded.
use core::{mem::MaybeUninit, ops::ControlFlow, ptr::read_volatile};

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
    connection::{self, Insertion, Name, Narrow, Set, Wide, Word},
    director::{Step, Verdict},
    family::{V4, V6},
    hash::Keys,
    journal::{Head, Place, Record},
    load::{self, Load},
    moved,
    scheduler::{self, Client, wlc},
    shared::Shared64,
    tables::{
        self, Candidate, Counters, Event, Events, IndexLine, Route, Server, Service, Standing,
        Tables,
    },
};

/// Values that the loader sets before the kernel verifies the program, which then knows them.
macro_rules! constants {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $initial:expr;)*) => {$(
        $(#[$doc])*
        #[unsafe(no_mangle)]
        #[unsafe(link_section = ".rodata")]
        pub static $name: $type = $initial;
    )*};
}

macro_rules! read {
    ($name:ident) => {
        // SAFETY: a valid static. Volatile, since the loader changes its value.
        unsafe { read_volatile(&raw const $name) }
    };
}

constants! {
    /// Keys of the hashes.
    KEYS: [u64; 6] = [1; 6];
    /// Turn jiffies into ticks: factor and offset.
    CLOCK: [u64; 2] = [1, 0];
    /// Elements of `COUNTERS` that belong to one CPU.
    SERVER_NUMBERS: u32 = 1;
    /// Elements of `JOURNAL` that belong to one CPU, a power of two.
    RING: u32 = 1;
    /// Whether other CPUs see the stores of one in their order.
    STORES_IN_ORDER: u32 = 1;
}

/// Tables that the program reaches by their addresses. Their lengths are powers of two, so that a
/// mask, of which the compiler knows nothing and the verifier all, keeps an element in its table
/// without a branch. The loader puts maps of one value, the whole table, in the place of these; for
/// the compiler they have two elements, because of a single one it would infer that it is always the
/// first.
macro_rules! direct {
    ($($name:ident, $mask:ident / $element:ident: $type:ty;)*) => {$(
        #[unsafe(no_mangle)]
        #[unsafe(link_section = concat!(".bss.", stringify!($name)))]
        static mut $name: MaybeUninit<[$type; 2]> = MaybeUninit::zeroed();

        constants! {
            /// One less than the elements of the table.
            $mask: u32 = 1;
        }

        #[inline(always)]
        fn $element(at: u32) -> *mut $type {
            let first = (&raw mut $name).cast::<$type>();
            first.wrapping_add((at & read!($mask)) as usize)
        }
    )*};
}

direct! {
    INDEX, INDEX_MASK / index_line: IndexLine;
    SERVICES, SERVICES_MASK / service: Service;
    STANDINGS, STANDINGS_MASK / standing: Standing;
    CANDIDATES, CANDIDATES_MASK / candidates: [Candidate; 8];
    RINGS, RINGS_MASK / ring: u32;
    HANDLES, HANDLES_MASK / handle: Shared64;
    SERVERS, SERVERS_MASK / server: Server;
    LOADS, LOADS_MASK / load: Load;
    BLOCK_WINNERS, BLOCK_WINNERS_MASK / block_winner: Shared64;
    GROUP_WINNERS, GROUP_WINNERS_MASK / group_winner: Shared64;
    EVENTS, EVENTS_MASK / events: Events;
    HEADS, HEADS_MASK / head: Head;
    JOURNAL, JOURNAL_MASK / place: Place;
}

const MMAP: usize = BPF_F_MMAPABLE as usize;

/// Tables of any length. One that the verifier follows is reached as those above, another is looked
/// up; the loader uses either static, and the verifier takes the branch to the other out.
macro_rules! large {
    ($($name:ident, $direct:ident, $len:ident / $element:ident: $type:ty;)*) => {$(
        #[btf_map]
        static $name: Array<$type, 1, MMAP> = Array::new();

        #[unsafe(no_mangle)]
        #[unsafe(link_section = concat!(".bss.", stringify!($name)))]
        static mut $direct: MaybeUninit<[$type; 2]> = MaybeUninit::zeroed();

        constants! {
            /// Elements of the table.
            $len: u32 = 1;
        }

        #[inline(always)]
        fn $element(at: u32) -> Option<*mut $type> {
            let len = read!($len);
            if len > tables::FOLLOWED / size_of::<$type>() as u32 {
                return $name.get_ptr_mut(at);
            }
            let first = (&raw mut $direct).cast::<$type>();
            (at < len).then_some(first.wrapping_add(at as usize))
        }
    )*};
}

large! {
    NARROW, NARROW_DIRECT, NARROW_LEN / narrow: Set<Narrow>;
    WIDE, WIDE_DIRECT, WIDE_LEN / wide: Set<Wide>;
    COUNTERS, COUNTERS_DIRECT, COUNTERS_LEN / counters: Counters;
}

/// The tables as the program sees them.
pub(crate) struct Kernel {
    /// Null in the global functions, which have no packet.
    ctx: *mut xdp_md,
    /// After which step a profile ends the packet's way.
    until: Option<Step>,
}

impl Kernel {
    #[inline(always)]
    pub(crate) fn new(ctx: &XdpContext, until: Option<Step>) -> Self {
        Self { ctx: ctx.ctx, until }
    }

    #[inline(always)]
    fn global() -> Self {
        Self { ctx: core::ptr::null_mut(), until: None }
    }
}

impl Tables for Kernel {
    #[inline(always)]
    fn now(&self) -> Ticks {
        // SAFETY: a helper without arguments, which the kernel replaces by a load.
        let jiffies = unsafe { bpf_jiffies64() };
        let [factor, offset] = read!(CLOCK);
        Ticks((jiffies.wrapping_mul(factor).wrapping_add(offset) >> 32) as u32)
    }

    #[inline(always)]
    fn keys(&self) -> Keys {
        Keys(read!(KEYS))
    }

    #[inline(always)]
    fn pair_keys(&self) -> [u64; 3] {
        // SAFETY: as in `read`; the beginning of the same array.
        unsafe { read_volatile((&raw const KEYS).cast()) }
    }

    #[inline(always)]
    fn forget(&self, value: usize, limit: usize) -> usize {
        crate::frame::forget(value, limit)
    }

    #[inline(always)]
    fn index_lines(&self) -> u32 {
        read!(INDEX_MASK) + 1
    }

    #[inline(always)]
    fn index_line(&self, line: u32) -> Option<&IndexLine> {
        Some(see(index_line(line)))
    }

    #[inline(always)]
    fn pick(&self, by: u8, service: &Service, client: &Client) -> u32 {
        let [a, b, c, d] = client.address;
        let service = u64::from(service.record) << 16 | u64::from(client.port);
        lvs_pick(by, service, join(a, b), join(c, d))
    }

    #[inline(always)]
    fn unknown(&self, service: &Service, client: &Client, opens: bool) -> u32 {
        let [a, b, c, d] = client.address;
        let service = u64::from(service.record) << 16 | u64::from(client.port);
        lvs_unknown(opens.into(), service, join(a, b), join(c, d))
    }

    #[inline(always)]
    fn insert_narrow(&self, name: &Name<u64>, word: Word, now: Ticks) -> Insertion {
        Insertion::from_number(lvs_insert_narrow(name.key, name.hash, word.0, now.0))
    }

    #[inline(always)]
    fn insert_wide(&self, name: &Name<[u64; 3]>, word: Word, now: Ticks) -> Insertion {
        let [a, b, rest] = name.key;
        let rest_now = rest << 32 | u64::from(now.0);
        Insertion::from_number(lvs_insert_wide(a, b, rest_now, name.hash, word.0))
    }

    #[inline(always)]
    fn move_another_narrow(&self, name: &Name<u64>, word: Word, now: Ticks) -> Insertion {
        Insertion::from_number(lvs_move_another_narrow(name.key, name.hash, word.0, now.0))
    }

    #[inline(always)]
    fn displace_narrow(&self, name: &Name<u64>, word: Word, now: Ticks) -> Insertion {
        Insertion::from_number(lvs_displace_narrow(name.key, name.hash, word.0, now.0))
    }

    #[inline(always)]
    fn move_another_wide(&self, name: &Name<[u64; 3]>, word: Word, now: Ticks) -> Insertion {
        let [a, b, rest] = name.key;
        let rest_now = rest << 32 | u64::from(now.0);
        Insertion::from_number(lvs_move_another_wide(a, b, rest_now, name.hash, word.0))
    }

    #[inline(always)]
    fn displace_wide(&self, name: &Name<[u64; 3]>, word: Word, now: Ticks) -> Insertion {
        let [a, b, rest] = name.key;
        let rest_now = rest << 32 | u64::from(now.0);
        Insertion::from_number(lvs_displace_wide(a, b, rest_now, name.hash, word.0))
    }

    #[inline(always)]
    fn service(&self, record: u32) -> Option<&Service> {
        Some(see(service(record)))
    }

    #[inline(always)]
    fn standing(&self, service: u32) -> Option<&Standing> {
        Some(see(standing(service)))
    }

    #[inline(always)]
    fn candidates(&self, block: u32) -> Option<&[Candidate; 8]> {
        Some(see(candidates(block)))
    }

    #[inline(always)]
    fn ring(&self, place: u32) -> Option<u32> {
        Some(*see(ring(place)))
    }

    #[inline(always)]
    fn handle(&self, server: u32) -> Option<&Shared64> {
        Some(see(handle(server)))
    }

    #[inline(always)]
    fn server(&self, record: u32) -> Option<&Server> {
        Some(see(server(record)))
    }

    #[inline(always)]
    fn load(&self, server: u32) -> Option<&Load> {
        Some(see(load(server)))
    }

    #[inline(always)]
    fn loads<'t>(&'t self) -> impl Fn(u32) -> Option<&'t Load> {
        let mask = read!(LOADS_MASK);
        let first = load(0);
        move |server| Some(see(first.wrapping_add((server & mask) as usize)))
    }

    #[inline(always)]
    fn block_winner(&self, block: u32) -> Option<&Shared64> {
        Some(see(block_winner(block)))
    }

    #[inline(always)]
    fn group_winner(&self, group: u32) -> Option<&Shared64> {
        Some(see(group_winner(group)))
    }

    #[inline(always)]
    fn forget_winners(&self, server: u32) {
        lvs_forget_winners(server);
    }

    #[inline(always)]
    fn find_in_block(&self, block: u32) -> u64 {
        lvs_find_in_block(block)
    }

    #[inline(always)]
    fn find_in_group(&self, first: u32, group: u32) -> u64 {
        lvs_find_in_group(first, group)
    }

    #[inline(always)]
    fn narrow_sets(&self) -> u32 {
        read!(NARROW_LEN)
    }

    #[inline(always)]
    fn narrow(&self, set: u32) -> Option<&Set<Narrow>> {
        narrow(set).map(see)
    }

    #[inline(always)]
    fn wide_sets(&self) -> u32 {
        read!(WIDE_LEN)
    }

    #[inline(always)]
    fn wide(&self, set: u32) -> Option<&Set<Wide>> {
        wide(set).map(see)
    }

    #[inline(always)]
    fn ends(&self, after: Step, seen: u64) -> Option<Verdict> {
        (self.until? == after).then(|| {
            let event = if seen == u64::MAX { Event::Inconsistent } else { Event::Known };
            Verdict::transmit(event)
        })
    }

    #[inline(always)]
    fn count_event(&self, event: u8) {
        // SAFETY: a helper without arguments.
        let cpu = unsafe { bpf_get_smp_processor_id() };
        // SAFETY: nobody else writes this CPU's element while the program runs on it.
        let Events(events) = unsafe { &mut *events(cpu) };
        if let Some(counter) = events.get_mut(usize::from(event & 31)) {
            *counter += 1;
        }
    }

    #[inline(always)]
    fn note_change(&self, record: Record) {
        // SAFETY: a helper without arguments.
        let cpu = unsafe { bpf_get_smp_processor_id() };
        let ring = read!(RING);
        let place = |at: u64| Some(see(place(cpu * ring + (at as u32 & (ring - 1)))));
        record.write(see(head(cpu)), place, read!(STORES_IN_ORDER) != 0);
    }

    #[inline(always)]
    fn count(&self, server: u32, count: impl FnOnce(&mut Counters)) {
        // SAFETY: a helper without arguments.
        let cpu = unsafe { bpf_get_smp_processor_id() };
        if let Some(counters) = counters(cpu * read!(SERVER_NUMBERS) + server) {
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

/// An element of a table that others share.
#[inline(always)]
fn see<'a, T>(element: *mut T) -> &'a T {
    // SAFETY: it is in its table, which lives as long as the program; what changes under a reader is
    // a `Shared64`.
    unsafe { &*element }
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
    let (tables, client) = (Kernel::global(), client(service, high, low));
    match tables.service((service >> 16) as u32) {
        Some(service) => scheduler::pick_by(by, &tables, service, &client),
        None => 0,
    }
}

/// [`Tables::forget_winners`]; a BPF function returns a word.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn lvs_forget_winners(server: u32) -> u32 {
    load::forget_winners(&Kernel::global(), server);
    0
}

/// [`Tables::find_in_block`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn lvs_find_in_block(block: u32) -> u64 {
    wlc::find_in_block(&Kernel::global(), block)
}

/// [`Tables::find_in_group`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn lvs_find_in_group(first: u32, group: u32) -> u64 {
    wlc::find_in_group(&Kernel::global(), first, group)
}

/// [`Tables::unknown`], whose arguments are as those of [`lvs_pick`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn lvs_unknown(opens: u8, service: u64, high: u64, low: u64) -> u32 {
    let (tables, client) = (Kernel::global(), client(service, high, low));
    match tables.service((service >> 16) as u32) {
        Some(service) => moved::look(&tables, service, &client, opens != 0),
        None => 0,
    }
}

#[inline(always)]
fn client(service_port: u64, high: u64, low: u64) -> Client {
    let address = [(high >> 32) as u32, high as u32, (low >> 32) as u32, low as u32];
    Client { address, port: service_port as u16 }
}

/// [`Tables::insert_narrow`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn lvs_insert_narrow(key: u64, hash: u64, word: u64, now: u32) -> u32 {
    let (name, word, now) = (Name { key, hash }, Word(word), Ticks(now));
    connection::insert_where_room::<V4>(&Kernel::global(), &name, word, now) as u32
}

/// [`Tables::move_another_narrow`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn lvs_move_another_narrow(key: u64, hash: u64, word: u64, now: u32) -> u32 {
    let (name, word, now) = (Name { key, hash }, Word(word), Ticks(now));
    connection::move_another::<V4>(&Kernel::global(), &name, word, now) as u32
}

/// [`Tables::displace_narrow`].
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn lvs_displace_narrow(key: u64, hash: u64, word: u64, now: u32) -> u32 {
    let (name, word, now) = (Name { key, hash }, Word(word), Ticks(now));
    connection::displace::<V4>(&Kernel::global(), &name, word, now) as u32
}

/// [`Tables::insert_wide`]; the third word of the key and the time share a word.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn lvs_insert_wide(a: u64, b: u64, rest_now: u64, hash: u64, word: u64) -> u32 {
    let name = Name { key: [a, b, rest_now >> 32], hash };
    let (word, now) = (Word(word), Ticks(rest_now as u32));
    connection::insert_where_room::<V6>(&Kernel::global(), &name, word, now) as u32
}

/// [`Tables::move_another_wide`], likewise.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn lvs_move_another_wide(
    a: u64,
    b: u64,
    rest_now: u64,
    hash: u64,
    word: u64,
) -> u32 {
    let name = Name { key: [a, b, rest_now >> 32], hash };
    let (word, now) = (Word(word), Ticks(rest_now as u32));
    connection::move_another::<V6>(&Kernel::global(), &name, word, now) as u32
}

/// [`Tables::displace_wide`], likewise.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn lvs_displace_wide(a: u64, b: u64, rest_now: u64, hash: u64, word: u64) -> u32 {
    let name = Name { key: [a, b, rest_now >> 32], hash };
    let (word, now) = (Word(word), Ticks(rest_now as u32));
    connection::displace::<V6>(&Kernel::global(), &name, word, now) as u32
}
