//! Which places of a table are in use.
use std::collections::BTreeMap;

/// Gives out ranges of places, the lowest that fits; neighbours that are free are one range again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ranges {
    /// Start and length of what is free.
    free: BTreeMap<u32, u32>,
    left: u32,
}

impl Ranges {
    /// The places from `start` to `end` (exclusive), all free.
    pub(crate) fn new(start: u32, end: u32) -> Self {
        let len = end.saturating_sub(start);
        Self { free: (len > 0).then_some((start, len)).into_iter().collect(), left: len }
    }

    /// Places that are free.
    pub(crate) fn left(&self) -> u32 {
        self.left
    }

    /// Takes a range; none fits: `None`.
    pub(crate) fn take(&mut self, len: u32) -> Option<u32> {
        if len == 0 {
            return Some(0);
        }
        let (&start, &room) = self.free.iter().find(|&(_, &room)| room >= len)?;
        self.free.remove(&start);
        if room > len {
            self.free.insert(start + len, room - len);
        }
        self.left -= len;
        Some(start)
    }

    /// Takes this very range, when it is free.
    pub(crate) fn take_at(&mut self, start: u32, len: u32) -> bool {
        if len == 0 {
            return true;
        }
        let before = self.free.range(..=start).next_back().map(|(&at, &room)| (at, room));
        let Some((at, room)) = before.filter(|&(at, room)| start - at + len <= room) else {
            return false;
        };
        self.free.remove(&at);
        if start > at {
            self.free.insert(at, start - at);
        }
        if at + room > start + len {
            self.free.insert(start + len, at + room - start - len);
        }
        self.left -= len;
        true
    }

    /// Gives a range back.
    pub(crate) fn give(&mut self, start: u32, len: u32) {
        if len == 0 {
            return;
        }
        let (mut start, mut len) = (start, len);
        self.left += len;
        if let Some(room) = self.free.remove(&(start + len)) {
            len += room;
        }
        if let Some((&at, &room)) = self.free.range(..start).next_back()
            && at + room == start
        {
            self.free.remove(&at);
            start = at;
            len += room;
        }
        self.free.insert(start, len);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_never_overlap_and_all_come_back(sizes in prop::collection::vec(1..9u32, 1..40)) {
            let all = Ranges::new(1, 100);
            let mut ranges = all.clone();
            let mut held: Vec<(u32, u32)> = Vec::new();
            for (number, len) in sizes.into_iter().enumerate() {
                if let Some(start) = ranges.take(len) {
                    prop_assert!(start >= 1 && start + len <= 100);
                    prop_assert!(held.iter().all(|&(at, l)| start + len <= at || at + l <= start));
                    held.push((start, len));
                }
                if number % 3 == 2 && !held.is_empty() {
                    let (start, len) = held.swap_remove(number % held.len());
                    ranges.give(start, len);
                }
            }
            let mut again = all.clone();
            for &(start, len) in &held {
                prop_assert!(again.take_at(start, len));
                prop_assert!(!again.take_at(start, len));
            }
            prop_assert_eq!(&again, &ranges);
            for (start, len) in held {
                ranges.give(start, len);
            }
            prop_assert_eq!(ranges, all);
        }
    }
}
