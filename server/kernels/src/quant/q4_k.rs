//! `Q4_K` of `ggml-common.h`.

#[cfg(target_arch = "x86_64")]
use super::dots::Dots;
use super::pack::{Codes, code_of, join_nibbles, lay_out, split_nibbles};
#[cfg(target_arch = "x86_64")]
use super::prefetch;
use super::super_block::Scales;
use super::{Block, ROWS};
use crate::input::Wide;

/// Codes of four bits. 148 bytes a row, of which a file has 144.
#[derive(Debug)]
#[repr(C, align(32))]
pub(crate) struct Q4K {
    scales: Scales,
    nibbles: Codes<32>,
}

/// A row's code of four bits: a file has 64 columns in 32 bytes from byte `at`, the first 32 in their lower halves.
#[inline]
pub(super) fn nibble_of(row: &[u8], at: usize, column: usize) -> u8 {
    let byte = row[at + column / 64 * 32 + column % 32];
    if column % 64 < 32 {
        byte & 15
    } else {
        byte >> 4
    }
}

impl Block for Q4K {
    type Input = Wide;
    const BYTES: usize = 144;

    fn pack(rows: [&[u8]; ROWS]) -> Self {
        let codes: Codes<64> = lay_out(|row, column| nibble_of(rows[row], 16, column));
        Self {
            nibbles: join_nibbles(&codes),
            scales: Scales::pack(&rows),
        }
    }

    fn unpack(&self, row: usize, weights: &mut [f32]) {
        let mut codes = [[0; 32]; 64];
        split_nibbles(&self.nibbles, &mut codes);
        let code = |column| code_of(&codes, row, column);
        self.scales.unpack(row, code, weights);
    }

    fn multiply(&self, x: &Wide, sums: &mut [f32; ROWS]) {
        let mut codes = [[0; 32]; 64];
        split_nibbles(&self.nibbles, &mut codes);
        self.scales.multiply(&codes, x, sums);
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn multiply_vectors<V: Dots<P>, const P: usize, const M: usize>(
        blocks: [&Self; P],
        set: V,
        x: [&Wide; M],
        sums: &mut [V::Real; M],
    ) {
        let mut products = [set.zero(); M];
        for pair in 0..4 {
            let scales = Scales::pair(blocks.map(|block| &block.scales), set, pair);
            if V::HOLDS_EIGHT {
                Self::sub_blocks(blocks, set, (2 * pair, scales), x, &mut products);
            } else {
                for (half, scale) in scales.into_iter().enumerate() {
                    let sub = (2 * pair + half, [scale]);
                    Self::sub_blocks(blocks, set, sub, x, &mut products);
                }
            }
        }
        Scales::finish(blocks.map(|block| &block.scales), set, products, x, sums);
    }
}

impl Q4K {
    /// Adds the scaled products of `S` sub-blocks. They are summed in turns: each addition waits for the one before it, and
    /// with two there is more to do meanwhile, where there are registers for it. Eight sums of two products are at most
    /// 8 · 2 · 15 · 127, which 16 bits hold.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn sub_blocks<V: Dots<P>, const P: usize, const M: usize, const S: usize>(
        blocks: [&Self; P],
        set: V,
        (first, scales): (usize, [V::Whole; S]),
        x: [&Wide; M],
        products: &mut [V::Whole; M],
    ) {
        let avx2 = set.avx2();
        let mask = set.splat8(15);
        let mut parts = [[set.zero(); M]; S];
        prefetch(
            avx2,
            blocks.map(|block| &block.nibbles[4 * first..][..4 * S]),
        );
        for pair in 4 * first..4 * first + 4 {
            for (sub, parts) in parts.iter_mut().enumerate() {
                let pair = pair + 4 * sub;
                let nibbles = set.join(blocks.map(|block| avx2.load(&block.nibbles[pair])));
                let low = set.and(nibbles, mask);
                let high = set.and(set.right4(nibbles), mask);
                for row in 0..M {
                    let x = &x[row].words;
                    let x = [x[2 * pair], x[2 * pair + 1]];
                    parts[row] = set.add_two(parts[row], [low, high], x);
                }
            }
        }
        for (scale, parts) in scales.into_iter().zip(parts) {
            for row in 0..M {
                products[row] = set.add_scaled(products[row], parts[row], scale);
            }
        }
    }
}
