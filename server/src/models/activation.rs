//! The functions between the two layers of a feed-forward block.

use candle_core::{D, Result, Tensor, bail};
use candle_nn::ops::silu;

use super::rows;

pub(crate) use chandler_kernels::Activation;

/// By its name in a `config.json`.
pub(crate) fn named(name: &str) -> Option<Activation> {
    match name {
        "gelu" => Some(Activation::Gelu),
        "gelu_new" | "gelu_pytorch_tanh" => Some(Activation::GeluTanh),
        "relu" => Some(Activation::Relu),
        "silu" => Some(Activation::Silu),
        _ => None,
    }
}

/// Of every value of `x`, by candle.
///
/// # Errors
/// What candle reports.
pub(super) fn by_candle(activation: Activation, x: &Tensor) -> Result<Tensor> {
    match activation {
        Activation::Gelu => x.gelu_erf(),
        Activation::GeluTanh => x.gelu(),
        Activation::Relu => x.relu(),
        Activation::Silu => silu(x),
    }
}

/// Of every value of `gate`, times that of `up`.
///
/// # Errors
/// What candle reports.
pub(super) fn gated(activation: Activation, gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    if !gate.device().is_cpu() {
        return by_candle(activation, gate)? * up;
    }
    if gate.shape() != up.shape() {
        bail!("{:?} is a gate for {:?}", gate.shape(), up.shape());
    }
    let (gate, up) = (gate.contiguous()?, up.contiguous()?);
    let width = gate.dim(D::Minus1)?;
    rows::read([&gate, &up], |[gates, ups]| {
        rows::make(&gate, width, |row, out| {
            let (gates, ups) = (&gates[row * width..], &ups[row * width..]);
            out.copy_from_slice(&gates[..out.len()]);
            activation.apply(out);
            for (out, up) in out.iter_mut().zip(ups) {
                *out *= up;
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    const ALL: [Activation; 4] = [
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Relu,
        Activation::Silu,
    ];

    #[test]
    fn they_are_those_of_candle() {
        let values: Vec<f32> = (-60_001..60_000).map(|i| i as f32 / 5000.0).collect();
        let x = Tensor::new(values.as_slice(), &Device::Cpu).expect("a tensor");
        for activation in ALL {
            let mut ours = values.clone();
            activation.apply(&mut ours);
            let theirs = by_candle(activation, &x).expect("candle's");
            let theirs: Vec<f32> = theirs.to_vec1().expect("floats");
            for ((x, a), b) in values.iter().zip(ours).zip(theirs) {
                let close = 1e-6 * x.abs().max(1.0);
                assert!((a - b).abs() < close, "{activation:?} of {x}: {a}, not {b}");
            }
        }
    }

    #[test]
    fn a_gate_multiplies() {
        let tensor = |numbers: &[f32]| Tensor::new(numbers, &Device::Cpu).expect("a tensor");
        let (gate, up) = (tensor(&[-1.0, 0.0, 2.0]), tensor(&[3.0, 4.0, 5.0]));
        let found = gated(Activation::Relu, &gate, &up).expect("a product");
        assert_eq!(found.to_vec1::<f32>().expect("floats"), [0.0, 0.0, 10.0]);
        assert!(gated(Activation::Relu, &gate, &tensor(&[1.0])).is_err());
    }
}
