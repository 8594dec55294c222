//! Rows of the input, rounded to 8 bits in blocks as long as the weights' are.
//!
//! As in ggml's `Q8_K`, `Q8_0` and `Q8_1` a value is `scale · q` with `scale` the block's largest magnitude / 127 and
//! q from -127 to 127; here `scale` keeps 32 bits. Sums of q go with a block: what weights with an offset or a minimum
//! need of the input.

use crate::simd::Instructions;
use rayon::prelude::*;

/// 32 columns of one row.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Narrow {
    pub(crate) scale: f32,
    /// The sum of all q.
    pub(crate) sum: i32,
    /// q of four columns a word, the first one lowest.
    pub(crate) words: [i32; 8],
}

/// 256 columns of one row.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Wide {
    pub(crate) scale: f32,
    /// Sums over 32 columns, two in a word, the first one in its lower half.
    pub(crate) sums32: [i32; 4],
    /// Sums over 16 columns, likewise.
    pub(crate) sums16: [i32; 8],
    /// q of four columns a word, the first one lowest.
    pub(crate) words: [i32; 64],
}

/// What input weights take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As it is.
    Plain,
    /// As blocks of [`Narrow`].
    Narrow,
    /// As blocks of [`Wide`].
    Wide,
}

/// A block of the input.
pub(crate) trait Input: Sized + Copy + Send + Sync {
    /// Columns that it holds.
    const COLUMNS: usize;

    /// Of so many values. Values that are infinite or no numbers give a scale that is none either.
    fn round(values: &[f32]) -> Self;
}

impl Input for Narrow {
    const COLUMNS: usize = 32;

    #[inline(always)]
    fn round(values: &[f32]) -> Self {
        let mut q = [0; 32];
        let scale = quantise(values, &mut q);
        let sum = q.iter().map(|&q| i32::from(q)).sum();
        let mut words = [0; 8];
        pack(&q, &mut words);
        Self { scale, sum, words }
    }
}

impl Input for Wide {
    const COLUMNS: usize = 256;

    #[inline(always)]
    fn round(values: &[f32]) -> Self {
        let mut q = [0; 256];
        let scale = quantise(values, &mut q);
        let mut sums = [0; 16];
        for (sum, q) in sums.iter_mut().zip(q.as_chunks::<16>().0) {
            *sum = q.iter().map(|&q| i32::from(q)).sum::<i32>();
        }
        let sums16 = std::array::from_fn(|pair| pair_of(sums[2 * pair], sums[2 * pair + 1]));
        let sum32 = |at: usize| sums[2 * at] + sums[2 * at + 1];
        let sums32 = std::array::from_fn(|pair| pair_of(sum32(2 * pair), sum32(2 * pair + 1)));
        let mut words = [0; 64];
        pack(&q, &mut words);
        Self {
            scale,
            sums32,
            sums16,
            words,
        }
    }
}

/// Two numbers of 16 bits in a word.
fn pair_of(low: i32, high: i32) -> i32 {
    low & 0xffff | high << 16
}

#[inline(always)]
fn pack(q: &[i8], words: &mut [i32]) {
    for (word, q) in words.iter_mut().zip(q.as_chunks::<4>().0) {
        *word = i32::from_le_bytes(q.map(|q| q as u8));
    }
}

/// Added to a number below 2^22 in magnitude it leaves that number, rounded to even, in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// Writes the q of `values` and gives their scale. Written so that it compiles to vector instructions.
#[inline(always)]
fn quantise(values: &[f32], q: &mut [i8]) -> f32 {
    // Of magnitudes the order of bits is the order of numbers, with what is no number above all.
    let bits = values.iter().map(|value| value.to_bits() & 0x7fff_ffff);
    let largest = f32::from_bits(bits.max().unwrap_or(0));
    // Below, the inverse would be infinite; a product would not tell such values from zero.
    let inverse = if largest < 1e-36 {
        0.0
    } else {
        127.0 / largest
    };
    for (q, value) in q.iter_mut().zip(values) {
        *q = (value * inverse + ROUND).to_bits() as i8;
    }
    largest / 127.0
}

/// The blocks of `x`, row after row, whose length is a whole number of blocks.
pub(crate) fn round_all<I: Input>(instructions: Instructions, x: &[f32]) -> Vec<I> {
    /// What one task rounds, some ten microseconds of work.
    const TASK: usize = 1 << 15;
    let each = |values: &[f32]| instructions.round::<I>(values);
    if x.len() <= TASK {
        return each(x);
    }
    let pieces: Vec<Vec<I>> = x.par_chunks(TASK).map(each).collect();
    pieces.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn halves(word: i32) -> [i32; 2] {
        [i32::from(word as i16), word >> 16]
    }

    #[test]
    fn values_are_rounded_to_the_nearest_of_255_steps() {
        let values: Vec<_> = (0..256)
            .map(|i| ((i * 37) % 255 - 127) as f32 * 0.5)
            .collect();
        let block = Wide::round(&values);
        assert_eq!(block.scale, 0.5);
        let q: Vec<_> = block
            .words
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        for (q, value) in q.iter().zip(&values) {
            assert_eq!(f32::from(*q as i8) * 0.5, *value);
        }
        let sum = |columns: std::ops::Range<usize>| -> i32 {
            q[columns].iter().map(|&q| i32::from(q as i8)).sum()
        };
        for at in 0..16 {
            assert_eq!(
                halves(block.sums16[at / 2])[at % 2],
                sum(at * 16..at * 16 + 16)
            );
        }
        for at in 0..8 {
            assert_eq!(
                halves(block.sums32[at / 2])[at % 2],
                sum(at * 32..at * 32 + 32)
            );
        }
    }

    #[test]
    fn every_instruction_set_rounds_alike() {
        let values: Vec<_> = (0..70_016)
            .map(|i| ((i * 7919) % 10_007) as f32 * 1e-3 - 5.0)
            .collect();
        let plain: Vec<Narrow> = values.chunks(32).map(Narrow::round).collect();
        for instructions in Instructions::all() {
            let blocks = round_all::<Narrow>(instructions, &values);
            assert_eq!(blocks.len(), plain.len());
            for (block, plain) in blocks.iter().zip(&plain) {
                assert_eq!(block.scale.to_bits(), plain.scale.to_bits());
                assert_eq!((block.sum, block.words), (plain.sum, plain.words));
            }
        }
    }

    #[test]
    fn zeros_stay_zeros_and_what_is_no_number_is_not_hidden() {
        let zero = Narrow::round(&[0.0; 32]);
        assert_eq!((zero.scale, zero.sum, zero.words), (0.0, 0, [0; 8]));
        let mut values = [1.0; 32];
        values[7] = f32::NAN;
        assert!(Narrow::round(&values).scale.is_nan());
        values[7] = f32::NEG_INFINITY;
        assert_eq!(Narrow::round(&values).scale, f32::INFINITY);
    }
}
