//! What a replica can do, from how long requests of different lengths took.
//!
//! A step of a replica takes `step + sequence · sequences that write + tokens of prompts / prefill`.
//! So a request that is alone has its first token after
//!
//! ```text
//! steps that its prompt takes · step + tokens of its prompt / prefill
//! ```
//!
//! which tells `step` from `prefill` once prompts differ in length; and a token comes
//! `step + sequence · sequences` after the one before, which tells `sequence` from `step` once counts
//! of sequences differ. All of it is solved at once, by the least squares of relative errors.

use super::least_squares::{Row, solve};

/// Least seconds of a step that a replica model has.
const LEAST_STEP: f64 = 1e-6;

/// A request that was alone: from its coming to the engine to its first token, or to its vectors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Alone {
    pub(super) prompt_tokens: f64,
    pub(super) seconds: f64,
}

/// Sequences that were written side by side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Beside {
    pub(super) sequences: f64,
    /// From a token to the next of the same sequence.
    pub(super) seconds: f64,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fitted {
    pub(super) prefill_tokens_per_second: f64,
    pub(super) step_seconds: f64,
    pub(super) sequence_seconds: f64,
    /// Root of the mean square of the measurements' relative errors.
    pub(super) error: f64,
}

/// Why nothing can be found.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub(super) enum FitError {
    /// All prompts were of one length.
    #[error(
        "prompts of {least:.0} to {most:.0} tokens tell no rate: give a greater --prompt-tokens, or a model that takes longer prompts"
    )]
    OneLength { least: f64, most: f64 },
    /// Longer prompts took no longer.
    #[error(
        "prompts of {most:.0} tokens take no longer than those of {least:.0}, so their rate can't be told: give a greater --prompt-tokens"
    )]
    Flat { least: f64, most: f64 },
}

impl FitError {
    /// A word for programs.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::OneLength { .. } => "PromptsOfOneLength",
            Self::Flat { .. } => "PromptsTakeNoTime",
        }
    }
}

/// Fits the times, for steps of so many tokens at most.
///
/// # Errors
/// They do not tell how long a prompt takes.
pub(super) fn fit(
    alone: &[Alone],
    beside: &[Beside],
    max_step_tokens: u32,
) -> Result<Fitted, FitError> {
    let lengths = || alone.iter().map(|it| it.prompt_tokens);
    let (least, most) = (
        lengths().fold(f64::MAX, f64::min),
        lengths().fold(0.0, f64::max),
    );
    if alone.len() < 2 || most < 1.5 * least {
        return Err(FitError::OneLength { least, most });
    }
    let steps = |tokens: f64| (tokens / f64::from(max_step_tokens)).ceil().max(1.0);
    let alone = alone.iter().map(|it| Row {
        parts: [steps(it.prompt_tokens), 0.0, it.prompt_tokens],
        measured: it.seconds,
    });
    let beside = beside.iter().map(|it| Row {
        parts: [1.0, it.sequences, 0.0],
        measured: it.seconds,
    });
    let rows = alone.chain(beside).filter(|row| row.measured > 0.0);
    let ([step, sequence, token], error) = solve(&rows.collect::<Vec<_>>());
    if token <= 0.0 {
        return Err(FitError::Flat { least, most });
    }
    Ok(Fitted {
        prefill_tokens_per_second: 1.0 / token,
        step_seconds: step.max(LEAST_STEP),
        sequence_seconds: sequence,
        error,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chandler_sim::traffic::baselines::Fixed;
    use chandler_sim::traffic::trace::{Request, Trace};
    use chandler_sim::traffic::{Bounds, Options, Outcome, ReplicaModel, simulate};

    use super::*;

    /// What a simulated replica makes of so many equal requests at once.
    fn asked(model: &ReplicaModel, count: usize, prompt_tokens: u32, tokens: u32) -> Outcome {
        let request = Request {
            at: Duration::ZERO,
            prompt_tokens,
            generated_tokens: tokens,
        };
        let trace = Trace {
            requests: vec![request; count],
            length: Duration::from_secs(1),
        };
        let bounds = Bounds {
            min: 1,
            max: 1,
            first: 1,
        };
        simulate(&trace, model, bounds, &mut Fixed(1), &Options::default())
    }

    fn alone(model: &ReplicaModel, lengths: &[u32]) -> Vec<Alone> {
        let alone = lengths.iter().map(|tokens| Alone {
            prompt_tokens: f64::from(*tokens),
            seconds: asked(model, 1, *tokens, 1).ttft.p50.as_secs_f64(),
        });
        alone.collect()
    }

    fn beside(model: &ReplicaModel, counts: &[usize]) -> Vec<Beside> {
        let beside = counts.iter().map(|count| {
            let outcome = asked(model, *count, 16, 101);
            let wrote = outcome.latency.p50 - outcome.ttft.p50;
            Beside {
                sequences: *count as f64,
                seconds: wrote.as_secs_f64() / 100.0,
            }
        });
        beside.collect()
    }

    fn is_near(found: f64, truth: f64, what: &str) {
        assert!(
            (found / truth - 1.0).abs() < 0.02,
            "{what}: {found}, not {truth}"
        );
    }

    #[test]
    fn a_simulated_replica_is_found_again() {
        for (prefill, step, sequence) in [
            (6000.0, 0.025, 0.000_25),
            (400.0, 0.012, 0.0004),
            (50_000.0, 0.006, 0.0001),
        ] {
            let model = ReplicaModel {
                prefill_tokens_per_second: prefill,
                step_seconds: step,
                sequence_seconds: sequence,
                ..ReplicaModel::default()
            };
            let alone = alone(&model, &[32, 128, 512, 3000]);
            let beside = beside(&model, &[1, 4, 16]);
            let fitted = fit(&alone, &beside, model.max_step_tokens).expect("a fit");
            is_near(fitted.prefill_tokens_per_second, prefill, "prefill");
            is_near(fitted.step_seconds, step, "step");
            is_near(fitted.sequence_seconds, sequence, "sequence");
            assert!(fitted.error < 0.01, "{fitted:?}");
        }
    }

    #[test]
    fn a_replica_that_writes_nothing_is_found_by_its_prompts_alone() {
        let model = ReplicaModel {
            prefill_tokens_per_second: 2500.0,
            step_seconds: 0.003,
            max_step_tokens: 16_384,
            ..ReplicaModel::default()
        };
        let alone = alone(&model, &[32, 64, 128, 1024]);
        let fitted = fit(&alone, &[], model.max_step_tokens).expect("a fit");
        is_near(fitted.prefill_tokens_per_second, 2500.0, "prefill");
        is_near(fitted.step_seconds, 0.003, "step");
        assert_eq!(fitted.sequence_seconds, 0.0);
    }

    #[test]
    fn one_at_a_time_tells_the_step_of_a_prompt_from_that_of_a_token() {
        let model = ReplicaModel {
            prefill_tokens_per_second: 300.0,
            step_seconds: 0.02,
            sequence_seconds: 0.01,
            max_batch: 1,
            ..ReplicaModel::default()
        };
        let alone = alone(&model, &[16, 64, 256]);
        let fitted = fit(&alone, &beside(&model, &[1]), 2048).expect("a fit");
        is_near(fitted.step_seconds, 0.02, "step");
        is_near(fitted.sequence_seconds, 0.01, "sequence");
    }

    #[test]
    fn what_tells_no_rate_is_refused() {
        let one = Alone {
            prompt_tokens: 100.0,
            seconds: 0.5,
        };
        let same = fit(&[one, one], &[], 2048).expect_err("one length");
        assert_eq!(same.reason(), "PromptsOfOneLength");
        let longer = Alone {
            prompt_tokens: 400.0,
            seconds: 0.4,
        };
        let flat = fit(&[one, longer], &[], 2048).expect_err("no slope");
        assert_eq!(flat.reason(), "PromptsTakeNoTime");
        assert!(
            flat.to_string()
                .contains("of 400 tokens take no longer than those of 100")
        );
    }
}
