//! Numbers that look random and are the same each time.

/// G. Marsaglia, *Xorshift RNGs*, 2003.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    pub(super) fn fill(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&self.draw().to_le_bytes()[..part.len()]);
        }
    }

    /// A number below `bound`, which is far below 2³².
    pub(super) fn below(&mut self, bound: usize) -> usize {
        // The upper half of the bits is the better one.
        (self.draw() >> 32) as usize % bound
    }

    fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
