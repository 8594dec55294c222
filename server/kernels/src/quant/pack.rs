//! Codes of eight rows as vectors of 32 bytes, and back.

use super::ROWS;

/// The codes of eight rows for so many groups of four columns.
pub(super) type Codes<const GROUPS: usize> = [[u8; 32]; GROUPS];

/// Lays out codes that `code` gives for a row and a column.
pub(super) fn lay_out<const GROUPS: usize>(code: impl Fn(usize, usize) -> u8) -> Codes<GROUPS> {
    let mut codes = [[0; 32]; GROUPS];
    for (group, codes) in codes.iter_mut().enumerate() {
        for (at, place) in codes.iter_mut().enumerate() {
            *place = code(at / 4, group * 4 + at % 4);
        }
    }
    codes
}

/// The code of one row and column.
#[inline(always)]
pub(super) fn code_of(codes: &[[u8; 32]], row: usize, column: usize) -> u8 {
    codes[column / 4][row * 4 + column % 4]
}

/// The lower four bits of codes, those of each second vector in the upper halves of the bytes of the one before.
pub(super) fn join_nibbles<const GROUPS: usize, const HALF: usize>(
    codes: &Codes<GROUPS>,
) -> Codes<HALF> {
    std::array::from_fn(|pair| {
        std::array::from_fn(|at| codes[2 * pair][at] & 15 | codes[2 * pair + 1][at] << 4)
    })
}

/// What [`join_nibbles`] joined.
#[inline(always)]
pub(super) fn split_nibbles(joined: &[[u8; 32]], codes: &mut [[u8; 32]]) {
    for (joined, codes) in joined.iter().zip(codes.as_chunks_mut::<2>().0) {
        for (at, joined) in joined.iter().enumerate() {
            codes[0][at] = joined & 15;
            codes[1][at] = joined >> 4;
        }
    }
}

/// Each row's sum of products of its codes and the input's.
#[inline(always)]
pub(super) fn dot(codes: &[[u8; 32]], words: &[i32], sums: &mut [i32; ROWS]) {
    for (codes, word) in codes.iter().zip(words) {
        let x = word.to_le_bytes().map(|x| i32::from(x as i8));
        for (sum, codes) in sums.iter_mut().zip(codes.as_chunks::<4>().0) {
            for (code, x) in codes.iter().zip(x) {
                *sum += i32::from(*code) * x;
            }
        }
    }
}
