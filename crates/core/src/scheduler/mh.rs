//! Maglev hash (Eisenbud et al., "Maglev", NSDI 2016, section 3.4) with IPVS's weights and keys.
use super::{Client, SchedulerFlags, ring};
use crate::{
    hash::{fold_address, hsiphash},
    tables::{Service, Tables},
};

/// Places of the ring: a prime, IPVS's default (`CONFIG_IP_VS_MH_TAB_INDEX` 12).
pub const PLACES: usize = 4093;
/// Bits that a server's turns may take (half of that index).
const TURN_BITS: u32 = 6;
const FIRST_KEY: u64 = 2_654_435_761;
const SECOND_KEY: u64 = 2_654_446_892;

/// Picks.
#[inline(always)]
pub fn pick(tables: &impl Tables, service: &Service, client: &Client) -> Option<u32> {
    let value = value_of(service.flags, client);
    ring::pick(tables, service, |offset| hsiphash(value.wrapping_add(offset), FIRST_KEY))
}

/// The place of a client's connections.
#[inline(always)]
pub fn place(flags: SchedulerFlags, client: &Client) -> u32 {
    hsiphash(value_of(flags, client), FIRST_KEY) % PLACES as u32
}

#[inline(always)]
fn value_of(flags: SchedulerFlags, client: &Client) -> u32 {
    value(client.address, if flags.has(SchedulerFlags::PORT) { client.port } else { 0 })
}

#[inline(always)]
fn value(address: [u32; 4], port: u16) -> u32 {
    fold_address(address).wrapping_add(u32::from(u16::from_be(port)))
}

/// A server as the ring sees it.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// The server's number.
    pub server: u32,
    /// Its weight, or the last one that was not 0.
    pub last_weight: u32,
    place: u32,
    skip: u32,
    turns: u32,
}

impl Member {
    /// A server at `address` and `port`, both as they stand in packets.
    pub fn new(server: u32, address: [u32; 4], port: u16, last_weight: u32) -> Self {
        let value = value(address, port);
        let places = PLACES as u32;
        Self {
            server,
            last_weight,
            place: hsiphash(value, FIRST_KEY) % places,
            skip: hsiphash(value, SECOND_KEY) % (places - 1) + 1,
            turns: 0,
        }
    }
}

/// Fills the ring of [`PLACES`] places with the members, in the order of the list: in turn, each
/// takes as many of the places that it likes best and that are still free as its weight says.
pub fn fill(ring: &mut [u32], members: &mut [Member]) {
    ring.fill(0);
    let gcd = members.iter().fold(0, |gcd, member| super::wrr::gcd(gcd, member.last_weight));
    if gcd == 0 {
        return;
    }
    let heaviest = members.iter().map(|member| member.last_weight / gcd).max().unwrap_or(0);
    let shift = (u32::BITS - heaviest.leading_zeros()).saturating_sub(TURN_BITS);
    for member in &mut *members {
        let turns = (member.last_weight / gcd) >> shift;
        member.turns = if turns == 0 { u32::from(member.last_weight != 0) } else { turns };
    }
    let mut left = ring.len();
    while left > 0 {
        for member in &mut *members {
            for _ in 0..member.turns.min(left as u32) {
                while ring.get(member.place as usize).is_some_and(|&server| server != 0) {
                    member.place = (member.place + member.skip) % PLACES as u32;
                }
                if let Some(place) = ring.get_mut(member.place as usize) {
                    *place = member.server;
                }
                left -= 1;
            }
        }
    }
}
