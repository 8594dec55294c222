//! What a product must be: right, and the same bits however it is computed.

mod common;

use chandler_kernels::{Format, Instructions, Matrix, MatrixError, Part, ProductError, products};
use common::random_input;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

/// Bytes of random weights whose scales are neither huge nor no numbers.
fn random_bytes(format: Format, rows: usize, columns: usize, random: &mut StdRng) -> Vec<u8> {
    let blocks = rows * columns / format.block_columns();
    let mut bytes = vec![0; blocks * format.block_bytes()];
    random.fill_bytes(&mut bytes);
    for block in bytes.chunks_exact_mut(format.block_bytes()) {
        match format {
            Format::F32 => block.copy_from_slice(&random.random_range(-1f32..1.0).to_le_bytes()),
            Format::BF16 => set(
                block,
                0,
                (random.random_range(-1f32..1.0).to_bits() >> 16) as u16,
            ),
            Format::F16 | Format::Q4_0 | Format::Q8_0 => set(block, 0, half(random)),
            Format::Q4_1 | Format::Q4K | Format::Q5K => {
                set(block, 0, half(random));
                set(block, 2, half(random));
            }
            Format::Q6K => set(block, 208, half(random)),
        }
    }
    bytes
}

fn set(block: &mut [u8], at: usize, word: u16) {
    block[at..at + 2].copy_from_slice(&word.to_le_bytes());
}

/// A half of either sign below 2 in magnitude; one in some has no exponent.
fn half(random: &mut StdRng) -> u16 {
    let exponent: u16 = random.random_range(0..16);
    let rest: u16 = random.random();
    exponent << 10 | rest & 0x83ff
}

/// A matrix of random weights.
fn random_matrix(format: Format, rows: usize, columns: usize, seed: u64) -> Matrix {
    let mut random = StdRng::seed_from_u64(seed);
    let bytes = random_bytes(format, rows, columns, &mut random);
    Matrix::new(format, rows, columns, &bytes).expect("its bytes")
}

fn product(matrix: &Matrix, instructions: Instructions, x: &[f32]) -> Vec<f32> {
    let mut out = vec![f32::NAN; x.len() / matrix.columns() * matrix.rows()];
    matrix
        .product_by(instructions, x, &mut out)
        .expect("lengths fit");
    out
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

fn is_quantised(format: Format) -> bool {
    format.block_columns() > 1
}

/// How far rounding may lead away: half a step of 8 bits in each place of a block (but for plain numbers), and 24 bits
/// of each partial sum.
fn tolerance(format: Format, weights: &[f32], x: &[f32]) -> f64 {
    let block = format.block_columns().max(32);
    let parts = weights.chunks(block).zip(x.chunks(block));
    let (mut rounding, mut size) = (0.0, 0.0);
    for (weights, x) in parts {
        let largest = x.iter().fold(0f32, |largest, x| largest.max(x.abs()));
        let sum: f64 = weights.iter().map(|weight| f64::from(weight.abs())).sum();
        rounding += f64::from(largest) / 127.0 * 0.5001 * sum;
        size += f64::from(largest) * sum;
    }
    let places = if is_quantised(format) { rounding } else { 0.0 };
    // A minimum and a scaled code may be far larger than the weight that is their difference.
    places + size * 1e-5
}

/// Sums of the greatest codes with the greatest inputs are the greatest that there can be.
#[test]
fn no_sum_overflows() {
    for format in Format::ALL.into_iter().filter(|it| is_quantised(*it)) {
        let (rows, columns) = (9, 2 * 256);
        let blocks = rows * columns / format.block_columns();
        for byte in [0x00, 0x7f, 0x80, 0xff] {
            let mut bytes = vec![byte; blocks * format.block_bytes()];
            for block in bytes.chunks_exact_mut(format.block_bytes()) {
                let scales: &[usize] = match format {
                    Format::Q4_1 | Format::Q4K | Format::Q5K => &[0, 2],
                    Format::Q6K => &[208],
                    _ => &[0],
                };
                // One, as a half.
                scales.iter().for_each(|at| set(block, *at, 0x3c00));
            }
            let matrix = Matrix::new(format, rows, columns, &bytes).expect("its bytes");
            for sign in [1.0, -1.0] {
                let x = vec![sign; 9 * columns];
                let plain = bits(&product(&matrix, Instructions::PORTABLE, &x));
                for instructions in Instructions::all() {
                    let told = bits(&product(&matrix, instructions, &x));
                    let name = instructions.name();
                    assert_eq!(told, plain, "{format:?} of {byte:#x} and {sign} by {name}");
                }
            }
        }
    }
}

#[test]
fn products_are_those_of_the_weights_within_rounding() {
    for (seed, format) in (0..).zip(Format::ALL) {
        let (rows, columns, count) = (29, 512, 7);
        let matrix = random_matrix(format, rows, columns, seed);
        let x = random_input(count, columns, seed + 100);
        let mut weights = vec![0.0; columns];
        for instructions in Instructions::all() {
            let out = product(&matrix, instructions, &x);
            for row in 0..rows {
                matrix.row(row, &mut weights).expect("it has the row");
                for (x, out) in x.chunks(columns).zip(out.chunks(rows)) {
                    let terms = weights
                        .iter()
                        .zip(x)
                        .map(|(w, x)| f64::from(*w) * f64::from(*x));
                    let exact: f64 = terms.sum();
                    let off = (f64::from(out[row]) - exact).abs();
                    let bound = tolerance(format, &weights, x);
                    let name = instructions.name();
                    assert!(
                        off <= bound,
                        "{format:?} {name}: {} is {off} off {exact}, over {bound}",
                        out[row]
                    );
                }
            }
        }
    }
}

/// A case of the properties below.
fn case() -> impl Strategy<Value = (usize, usize, usize, u64)> {
    let count = prop_oneof![1usize..10, 60usize..140];
    (1usize..90, 1usize..4, count, any::<u64>())
}

fn check_invariance(
    format: Format,
    (rows, blocks, count, seed): (usize, usize, usize, u64),
) -> Result<(), TestCaseError> {
    // Up to two of the stretches that columns are taken in, and a part of one.
    let columns = match format.block_columns() {
        1 => 197 * blocks,
        block => (192 * blocks).next_multiple_of(block),
    };
    let matrix = random_matrix(format, rows, columns, seed);
    let x = random_input(count, columns, seed ^ 1);
    let mut plain = None;
    for instructions in Instructions::all() {
        let whole = product(&matrix, instructions, &x);
        for (x, whole) in x.chunks(columns).zip(whole.chunks(rows)) {
            let alone = product(&matrix, instructions, x);
            prop_assert_eq!(
                bits(&alone),
                bits(whole),
                "{:?} {}",
                format,
                instructions.name()
            );
        }
        if is_quantised(format) {
            let plain = plain.get_or_insert_with(|| bits(&whole));
            prop_assert_eq!(
                &*plain,
                &bits(&whole),
                "{:?} {}",
                format,
                instructions.name()
            );
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_row_has_the_same_bits_alone_and_among_others(case in case()) {
        for format in Format::ALL {
            check_invariance(format, case)?;
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    for (seed, format) in (0..).zip(Format::ALL) {
        // So large that it is split.
        let matrix = random_matrix(format, 2051, 512, seed);
        let x = random_input(9, 512, seed + 100);
        for instructions in Instructions::all() {
            let results = [1, 2, 5].map(|threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                let pool = pool.expect("threads start");
                pool.install(|| bits(&product(&matrix, instructions, &x)))
            });
            assert_eq!(results[0], results[1], "{format:?}");
            assert_eq!(results[0], results[2], "{format:?}");
        }
    }
}

#[test]
fn products_of_one_input_have_the_bits_that_they_have_alone() {
    for count in [1, 3, 70] {
        let x = random_input(count, 512, 7);
        let matrices: Vec<_> = (1..)
            .zip(Format::ALL)
            .map(|(seed, format)| random_matrix(format, 100 * seed as usize + 3, 512, seed))
            .collect();
        let mut together: Vec<_> = matrices
            .iter()
            .map(|matrix| vec![f32::NAN; count * matrix.rows()])
            .collect();
        let parts = matrices.iter().zip(&mut together);
        let parts = parts.map(|(matrix, out)| part(matrix, out));
        products(&x, parts.collect()).expect("lengths fit");
        for (matrix, together) in matrices.iter().zip(together) {
            let alone = product(matrix, Instructions::best(), &x);
            assert_eq!(bits(&alone), bits(&together), "{:?}", matrix.format());
        }
    }
}

#[test]
fn what_is_done_to_a_product_is_done_once_to_each_number_in_its_place() {
    for (seed, format) in (0..).zip(Format::ALL) {
        let matrix = random_matrix(format, 203, 256, seed);
        for count in [1, 70] {
            let x = random_input(count, 256, seed);
            let mut expected = product(&matrix, Instructions::best(), &x);
            let mut found = vec![f32::NAN; expected.len()];
            let finish = |first: usize, numbers: &mut [f32]| {
                for (at, number) in numbers.iter_mut().enumerate() {
                    *number += (first + at) as f32;
                }
            };
            let part = Part {
                finish: Some(&finish),
                ..part(&matrix, &mut found)
            };
            products(&x, vec![part]).expect("lengths fit");
            for row in expected.chunks_mut(203) {
                finish(0, row);
            }
            assert_eq!(bits(&expected), bits(&found), "{format:?}");
        }
    }
}

fn part<'a>(matrix: &'a Matrix, out: &'a mut [f32]) -> Part<'a> {
    Part {
        matrix,
        out,
        finish: None,
    }
}

#[test]
fn of_several_products_none_is_begun_if_one_does_not_fit() {
    let first = random_matrix(Format::Q4K, 8, 256, 1);
    let second = random_matrix(Format::Q6K, 8, 512, 2);
    let (mut one, mut other) = ([7.0; 16], [7.0; 8]);
    let x = random_input(2, 256, 3);
    let parts = vec![part(&first, &mut one), part(&second, &mut other[..7])];
    let fits = products(&x, parts);
    assert!(matches!(fits, Err(ProductError::Output { .. })));
    assert_eq!(one, [7.0; 16]);
}

#[test]
fn what_is_no_number_in_a_row_stays_in_it_and_shows() {
    for (seed, format) in (0..).zip(Format::ALL) {
        let matrix = random_matrix(format, 16, 256, seed);
        let mut x = random_input(3, 256, seed + 100);
        let before = Instructions::all().map(|instructions| product(&matrix, instructions, &x));
        let before: Vec<_> = before.collect();
        x[256 + 5] = f32::NAN;
        for (instructions, before) in Instructions::all().zip(before) {
            let after = product(&matrix, instructions, &x);
            assert_eq!(bits(&after[..16]), bits(&before[..16]), "{format:?}");
            assert!(
                after[16..32].iter().all(|value| value.is_nan()),
                "{format:?}"
            );
            assert_eq!(bits(&after[32..]), bits(&before[32..]), "{format:?}");
        }
    }
}

#[test]
fn an_empty_input_has_an_empty_result() {
    for format in Format::ALL {
        let matrix = random_matrix(format, 3, 256, 1);
        assert_eq!(matrix.product(&[], &mut []), Ok(()));
    }
}

#[test]
fn lengths_that_do_not_fit_are_told() {
    let new = |rows, columns, bytes: usize| {
        Matrix::new(Format::Q4K, rows, columns, &vec![0; bytes]).err()
    };
    assert_eq!(new(2, 256, 288), None);
    assert!(matches!(new(0, 256, 0), Some(MatrixError::Empty { .. })));
    assert!(matches!(new(2, 0, 0), Some(MatrixError::Empty { .. })));
    assert!(matches!(
        new(2, 300, 288),
        Some(MatrixError::Columns { block: 256, .. })
    ));
    assert!(matches!(
        new(2, 256, 287),
        Some(MatrixError::Bytes { found: 287, .. })
    ));
    assert!(matches!(
        new(usize::MAX, 256, 288),
        Some(MatrixError::Bytes { .. })
    ));
    let matrix = random_matrix(Format::Q4K, 3, 256, 1);
    let tried = matrix.product(&[0.0; 300], &mut [0.0; 3]);
    assert!(matches!(tried, Err(ProductError::Input { found: 300, .. })));
    let tried = matrix.product(&[0.0; 512], &mut [0.0; 3]);
    assert!(matches!(
        tried,
        Err(ProductError::Output { expected: 6, .. })
    ));
    assert!(matches!(
        matrix.row(3, &mut [0.0; 256]),
        Err(ProductError::Row { .. })
    ));
    assert!(matches!(
        matrix.row(2, &mut [0.0; 255]),
        Err(ProductError::Output { .. })
    ));
}

#[test]
fn memory_is_little_more_than_the_bytes() {
    for format in Format::ALL {
        let (rows, columns) = (64, 512);
        let matrix = random_matrix(format, rows, columns, 1);
        let file = rows * columns / format.block_columns() * format.block_bytes();
        assert!(matrix.bytes() >= file, "{format:?}");
        assert!(
            matrix.bytes() * 100 <= file * 103,
            "{format:?}: {} for {file}",
            matrix.bytes()
        );
    }
}
