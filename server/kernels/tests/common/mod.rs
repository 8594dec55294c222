//! Random weights as a file has them.

use chandler_kernels::{Format, Matrix};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

/// Bytes of random weights whose scales are neither huge nor no numbers.
pub(crate) fn random_bytes(
    format: Format,
    rows: usize,
    columns: usize,
    random: &mut StdRng,
) -> Vec<u8> {
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
pub(crate) fn random_matrix(format: Format, rows: usize, columns: usize, seed: u64) -> Matrix {
    let mut random = StdRng::seed_from_u64(seed);
    let bytes = random_bytes(format, rows, columns, &mut random);
    Matrix::new(format, rows, columns, &bytes).expect("its bytes")
}

/// So many random numbers, some rows of which are far larger than others.
pub(crate) fn random_input(rows: usize, columns: usize, seed: u64) -> Vec<f32> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut x = Vec::with_capacity(rows * columns);
    for _ in 0..rows {
        let size = 10f32.powi(random.random_range(-3..3));
        x.extend((0..columns).map(|_| size * random.random_range(-1f32..1.0)));
    }
    x
}
