//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
//!
//! Sums are taken over words as loaded: one's complement addition is the same in either byte
//! order, as long as the result is stored as it was read (RFC 1071, section 2 (B)).

/// A running one's complement sum, of fewer than 2^16 words of 32 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(pub u64);

impl Sum {
    /// Adds two bytes.
    #[inline(always)]
    #[must_use]
    pub fn add16(self, word: u16) -> Self {
        Self(self.0 + u64::from(word))
    }

    /// Adds four bytes.
    #[inline(always)]
    #[must_use]
    pub fn add32(self, word: u32) -> Self {
        Self(self.0 + u64::from(word))
    }

    /// Adds an address or another run of words.
    #[inline(always)]
    #[must_use]
    pub fn add_words(self, words: [u32; 4]) -> Self {
        let [a, b, c, d] = words;
        self.add32(a).add32(b).add32(c).add32(d)
    }

    /// Takes two bytes away: adds their complement.
    #[inline(always)]
    #[must_use]
    pub fn sub16(self, word: u16) -> Self {
        self.add16(!word)
    }

    /// Takes an address or another run of words away.
    #[inline(always)]
    #[must_use]
    pub fn sub_words(self, words: [u32; 4]) -> Self {
        self.add_words(words.map(|word| !word))
    }

    /// The sum in 16 bits.
    #[inline(always)]
    pub fn fold(self) -> u16 {
        let sum = (self.0 & 0xffff) + (self.0 >> 16 & 0xffff) + (self.0 >> 32);
        let sum = (sum & 0xffff) + (sum >> 16);
        let sum = (sum & 0xffff) + (sum >> 16);
        sum as u16
    }

    /// The checksum of what was summed.
    #[inline(always)]
    pub fn checksum(self) -> u16 {
        !self.fold()
    }

    /// A checksum field brought up to date: `self` holds what was added and taken away.
    /// RFC 1624, equation 3.
    #[inline(always)]
    pub fn update(self, checksum: u16) -> u16 {
        self.add16(!checksum).checksum()
    }

    /// As [`Self::update`] for UDP, where 0 means "no checksum" and stays (RFC 768).
    #[inline(always)]
    pub fn update_udp(self, checksum: u16) -> u16 {
        match checksum {
            0 => 0,
            _ => match self.update(checksum) {
                0 => 0xffff,
                updated => updated,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn full(words: &[u16]) -> u16 {
        words.iter().fold(Sum::default(), |sum, &word| sum.add16(word)).checksum()
    }

    proptest! {
        #[test]
        fn an_update_equals_a_recomputation(
            mut words in proptest::collection::vec(any::<u16>(), 5..40),
            new in any::<[u16; 2]>(),
            constant in 1..=u16::MAX,
        ) {
            words.push(constant); // a header is never all zero
            let before = full(&words);
            let old = [words[0], words[1]];
            words[..2].copy_from_slice(&new);
            let sum = Sum::default().sub16(old[0]).sub16(old[1]).add16(new[0]).add16(new[1]);
            prop_assert_eq!(sum.update(before), full(&words));
        }

        #[test]
        fn fold_is_the_sum_modulo_ffff(words in proptest::collection::vec(any::<u32>(), 0..50)) {
            let sum = words.iter().fold(Sum::default(), |sum, &word| sum.add32(word));
            let folded = u64::from(sum.fold());
            prop_assert_eq!(folded % 0xffff, sum.0 % 0xffff);
            prop_assert_eq!(folded == 0, sum.0 == 0);
        }
    }
}
