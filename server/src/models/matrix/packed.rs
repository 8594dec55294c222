//! Matrices that our kernels multiply.

use std::sync::Arc;

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Error, Result, Tensor};
use chandler_kernels::{Finish, Format, Matrix as Kernel, Part, products};

use super::{After, Stored};
use crate::models::rows;

/// A matrix in the kernels' own order.
#[derive(Clone)]
pub(super) struct Packed(Arc<Kernel>);

/// As [`Finish`].
type Finisher = Box<dyn Fn(usize, &mut [f32]) + Sync>;

impl Packed {
    /// What is `stored`, where it lies in the processor's memory and kernels have its format.
    ///
    /// # Errors
    /// What candle reports, and a tensor that is no matrix.
    pub(super) fn new(stored: &Stored) -> Result<Option<Self>> {
        let (device, format, shape) = match stored {
            Stored::Floats(floats) => (
                floats.device().clone(),
                of_floats(floats.dtype()),
                floats.dims2()?,
            ),
            Stored::Blocks(blocks) => (
                blocks.device(),
                of_blocks(blocks.dtype()),
                blocks.shape().dims2()?,
            ),
        };
        let Some(format) = format.filter(|_| device.is_cpu()) else {
            return Ok(None);
        };
        let (rows, columns) = shape;
        let pack = |bytes: &[u8]| Kernel::new(format, rows, columns, bytes).map_err(Error::wrap);
        let matrix = match stored {
            Stored::Floats(floats) => {
                let mut bytes = Vec::new();
                floats.write_bytes(&mut bytes)?;
                pack(&bytes)?
            }
            Stored::Blocks(blocks) => pack(&blocks.data()?)?,
        };
        Ok(Some(Self(Arc::new(matrix))))
    }

    /// The products of several matrices with the rows of `x`, and what is done to each.
    ///
    /// # Errors
    /// What candle reports.
    pub(super) fn products(matrices: &[(&Self, After<'_>)], x: &Tensor) -> Result<Vec<Tensor>> {
        let x = x.contiguous()?;
        let (count, columns) = x.dims2()?;
        if let Some((other, _)) = matrices.iter().find(|(it, _)| it.0.columns() != columns) {
            let other = other.0.columns();
            return Err(Error::msg(format!("rows of {columns}, not {other}")));
        }
        let finishes = matrices.iter().map(|(matrix, after)| matrix.finish(*after));
        let finishes: Vec<Option<Finisher>> = finishes.collect::<Result<_>>()?;
        let outs = matrices.iter();
        let outs = outs.map(|(matrix, _)| rows::zeros(count * matrix.0.rows()));
        let mut outs: Vec<Vec<f32>> = outs.collect();
        let parts = matrices.iter().zip(&mut outs).zip(&finishes);
        let parts = parts.map(|(((matrix, _), out), finish)| Part {
            matrix: &matrix.0,
            out,
            finish: finish.as_deref().map(|finish| finish as Finish<'_>),
        });
        rows::read([&x], |[x]| {
            products(x, parts.collect()).map_err(Error::wrap)
        })?;
        let outs = outs.into_iter().zip(matrices);
        outs.map(|(out, (matrix, _))| Tensor::from_vec(out, (count, matrix.0.rows()), &Device::Cpu))
            .collect()
    }

    /// What is done to the numbers of a product.
    fn finish(&self, After { bias, activation }: After<'_>) -> Result<Option<Finisher>> {
        let bias = match bias {
            Some(bias) if bias.elem_count() == self.0.rows() => bias.to_vec1()?,
            Some(bias) => {
                let (biases, rows) = (bias.elem_count(), self.0.rows());
                return Err(Error::msg(format!("{biases} biases of {rows} rows")));
            }
            None => Vec::new(),
        };
        if bias.is_empty() && activation.is_none() {
            return Ok(None);
        }
        Ok(Some(Box::new(move |first, numbers| {
            if let Some(bias) = bias.get(first..) {
                for (number, bias) in numbers.iter_mut().zip(bias) {
                    *number += bias;
                }
            }
            if let Some(activation) = activation {
                activation.apply(numbers);
            }
        })))
    }

    /// Its rows at `ids`, `(ids, columns)`.
    ///
    /// # Errors
    /// There is no such row.
    pub(super) fn rows(&self, ids: &[u32]) -> Result<Tensor> {
        let columns = self.0.columns();
        let mut rows = vec![0f32; ids.len() * columns];
        for (id, row) in ids.iter().zip(rows.chunks_exact_mut(columns)) {
            self.0.row(*id as usize, row).map_err(Error::wrap)?;
        }
        Tensor::from_vec(rows, (ids.len(), columns), &Device::Cpu)
    }
}

fn of_floats(dtype: DType) -> Option<Format> {
    match dtype {
        DType::F32 => Some(Format::F32),
        DType::BF16 => Some(Format::BF16),
        DType::F16 => Some(Format::F16),
        _ => None,
    }
}

fn of_blocks(dtype: GgmlDType) -> Option<Format> {
    match dtype {
        GgmlDType::F32 => Some(Format::F32),
        GgmlDType::F16 => Some(Format::F16),
        GgmlDType::BF16 => Some(Format::BF16),
        GgmlDType::Q4_0 => Some(Format::Q4_0),
        GgmlDType::Q4_1 => Some(Format::Q4_1),
        GgmlDType::Q8_0 => Some(Format::Q8_0),
        GgmlDType::Q4K => Some(Format::Q4K),
        GgmlDType::Q5K => Some(Format::Q5K),
        GgmlDType::Q6K => Some(Format::Q6K),
        // Rare in files that are served.
        GgmlDType::Q5_0 | GgmlDType::Q5_1 | GgmlDType::Q8_1 => None,
        GgmlDType::Q2K | GgmlDType::Q3K | GgmlDType::Q8K => None,
    }
}
