//! `Q6_K` of `ggml-common.h`.

#[cfg(target_arch = "x86_64")]
use super::dots::Dots;
use super::pack::{Codes, code_of, dot, join_nibbles, lay_out, split_nibbles};
#[cfg(target_arch = "x86_64")]
use super::prefetch;
use super::{Block, ROWS};
use crate::half::half_to_f32;
use crate::input::Wide;
#[cfg(target_arch = "x86_64")]
use crate::simd::Vectors;

/// Sub-blocks of 16 columns.
const SUBS: usize = 16;

/// A weight is `d · scale · (code - 32)`, with a code of six bits and a scale of eight. 212 bytes a row, of which a
/// file has 210: `d` has 32 bits, so that vectors lie on their boundaries.
#[derive(Debug)]
#[repr(C, align(32))]
pub(crate) struct Q6K {
    /// Byte 2·r + s of pair p belongs to row r and sub-block 2·p + s.
    scales: [[u8; 2 * ROWS]; SUBS / 2],
    d: [f32; ROWS],
    subs: [Sub; SUBS],
}

/// The codes of a sub-block, in the order in which they are read.
#[derive(Debug)]
#[repr(C)]
struct Sub {
    nibbles: Codes<2>,
    /// The upper two bits: those of vector k from bit 2·k on.
    uppers: [u8; 32],
}

/// Where a file has a column's code: the byte of its lower four bits and how far they are shifted, then of its upper two.
///
/// 128 columns lie in 64 bytes of lower and 32 bytes of upper bits. The first 64 have the lower halves of the former;
/// each 32 have two bits of the latter.
fn places(column: usize) -> (usize, usize, usize, usize) {
    let (half, at) = (column / 128, column % 128);
    let low = half * 64 + at % 64;
    let high = 128 + half * 32 + at % 32;
    (low, at / 64 * 4, high, at / 32 * 2)
}

impl Sub {
    fn pack(rows: &[&[u8]; ROWS], sub: usize) -> Self {
        let codes: Codes<4> = lay_out(|row, column| {
            let (low, low_shift, high, high_shift) = places(16 * sub + column);
            rows[row][low] >> low_shift & 15 | (rows[row][high] >> high_shift & 3) << 4
        });
        let mut uppers = [0; 32];
        for (group, codes) in codes.iter().enumerate() {
            for (bits, code) in uppers.iter_mut().zip(codes) {
                *bits |= code >> 4 << (2 * group);
            }
        }
        Self {
            nibbles: join_nibbles(&codes),
            uppers,
        }
    }
}

impl Q6K {
    fn codes(&self) -> Codes<64> {
        let mut codes = [[0; 32]; 64];
        for (sub, codes) in self.subs.iter().zip(codes.as_chunks_mut::<4>().0) {
            split_nibbles(&sub.nibbles, codes);
            for (group, codes) in codes.iter_mut().enumerate() {
                for (code, uppers) in codes.iter_mut().zip(&sub.uppers) {
                    *code |= (uppers >> (2 * group) & 3) << 4;
                }
            }
        }
        codes
    }

    fn scale(&self, row: usize, sub: usize) -> i32 {
        i32::from(self.scales[sub / 2][2 * row + sub % 2] as i8)
    }

    /// The four vectors of a sub-block's codes.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn vectors<V: Dots<P>, const P: usize>(
        blocks: [&Self; P],
        set: V,
        sub: usize,
    ) -> [V::Whole; 4] {
        let avx2 = set.avx2();
        let subs = blocks.map(|block| &block.subs[sub]);
        prefetch(avx2, subs);
        let first = set.join(subs.map(|sub| avx2.load(&sub.nibbles[0])));
        let second = set.join(subs.map(|sub| avx2.load(&sub.nibbles[1])));
        let uppers = set.join(subs.map(|sub| avx2.load(&sub.uppers)));
        [
            join(set, first, set.left4(uppers)),
            join(set, set.right4(first), set.left2(uppers)),
            join(set, second, uppers),
            join(set, set.right4(second), set.right2(uppers)),
        ]
    }

    /// Adds a sub-block's scaled products. Two sums of two products are at most 2 · 2 · 63 · 127, which 16 bits hold.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn sub_block<V: Dots<P>, const P: usize, const M: usize>(
        blocks: [&Self; P],
        set: V,
        (sub, scale): (usize, V::Whole),
        x: [&Wide; M],
        products: &mut [V::Whole; M],
    ) {
        let codes = Self::vectors(blocks, set, sub);
        for row in 0..M {
            let x = &x[row].words[4 * sub..][..4];
            let x = [x[0], x[1], x[2], x[3]];
            products[row] = set.add_four_scaled(products[row], codes, x, scale);
        }
    }
}

/// Codes of their lower four and upper two bits, where each stands in its place among others.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn join<V: Vectors>(set: V, lower: V::Whole, upper: V::Whole) -> V::Whole {
    let lower = set.and(lower, set.splat8(15));
    set.or(lower, set.and(upper, set.splat8(48)))
}

impl Block for Q6K {
    type Input = Wide;
    const BYTES: usize = 210;

    fn pack(rows: [&[u8]; ROWS]) -> Self {
        let scale = |row: usize, sub: usize| rows[row][192 + sub];
        Self {
            scales: std::array::from_fn(|pair| {
                std::array::from_fn(|at| scale(at / 2, 2 * pair + at % 2))
            }),
            d: rows.map(|row| half_to_f32(u16::from_le_bytes([row[208], row[209]]))),
            subs: std::array::from_fn(|sub| Sub::pack(&rows, sub)),
        }
    }

    fn unpack(&self, row: usize, weights: &mut [f32]) {
        let codes = self.codes();
        for (column, weight) in weights.iter_mut().enumerate() {
            let code = f32::from(code_of(&codes, row, column)) - 32.0;
            *weight = self.d[row] * self.scale(row, column / 16) as f32 * code;
        }
    }

    fn multiply(&self, x: &Wide, sums: &mut [f32; ROWS]) {
        let codes = self.codes();
        let mut products = [0; ROWS];
        for sub in 0..SUBS {
            let total = i32::from((x.sums16[sub / 2] >> (16 * (sub % 2))) as i16);
            let mut parts = [-32 * total; ROWS];
            dot(&codes[4 * sub..][..4], &x.words[4 * sub..][..4], &mut parts);
            for (row, part) in parts.iter().enumerate() {
                products[row] += self.scale(row, sub) * part;
            }
        }
        for ((sum, product), d) in sums.iter_mut().zip(products).zip(self.d) {
            *sum = (d * x.scale).mul_add(product as f32, *sum);
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn multiply_vectors<V: Dots<P>, const P: usize, const M: usize>(
        blocks: [&Self; P],
        set: V,
        x: [&Wide; M],
        sums: &mut [V::Real; M],
    ) {
        let avx2 = set.avx2();
        let mut products = [set.zero(); M];
        // What the input's sums take away, 32 times.
        let mut offsets = [set.zero(); M];
        prefetch(avx2, blocks.map(|block| &block.scales));
        prefetch(avx2, blocks.map(|block| &block.d));
        for pair in 0..SUBS / 2 {
            let scales = blocks.map(|block| avx2.widen_i8(avx2.load16(&block.scales[pair])));
            let scales = set.join(scales);
            for row in 0..M {
                offsets[row] = set.add_pairs(offsets[row], scales, x[row].sums16[pair]);
            }
            let [first, second] = set.scales(scales);
            Self::sub_block(blocks, set, (2 * pair, first), x, &mut products);
            Self::sub_block(blocks, set, (2 * pair + 1, second), x, &mut products);
        }
        let d = set.join_f32(blocks.map(|block| avx2.load_f32(&block.d)));
        for row in 0..M {
            let product = set.sub32(products[row], set.times32(offsets[row]));
            let d = set.multiply(d, set.splat_f32(x[row].scale));
            sums[row] = set.multiply_add(d, set.to_f32(product), sums[row]);
        }
    }
}
