//! `Q5_K` of `ggml-common.h`.

#[cfg(target_arch = "x86_64")]
use super::dots::Dots;
use super::pack::{Codes, code_of, join_nibbles, lay_out, split_nibbles};
#[cfg(target_arch = "x86_64")]
use super::prefetch;
use super::q4_k::nibble_of;
use super::super_block::{SUBS, Scales};
use super::{Block, ROWS};
use crate::input::Wide;

/// Codes of five bits. 180 bytes a row, of which a file has 176.
#[derive(Debug)]
#[repr(C, align(32))]
pub(crate) struct Q5K {
    scales: Scales,
    subs: [Sub; SUBS],
}

/// The codes of a sub-block, in the order in which they are read.
#[derive(Debug)]
#[repr(C)]
struct Sub {
    /// The fifth bits: bit k belongs to vector k.
    fifths: [u8; 32],
    nibbles: Codes<4>,
}

impl Sub {
    fn pack(rows: &[&[u8]; ROWS], sub: usize) -> Self {
        let codes: Codes<8> = lay_out(|row, column| nibble_of(rows[row], 48, 32 * sub + column));
        // A file has the fifth bits of sub-block s in bits s of 32 bytes.
        let fifth = |row: usize, column: usize| rows[row][16 + column] >> sub & 1;
        let mut fifths = [0; 32];
        for group in 0..8 {
            for (at, bits) in fifths.iter_mut().enumerate() {
                *bits |= fifth(at / 4, group * 4 + at % 4) << group;
            }
        }
        Self {
            fifths,
            nibbles: join_nibbles(&codes),
        }
    }
}

impl Q5K {
    fn codes(&self) -> Codes<64> {
        let mut codes = [[0; 32]; 64];
        for (sub, codes) in self.subs.iter().zip(codes.as_chunks_mut::<8>().0) {
            split_nibbles(&sub.nibbles, codes);
            for (group, codes) in codes.iter_mut().enumerate() {
                for (code, fifths) in codes.iter_mut().zip(&sub.fifths) {
                    *code |= (fifths >> group & 1) << 4;
                }
            }
        }
        codes
    }

    /// Adds a sub-block's scaled products, of one half of its columns after the other: four sums of two products are at
    /// most 4 · 2 · 31 · 127, which 16 bits hold, and eight are not.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn sub_block<V: Dots<P>, const P: usize, const M: usize>(
        blocks: [&Self; P],
        set: V,
        (sub, scale): (usize, V::Whole),
        x: [&Wide; M],
        products: &mut [V::Whole; M],
    ) {
        let avx2 = set.avx2();
        let (mask, bit) = (set.splat8(15), set.splat8(16));
        prefetch(avx2, blocks.map(|block| &block.subs[sub]));
        let fifths = set.join(blocks.map(|block| avx2.load(&block.subs[sub].fifths)));
        // Bits 4 and up come down to the lowest ones, so that both halves go alike.
        for (half, mut bits) in [set.left4(fifths), fifths].into_iter().enumerate() {
            let mut parts = [set.zero(); M];
            for pair in 2 * half..2 * half + 2 {
                let nibbles = blocks.map(|block| avx2.load(&block.subs[sub].nibbles[pair]));
                let nibbles = set.join(nibbles);
                let low = set.or(set.and(nibbles, mask), set.and(bits, bit));
                bits = set.right1(bits);
                let high = set.and(set.right4(nibbles), mask);
                let high = set.or(high, set.and(bits, bit));
                bits = set.right1(bits);
                for row in 0..M {
                    let x = &x[row].words[8 * sub + 2 * pair..][..2];
                    parts[row] = set.add_two(parts[row], [low, high], [x[0], x[1]]);
                }
            }
            for row in 0..M {
                products[row] = set.add_scaled(products[row], parts[row], scale);
            }
        }
    }
}

impl Block for Q5K {
    type Input = Wide;
    const BYTES: usize = 176;

    fn pack(rows: [&[u8]; ROWS]) -> Self {
        Self {
            scales: Scales::pack(&rows),
            subs: std::array::from_fn(|sub| Sub::pack(&rows, sub)),
        }
    }

    fn unpack(&self, row: usize, weights: &mut [f32]) {
        let codes = self.codes();
        let code = |column| code_of(&codes, row, column);
        self.scales.unpack(row, code, weights);
    }

    fn multiply(&self, x: &Wide, sums: &mut [f32; ROWS]) {
        self.scales.multiply(&self.codes(), x, sums);
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
            for (half, scale) in scales.into_iter().enumerate() {
                Self::sub_block(blocks, set, (2 * pair + half, scale), x, &mut products);
            }
        }
        Scales::finish(blocks.map(|block| &block.scales), set, products, x, sums);
    }
}
