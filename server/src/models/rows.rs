//! Rows of plain numbers: how they are read from tensors, and shared out to threads.

use candle_core::{D, Device, Result, Storage, Tensor, bail};
use rayon::prelude::*;

use super::floats;

/// Numbers that are worth a task of their own.
const TASK: usize = 16 * 1024;

/// Gives `f` the numbers of tensors that lie without gaps in the processor's memory.
///
/// # Errors
/// They don't, or what `f` reports.
pub(super) fn read<const N: usize, T>(
    tensors: [&Tensor; N],
    f: impl FnOnce([&[f32]; N]) -> Result<T>,
) -> Result<T> {
    let held = tensors.map(Tensor::storage_and_layout);
    let mut all = [&[][..]; N];
    for (numbers, (storage, layout)) in all.iter_mut().zip(&held) {
        let Storage::Cpu(storage) = &**storage else {
            bail!("numbers of another device are asked for");
        };
        *numbers = floats(storage, layout)?;
    }
    f(all)
}

/// Zeros, which for many takes all threads: the system may first have to find memory for them.
pub(super) fn zeros(count: usize) -> Vec<f32> {
    match count {
        ..TASK => vec![0.0; count],
        _ => rayon::iter::repeat_n(0.0, count)
            .with_min_len(TASK)
            .collect(),
    }
}

/// A tensor of the shape of `like`, of which `f` makes each row; it is told the row's number. `width` is the length of
/// the last dimension.
///
/// # Errors
/// What candle reports.
pub(super) fn make(
    like: &Tensor,
    width: usize,
    f: impl Fn(usize, &mut [f32]) + Sync,
) -> Result<Tensor> {
    let mut numbers = zeros(like.elem_count());
    let rows = (TASK / width.max(1)).max(1);
    let make = |(task, numbers): (usize, &mut [f32])| {
        for (row, numbers) in numbers.chunks_mut(width.max(1)).enumerate() {
            f(task * rows + row, numbers);
        }
    };
    let tasks = numbers.par_chunks_mut(rows * width.max(1)).enumerate();
    tasks.for_each(make);
    Tensor::from_vec(numbers, like.shape(), &Device::Cpu)
}

/// Of two tensors of one shape.
///
/// # Errors
/// What candle reports.
pub(super) fn sum(one: &Tensor, other: &Tensor) -> Result<Tensor> {
    if !one.device().is_cpu() || one.shape() != other.shape() {
        return one + other;
    }
    let (one, other) = (one.contiguous()?, other.contiguous()?);
    let width = one.dim(D::Minus1)?;
    read([&one, &other], |[numbers, others]| {
        make(&one, width, |row, out| {
            add(&numbers[row * width..], &others[row * width..], out);
        })
    })
}

/// Writes the sums of as many numbers as there is room for.
pub(super) fn add(numbers: &[f32], others: &[f32], out: &mut [f32]) {
    for (out, (one, other)) in out.iter_mut().zip(numbers.iter().zip(others)) {
        *out = one + other;
    }
}
