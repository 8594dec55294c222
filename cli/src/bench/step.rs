//! One step of a measurement: who was asked for what, and what came of it.

use std::collections::BTreeMap;
use std::time::Duration;

use chandler_sim::traffic::Quantiles;
use chandler_sim::traffic::trace::{Request, Trace};

use super::client::Answer;
use super::fault::Fault;

/// One request of a step.
#[derive(Debug)]
pub(super) struct Done {
    /// As it was to be; when, since the step began, as it really was sent.
    pub(super) wanted: Request,
    pub(super) answer: Result<Answer, Fault>,
}

impl Done {
    /// The request as the server counted it.
    fn real(&self) -> Request {
        match &self.answer {
            Ok(answer) => Request {
                at: self.wanted.at,
                prompt_tokens: answer.prompt_tokens,
                generated_tokens: answer.generated_tokens,
            },
            Err(_) => self.wanted,
        }
    }
}

/// The most that a replica told of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Peak {
    /// Requests that were computed at one time.
    pub(super) running: f64,
    /// Used share of the key-value cache.
    pub(super) cache: f64,
}

#[derive(Debug)]
pub(super) struct Step {
    /// What was done.
    pub(super) name: String,
    /// Requests a second that were to be sent; `None` where callers wait for their answers.
    pub(super) offered: Option<f64>,
    /// How many callers waited for their answers; 0 where requests come whatever became of others.
    pub(super) callers: u32,
    /// How long it was to last.
    pub(super) length: Duration,
    pub(super) done: Vec<Done>,
    pub(super) peak: Peak,
}

impl Step {
    /// With the earliest request first.
    pub(super) fn new(
        name: String,
        offered: Option<f64>,
        length: Duration,
        mut done: Vec<Done>,
    ) -> Self {
        done.sort_by_key(|done| done.wanted.at);
        Self {
            name,
            offered,
            callers: 0,
            length,
            done,
            peak: Peak::default(),
        }
    }

    /// The step, unless none of its requests was answered.
    ///
    /// # Errors
    /// Why the first one was not.
    pub(super) fn answered(mut self) -> Result<Self, Fault> {
        let count = self.done.len();
        let failed = |done: &Done| done.answer.is_err();
        if count == 0 || !self.done.iter().all(failed) {
            return Ok(self);
        }
        match self.done.swap_remove(0).answer {
            Ok(_) => Ok(self),
            Err(first) => Err(Fault::NothingAnswered {
                count,
                first: Box::new(first),
            }),
        }
    }

    fn answers(&self) -> impl Iterator<Item = (Duration, &Answer)> {
        let answers = self.done.iter();
        answers.filter_map(|done| Some((done.wanted.at, done.answer.as_ref().ok()?)))
    }

    /// How long it took, and what was answered in that time.
    ///
    /// Callers who wait for their answers end at different times, and after the step's end fewer ask:
    /// of theirs, what was answered until the last answer within the step counts.
    fn counted(&self) -> (Duration, impl Iterator<Item = &Answer>) {
        let ends = || self.answers().map(|(at, answer)| at + answer.whole);
        let within = match self.offered {
            Some(_) => None,
            None => ends().filter(|end| *end <= self.length).max(),
        };
        let lasted = within.unwrap_or_else(|| ends().fold(self.length, Duration::max));
        let counted = self
            .answers()
            .filter(move |(at, answer)| *at + answer.whole <= lasted);
        (lasted, counted.map(|(_, answer)| answer))
    }

    /// A sum over the answers, a second.
    fn a_second(&self, value: impl Fn(&Answer) -> u32) -> f64 {
        let (lasted, counted) = self.counted();
        let sum: f64 = counted.map(|answer| f64::from(value(answer))).sum();
        sum / lasted.as_secs_f64().max(1e-9)
    }

    /// Requests answered a second.
    pub(super) fn rate(&self) -> f64 {
        self.a_second(|_| 1)
    }

    pub(super) fn prompt_tokens(&self) -> f64 {
        self.a_second(|answer| answer.prompt_tokens)
    }

    pub(super) fn generated_tokens(&self) -> f64 {
        self.a_second(|answer| answer.generated_tokens)
    }

    pub(super) fn ttft(&self) -> Quantiles {
        Quantiles::of(self.answers().map(|(_, answer)| answer.first))
    }

    pub(super) fn latency(&self) -> Quantiles {
        Quantiles::of(self.answers().map(|(_, answer)| answer.whole))
    }

    pub(super) fn mean_latency(&self) -> f64 {
        let count = self.answers().count().max(1) as f64;
        let all = self.answers().map(|(_, answer)| answer.whole.as_secs_f64());
        all.sum::<f64>() / count
    }

    /// How many requests failed, by what it was.
    pub(super) fn failed(&self) -> BTreeMap<&'static str, usize> {
        let mut failed = BTreeMap::new();
        for fault in self
            .done
            .iter()
            .filter_map(|done| done.answer.as_ref().err())
        {
            *failed.entry(fault.reason()).or_default() += 1;
        }
        failed
    }

    /// What was asked, when it really was, in tokens as the server counted them.
    pub(super) fn trace(&self) -> Trace {
        Trace {
            requests: self.done.iter().map(Done::real).collect(),
            length: self.length,
        }
    }
}

/// The step in which most is done for each second that a request takes: beyond it, more load brings
/// more waiting than work (Kleinrock, "Power and deterministic rules of thumb for probabilistic
/// problems in computer communications", 1979).
pub(super) fn knee(steps: &[Step]) -> Option<&Step> {
    let power = |step: &Step| step.rate() / step.mean_latency().max(1e-9);
    let open = steps.iter().filter(|step| step.offered.is_some());
    let served = open.filter(|step| step.failed().is_empty() && !step.done.is_empty());
    served.max_by(|one, other| power(one).total_cmp(&power(other)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openai::ServerError;

    const SECOND: Duration = Duration::from_secs(1);

    fn answer(millis: u64) -> Answer {
        Answer {
            first: Duration::from_millis(millis / 2),
            whole: Duration::from_millis(millis),
            prompt_tokens: 10,
            generated_tokens: 2,
        }
    }

    fn done(at: u64, answer: Result<Answer, Fault>) -> Done {
        let wanted = Request {
            at: Duration::from_millis(at),
            prompt_tokens: 11,
            generated_tokens: 3,
        };
        Done { wanted, answer }
    }

    fn busy() -> Fault {
        Fault::Server(ServerError::Busy {
            url: "u".into(),
            told: String::new(),
            wait: None,
        })
    }

    fn step(offered: Option<f64>, done: Vec<Done>) -> Step {
        Step::new("s".into(), offered, 2 * SECOND, done)
    }

    #[test]
    fn callers_who_wait_count_within_the_step_and_others_to_the_end() {
        let all = || vec![done(1500, Ok(answer(2500))), done(0, Ok(answer(1000)))];
        assert_eq!(step(None, all()).rate(), 1.0);
        assert_eq!(step(Some(1.0), all()).rate(), 0.5);
        assert_eq!(step(None, all()).prompt_tokens(), 10.0);
        assert_eq!(step(Some(1.0), all()).generated_tokens(), 1.0);
    }

    #[test]
    fn callers_who_wait_for_each_other_are_no_faster_for_being_many() {
        // One at a time, half a second each.
        let all = (1..=64).map(|turn| done(0, Ok(answer(500 * turn))));
        assert_eq!(step(None, all.collect()).rate(), 2.0);
        let none_within = vec![done(0, Ok(answer(5000)))];
        assert_eq!(step(None, none_within).rate(), 0.2);
    }

    #[test]
    fn what_failed_is_told_by_its_reason_and_is_in_no_quantile() {
        let step = step(
            Some(1.0),
            vec![done(0, Ok(answer(800))), done(1, Err(busy()))],
        );
        assert_eq!(step.failed(), BTreeMap::from([("Busy", 1)]));
        assert_eq!(step.latency().p99.as_millis(), 800);
        assert_eq!(step.ttft().p50.as_millis(), 400);
        let trace = step.trace();
        let tokens = trace.requests.iter().map(|it| it.prompt_tokens);
        assert_eq!(tokens.collect::<Vec<_>>(), [10, 11]);
        assert!(step.answered().is_ok());
        let none = super::tests::step(None, vec![done(0, Err(busy())), done(1, Err(busy()))]);
        let fault = none.answered().expect_err("nothing");
        assert_eq!(fault.reason(), "Busy");
        assert!(
            fault.to_string().starts_with("none of 2 requests"),
            "{fault}"
        );
    }

    #[test]
    fn the_knee_is_where_work_for_waiting_is_most() {
        let of = |rate: u64, millis| {
            let all = (0..2 * rate).map(|at| done(at, Ok(answer(millis))));
            step(Some(rate as f64), all.collect())
        };
        let steps = [of(1, 100), of(6, 150), of(9, 900), step(None, Vec::new())];
        assert_eq!(knee(&steps).and_then(|step| step.offered), Some(6.0));
        assert!(knee(&steps[3..]).is_none());
    }
}
