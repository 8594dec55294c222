//! The same bytes mean the same to candle.

mod common;

use candle_core::quantized::{GgmlDType, QMatMul, QTensor};
use candle_core::{DType, Device, Module, Tensor};
use chandler_kernels::{Format, Instructions, Matrix};
use common::random_input;
use std::sync::Arc;

const FORMATS: [(Format, GgmlDType); 9] = [
    (Format::Q4K, GgmlDType::Q4K),
    (Format::Q6K, GgmlDType::Q6K),
    (Format::Q4_1, GgmlDType::Q4_1),
    (Format::Q8_0, GgmlDType::Q8_0),
    (Format::Q4_0, GgmlDType::Q4_0),
    (Format::Q5K, GgmlDType::Q5K),
    (Format::F32, GgmlDType::F32),
    (Format::F16, GgmlDType::F16),
    (Format::BF16, GgmlDType::BF16),
];

const ROWS: usize = 44;
const COLUMNS: usize = 768;

/// Weights as candle quantises them, and ours of the same bytes.
fn both(format: Format, dtype: GgmlDType) -> candle_core::Result<(QTensor, Matrix)> {
    let weights = random_input(ROWS, COLUMNS, 3);
    let weights = Tensor::from_vec(weights, (ROWS, COLUMNS), &Device::Cpu)?;
    let theirs = QTensor::quantize(&weights, dtype)?;
    let ours = Matrix::new(format, ROWS, COLUMNS, &theirs.data()?).expect("its bytes");
    Ok((theirs, ours))
}

#[test]
fn weights_are_the_same_numbers() -> candle_core::Result<()> {
    for (format, dtype) in FORMATS {
        let (theirs, ours) = both(format, dtype)?;
        let theirs: Vec<Vec<f32>> = theirs.dequantize(&Device::Cpu)?.to_vec2()?;
        let mut row = vec![0.0; COLUMNS];
        for (index, theirs) in theirs.iter().enumerate() {
            ours.row(index, &mut row).expect("it has the row");
            let largest = theirs
                .iter()
                .fold(0f32, |largest, value| largest.max(value.abs()));
            for (ours, theirs) in row.iter().zip(theirs) {
                // They may multiply a scale by its scale or by the code first.
                assert!(
                    (ours - theirs).abs() <= largest * 1e-6,
                    "{format:?}: {ours} {theirs}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn products_agree() -> candle_core::Result<()> {
    for (format, dtype) in FORMATS {
        let (theirs, ours) = both(format, dtype)?;
        let exact = theirs.dequantize(&Device::Cpu)?.to_dtype(DType::F64)?;
        let count = 5;
        let x = random_input(count, COLUMNS, 4);
        let input = Tensor::from_slice(&x, (count, COLUMNS), &Device::Cpu)?;
        let exact = input.to_dtype(DType::F64)?.matmul(&exact.t()?)?;
        let exact: Vec<Vec<f64>> = exact.to_vec2()?;
        let theirs = QMatMul::from_arc(Arc::new(theirs))?.forward(&input)?;
        let theirs: Vec<Vec<f32>> = theirs.to_vec2()?;
        for instructions in Instructions::all() {
            let mut out = vec![0.0; count * ROWS];
            ours.product_by(instructions, &x, &mut out)
                .expect("lengths fit");
            for ((out, theirs), exact) in out.chunks(ROWS).zip(&theirs).zip(&exact) {
                compare(format, out, theirs, exact);
            }
        }
    }
    Ok(())
}

/// Both round the input to 8 bits in their own way: they differ about as much from each other as from the exact result,
/// and ours is no further from it than theirs but by chance.
fn compare(format: Format, ours: &[f32], theirs: &[f32], exact: &[f64]) {
    let norm = |values: &mut dyn Iterator<Item = f64>| {
        values.map(|value| value * value).sum::<f64>().sqrt()
    };
    let size = norm(&mut exact.iter().copied());
    let off = |values: &[f32]| {
        norm(
            &mut values
                .iter()
                .zip(exact)
                .map(|(value, exact)| f64::from(*value) - exact),
        ) / size
    };
    let apart = norm(
        &mut ours
            .iter()
            .zip(theirs)
            .map(|(a, b)| f64::from(*a) - f64::from(*b)),
    ) / size;
    let bound = if format.block_columns() > 1 {
        0.01
    } else {
        1e-5
    };
    assert!(off(ours) <= bound, "{format:?}: {} off", off(ours));
    // candle rounds the input to 16 bits for weights of 16 bits.
    let bound = if format.block_columns() == 1 {
        0.01
    } else {
        bound
    };
    assert!(apart <= bound, "{format:?}: {apart} apart");
}
