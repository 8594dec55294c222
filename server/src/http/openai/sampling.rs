//! The parameters that choose tokens: OpenAI's, and those of vLLM's beside them.

use serde_json::Value;

use crate::engine::Sampling;
use crate::http::ApiError;
use crate::http::fields::{Fields, wrong};

/// Takes them out of `fields`; ids of tokens go up to `vocab`.
///
/// # Errors
/// 400 for the first that cannot be taken.
pub(super) fn take(fields: &mut Fields, vocab: usize) -> Result<Sampling, ApiError> {
    let default = Sampling::default();
    let mut number = |name: &'static str, range, absent: f32| {
        let number = fields.number(name, range)?;
        Ok::<_, ApiError>(number.map_or(absent, |number| number as f32))
    };
    Ok(Sampling {
        temperature: number("temperature", 0.0..=2.0, default.temperature)?,
        min_p: number("min_p", 0.0..=1.0, default.min_p)?,
        repetition_penalty: number(
            "repetition_penalty",
            0.01..=100.0,
            default.repetition_penalty,
        )?,
        frequency_penalty: number("frequency_penalty", -2.0..=2.0, default.frequency_penalty)?,
        presence_penalty: number("presence_penalty", -2.0..=2.0, default.presence_penalty)?,
        top_k: top_k(fields)?,
        top_p: top_p(fields)?,
        logit_bias: logit_bias(fields, vocab)?,
        seed: seed(fields)?,
    })
}

/// vLLM's words for all tokens are 0 and -1.
fn top_k(fields: &mut Fields) -> Result<Option<usize>, ApiError> {
    let Some(value) = fields.take("top_k") else {
        return Ok(None);
    };
    let wanted = "a whole number of at least 1, or -1 for all tokens";
    match value.as_i64() {
        Some(-1 | 0) => Ok(None),
        Some(count) => usize::try_from(count)
            .map(Some)
            .map_err(|_| wrong("top_k", wanted, &value)),
        None => Err(wrong("top_k", wanted, &value)),
    }
}

fn top_p(fields: &mut Fields) -> Result<f32, ApiError> {
    match fields.number("top_p", 0.0..=1.0)? {
        None => Ok(1.0),
        Some(share) if share > 0.0 => Ok(share as f32),
        Some(_) => Err(ApiError::invalid(
            "top_p",
            "`top_p` must be above 0 and at most 1; for the likeliest token write `temperature` 0",
        )),
    }
}

fn logit_bias(fields: &mut Fields, vocab: usize) -> Result<Vec<(u32, f32)>, ApiError> {
    let Some(value) = fields.take("logit_bias") else {
        return Ok(Vec::new());
    };
    let Value::Object(biases) = &value else {
        return Err(wrong(
            "logit_bias",
            "an object of token ids with numbers",
            &value,
        ));
    };
    let bias = |(token, bias): (&String, &Value)| {
        let token = token.parse().ok().filter(|token| (*token as usize) < vocab);
        let bias = bias.as_f64().filter(|bias| (-100.0..=100.0).contains(bias));
        Some((token?, bias? as f32))
    };
    let biases: Option<Vec<_>> = biases.iter().map(bias).collect();
    biases.ok_or_else(|| {
        ApiError::invalid(
            "logit_bias",
            format!(
                "`logit_bias` must have token ids from 0 to {} as keys, and numbers from -100 to 100",
                vocab.saturating_sub(1)
            ),
        )
    })
}

fn seed(fields: &mut Fields) -> Result<Option<u64>, ApiError> {
    let Some(value) = fields.take("seed") else {
        return Ok(None);
    };
    let seed = value
        .as_u64()
        .or_else(|| value.as_i64().map(i64::cast_unsigned));
    seed.ok_or_else(|| wrong("seed", "a whole number of at most 64 bits", &value))
        .map(Some)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn taken(json: &Value) -> Result<Sampling, ApiError> {
        let mut fields = Fields::parse(json.to_string().as_bytes()).unwrap();
        let sampling = take(&mut fields, 100)?;
        fields.finish(&[])?;
        Ok(sampling)
    }

    #[test]
    fn what_is_absent_or_null_changes_nothing() {
        assert_eq!(taken(&json!({})), Ok(Sampling::default()));
        let nothing = json!({
            "temperature": null, "top_k": -1, "top_p": 1, "min_p": 0, "repetition_penalty": 1,
            "frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {}, "seed": null,
        });
        assert_eq!(taken(&nothing), Ok(Sampling::default()));
    }

    #[test]
    fn all_are_read() {
        let all = json!({
            "temperature": 0.5, "top_k": 40, "top_p": 0.25, "min_p": 0.125, "repetition_penalty": 1.5,
            "frequency_penalty": -2, "presence_penalty": 2, "logit_bias": {"7": -100, "99": 0.5},
            "seed": -1,
        });
        let expected = Sampling {
            temperature: 0.5,
            top_k: Some(40),
            top_p: 0.25,
            min_p: 0.125,
            repetition_penalty: 1.5,
            frequency_penalty: -2.0,
            presence_penalty: 2.0,
            logit_bias: vec![(7, -100.0), (99, 0.5)],
            seed: Some(u64::MAX),
        };
        assert_eq!(taken(&all), Ok(expected));
    }

    #[test]
    fn values_out_of_range_name_the_parameter() {
        for (name, value) in [
            ("temperature", json!(2.1)),
            ("temperature", json!("hot")),
            ("top_k", json!(-2)),
            ("top_k", json!(1.5)),
            ("top_p", json!(0)),
            ("top_p", json!(1.5)),
            ("min_p", json!(-0.1)),
            ("repetition_penalty", json!(0)),
            ("frequency_penalty", json!(2.5)),
            ("presence_penalty", json!(-3)),
            ("logit_bias", json!([5])),
            ("logit_bias", json!({"100": 1})),
            ("logit_bias", json!({"five": 1})),
            ("logit_bias", json!({"5": 101})),
            ("logit_bias", json!({"5": "much"})),
            ("seed", json!(0.5)),
        ] {
            let error = taken(&json!({name: value})).unwrap_err().body();
            assert_eq!(error["error"]["param"], name, "{error}");
            assert_eq!(error["error"]["type"], "invalid_request_error");
        }
    }
}
