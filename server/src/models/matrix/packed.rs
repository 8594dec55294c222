//! Matrices that our kernels multiply.

use std::sync::Arc;

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Error, Result, Storage, Tensor};
use chandler_kernels::{Format, Matrix as Kernel, products};

use super::Stored;
use crate::models::floats;

/// A matrix in the kernels' own order.
#[derive(Clone)]
pub(super) struct Packed(Arc<Kernel>);

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

    /// The products of several matrices with the rows of `x`.
    ///
    /// # Errors
    /// What candle reports.
    pub(super) fn products<const N: usize>(
        matrices: [&Self; N],
        x: &Tensor,
    ) -> Result<Vec<Tensor>> {
        let x = x.contiguous()?;
        let (rows, columns) = x.dims2()?;
        let mut outs = matrices.map(|matrix| vec![0f32; rows * matrix.0.rows()]);
        {
            let (storage, layout) = x.storage_and_layout();
            let Storage::Cpu(storage) = &*storage else {
                return Err(Error::msg("what is multiplied is on another device"));
            };
            let parts = matrices.iter().zip(&mut outs);
            let mut parts: Vec<_> = parts.map(|(it, out)| (&*it.0, &mut out[..])).collect();
            let fits = matrices.iter().all(|matrix| matrix.0.columns() == columns);
            if !fits {
                return Err(Error::msg(format!(
                    "rows of {columns} fit not all matrices"
                )));
            }
            products(floats(storage, layout)?, &mut parts).map_err(Error::wrap)?;
        }
        let outs = outs.into_iter().zip(matrices);
        outs.map(|(out, matrix)| Tensor::from_vec(out, (rows, matrix.0.rows()), &Device::Cpu))
            .collect()
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
