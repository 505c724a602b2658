//! Keyed hashes of the tables, and the hashes that IPVS's schedulers use.

/// Random keys of this data plane, drawn once when its tables are made.
///
/// A multilinear hash of 32-bit words under 64-bit keys, `k0 + k1 w1 + k2 w2 + ...` modulo 2^64, is
/// strongly universal in its upper 32 bits (Lemire and Kaser, "Strongly universal string hashing is
/// fast", 2014, theorem 3.1): whatever keys somebody outside chooses, any two of them meet with
/// probability 2^-32 as long as he does not know the random keys. Its products do not depend on
/// each other, so it costs hardly more than one multiplication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Keys(pub [u64; 6]);

impl Keys {
    /// Hash of two words.
    #[inline(always)]
    pub fn pair(&self, a: u32, b: u32) -> u64 {
        let [k0, k1, k2, ..] = self.0;
        Self::pair_with([k0, k1, k2], a, b)
    }

    /// As [`Self::pair`], with the first three keys.
    #[inline(always)]
    pub fn pair_with([k0, k1, k2]: [u64; 3], a: u32, b: u32) -> u64 {
        k0.wrapping_add(k1.wrapping_mul(u64::from(a))).wrapping_add(k2.wrapping_mul(u64::from(b)))
    }

    /// Hash of an address in four words and one more.
    #[inline(always)]
    pub fn five(&self, [a, b, c, d]: [u32; 4], e: u32) -> u64 {
        let [_, _, _, k3, k4, k5] = self.0;
        self.pair(a, e)
            .wrapping_add(k3.wrapping_mul(u64::from(b)))
            .wrapping_add(k4.wrapping_mul(u64::from(c)))
            .wrapping_add(k5.wrapping_mul(u64::from(d)))
    }
}

/// Maps the upper half of a hash on `0..n`.
///
/// A multilinear hash makes an arithmetic progression of one, such as neighbouring addresses are,
/// and under one key in ten that falls on few places only. So the half is mixed first, one to one,
/// which leaves [`Keys`]' promise as it is.
#[inline(always)]
pub fn reduce(hash: u64, n: u32) -> u32 {
    let half = (hash >> 32) as u32;
    let mixed = (half ^ half >> 15).wrapping_mul(0x85eb_ca6b);
    ((u64::from(mixed) * u64::from(n)) >> 32) as u32
}

/// A second hash from the first, for the second choice of a set.
#[inline(always)]
pub fn second(hash: u64) -> u64 {
    (hash ^ hash >> 29).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// An address as IPVS's hash schedulers see it: the xor of its four words, as a number.
#[inline(always)]
pub fn fold_address([a, b, c, d]: [u32; 4]) -> u32 {
    u32::from_be(a ^ b ^ c ^ d)
}

/// SipHash-1-3 of one 32-bit word, cut to 32 bits, under a key of two equal halves: `hsiphash` of a
/// 64-bit kernel as `ip_vs_mh` calls it.
#[inline(always)]
pub fn hsiphash(word: u32, half_key: u64) -> u32 {
    let mut v = [
        0x736f_6d65_7073_6575 ^ half_key,
        0x646f_7261_6e64_6f6d ^ half_key,
        0x6c79_6765_6e65_7261 ^ half_key,
        0x7465_6462_7974_6573 ^ half_key,
    ];
    let block = 4 << 56 | u64::from(word);
    v[3] ^= block;
    v = sip_round(v);
    v[0] ^= block;
    v[2] ^= 0xff;
    v = sip_round(sip_round(sip_round(v)));
    (v[0] ^ v[1] ^ v[2] ^ v[3]) as u32
}

#[inline(always)]
fn sip_round([mut a, mut b, mut c, mut d]: [u64; 4]) -> [u64; 4] {
    a = a.wrapping_add(b);
    b = b.rotate_left(13) ^ a;
    a = a.rotate_left(32);
    c = c.wrapping_add(d);
    d = d.rotate_left(16) ^ c;
    a = a.wrapping_add(d);
    d = d.rotate_left(21) ^ a;
    c = c.wrapping_add(b);
    b = b.rotate_left(17) ^ c;
    c = c.rotate_left(32);
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flows of sets that got more than four, in per cent: 6.1 if each had chosen at random.
    fn beyond_four(keys: Keys, address: impl Fn(u32) -> u32) -> usize {
        const FLOWS: u32 = 1 << 16;
        const SETS: u32 = FLOWS * 10 / 24;
        let mut counts = vec![0; SETS as usize];
        for number in 0..FLOWS {
            let place = reduce(keys.pair(address(number), 80), SETS) as usize;
            *counts.get_mut(place).expect("reduced") += 1;
        }
        counts.iter().map(|count: &usize| count.saturating_sub(4)).sum::<usize>() * 100
            / FLOWS as usize
    }

    /// Whatever the keys: neighbouring clients do not crowd on few sets.
    #[test]
    fn neighbouring_addresses_spread_as_if_by_chance() {
        let mut state = 1_u64;
        let mut next = || {
            state = second(state.wrapping_add(0x1234_5678_9abc_def1));
            state
        };
        for _ in 0..50 {
            let keys = Keys([(); 6].map(|()| next()));
            assert!(beyond_four(keys, |number| (0x1000_0000 + number).swap_bytes()) < 10);
            assert!(beyond_four(keys, |number| 0x1000_0000 + number) < 10);
        }
    }
}
