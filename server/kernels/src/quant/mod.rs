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
use crate::simd::Set;
use crate::tasks::Task;
#[cfg(target_arch = "x86_64")]
use dots::Dots;
use rayon::prelude::*;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::__m256;

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

    /// The same for `M` rows of the input at once, with the same bits.
    #[cfg(target_arch = "x86_64")]
    fn multiply_vectors<V: Dots, const M: usize>(
        &self,
        set: V,
        x: [&Self::Input; M],
        sums: &mut [__m256; M],
    );
}

/// A quantised matrix: the blocks of its panels, one panel after the other.
#[derive(Debug)]
pub(crate) struct Quantised<B> {
    blocks: Vec<B>,
    /// Blocks of a row.
    width: usize,
}

impl<B: Block> Quantised<B> {
    /// Repacks a file's bytes of `rows` · `columns` weights, whose number the caller has checked.
    pub(crate) fn pack(bytes: &[u8], rows: usize, columns: usize) -> Self {
        let width = columns / B::Input::COLUMNS;
        let row = |row: usize, block: usize| &bytes[(row * width + block) * B::BYTES..][..B::BYTES];
        // Missing rows of the last panel are blocks of zero bytes, whose weights are zeros.
        let zeros = vec![0; B::BYTES];
        let blocks = (0..rows.div_ceil(ROWS) * width)
            .into_par_iter()
            .map(|at| {
                let (first, block) = (at / width * ROWS, at % width);
                B::pack(std::array::from_fn(|offset| match first + offset {
                    at if at < rows => row(at, block),
                    _ => &zeros[..],
                }))
            })
            .collect();
        Self { blocks, width }
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&self.blocks[..])
    }

    /// Writes the weights of a row.
    pub(crate) fn unpack(&self, row: usize, weights: &mut [f32]) {
        let panel = self.panel(row / ROWS);
        for (block, weights) in panel
            .iter()
            .zip(weights.chunks_exact_mut(B::Input::COLUMNS))
        {
            block.unpack(row % ROWS, weights);
        }
    }

    fn panel(&self, at: usize) -> &[B] {
        &self.blocks[at * self.width..][..self.width]
    }

    /// Does a part of a product.
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
        }
    }

    fn run_portable(&self, task: &mut Task<'_, B::Input>) {
        for (index, panel) in task.panels.clone().enumerate() {
            let panel = self.panel(panel);
            for (x, out) in task.x.chunks_exact(self.width).zip(&mut task.out) {
                let mut sums = [0.0; ROWS];
                for (block, x) in panel.iter().zip(x) {
                    block.multiply(x, &mut sums);
                }
                put(out, index, &sums);
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn run_vectors<V: Dots>(&self, set: V, task: &mut Task<'_, B::Input>) {
        for (index, panel) in task.panels.clone().enumerate() {
            let panel = self.panel(panel);
            let x = task.x.chunks(GROUP * self.width);
            for (x, out) in x.zip(task.out.chunks_mut(GROUP)) {
                group(set, panel, x, index, out);
            }
        }
    }
}

/// How far ahead of the computation weights are asked for.
#[cfg(target_arch = "x86_64")]
const AHEAD: usize = 4096;
/// Rows of the input that blocks meet while they are in the first cache. Had a panel to pass once for each tile, it
/// would come from memory in the first pass, and nothing would come in the others.
#[cfg(target_arch = "x86_64")]
const GROUP: usize = 16;
/// Columns that a tile of a group meets before the next one does.
#[cfg(target_arch = "x86_64")]
const STRETCH: usize = 256;

/// The products of a panel with up to [`GROUP`] rows of the input.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn group<B: Block, V: Dots>(
    set: V,
    panel: &[B],
    x: &[B::Input],
    index: usize,
    out: &mut [&mut [f32]],
) {
    let avx2 = set.avx2();
    let width = panel.len();
    let mut sums = [avx2.zero_f32(); GROUP];
    let sums = &mut sums[..out.len()];
    let stretch = STRETCH / B::Input::COLUMNS;
    for (at, blocks) in panel.chunks(stretch).enumerate() {
        let x = &x[at * stretch..];
        blocks.iter().for_each(
            #[inline(always)]
            |block| avx2.prefetch(block, AHEAD),
        );
        tiles(set, blocks, (x, width), sums);
    }
    for (out, sum) in out.iter_mut().zip(sums) {
        put(out, index, &avx2.numbers(*sum));
    }
}

/// Adds the products of some blocks with rows of the input, as many at once as there are registers for sums.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn tiles<B: Block, V: Dots>(
    set: V,
    blocks: &[B],
    (x, width): (&[B::Input], usize),
    sums: &mut [__m256],
) {
    let mut done = 0;
    while done < sums.len() {
        let (x, sums) = ((&x[done * width..], width), &mut sums[done..]);
        done += match sums.len() {
            8.. if V::HOLDS_EIGHT => tile::<B, V, 8>(set, blocks, x, sums),
            4.. => tile::<B, V, 4>(set, blocks, x, sums),
            3 => tile::<B, V, 3>(set, blocks, x, sums),
            2 => tile::<B, V, 2>(set, blocks, x, sums),
            _ => tile::<B, V, 1>(set, blocks, x, sums),
        }
    }
}

/// Adds the products of some blocks with the first `M` rows of the input, which are `width` blocks apart; gives `M`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn tile<B: Block, V: Dots, const M: usize>(
    set: V,
    blocks: &[B],
    (x, width): (&[B::Input], usize),
    all: &mut [__m256],
) -> usize {
    let x: [&[B::Input]; M] = std::array::from_fn(|row| &x[row * width..][..blocks.len()]);
    let mut sums: [__m256; M] = std::array::from_fn(|row| all[row]);
    for (at, block) in blocks.iter().enumerate() {
        block.multiply_vectors(set, std::array::from_fn(|row| &x[row][at]), &mut sums);
    }
    all[..M].copy_from_slice(&sums);
    M
}

/// Writes a panel's results into its place of a row, which may end within it.
#[inline(always)]
pub(crate) fn put(out: &mut [f32], index: usize, numbers: &[f32; ROWS]) {
    let out = &mut out[index * ROWS..];
    match out.first_chunk_mut() {
        // Of a known length, so that no function is called for it.
        Some(out) => *out = *numbers,
        None => out.copy_from_slice(&numbers[..out.len()]),
    }
}
