//! Rotations as a `config.json` tells them.

use std::f64::consts::PI;

use serde::Deserialize;

use super::checkpoint::Config;
use crate::models::decoder::{Pairs, Rotary};

/// Where a model says nothing else.
const BASE: f64 = 10_000.0;

/// The parameters of a rotation.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RopeFile {
    rope_type: Option<String>,
    // An older name of the same; some files have both.
    #[serde(rename = "type")]
    kind: Option<String>,
    pub(super) rope_theta: Option<f64>,
    partial_rotary_factor: Option<f64>,
    factor: Option<f64>,
    attention_factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<usize>,
    long_factor: Option<Vec<f64>>,
    short_factor: Option<Vec<f64>>,
    /// Longest sequence of the model.
    #[serde(skip)]
    limit: usize,
}

impl RopeFile {
    /// Takes what older files write beside the parameters.
    pub(super) fn complete(&mut self, config: &Config) {
        self.limit = config.max_position_embeddings;
        self.rope_theta = self.rope_theta.or(config.rope_theta);
        self.partial_rotary_factor = self.partial_rotary_factor.or(config.partial_rotary_factor);
        let beside = config.original_max_position_embeddings;
        self.original_max_position_embeddings = beside.or(self.original_max_position_embeddings);
    }

    /// Which scaling it is.
    fn scaling(&self) -> &str {
        let kind = self.rope_type.as_deref().or(self.kind.as_deref());
        kind.unwrap_or("default")
    }

    /// The rotation of heads of this length, for sequences of up to `context` tokens.
    ///
    /// # Errors
    /// What of the parameters cannot be used, in words.
    pub(super) fn rotary(&self, head_dim: usize, context: usize) -> Result<Rotary, String> {
        let part = self.partial_rotary_factor.unwrap_or(1.0);
        let turned = (head_dim as f64 * part) as usize;
        if turned == 0 || turned > head_dim || turned % 2 == 1 {
            return Err(format!(
                "partial_rotary_factor {part} rotates {turned} of {head_dim} values; \
                 an even number above 0 can be"
            ));
        }
        let base = positive("rope_theta", self.rope_theta.unwrap_or(BASE))?;
        let mut rotary = Rotary::new(Pairs::Halves, turned, base);
        match self.scaling() {
            "default" => {}
            "linear" => {
                let factor = self.need("factor", self.factor)?;
                rotary.divide(vec![factor; turned / 2]);
            }
            "llama3" => {
                let factors = self.llama3(&rotary.frequencies)?;
                rotary.divide(factors);
            }
            "longrope" | "su" => self.longrope(&mut rotary, context)?,
            other => {
                return Err(format!(
                    "rope_type `{other}` is not supported; known are default, linear, llama3, longrope"
                ));
            }
        }
        Ok(rotary)
    }

    fn need(&self, name: &str, value: Option<f64>) -> Result<f64, String> {
        let missing = || format!("rope_type `{}` needs {name}", self.scaling());
        positive(name, value.ok_or_else(missing)?)
    }

    fn original(&self) -> f64 {
        let original = self.original_max_position_embeddings;
        original.unwrap_or(self.limit).max(1) as f64
    }

    /// What Llama 3.1 divides frequencies by: those that turn slowly over the original context by `factor`,
    /// fast ones by nothing, those between by something between.
    fn llama3(&self, frequencies: &[f64]) -> Result<Vec<f64>, String> {
        let factor = self.need("factor", self.factor)?;
        let low = self.need("low_freq_factor", self.low_freq_factor)?;
        let high = self.need("high_freq_factor", self.high_freq_factor)?;
        if high <= low {
            return Err("high_freq_factor must be above low_freq_factor".to_owned());
        }
        let divisor = |frequency: &f64| {
            let turns = self.original() * frequency / (2.0 * PI);
            let smooth = ((turns - low) / (high - low)).clamp(0.0, 1.0);
            1.0 / ((1.0 - smooth) / factor + smooth)
        };
        Ok(frequencies.iter().map(divisor).collect())
    }

    /// `LongRoPE`: one list of factors for sequences of up to the original context, another one beyond. What
    /// the cache holds can't be rotated anew when a sequence grows, so the longest one decides for all.
    fn longrope(&self, rotary: &mut Rotary, context: usize) -> Result<(), String> {
        let original = self.original();
        let (name, factors) = match context as f64 > original {
            true => ("long_factor", &self.long_factor),
            false => ("short_factor", &self.short_factor),
        };
        let factors = factors.as_deref().unwrap_or_default();
        if factors.len() != rotary.frequencies.len() {
            return Err(format!(
                "{name} has {} values, {} are needed",
                factors.len(),
                rotary.frequencies.len()
            ));
        }
        for &factor in factors {
            positive(name, factor)?;
        }
        rotary.divide(factors.iter().copied());
        let stretch = self.factor.unwrap_or(self.limit as f64 / original);
        rotary.scale = match self.attention_factor {
            Some(scale) => positive("attention_factor", scale)?,
            None => attention_factor(stretch, original),
        };
        Ok(())
    }
}

/// What `LongRoPE` multiplies rotated values by, for a context that is `stretch` times the original one.
fn attention_factor(stretch: f64, original: f64) -> f64 {
    match stretch <= 1.0 || original <= 1.0 {
        true => 1.0,
        false => (1.0 + stretch.ln() / original.ln()).sqrt(),
    }
}

fn positive(name: &str, value: f64) -> Result<f64, String> {
    match value.is_finite() && value > 0.0 {
        true => Ok(value),
        false => Err(format!("{name} is {value}; it must be above 0")),
    }
}
