//! Blocks of 32 columns: `Q4_0`, `Q4_1` and `Q8_0` of `ggml-common.h`.

#[cfg(target_arch = "x86_64")]
use super::dots::Dots;
use super::pack::{Codes, code_of, dot, join_nibbles, lay_out, split_nibbles};
#[cfg(target_arch = "x86_64")]
use super::prefetch;
use super::{Block, ROWS};
use crate::half::half_to_f32;
use crate::input::Narrow;

/// A weight is `d · (code - 8)`. 18 bytes a row, as in a file.
#[derive(Debug)]
pub(crate) struct Q4_0 {
    d: [u16; ROWS],
    nibbles: Codes<4>,
}

/// A weight is `d · code + m`. 20 bytes a row, as in a file.
#[derive(Debug)]
pub(crate) struct Q4_1 {
    d: [u16; ROWS],
    m: [u16; ROWS],
    nibbles: Codes<4>,
}

/// A weight is `d · code` with the code's sign. 34 bytes a row, as in a file.
#[derive(Debug)]
pub(crate) struct Q8_0 {
    d: [u16; ROWS],
    codes: Codes<8>,
}

/// The little-endian word at byte `at` of each row.
fn words_at(rows: &[&[u8]; ROWS], at: usize) -> [u16; ROWS] {
    rows.map(|row| u16::from_le_bytes([row[at], row[at + 1]]))
}

/// Codes of four bits, columns 0 to 15 in the lower halves of 16 bytes from byte `at`, the rest in the upper ones.
fn nibbles_at(rows: &[&[u8]; ROWS], at: usize) -> Codes<4> {
    let codes: Codes<8> = lay_out(|row, column| {
        let byte = rows[row][at + column % 16];
        if column < 16 { byte & 15 } else { byte >> 4 }
    });
    join_nibbles(&codes)
}

impl Block for Q4_0 {
    type Input = Narrow;
    const BYTES: usize = 18;

    fn pack(rows: [&[u8]; ROWS]) -> Self {
        Self {
            d: words_at(&rows, 0),
            nibbles: nibbles_at(&rows, 2),
        }
    }

    fn unpack(&self, row: usize, weights: &mut [f32]) {
        let d = half_to_f32(self.d[row]);
        let mut codes = [[0; 32]; 8];
        split_nibbles(&self.nibbles, &mut codes);
        for (column, weight) in weights.iter_mut().enumerate() {
            *weight = d * (f32::from(code_of(&codes, row, column)) - 8.0);
        }
    }

    fn multiply(&self, x: &Narrow, sums: &mut [f32; ROWS]) {
        let mut codes = [[0; 32]; 8];
        split_nibbles(&self.nibbles, &mut codes);
        let mut products = [-8 * x.sum; ROWS];
        dot(&codes, &x.words, &mut products);
        for ((sum, product), d) in sums.iter_mut().zip(products).zip(self.d) {
            *sum = (half_to_f32(d) * x.scale).mul_add(product as f32, *sum);
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn multiply_vectors<V: Dots<P>, const P: usize, const M: usize>(
        blocks: [&Self; P],
        set: V,
        x: [&Narrow; M],
        sums: &mut [V::Real; M],
    ) {
        let avx2 = set.avx2();
        prefetch(avx2, blocks);
        let products = nibble_products(set, blocks.map(|block| &block.nibbles), x);
        let d = set.join_f32(blocks.map(|block| avx2.half_to_f32(avx2.load_words(&block.d))));
        for row in 0..M {
            let product = set.add32(products[row], set.splat32(-8 * x[row].sum));
            let d = set.multiply(d, set.splat_f32(x[row].scale));
            sums[row] = set.multiply_add(d, set.to_f32(product), sums[row]);
        }
    }
}

impl Block for Q4_1 {
    type Input = Narrow;
    const BYTES: usize = 20;

    fn pack(rows: [&[u8]; ROWS]) -> Self {
        Self {
            d: words_at(&rows, 0),
            m: words_at(&rows, 2),
            nibbles: nibbles_at(&rows, 4),
        }
    }

    fn unpack(&self, row: usize, weights: &mut [f32]) {
        let (d, m) = (half_to_f32(self.d[row]), half_to_f32(self.m[row]));
        let mut codes = [[0; 32]; 8];
        split_nibbles(&self.nibbles, &mut codes);
        for (column, weight) in weights.iter_mut().enumerate() {
            *weight = d * f32::from(code_of(&codes, row, column)) + m;
        }
    }

    fn multiply(&self, x: &Narrow, sums: &mut [f32; ROWS]) {
        let mut codes = [[0; 32]; 8];
        split_nibbles(&self.nibbles, &mut codes);
        let mut products = [0; ROWS];
        dot(&codes, &x.words, &mut products);
        let total = x.scale * x.sum as f32;
        for (row, sum) in sums.iter_mut().enumerate() {
            let d = half_to_f32(self.d[row]) * x.scale;
            *sum = d.mul_add(products[row] as f32, *sum);
            *sum = half_to_f32(self.m[row]).mul_add(total, *sum);
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn multiply_vectors<V: Dots<P>, const P: usize, const M: usize>(
        blocks: [&Self; P],
        set: V,
        x: [&Narrow; M],
        sums: &mut [V::Real; M],
    ) {
        let avx2 = set.avx2();
        prefetch(avx2, blocks);
        let products = nibble_products(set, blocks.map(|block| &block.nibbles), x);
        let d = set.join_f32(blocks.map(|block| avx2.half_to_f32(avx2.load_words(&block.d))));
        let m = set.join_f32(blocks.map(|block| avx2.half_to_f32(avx2.load_words(&block.m))));
        for row in 0..M {
            let total = set.splat_f32(x[row].scale * x[row].sum as f32);
            let d = set.multiply(d, set.splat_f32(x[row].scale));
            sums[row] = set.multiply_add(d, set.to_f32(products[row]), sums[row]);
            sums[row] = set.multiply_add(m, total, sums[row]);
        }
    }
}

/// Each row's sum over 32 columns of codes of four bits. Eight sums of two products are at most 8 · 2 · 15 · 128, which
/// 16 bits hold.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn nibble_products<V: Dots<P>, const P: usize, const M: usize>(
    set: V,
    nibbles: [&Codes<4>; P],
    x: [&Narrow; M],
) -> [V::Whole; M] {
    let avx2 = set.avx2();
    let mask = set.splat8(15);
    let mut parts = [set.zero(); M];
    for pair in 0..4 {
        let nibbles = set.join(nibbles.map(|nibbles| avx2.load(&nibbles[pair])));
        let low = set.and(nibbles, mask);
        let high = set.and(set.right4(nibbles), mask);
        for row in 0..M {
            let x = &x[row].words;
            let x = [x[2 * pair], x[2 * pair + 1]];
            parts[row] = set.add_two(parts[row], [low, high], x);
        }
    }
    parts.map(|part| set.whole(part))
}

impl Block for Q8_0 {
    type Input = Narrow;
    const BYTES: usize = 34;

    fn pack(rows: [&[u8]; ROWS]) -> Self {
        Self {
            d: words_at(&rows, 0),
            codes: lay_out(|row, column| rows[row][2 + column]),
        }
    }

    fn unpack(&self, row: usize, weights: &mut [f32]) {
        let d = half_to_f32(self.d[row]);
        for (column, weight) in weights.iter_mut().enumerate() {
            *weight = d * f32::from(code_of(&self.codes, row, column) as i8);
        }
    }

    fn multiply(&self, x: &Narrow, sums: &mut [f32; ROWS]) {
        // As bytes without a sign the codes are 128 more than they are.
        let codes = self.codes.map(|codes| codes.map(|code| code ^ 128));
        let mut products = [-128 * x.sum; ROWS];
        dot(&codes, &x.words, &mut products);
        for ((sum, product), d) in sums.iter_mut().zip(products).zip(self.d) {
            *sum = (half_to_f32(d) * x.scale).mul_add(product as f32, *sum);
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn multiply_vectors<V: Dots<P>, const P: usize, const M: usize>(
        blocks: [&Self; P],
        set: V,
        x: [&Narrow; M],
        sums: &mut [V::Real; M],
    ) {
        let avx2 = set.avx2();
        prefetch(avx2, blocks);
        let mut products = x.map(|x| set.begin_signed(x.sum));
        for group in 0..8 {
            let codes = set.join(blocks.map(|block| avx2.load(&block.codes[group])));
            let codes = set.signed(codes);
            for row in 0..M {
                let x = x[row].words[group];
                products[row] = set.add_signed(products[row], codes, x);
            }
        }
        let d = set.join_f32(blocks.map(|block| avx2.half_to_f32(avx2.load_words(&block.d))));
        for row in 0..M {
            let d = set.multiply(d, set.splat_f32(x[row].scale));
            sums[row] = set.multiply_add(d, set.to_f32(products[row]), sums[row]);
        }
    }
}
