//! Rotary position embeddings.

use pulp::Arch;

/// Which numbers of a head are a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairs {
    /// Neighbours.
    Interleaved,
    /// The n-th of the first half and the n-th of the second.
    Halves,
}

/// Turns each pair of a head by its angle, J. Su and others, *RoFormer*, 2021; numbers beyond the pairs stay as they
/// are. `cos` and `sin` are those of the angles, one a pair.
pub fn rotate(head: &mut [f32], (cos, sin): (&[f32], &[f32]), pairs: Pairs) {
    Arch::new().dispatch(
        #[inline(always)]
        || match pairs {
            Pairs::Interleaved => neighbours(head, cos, sin),
            Pairs::Halves => halves(head, cos, sin),
        },
    );
}

#[inline(always)]
fn neighbours(head: &mut [f32], cos: &[f32], sin: &[f32]) {
    let (pairs, _) = head.as_chunks_mut::<2>();
    for ([x, y], (cos, sin)) in pairs.iter_mut().zip(cos.iter().zip(sin)) {
        (*x, *y) = (*x * cos - *y * sin, *x * sin + *y * cos);
    }
}

#[inline(always)]
fn halves(head: &mut [f32], cos: &[f32], sin: &[f32]) {
    let (first, second) = head.split_at_mut(cos.len());
    let pairs = first.iter_mut().zip(second);
    for ((x, y), (cos, sin)) in pairs.zip(cos.iter().zip(sin)) {
        (*x, *y) = (*x * cos - *y * sin, *x * sin + *y * cos);
    }
}
