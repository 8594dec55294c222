//! Weights that are plain numbers, eight rows side by side.
//!
//! All is computed with 32 bits; numbers of 16 bits are widened in registers. A sum begins with the first column and
//! goes on to the last, so that no tiling changes it; with AVX2 each product is added without rounding in between.

use crate::half::{bfloat_to_f32, half_to_f32};
use crate::quant::{ROWS, put};
use crate::simd::Set;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Vectors, Vnni, Vnni512};
use crate::tasks::Task;
#[cfg(target_arch = "x86_64")]
use crate::tasks::{MOST_ROWS, tile_rows};
use rayon::prelude::*;
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::__m256;

/// A number of a file.
pub(crate) trait Number: Copy + Send + Sync {
    /// Bytes of it in a file.
    const BYTES: usize;
    /// Zero.
    const ZERO: Self;

    /// From a file's bytes.
    fn read(bytes: &[u8]) -> Self;

    /// What it stands for.
    fn value(self) -> f32;

    /// Eight values.
    #[cfg(target_arch = "x86_64")]
    fn load(avx2: Avx2, numbers: &[Self; ROWS]) -> __m256;
}

/// A number of 32 bits.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(crate) struct F32(f32);

/// The upper half of a number of 32 bits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BF16(u16);

/// A number of 16 bits as IEEE 754 has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct F16(u16);

impl Number for F32 {
    const BYTES: usize = 4;
    const ZERO: Self = Self(0.0);

    fn read(bytes: &[u8]) -> Self {
        Self(f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    #[inline(always)]
    fn value(self) -> f32 {
        self.0
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn load(avx2: Avx2, numbers: &[Self; ROWS]) -> __m256 {
        avx2.load_f32(&numbers.map(|number| number.0))
    }
}

impl Number for BF16 {
    const BYTES: usize = 2;
    const ZERO: Self = Self(0);

    fn read(bytes: &[u8]) -> Self {
        Self(u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    #[inline(always)]
    fn value(self) -> f32 {
        bfloat_to_f32(self.0)
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn load(avx2: Avx2, numbers: &[Self; ROWS]) -> __m256 {
        avx2.bfloat_to_f32(avx2.load_words(&numbers.map(|number| number.0)))
    }
}

impl Number for F16 {
    const BYTES: usize = 2;
    const ZERO: Self = Self(0);

    fn read(bytes: &[u8]) -> Self {
        Self(u16::from_le_bytes([bytes[0], bytes[1]]))
    }

    #[inline(always)]
    fn value(self) -> f32 {
        half_to_f32(self.0)
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn load(avx2: Avx2, numbers: &[Self; ROWS]) -> __m256 {
        avx2.half_to_f32(avx2.load_words(&numbers.map(|number| number.0)))
    }
}

/// Panels that lie together: of each column all have theirs side by side, so that memory is read in one sequence.
const QUAD: usize = 4;

/// A matrix of plain numbers: panels of eight rows, four of them together, of each the columns one after the other.
#[derive(Debug)]
pub(crate) struct Dense<N> {
    numbers: Vec<[[N; ROWS]; QUAD]>,
    columns: usize,
}

impl<N: Number> Dense<N> {
    /// Repacks a file's bytes of `rows` · `columns` numbers, whose number the caller has checked.
    pub(crate) fn pack(bytes: &[u8], rows: usize, columns: usize) -> Self {
        let number = |row: usize, column: usize| match row {
            row if row < rows => N::read(&bytes[(row * columns + column) * N::BYTES..]),
            _ => N::ZERO,
        };
        let numbers = (0..rows.div_ceil(QUAD * ROWS) * columns)
            .into_par_iter()
            .map(|at| {
                let (first, column) = (at / columns * QUAD, at % columns);
                std::array::from_fn(|panel| {
                    std::array::from_fn(|offset| number((first + panel) * ROWS + offset, column))
                })
            })
            .collect();
        Self { numbers, columns }
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&self.numbers[..])
    }

    /// Writes the weights of a row.
    pub(crate) fn unpack(&self, row: usize, weights: &mut [f32]) {
        let panel = row / ROWS;
        for (numbers, weight) in self.quad(panel / QUAD).iter().zip(weights) {
            *weight = numbers[panel % QUAD][row % ROWS].value();
        }
    }

    fn quad(&self, at: usize) -> &[[[N; ROWS]; QUAD]] {
        &self.numbers[at * self.columns..][..self.columns]
    }

    /// Does a part of a product, which begins with four panels that lie together.
    pub(crate) fn run(&self, set: Set, task: &mut Task<'_, f32>) {
        match set {
            Set::Portable => self.run_portable(task),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2(avx2) | Set::Vnni(Vnni(avx2)) | Set::Vnni512(Vnni512(Vnni(avx2))) => avx2
                .enter(
                    #[inline(always)]
                    || self.run_avx2(avx2, task),
                ),
        }
    }

    fn run_portable(&self, task: &mut Task<'_, f32>) {
        for (index, panel) in task.panels.clone().enumerate() {
            let quad = self.quad(panel / QUAD);
            for (x, out) in task.x.chunks_exact(self.columns).zip(&mut task.out) {
                let mut sums = [0.0; ROWS];
                for (numbers, x) in quad.iter().zip(x) {
                    for (sum, number) in sums.iter_mut().zip(&numbers[panel % QUAD]) {
                        *sum += number.value() * x;
                    }
                }
                put(out, index, &sums);
            }
        }
    }

    /// Takes several panels at once, so that there are enough sums for the latency of an addition to hide in.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn run_avx2(&self, avx2: Avx2, task: &mut Task<'_, f32>) {
        /// Rows that leave registers for the sums of four panels.
        const FEW: usize = 2;
        for index in (0..task.panels.len()).step_by(QUAD) {
            if task.out.len() <= FEW {
                self.panels::<QUAD, FEW>(avx2, index, task);
            } else {
                self.panels::<2, MOST_ROWS>(avx2, index, task);
            }
        }
    }

    /// Four panels, `P` at once, with all rows of a task, `R` at most, a stretch of columns after the other.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn panels<const P: usize, const R: usize>(
        &self,
        avx2: Avx2,
        index: usize,
        task: &mut Task<'_, f32>,
    ) {
        let quad = self.quad((task.panels.start + index) / QUAD);
        let firsts = (0..QUAD.min(task.panels.len() - index)).step_by(P);
        let mut sums = [[[avx2.zero_f32(); P]; R]; QUAD];
        let count = task.out.len();
        let rows = tile_rows(count, 6);
        for start in (0..self.columns).step_by(STRETCH) {
            let end = self.columns.min(start + STRETCH);
            for first in firsts.clone() {
                let x = task.x[start..].chunks(rows * self.columns);
                for (x, sums) in x.zip(sums[first][..count].chunks_mut(rows)) {
                    let (x, quad) = ((x, self.columns), (&quad[start..end], first));
                    match sums.len() {
                        1 => tile::<N, 1, P>(avx2, quad, x, sums),
                        2 => tile::<N, 2, P>(avx2, quad, x, sums),
                        3 => tile::<N, 3, P>(avx2, quad, x, sums),
                        4 => tile::<N, 4, P>(avx2, quad, x, sums),
                        5 => tile::<N, 5, P>(avx2, quad, x, sums),
                        _ => tile::<N, 6, P>(avx2, quad, x, sums),
                    }
                }
            }
        }
        for (row, out) in task.out.iter_mut().enumerate() {
            for first in firsts.clone() {
                for (panel, sum) in sums[first][row].iter().enumerate() {
                    put(out, index + first + panel, &avx2.numbers(*sum));
                }
            }
        }
    }
}

/// How far ahead of the computation weights are asked for.
#[cfg(target_arch = "x86_64")]
const AHEAD: usize = 8 * 1024;
/// Columns that all rows of a task meet before the next ones: what two panels have of them stays in the first cache
/// beside what a tile of rows has.
#[cfg(target_arch = "x86_64")]
const STRETCH: usize = 256;

/// Adds the products of a stretch of `P` panels, from `first` on, with `M` rows of the input, which are `width` numbers
/// apart.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn tile<N: Number, const M: usize, const P: usize>(
    avx2: Avx2,
    (quad, first): (&[[[N; ROWS]; QUAD]], usize),
    (x, width): (&[f32], usize),
    all: &mut [[__m256; P]],
) {
    let x: [&[f32]; M] = std::array::from_fn(|row| &x[row * width..][..quad.len()]);
    let mut sums: [[__m256; P]; M] = std::array::from_fn(|row| all[row]);
    for (column, panels) in quad.iter().enumerate() {
        if first == 0 {
            avx2.prefetch(panels, AHEAD);
        }
        let weights: [__m256; P] =
            std::array::from_fn(|panel| N::load(avx2, &panels[first + panel]));
        for (sums, x) in sums.iter_mut().zip(x) {
            let x = avx2.splat_f32(x[column]);
            for (sum, weights) in sums.iter_mut().zip(weights) {
                *sum = avx2.multiply_add(weights, x, *sum);
            }
        }
    }
    all.copy_from_slice(&sums);
}
