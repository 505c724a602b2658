//! Schedulers: which real server gets a new connection, in IPVS's exact order.
//!
//! Each is a file of its own with a `pick`, and a row in [`Scheduler`]'s table. A hash scheduler's has
//! `PLACES` and a `place` too.
pub mod lc;
pub mod mh;
pub mod overflow;
pub mod ring;
pub mod rr;
pub mod sh;
pub mod walk;
pub mod wlc;
pub mod wrr;

use crate::tables::{Service, Tables};

macro_rules! schedulers {
    ($(
        $(#[$doc:meta])*
        $name:ident = $number:literal, $word:literal, $pick:path $(, $ring:ident)?;
    )*) => {
        /// A scheduler.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Scheduler {
            $($(#[$doc])* $name = $number,)*
        }

        impl Scheduler {
            /// All schedulers.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name that IPVS gives it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }

            /// Whether the client's address decides, so that every director comes to the same answer.
            pub const fn is_hash(self) -> bool {
                Self::places(self as u8) != 0
            }

            /// Places of the ring of the scheduler with this number; 0: it has none.
            #[inline(always)]
            pub const fn places(number: u8) -> u32 {
                match number {
                    $($($number => $ring::PLACES as u32,)?)*
                    _ => 0,
                }
            }
        }

        /// Where a client's connections are in the ring of the scheduler with this number.
        #[inline(always)]
        pub fn place(number: u8, flags: SchedulerFlags, client: &Client) -> u32 {
            match number {
                $($($number => $ring::place(flags, client),)?)*
                _ => 0,
            }
        }

        /// The server that the scheduler with this number picks, or [`overflow`] for any other; 0:
        /// none, since a BPF function returns one word.
        #[inline(always)]
        pub fn pick_by(by: u8, tables: &impl Tables, service: &Service, client: &Client) -> u32 {
            let picked = match by {
                $($number => $pick(tables, service, client),)*
                _ => overflow::pick(tables, service, client),
            };
            picked.unwrap_or(0)
        }
    };
}

/// The server for a new connection of `client`; `None`: none is available.
#[inline(always)]
pub fn pick(tables: &impl Tables, service: &Service, client: &Client) -> Option<u32> {
    match tables.pick(service.scheduler, service, client) {
        0 => None,
        server => Some(server),
    }
}

/// As [`pick`], where the table has no room for the connection: each packet of it is scheduled, and
/// must come to the same answer.
#[inline(always)]
pub fn pick_always(tables: &impl Tables, service: &Service, client: &Client) -> Option<u32> {
    let is_hash = Scheduler::places(service.scheduler) != 0;
    match tables.pick(if is_hash { service.scheduler } else { 0 }, service, client) {
        0 => None,
        server => Some(server),
    }
}

schedulers! {
    /// Round robin.
    Rr = 1, "rr", rr::pick;
    /// Weighted round robin.
    Wrr = 2, "wrr", wrr::pick;
    /// Least connections.
    Lc = 3, "lc", lc::pick;
    /// Weighted least connections.
    Wlc = 4, "wlc", wlc::pick;
    /// Source hash.
    Sh = 5, "sh", sh::pick, sh;
    /// Maglev hash.
    Mh = 6, "mh", mh::pick, mh;
}

/// Scheduler flags, as bits: what `ipvsadm -b` and `scheduler_flags` set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct SchedulerFlags(pub u8);

impl SchedulerFlags {
    /// `sh-fallback`, `mh-fallback`: an unavailable server's clients go to another (IPVS flag-1).
    pub const FALLBACK: u8 = 1;
    /// `sh-port`, `mh-port`: the client's port is hashed too (IPVS flag-2).
    pub const PORT: u8 = 2;

    /// Whether the flag is set.
    #[inline(always)]
    pub const fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }
}

/// What a scheduler may know of the client.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub struct Client {
    /// Address.
    pub address: [u32; 4],
    /// Port, as it stands in the packet.
    pub port: u16,
}

/// Where a round-robin scheduler stands, in one word: the candidate to try next (bits 31 to 0) and
/// wrr's current weight (63 to 32).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// One after the last pick; 0: the head of the list.
    pub next: u32,
    /// wrr: servers of at least this weight are served in this pass.
    pub weight: u32,
}

impl Cursor {
    /// Reads it from a word.
    #[inline(always)]
    pub const fn from_word(word: u64) -> Self {
        Self { next: word as u32, weight: (word >> 32) as u32 }
    }

    /// Writes it as a word.
    #[inline(always)]
    pub const fn word(self) -> u64 {
        (self.weight as u64) << 32 | self.next as u64
    }
}
