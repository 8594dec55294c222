//! What `Q4_K` and `Q5_K` share: scales and minimums of six bits for each 32 of 256 columns.

use super::ROWS;
#[cfg(target_arch = "x86_64")]
use super::dots::Dots;
use super::pack::dot;
#[cfg(target_arch = "x86_64")]
use super::prefetch;
use crate::half::half_to_f32;
use crate::input::Wide;

/// Sub-blocks of 32 columns.
pub(super) const SUBS: usize = 8;

/// A weight is `d · scale · code - dmin · min`.
///
/// A file packs six bits a number, here it is eight, so that vectors of them are read as they are: 20 bytes a row in
/// place of 16. Byte 2·r + s of pair p belongs to row r and sub-block 2·p + s.
#[derive(Debug)]
pub(super) struct Scales {
    d: [u16; ROWS],
    dmin: [u16; ROWS],
    scales: [[u8; 2 * ROWS]; SUBS / 2],
    mins: [[u8; 2 * ROWS]; SUBS / 2],
}

impl Scales {
    /// From the first 16 bytes of each row's block.
    pub(super) fn pack(rows: &[&[u8]; ROWS]) -> Self {
        let word = |at: usize| rows.map(|row| u16::from_le_bytes([row[at], row[at + 1]]));
        let mut scales = [[0; 2 * ROWS]; SUBS / 2];
        let mut mins = scales;
        for (row, bytes) in rows.iter().enumerate() {
            for sub in 0..SUBS {
                let (scale, min) = six_bits(&bytes[4..16], sub);
                scales[sub / 2][2 * row + sub % 2] = scale;
                mins[sub / 2][2 * row + sub % 2] = min;
            }
        }
        Self {
            d: word(0),
            dmin: word(2),
            scales,
            mins,
        }
    }

    /// Writes the weights of one row, whose codes are given by column.
    pub(super) fn unpack(&self, row: usize, code: impl Fn(usize) -> u8, weights: &mut [f32]) {
        let (d, dmin) = (half_to_f32(self.d[row]), half_to_f32(self.dmin[row]));
        for (column, weight) in weights.iter_mut().enumerate() {
            let sub = column / 32;
            let at = 2 * row + sub % 2;
            let scale = d * f32::from(self.scales[sub / 2][at]);
            let min = dmin * f32::from(self.mins[sub / 2][at]);
            *weight = scale * f32::from(code(column)) - min;
        }
    }

    /// Adds the product of the weights, whose codes these are, to each row's sum.
    pub(super) fn multiply(&self, codes: &[[u8; 32]; 64], x: &Wide, sums: &mut [f32; ROWS]) {
        let (mut products, mut mins) = ([0; ROWS], [0; ROWS]);
        for sub in 0..SUBS {
            let mut parts = [0; ROWS];
            dot(&codes[8 * sub..][..8], &x.words[8 * sub..][..8], &mut parts);
            let total = i32::from((x.sums32[sub / 2] >> (16 * (sub % 2))) as i16);
            for row in 0..ROWS {
                let at = 2 * row + sub % 2;
                products[row] += i32::from(self.scales[sub / 2][at]) * parts[row];
                mins[row] += i32::from(self.mins[sub / 2][at]) * total;
            }
        }
        for (row, sum) in sums.iter_mut().enumerate() {
            let d = half_to_f32(self.d[row]) * x.scale;
            let dmin = half_to_f32(self.dmin[row]) * x.scale;
            *sum = d.mul_add(products[row] as f32, *sum);
            *sum = (-dmin).mul_add(mins[row] as f32, *sum);
        }
    }

    /// The scales of two sub-blocks.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(super) fn pair<V: Dots<P>, const P: usize>(
        blocks: [&Self; P],
        set: V,
        pair: usize,
    ) -> [V::Whole; 2] {
        let avx2 = set.avx2();
        let scales = blocks.map(|block| avx2.widen_u8(avx2.load16(&block.scales[pair])));
        set.scales(set.join(scales))
    }

    /// Adds products of scaled codes, and takes the minimums' part away.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(super) fn finish<V: Dots<P>, const P: usize, const M: usize>(
        blocks: [&Self; P],
        set: V,
        products: [V::Whole; M],
        x: [&Wide; M],
        sums: &mut [V::Real; M],
    ) {
        let avx2 = set.avx2();
        let mut parts = [set.zero(); M];
        prefetch(avx2, blocks);
        for pair in 0..SUBS / 2 {
            let mins = blocks.map(|block| avx2.widen_u8(avx2.load16(&block.mins[pair])));
            let mins = set.join(mins);
            for row in 0..M {
                parts[row] = set.add_pairs(parts[row], mins, x[row].sums32[pair]);
            }
        }
        let d = set.join_f32(blocks.map(|block| avx2.half_to_f32(avx2.load_words(&block.d))));
        let dmin = set.join_f32(blocks.map(|block| avx2.half_to_f32(avx2.load_words(&block.dmin))));
        for row in 0..M {
            let scale = set.splat_f32(x[row].scale);
            let d = set.multiply(d, scale);
            let dmin = set.multiply(dmin, scale);
            sums[row] = set.multiply_add(d, set.to_f32(products[row]), sums[row]);
            sums[row] = set.multiply_subtract(dmin, set.to_f32(parts[row]), sums[row]);
        }
    }
}

/// The scale and the minimum of a sub-block from the 12 bytes that hold those of all eight: the first four of each in
/// the lower six bits of a byte, of the others four bits in a byte of their own and two on top of the first ones.
fn six_bits(bytes: &[u8], sub: usize) -> (u8, u8) {
    if sub < 4 {
        return (bytes[sub] & 63, bytes[sub + 4] & 63);
    }
    let low = bytes[sub + 4];
    let scale = low & 15 | bytes[sub - 4] >> 6 << 4;
    let min = low >> 4 | bytes[sub] >> 6 << 4;
    (scale, min)
}
