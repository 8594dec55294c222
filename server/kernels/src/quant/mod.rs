//! Quantised weights, eight rows side by side.
//!
//! A *panel* is eight rows of the matrix. Of each block of columns a panel has one value of the types here: the scales
//! of its eight rows, and their codes as vectors of 32 bytes. Byte 4·r + c of vector k is the code of row r and column
//! 4·k + c; so four neighbouring columns of the input, copied to all places of a register, meet the weights of eight
//! rows, and the sums of all eight stand in the eight places of one register.

#[cfg(target_arch = "x86_64")]
mod dots;
mod legacy;
mod pack;
mod q4_k;
mod q5_k;
mod q6_k;
mod super_block;

pub(crate) use legacy::{Q4_0, Q4_1, Q8_0};
pub(crate) use q4_k::Q4K;
pub(crate) use q5_k::Q5K;
pub(crate) use q6_k::Q6K;

use crate::input::Input;
#[cfg(target_arch = "x86_64")]
use crate::simd::Avx2;
use crate::simd::Set;
use crate::tasks::Task;
#[cfg(target_arch = "x86_64")]
use dots::Dots;
use rayon::prelude::*;

/// Rows of a panel.
pub(crate) const ROWS: usize = 8;

/// One block of columns of a panel.
pub(crate) trait Block: Sized + Send + Sync {
    /// What a block of the input is.
    type Input: Input;
    /// Bytes of a row's block in a file.
    const BYTES: usize;

    /// From the blocks of eight rows as a file has them.
    fn pack(rows: [&[u8]; ROWS]) -> Self;

    /// Writes the weights of one row.
    fn unpack(&self, row: usize, weights: &mut [f32]);

    /// Adds the product with a block of the input to each row's sum.
    fn multiply(&self, x: &Self::Input, sums: &mut [f32; ROWS]);

    /// The same for a block of `P` panels and `M` rows of the input at once, with the same bits.
    #[cfg(target_arch = "x86_64")]
    fn multiply_vectors<V: Dots<P>, const P: usize, const M: usize>(
        blocks: [&Self; P],
        set: V,
        x: [&Self::Input; M],
        sums: &mut [V::Real; M],
    );
}

/// Panels that lie together: of each block of columns both have theirs side by side, so that memory is read in one
/// sequence, by those who take both at once and by those who don't.
const PAIR: usize = 2;

/// A quantised matrix: the blocks of its pairs of panels, one pair after the other.
#[derive(Debug)]
pub(crate) struct Quantised<B> {
    blocks: Vec<[B; PAIR]>,
    /// Blocks of a row.
    width: usize,
}

impl<B: Block> Quantised<B> {
    /// Repacks a file's bytes of `rows` · `columns` weights, whose number the caller has checked.
    pub(crate) fn pack(bytes: &[u8], rows: usize, columns: usize) -> Self {
        let width = columns / B::Input::COLUMNS;
        let row = |row: usize, block: usize| &bytes[(row * width + block) * B::BYTES..][..B::BYTES];
        // Missing rows of the last pair are blocks of zero bytes, whose weights are zeros.
        let zeros = vec![0; B::BYTES];
        let panel = |first: usize, block: usize| {
            B::pack(std::array::from_fn(|offset| match first + offset {
                at if at < rows => row(at, block),
                _ => &zeros[..],
            }))
        };
        let blocks = (0..rows.div_ceil(PAIR * ROWS) * width)
            .into_par_iter()
            .map(|at| {
                let (first, block) = (at / width * PAIR, at % width);
                std::array::from_fn(|offset| panel((first + offset) * ROWS, block))
            })
            .collect();
        Self { blocks, width }
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&self.blocks[..])
    }

    /// Writes the weights of a row.
    pub(crate) fn unpack(&self, row: usize, weights: &mut [f32]) {
        let (pair, panel) = (row / (PAIR * ROWS), row / ROWS % PAIR);
        for (blocks, weights) in self
            .pair(pair)
            .iter()
            .zip(weights.chunks_exact_mut(B::Input::COLUMNS))
        {
            blocks[panel].unpack(row % ROWS, weights);
        }
    }

    fn pair(&self, at: usize) -> &[[B; PAIR]] {
        &self.blocks[at * self.width..][..self.width]
    }

    /// Does a part of a product, which begins with a pair.
    pub(crate) fn run(&self, set: Set, task: &mut Task<'_, B::Input>) {
        match set {
            Set::Portable => self.run_portable(task),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2(avx2) => avx2.enter(
                #[inline(always)]
                || self.run_vectors(avx2, task),
            ),
            #[cfg(target_arch = "x86_64")]
            Set::Vnni(vnni) => vnni.enter(
                #[inline(always)]
                || self.run_vectors(vnni, task),
            ),
            #[cfg(target_arch = "x86_64")]
            Set::Vnni512(wide) => wide.0.enter(
                #[inline(always)]
                || self.run_vectors(wide, task),
            ),
        }
    }

    fn run_portable(&self, task: &mut Task<'_, B::Input>) {
        for (index, panel) in task.panels.clone().enumerate() {
            let pair = self.pair(panel / PAIR);
            for (x, out) in task.x.chunks_exact(self.width).zip(&mut task.out) {
                let mut sums = [0.0; ROWS];
                for (blocks, x) in pair.iter().zip(x) {
                    blocks[panel % PAIR].multiply(x, &mut sums);
                }
                put(out, index, &sums);
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn run_vectors<V: Dots<P>, const P: usize>(&self, set: V, task: &mut Task<'_, B::Input>) {
        for index in (0..task.panels.len()).step_by(PAIR) {
            let pair = self.pair((task.panels.start + index) / PAIR);
            let x = task.x.chunks(GROUP * self.width);
            for (x, out) in x.zip(task.out.chunks_mut(GROUP)) {
                group(set, pair, x, index, out);
            }
        }
    }
}

/// How far ahead of the computation weights are asked for: so much is on its way from memory while others are multiplied.
#[cfg(target_arch = "x86_64")]
const AHEAD: usize = 12 * 1024;

/// Asks for what lies [`AHEAD`] of a part of some blocks. All of a block at once would be more than can be on its way, and
/// would stop the computation; so blocks ask for a part of the later ones with each part of theirs.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn prefetch<T: ?Sized, const P: usize>(avx2: Avx2, parts: [&T; P]) {
    for part in parts {
        avx2.prefetch(part, AHEAD);
    }
}

/// Rows of the input that blocks meet while they are in the first cache. Had a panel to pass once for each tile, it
/// would come from memory in the first pass, and nothing would come in the others.
#[cfg(target_arch = "x86_64")]
const GROUP: usize = 16;
/// Columns that a tile of a group meets before the next one does.
#[cfg(target_arch = "x86_64")]
const STRETCH: usize = 256;

/// The products of a pair of panels with up to [`GROUP`] rows of the input, `P` panels at once.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn group<B: Block, V: Dots<P>, const P: usize>(
    set: V,
    pair: &[[B; PAIR]],
    x: &[B::Input],
    index: usize,
    out: &mut [&mut [f32]],
) {
    let avx2 = set.avx2();
    let width = pair.len();
    let mut sums = [[set.zero_f32(); GROUP]; PAIR];
    let stretch = STRETCH / B::Input::COLUMNS;
    for (at, blocks) in pair.chunks(stretch).enumerate() {
        let x = &x[at * stretch..];
        for first in (0..PAIR).step_by(P) {
            let sums = &mut sums[first][..out.len()];
            tiles(set, (blocks, first), (x, width), sums);
        }
    }
    for (row, out) in out.iter_mut().enumerate() {
        for first in (0..PAIR).step_by(P) {
            let sums = set.split_f32(sums[first][row]);
            for (offset, sum) in sums.into_iter().enumerate() {
                put(out, index + first + offset, &avx2.numbers(sum));
            }
        }
    }
}

/// Adds the products of some blocks, of the panels from `first` on, with rows of the input, as many at once as there are
/// registers for sums.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn tiles<B: Block, V: Dots<P>, const P: usize>(
    set: V,
    blocks: (&[[B; PAIR]], usize),
    (x, width): (&[B::Input], usize),
    sums: &mut [V::Real],
) {
    let mut done = 0;
    while done < sums.len() {
        let (x, sums) = ((&x[done * width..], width), &mut sums[done..]);
        done += match sums.len() {
            8.. if V::HOLDS_EIGHT => tile::<B, V, P, 8>(set, blocks, x, sums),
            4.. => tile::<B, V, P, 4>(set, blocks, x, sums),
            3 => tile::<B, V, P, 3>(set, blocks, x, sums),
            2 => tile::<B, V, P, 2>(set, blocks, x, sums),
            _ => tile::<B, V, P, 1>(set, blocks, x, sums),
        }
    }
}

/// Adds the products of some blocks, of the panels from `first` on, with the first `M` rows of the input, which are
/// `width` blocks apart; gives `M`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn tile<B: Block, V: Dots<P>, const P: usize, const M: usize>(
    set: V,
    (blocks, first): (&[[B; PAIR]], usize),
    (x, width): (&[B::Input], usize),
    all: &mut [V::Real],
) -> usize {
    let x: [&[B::Input]; M] = std::array::from_fn(|row| &x[row * width..][..blocks.len()]);
    let mut sums: [V::Real; M] = std::array::from_fn(|row| all[row]);
    for (at, pair) in blocks.iter().enumerate() {
        let blocks = std::array::from_fn(|offset| &pair[first + offset]);
        let x = std::array::from_fn(|row| &x[row][at]);
        B::multiply_vectors(blocks, set, x, &mut sums);
    }
    all[..M].copy_from_slice(&sums);
    M
}

/// Writes a panel's results into its place of a row, which may end within it or before it.
#[inline(always)]
pub(crate) fn put(out: &mut [f32], index: usize, numbers: &[f32; ROWS]) {
    let Some(out) = out.get_mut(index * ROWS..) else {
        return;
    };
    match out.first_chunk_mut() {
        // Of a known length, so that no function is called for it.
        Some(out) => *out = *numbers,
        None => out.copy_from_slice(&numbers[..out.len()]),
    }
}
