//! Where a round-robin scheduler stands after its list has changed, as in IPVS.
use std::collections::{HashMap, HashSet};

use lvs_core::{
    scheduler::{Cursor, Scheduler, wrr},
    tables::Candidate,
};

/// The cursor for the list `new` of a service whose scheduler stood at `cursor` in the list `old`;
/// `None` for `old`: the service had another scheduler. Both in the scheduler's order: the server
/// that was added last comes first.
pub(crate) fn translate(
    scheduler: Scheduler,
    cursor: Cursor,
    old: Option<&[Candidate]>,
    new: &[Candidate],
) -> Cursor {
    match scheduler {
        Scheduler::Rr => old.map_or(Cursor::default(), |old| round_robin(cursor, old, new)),
        Scheduler::Wrr => match old {
            Some(old) => weighted(cursor.weight, old, new),
            // IPVS starts at the highest weight when the servers are there already.
            None => Cursor { next: 0, weight: bounds(new).0 },
        },
        Scheduler::Lc | Scheduler::Wlc | Scheduler::Sh | Scheduler::Mh => Cursor::default(),
    }
}

/// IPVS remembers the server that it picked last; when that goes, the one before it in the list.
fn round_robin(cursor: Cursor, old: &[Candidate], new: &[Candidate]) -> Cursor {
    let places: HashMap<u32, u32> = (1..).zip(new).map(|(next, c)| (c.server, next)).collect();
    let mut picked = old.get(..cursor.next as usize).unwrap_or(old).iter().rev();
    let next = picked.find_map(|last| places.get(&last.server).copied()).unwrap_or(0);
    Cursor { next, weight: 0 }
}

/// IPVS fits the current weight to the new bounds with every server that goes, changes or comes.
fn weighted(weight: u32, old: &[Candidate], new: &[Candidate]) -> Cursor {
    let known: HashSet<u32> = old.iter().map(|candidate| candidate.server).collect();
    let kept: Vec<_> = new.iter().filter(|c| known.contains(&c.server)).copied().collect();
    let mut cursor = Cursor { next: 0, weight };
    if kept != old {
        cursor = changed(cursor, bounds(&kept));
    }
    // In the order in which they were added; the bounds grow with them.
    let (mut gcd, mut most) = kept.iter().fold((0, 0), |sum, c| with(sum, c.weight));
    for added in new.iter().rev().filter(|c| !known.contains(&c.server)) {
        (gcd, most) = with((gcd, most), added.weight);
        cursor = changed(cursor, wrr::bounds([gcd, most].into_iter()));
    }
    cursor
}

/// The divisor of all weights and the highest of them, with one more.
fn with((gcd, most): (u32, u32), weight: u32) -> (u32, u32) {
    let (_, step) = wrr::bounds([gcd, weight].into_iter());
    // The step of no weights at all is 1.
    (if gcd == 0 && weight == 0 { 0 } else { step }, most.max(weight))
}

fn changed(cursor: Cursor, (max_weight, step): (u32, u32)) -> Cursor {
    wrr::changed(cursor.weight, max_weight, step)
}

/// wrr's highest current weight and step for these servers.
pub(crate) fn bounds(list: &[Candidate]) -> (u32, u32) {
    wrr::bounds(list.iter().map(|candidate| candidate.weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(list: &[(u32, u32)]) -> Vec<Candidate> {
        list.iter().map(|&(server, weight)| Candidate { server, weight }).collect()
    }

    #[test]
    fn round_robin_goes_on_after_the_last_pick() {
        let old = list(&[(3, 1), (2, 1), (1, 1)]);
        for (next, new, expected) in [
            (2, vec![(4, 1), (3, 1), (2, 1), (1, 1)], 3), // one was added
            (2, vec![(3, 1), (1, 1)], 1),                 // the last pick went: after 3
            (1, vec![(2, 1), (1, 1)], 0),                 // the head went: at the head
            (3, vec![(3, 1), (2, 1), (1, 5)], 3),         // nothing moved
            (0, vec![(3, 1), (2, 1)], 0),
        ] {
            let cursor = round_robin(Cursor { next, weight: 0 }, &old, &list(&new));
            assert_eq!(cursor.next, expected, "from {next} in {new:?}");
        }
    }

    #[test]
    fn bounds_of_a_growing_list_equal_those_of_the_whole() {
        let weights = [6, 4, 10, 0, 8];
        let mut sum = (0, 0);
        for (number, weight) in weights.into_iter().enumerate() {
            sum = with(sum, weight);
            let grown = wrr::bounds([sum.0, sum.1].into_iter());
            assert_eq!(grown, wrr::bounds(weights[..=number].iter().copied()));
        }
    }
}
