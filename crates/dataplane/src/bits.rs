//! A set of numbers from a range.

/// A bit for each number; all 0 takes no memory.
#[derive(Debug, Default)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    pub(crate) fn has(&self, at: u32) -> bool {
        self.0.get(at as usize / 64).is_some_and(|word| word >> (at % 64) & 1 != 0)
    }

    /// Takes a number in; all are below `len`.
    pub(crate) fn set(&mut self, at: u32, len: u32) {
        if self.0.is_empty() {
            self.0 = vec![0; len.div_ceil(64) as usize];
        }
        if let Some(word) = self.0.get_mut(at as usize / 64) {
            *word |= 1 << (at % 64);
        }
    }
}
