//! The replica model that a measurement gives: what was fitted, what was seen, what was told, and
//! which of its numbers is which.

use std::fmt::Write;
use std::path::PathBuf;

use chandler_sim::traffic::ReplicaModel;

use super::args::{BenchArgs, GivenArgs};
use super::client::{Answer, Task};
use super::fault::Fault;
use super::fit::{Alone, Beside, Fitted};
use super::step::{Peak, Step};
use super::target::Target;

/// Tokens of a batch of texts, as Chandler's own server has it.
const VECTORS_STEP_TOKENS: u32 = 16_384;
/// Room for so many steps is as good as no bound where there is no cache.
const STEPS_WITHOUT_CACHE: u64 = 4;
/// Significant digits of a number that was measured.
const DIGITS: i32 = 4;

/// A replica model, with what is to be known of its numbers.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) model: ReplicaModel,
    /// Relative error of the fit.
    pub(super) error: f64,
    /// A sentence each.
    pub(super) notes: Vec<String>,
}

impl Replica {
    /// As `chandler simulate --replica-model` reads it.
    pub(super) fn yaml(&self) -> String {
        let mut text = String::new();
        for note in &self.notes {
            let _ = writeln!(text, "# {note}");
        }
        // Numbers alone: nothing of it can fail to be written.
        text + &serde_yaml::to_string(&self.model).unwrap_or_default()
    }
}

/// What is found out, bit by bit.
#[derive(Debug)]
pub(super) struct Found<'a> {
    given: &'a GivenArgs,
    target: &'a Target,
    pub(super) alone: Vec<Alone>,
    pub(super) beside: Vec<Beside>,
    pub(super) request_seconds: f64,
    pub(super) max_batch: u32,
    /// Whether more sequences were there than the replica computed.
    batch_is_full: bool,
    pub(super) max_step_tokens: u32,
    /// Tokens of the key-value cache, if the replica tells how full it is.
    cache: Option<f64>,
    starts: Option<f64>,
}

impl<'a> Found<'a> {
    /// What callers who wait have shown, and what the replica tells of its own start.
    pub(super) fn new(
        args: &'a BenchArgs,
        target: &'a Target,
        steps: &[Step],
        starts: Option<f64>,
    ) -> Self {
        let given = &args.given;
        let step_tokens = given.max_step_tokens.unwrap_or(match target.task {
            Task::Vectors => VECTORS_STEP_TOKENS,
            Task::Text => ReplicaModel::default().max_step_tokens,
        });
        let (seen, batch_is_full) = batch(steps);
        let seen = match target.task {
            // A batch of texts is bounded by its tokens, unless a bound was met.
            Task::Vectors if !batch_is_full => step_tokens - 1,
            _ => seen,
        };
        Self {
            given,
            target,
            alone: Vec::new(),
            beside: Vec::new(),
            request_seconds: 0.0,
            max_batch: given.max_batch.unwrap_or(seen),
            batch_is_full,
            max_step_tokens: step_tokens,
            cache: None,
            starts,
        }
    }

    /// How full the cache was with one sequence.
    pub(super) fn saw_cache(&mut self, answers: &[Answer], peak: Peak) {
        if let [answer] = answers
            && peak.cache > 0.0
        {
            let tokens = f64::from(answer.prompt_tokens + answer.generated_tokens);
            // Looks miss the last tokens, so the fullest that was seen is nearest.
            let size = tokens / peak.cache;
            self.cache = Some(self.cache.map_or(size, |known| known.min(size)));
        }
    }

    fn kv_tokens(&self) -> u64 {
        let step = u64::from(self.max_step_tokens);
        let (batch, longest) = (u64::from(self.max_batch), self.target.longest);
        match (self.cache, self.target.task) {
            (Some(tokens), _) => tokens.round() as u64,
            // Without a cache, enough for whatever a step or a batch may hold.
            (None, Task::Vectors) => STEPS_WITHOUT_CACHE * step,
            (None, Task::Text) => batch * longest.map_or(step, u64::from),
        }
    }

    /// The model.
    ///
    /// # Errors
    /// What was given fits no replica.
    pub(super) fn replica(&self, fitted: &Fitted) -> Result<Replica, Fault> {
        let other = ReplicaModel::default();
        let given = &self.given;
        let model = ReplicaModel {
            prefill_tokens_per_second: rounded(fitted.prefill_tokens_per_second),
            step_seconds: rounded(fitted.step_seconds),
            sequence_seconds: rounded(fitted.sequence_seconds),
            max_batch: self.max_batch,
            max_step_tokens: self.max_step_tokens,
            max_queue: given.max_queue.unwrap_or(other.max_queue),
            kv_tokens: self.kv_tokens(),
            start_seconds: match (&given.start_seconds[..], self.starts) {
                ([], Some(start)) => vec![rounded(start)],
                ([], None) => other.start_seconds,
                (given, _) => given.to_vec(),
            },
            drain_seconds: given.drain_seconds.unwrap_or(other.drain_seconds),
            request_seconds: rounded(self.request_seconds),
        };
        let replica = Replica {
            model,
            error: fitted.error,
            notes: self.notes(fitted),
        };
        match ReplicaModel::parse(&replica.yaml()) {
            Ok(_) => Ok(replica),
            Err(error) => Err(Fault::Model {
                path: PathBuf::from("the replica model"),
                error,
            }),
        }
    }

    fn notes(&self, fitted: &Fitted) -> Vec<String> {
        let or = |is_given: bool, otherwise: &str| {
            let told = if is_given { "as given" } else { otherwise };
            told.to_owned()
        };
        let given = self.given;
        let starts = match self.starts {
            Some(_) => {
                "as the replica tells of its own, which leaves out what came before its process"
            }
            None => "by default",
        };
        let batch = if self.batch_is_full {
            "as measured"
        } else {
            "no bound was met"
        };
        vec![
            format!(
                "What a replica of `{}` can do, as `chandler bench` measured it.",
                self.target.model
            ),
            format!(
                "prefillTokensPerSecond, stepSeconds, sequenceSeconds: least squares, off by {:.0} % in the mean.",
                100.0 * fitted.error
            ),
            format!("maxBatch: {}.", or(given.max_batch.is_some(), batch)),
            format!(
                "startSeconds: {}.",
                or(!given.start_seconds.is_empty(), starts)
            ),
            format!(
                "maxStepTokens {}, maxQueue {}, drainSeconds {}: they can't be measured from outside.",
                or(given.max_step_tokens.is_some(), "by default"),
                or(given.max_queue.is_some(), "by default"),
                or(given.drain_seconds.is_some(), "by default"),
            ),
        ]
    }
}

/// Most requests that were computed at one time, and whether at least as many more waited, which
/// tells that no more could be.
fn batch(steps: &[Step]) -> (u32, bool) {
    let running = |step: &Step| step.peak.running as u32;
    let full = steps.iter().filter(|step| {
        let most = running(step);
        most > 0 && most <= step.callers / 2 && step.failed().is_empty()
    });
    match full.map(running).max() {
        Some(most) => (most, true),
        None => (steps.iter().map(running).max().unwrap_or(1).max(1), false),
    }
}

/// A number with as many digits as a measurement has.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let digits = DIGITS - 1 - value.abs().log10().floor() as i32;
    let text = format!("{:.*}", digits.max(0) as usize, value);
    text.parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn step(callers: u32, running: f64) -> Step {
        let mut step = Step::new("s".into(), None, Duration::from_secs(1), Vec::new());
        step.callers = callers;
        step.peak.running = running;
        step
    }

    #[test]
    fn a_batch_is_full_once_as_many_wait_as_are_computed() {
        let one_at_a_time = [step(1, 1.0), step(2, 1.0), step(4, 1.0)];
        assert_eq!(batch(&one_at_a_time), (1, true));
        let full = [step(1, 1.0), step(8, 8.0), step(32, 32.0), step(64, 32.0)];
        assert_eq!(batch(&full), (32, true));
        let open = [step(1, 1.0), step(4, 3.0), step(8, 7.0)];
        assert_eq!(batch(&open), (7, false));
        assert_eq!(batch(&[]), (1, false));
    }

    #[test]
    fn numbers_have_four_digits() {
        for (value, told) in [
            (123_456.7, "123457"),
            (12.345_67, "12.35"),
            (0.000_123_456, "0.0001235"),
            (0.0, "0"),
        ] {
            assert_eq!(rounded(value).to_string(), told);
        }
    }
}
