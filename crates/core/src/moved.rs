//! Services that remember only the connections that a change of their ring would move
//! (`state = "moved"`).
//!
//! A hash scheduler names the same server again with every packet, so a connection needs no entry
//! until its place of the ring is given to another server. Then the place [`Phase::Moves`]: who has no
//! entry yet is of the server before and gets one, who is new gets one too. When everybody who is
//! still there has sent a packet, which the longest timeout tells, the place is [`Phase::Watched`]: only
//! the entries differ from the ring, and the daemon settles it when the last of them has ended.
use crate::{
    scheduler::{self, Client},
    tables::{Service, Tables},
};

/// A place of a ring: its server (bits 23 to 0) and its [`Phase`] (31 and 30), which is 0 in the rings
/// of all other services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(pub u32);

/// What becomes of a packet whose connection has no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// The place's server has it; there are no entries to look for.
    Settled = 0,
    /// The place's server has it.
    Watched = 1,
    /// A new connection is scheduled, any other is of the server before; each gets an entry.
    Moves = 2,
    /// It is scheduled and gets an entry: the place's server takes no new connections.
    Remembered = 3,
}

impl Place {
    const SERVER: u32 = 0xff_ffff;
    const PHASE: u32 = 30;

    /// Joins both.
    #[inline(always)]
    pub const fn new(server: u32, phase: Phase) -> Self {
        Self(server & Self::SERVER | (phase as u32) << Self::PHASE)
    }

    /// The server's number; 0: none.
    #[inline(always)]
    pub const fn server(self) -> u32 {
        self.0 & Self::SERVER
    }

    /// Whether its server has connections that have no entry.
    #[inline(always)]
    pub const fn stays(self) -> bool {
        matches!(self.phase(), Phase::Settled | Phase::Watched)
    }

    /// What becomes of packets here.
    #[inline(always)]
    pub const fn phase(self) -> Phase {
        match self.0 >> Self::PHASE {
            0 => Phase::Settled,
            1 => Phase::Watched,
            2 => Phase::Moves,
            _ => Phase::Remembered,
        }
    }
}

/// Whose a connection of `client` is, if it has no entry, as a place of its own: where it stays
/// ([`Phase::Settled`], [`Phase::Watched`]), whose it was, so that it needs an entry
/// ([`Phase::Moves`]), or nobody's, so that the scheduler decides ([`Phase::Remembered`]). `opens`: it
/// begins with this packet.
#[inline(always)]
pub fn unknown(tables: &impl Tables, service: &Service, client: &Client, opens: bool) -> Place {
    if service.moved | service.before == 0 {
        return Place::new(0, Phase::Remembered);
    }
    Place(tables.unknown(service, client, opens))
}

/// The place of a client's connections in the ring of a service that remembers only moved ones; of
/// another, one with [`Phase::Remembered`], since all connections may have an entry there.
#[inline(always)]
pub fn place(tables: &impl Tables, service: &Service, client: &Client) -> Place {
    // Asked again here: the stage before may have seen an earlier record of the service.
    if service.moved == 0 {
        return Place::new(0, Phase::Remembered);
    }
    let place = scheduler::place(service.scheduler, service.flags, client);
    Place(tables.ring(service.ring + place).unwrap_or(0))
}

/// As [`unknown`], of a service that has places or had them, as a word.
#[inline(always)]
pub fn look(tables: &impl Tables, service: &Service, client: &Client, opens: bool) -> u32 {
    if service.moved != 0 {
        let place = place(tables, service, client);
        match place.phase() {
            Phase::Settled | Phase::Watched => return place.0,
            Phase::Remembered => return Place::new(0, Phase::Remembered).0,
            Phase::Moves => {}
        }
    }
    let before = if opens { 0 } else { before(tables, service, client) };
    Place::new(before, if before == 0 { Phase::Remembered } else { Phase::Moves }).0
}

/// The server that served a client's connections before the last changes of the service; 0: none is
/// without an entry.
#[inline(always)]
fn before(tables: &impl Tables, service: &Service, client: &Client) -> u32 {
    if service.before == 0 {
        return 0;
    }
    let place = scheduler::place(service.before, service.before_flags, client);
    tables.ring(service.ring + service.ring_len + place).unwrap_or(0)
}
