//! Random input.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

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
