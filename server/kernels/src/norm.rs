//! Normalisations of a row.

use pulp::Arch;

/// Divides the numbers by the root of their mean square, and multiplies each by its weight: RMSNorm, B. Zhang and
/// R. Sennrich, *Root Mean Square Layer Normalization*, 2019. `eps` is added to the mean.
pub fn by_mean_square(row: &mut [f32], weight: &[f32], eps: f32) {
    Arch::new().dispatch(
        #[inline(always)]
        || mean_square(row, weight, eps),
    );
}

/// Takes their mean from the numbers, divides them by the root of their variance, multiplies each by its weight and
/// adds its bias: LayerNorm, J. L. Ba and others, *Layer Normalization*, 2016. `eps` is added to the variance.
pub fn by_variance(row: &mut [f32], weight: &[f32], bias: &[f32], eps: f32) {
    Arch::new().dispatch(
        #[inline(always)]
        || variance(row, (weight, bias), eps),
    );
}

#[inline(always)]
fn mean_square(row: &mut [f32], weight: &[f32], eps: f32) {
    let mean = sum(row, |x| x * x) / row.len() as f32;
    let scale = 1.0 / (mean + eps).sqrt();
    for (x, weight) in row.iter_mut().zip(weight) {
        *x = *x * scale * weight;
    }
}

#[inline(always)]
fn variance(row: &mut [f32], (weight, bias): (&[f32], &[f32]), eps: f32) {
    let mean = sum(row, |x| x) / row.len() as f32;
    let variance = sum(row, |x| (x - mean) * (x - mean)) / row.len() as f32;
    let scale = 1.0 / (variance + eps).sqrt();
    for (x, (weight, bias)) in row.iter_mut().zip(weight.iter().zip(bias)) {
        *x = (*x - mean) * scale * weight + bias;
    }
}

/// Sums that are taken side by side: as many on every processor, so that results are alike.
const LANES: usize = 16;

#[inline(always)]
fn sum(row: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let (lanes, rest) = row.as_chunks::<LANES>();
    let mut sums = [0f32; LANES];
    for lanes in lanes {
        for (sum, x) in sums.iter_mut().zip(lanes) {
            *sum += of(*x);
        }
    }
    let rest: f32 = rest.iter().map(|x| of(*x)).sum();
    sums.iter().sum::<f32>() + rest
}
