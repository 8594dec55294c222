//! A matrix of weights.

use crate::dense::{self, Dense};
use crate::format::Format;
use crate::input::{Kind, Narrow, Wide, round_all};
use crate::quant::{Q4_0, Q4_1, Q4K, Q5K, Q6K, Q8_0, Quantised, ROWS};
use crate::simd::{Instructions, Set};
use crate::tasks::{Shape, Work};

/// Why bytes are no matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MatrixError {
    /// It has no rows or no columns.
    #[error("a matrix of {rows} rows and {columns} columns is none")]
    Empty {
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        columns: usize,
    },
    /// A row would end within a block.
    #[error("{columns} columns are no multiple of the {block} of a block of {format:?}")]
    Columns {
        /// How the weights are written.
        format: Format,
        /// Columns asked for.
        columns: usize,
        /// Columns of a block.
        block: usize,
    },
    /// There are more or fewer bytes than the weights have, or more than can be counted.
    #[error("{found} bytes are not those of {rows} rows and {columns} columns of {format:?}")]
    Bytes {
        /// How the weights are written.
        format: Format,
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        columns: usize,
        /// Bytes given.
        found: usize,
    },
}

/// Why a product can't be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProductError {
    /// The input is not a whole number of rows.
    #[error("{found} numbers are no rows of {columns}")]
    Input {
        /// Numbers given.
        found: usize,
        /// Columns of the weights.
        columns: usize,
    },
    /// The result has not one row for each of the input.
    #[error("a result of {found} numbers, where {expected} are computed")]
    Output {
        /// Room given.
        found: usize,
        /// Rows of the input times rows of the weights.
        expected: usize,
    },
    /// There is no such row.
    #[error("row {row} of {rows}")]
    Row {
        /// The row asked for.
        row: usize,
        /// Rows of the weights.
        rows: usize,
    },
}

/// A matrix of weights, `rows` (outputs) · `columns` (inputs).
///
/// It holds its own copy, as large as the file's but for what [`Matrix::bytes`] tells: `Q4_K` has 148 bytes where a
/// file has 144, `Q5_K` 180 for 176 and `Q6_K` 212 for 210; rows are rounded up to a multiple of 16, and of 32 where
/// weights are plain numbers.
#[derive(Debug)]
pub struct Matrix {
    format: Format,
    rows: usize,
    columns: usize,
    weights: Weights,
}

#[derive(Debug)]
enum Weights {
    Q4_0(Quantised<Q4_0>),
    Q4_1(Quantised<Q4_1>),
    Q8_0(Quantised<Q8_0>),
    Q4K(Quantised<Q4K>),
    Q5K(Quantised<Q5K>),
    Q6K(Quantised<Q6K>),
    F32(Dense<dense::F32>),
    BF16(Dense<dense::BF16>),
    F16(Dense<dense::F16>),
}

/// Does something with the weights as their type is: the same with all, or by the kind of input they take.
macro_rules! each {
    ($weights:expr, $held:ident => $all:expr) => {
        each!($weights, $held => $all, $all, $all)
    };
    ($weights:expr, $held:ident => $narrow:expr, $wide:expr, $plain:expr) => {
        match $weights {
            Weights::Q4_0($held) => $narrow,
            Weights::Q4_1($held) => $narrow,
            Weights::Q8_0($held) => $narrow,
            Weights::Q4K($held) => $wide,
            Weights::Q5K($held) => $wide,
            Weights::Q6K($held) => $wide,
            Weights::F32($held) => $plain,
            Weights::BF16($held) => $plain,
            Weights::F16($held) => $plain,
        }
    };
}

/// An input, as it is and rounded for weights that want it so; empty where none do.
#[derive(Clone, Copy)]
struct Inputs<'a> {
    plain: &'a [f32],
    narrow: &'a [Narrow],
    wide: &'a [Wide],
}

impl Matrix {
    /// Repacks weights, on the current pool of threads; `bytes` are not needed any more after.
    ///
    /// They are `rows` rows one after the other, each of `columns / format.block_columns()` blocks, little-endian, as
    /// a tensor of a GGUF or safetensors file is.
    ///
    /// # Errors
    /// [`MatrixError`], where these are not the bytes of such a matrix.
    pub fn new(
        format: Format,
        rows: usize,
        columns: usize,
        bytes: &[u8],
    ) -> Result<Self, MatrixError> {
        check(format, rows, columns, bytes.len())?;
        let weights = match format {
            Format::Q4_0 => Weights::Q4_0(Quantised::pack(bytes, rows, columns)),
            Format::Q4_1 => Weights::Q4_1(Quantised::pack(bytes, rows, columns)),
            Format::Q8_0 => Weights::Q8_0(Quantised::pack(bytes, rows, columns)),
            Format::Q4K => Weights::Q4K(Quantised::pack(bytes, rows, columns)),
            Format::Q5K => Weights::Q5K(Quantised::pack(bytes, rows, columns)),
            Format::Q6K => Weights::Q6K(Quantised::pack(bytes, rows, columns)),
            Format::F32 => Weights::F32(Dense::pack(bytes, rows, columns)),
            Format::BF16 => Weights::BF16(Dense::pack(bytes, rows, columns)),
            Format::F16 => Weights::F16(Dense::pack(bytes, rows, columns)),
        };
        Ok(Self {
            format,
            rows,
            columns,
            weights,
        })
    }

    /// How the weights are written.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Rows: numbers of a result.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns: numbers of an input.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Bytes that the weights take in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        each!(&self.weights, weights => weights.bytes())
    }

    /// Writes the weights of a row, as an embedding needs them.
    ///
    /// # Errors
    /// [`ProductError::Row`], and [`ProductError::Output`] if `weights` is not as long as a row.
    pub fn row(&self, row: usize, weights: &mut [f32]) -> Result<(), ProductError> {
        if row >= self.rows {
            return Err(ProductError::Row {
                row,
                rows: self.rows,
            });
        }
        check_output(weights.len(), self.columns)?;
        each!(&self.weights, held => held.unpack(row, weights));
        Ok(())
    }

    /// The product `out = x · selfᵀ`: `x` has any number of rows of [`Matrix::columns`] numbers, `out` as many rows of
    /// [`Matrix::rows`] numbers.
    ///
    /// It runs on the current pool of threads ([`rayon`]'s): a caller who is not one of its threads waits to be woken.
    ///
    /// # Errors
    /// [`ProductError`], where lengths don't fit.
    pub fn product(&self, x: &[f32], out: &mut [f32]) -> Result<(), ProductError> {
        self.product_by(Instructions::best(), x, out)
    }

    /// [`Matrix::product`] by an instruction set that the caller chooses.
    ///
    /// # Errors
    /// [`ProductError`], where lengths don't fit.
    pub fn product_by(
        &self,
        instructions: Instructions,
        x: &[f32],
        out: &mut [f32],
    ) -> Result<(), ProductError> {
        let part = Part {
            matrix: self,
            out,
            finish: None,
        };
        products_by(instructions, x, vec![part])
    }

    fn check(&self, x: &[f32], out: &[f32]) -> Result<(), ProductError> {
        if !x.len().is_multiple_of(self.columns) {
            return Err(ProductError::Input {
                found: x.len(),
                columns: self.columns,
            });
        }
        check_output(out.len(), x.len() / self.columns * self.rows)
    }

    fn kind(&self) -> Kind {
        each!(&self.weights, _weights => Kind::Narrow, Kind::Wide, Kind::Plain)
    }

    fn shape(&self) -> Shape {
        Shape {
            rows: self.rows,
            width: self.columns / self.format.block_columns(),
            columns: self.columns,
            panel_bytes: self.bytes() / self.rows.div_ceil(ROWS),
        }
    }
}

/// What is done to some numbers of a row of a result as soon as they are there, while they lie in the first cache. It
/// is told which of the row's numbers the first of them is, and must not depend on how many they are.
pub type Finish<'a> = &'a (dyn Fn(usize, &mut [f32]) + Sync);

/// One of several products that are taken together.
pub struct Part<'a> {
    /// The weights.
    pub matrix: &'a Matrix,
    /// Becomes the product, a row of [`Matrix::rows`] numbers for each of the input.
    pub out: &'a mut [f32],
    /// What is done to the product.
    pub finish: Option<Finish<'a>>,
}

impl std::fmt::Debug for Part<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Part")
            .field("matrix", self.matrix)
            .finish_non_exhaustive()
    }
}

impl<'a> Part<'a> {
    fn add(self, set: Set, x: Inputs<'a>, work: &mut Work<'a>) {
        let Self {
            matrix,
            out,
            finish,
        } = self;
        let shape = matrix.shape();
        each!(
            &matrix.weights,
            weights => work.add(shape, x.narrow, out, finish, move |task| weights.run(set, task)),
            work.add(shape, x.wide, out, finish, move |task| weights.run(set, task)),
            work.add(shape, x.plain, out, finish, move |task| weights.run(set, task))
        );
    }
}

/// [`Matrix::product`] of one input with several matrices, such as those of queries, keys and values: the input is
/// rounded once and threads are woken once. Each result has the bits that it has alone.
///
/// # Errors
/// [`ProductError`], where lengths don't fit; then nothing was computed.
pub fn products(x: &[f32], parts: Vec<Part<'_>>) -> Result<(), ProductError> {
    products_by(Instructions::best(), x, parts)
}

fn products_by(
    instructions: Instructions,
    x: &[f32],
    parts: Vec<Part<'_>>,
) -> Result<(), ProductError> {
    let (mut cost, mut narrow, mut wide) = (0, Vec::new(), Vec::new());
    for Part { matrix, out, .. } in &parts {
        matrix.check(x, out)?;
        cost += matrix.shape().cost_ns(x.len() / matrix.columns);
    }
    for part in &parts {
        match part.matrix.kind() {
            Kind::Narrow if narrow.is_empty() => narrow = round_all(instructions, x),
            Kind::Wide if wide.is_empty() => wide = round_all(instructions, x),
            _ => {}
        }
    }
    let inputs = Inputs {
        plain: x,
        narrow: &narrow,
        wide: &wide,
    };
    let mut work = Work::new(cost);
    for part in parts {
        part.add(instructions.0, inputs, &mut work);
    }
    work.finish();
    Ok(())
}

fn check(format: Format, rows: usize, columns: usize, found: usize) -> Result<(), MatrixError> {
    if rows == 0 || columns == 0 {
        return Err(MatrixError::Empty { rows, columns });
    }
    let block = format.block_columns();
    if !columns.is_multiple_of(block) {
        return Err(MatrixError::Columns {
            format,
            columns,
            block,
        });
    }
    let expected = (columns / block)
        .checked_mul(rows)
        .and_then(|blocks| blocks.checked_mul(format.block_bytes()));
    if expected != Some(found) {
        return Err(MatrixError::Bytes {
            format,
            rows,
            columns,
            found,
        });
    }
    Ok(())
}

fn check_output(found: usize, expected: usize) -> Result<(), ProductError> {
    if found == expected {
        Ok(())
    } else {
        Err(ProductError::Output { found, expected })
    }
}
