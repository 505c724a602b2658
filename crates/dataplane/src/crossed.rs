//! Which connections changed lately in more than one ring of the journal: nothing tells which of
//! their changes was the last.
use std::hash::{BuildHasher as _, RandomState};

use crate::entries::Key;

/// Where marks are kept. Connections that share one count as the same.
const MARKS: usize = 1 << 16;
/// In place of a ring's number: several.
const SEVERAL: u32 = u32::MAX;

/// The rings that noted changes in this round and the one before. In a round, all is read that
/// had been noted when it began: then a change of the round before has nobody left to come after.
#[derive(Debug)]
pub(crate) struct Crossed {
    marks: Vec<Mark>,
    hasher: RandomState,
    round: u32,
    /// In this round and the next, changes may not be read whose order matters.
    unsure: u32,
}

/// The round in which one of its connections last changed, and in which ring.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    round: u32,
    ring: u32,
}

impl Crossed {
    /// Of a reader who begins, and has not read what came before.
    pub(crate) fn new() -> Self {
        let round = 2;
        Self {
            marks: vec![Mark::default(); MARKS],
            hasher: RandomState::new(),
            round,
            unsure: round,
        }
    }

    /// Begins the next round.
    pub(crate) const fn next_round(&mut self) {
        self.round = self.round.wrapping_add(1);
    }

    /// Notes that changes were missed.
    pub(crate) const fn miss(&mut self) {
        self.unsure = self.round;
    }

    /// Notes a change in a ring; returns whether others of the connection may be in other rings.
    #[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
    pub(crate) fn note(&mut self, key: &Key, ring: u32) -> bool {
        let round = self.round;
        let is_recent = |then: u32| round.wrapping_sub(then) <= 1;
        let at = self.hasher.hash_one(key) as usize & (MARKS - 1);
        let Some(mark) = self.marks.get_mut(at) else { return true };
        let crosses = is_recent(mark.round) && mark.ring != ring;
        *mark = Mark { round, ring: if crosses { SEVERAL } else { ring } };
        crosses || is_recent(self.unsure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key::Narrow(7);

    fn settled() -> Crossed {
        let mut crossed = Crossed::new();
        assert!(crossed.note(&KEY, 0), "what came before is not known");
        (0..3).for_each(|_| crossed.next_round());
        crossed
    }

    #[test]
    fn a_connection_that_changes_in_two_rings_within_two_rounds_crosses() {
        let mut crossed = settled();
        assert!(!crossed.note(&KEY, 0));
        crossed.next_round();
        assert!(!crossed.note(&KEY, 0));
        crossed.next_round();
        assert!(crossed.note(&KEY, 1));
        assert!(crossed.note(&KEY, 1), "also when it is read once more");
        crossed.next_round();
        assert!(crossed.note(&KEY, 1));
        (0..2).for_each(|_| crossed.next_round());
        assert!(!crossed.note(&KEY, 1));
    }

    #[test]
    fn after_changes_were_missed_all_cross_for_two_rounds() {
        let mut crossed = settled();
        crossed.miss();
        assert!(crossed.note(&KEY, 0));
        crossed.next_round();
        assert!(crossed.note(&KEY, 0));
        crossed.next_round();
        assert!(!crossed.note(&KEY, 0));
    }
}
