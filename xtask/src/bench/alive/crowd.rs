//! Many clients that ask one thing after the other.

use super::client::{self, Answer};
use super::question::{self, Dice, Question};
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

const OK: u16 = 200;
const TOO_MANY: u16 = 429;
/// The longest that a refused client waits, whatever it is told: the crowd is to stay one.
const LONGEST_WAIT: u64 = 10;

/// What came of all questions.
#[derive(Debug, Default, Serialize)]
pub(super) struct Outcomes {
    /// By status, or what else happened.
    pub(super) counts: BTreeMap<String, u64>,
    /// Of each that is no answer, the first.
    pub(super) examples: BTreeMap<String, String>,
    /// Answers that were neither whole nor refused with 429.
    pub(super) errors: u64,
}

enum Outcome {
    Whole,
    Left,
    /// Time was up.
    Over,
    Refused(Duration),
    Failed {
        kind: String,
        example: String,
    },
}

impl Outcomes {
    fn count(&mut self, outcome: &Outcome) {
        let kind = match outcome {
            Outcome::Whole => "200",
            Outcome::Left => "left in the middle",
            Outcome::Over => "cut at the end",
            Outcome::Refused(_) => "429",
            Outcome::Failed { kind, example } => {
                self.errors += 1;
                let examples = &mut self.examples;
                examples
                    .entry(kind.clone())
                    .or_insert_with(|| example.clone());
                kind
            }
        };
        *self.counts.entry(kind.to_owned()).or_default() += 1;
    }
}

/// So many clients ask `server` until `end`.
pub(super) fn ask(server: SocketAddr, clients: u32, end: Instant) -> Outcomes {
    let outcomes = Mutex::new(Outcomes::default());
    thread::scope(|scope| {
        for client in 0..clients {
            let outcomes = &outcomes;
            scope.spawn(move || {
                let mut dice = Dice::new(u64::from(client));
                while Instant::now() < end {
                    let outcome = one(server, &question::of_crowd(&mut dice), end);
                    if let Ok(mut outcomes) = outcomes.lock() {
                        outcomes.count(&outcome);
                    }
                    if let Outcome::Refused(wait) = outcome {
                        thread::sleep(wait.min(end.saturating_duration_since(Instant::now())));
                    }
                }
            });
        }
    });
    outcomes.into_inner().unwrap_or_default()
}

fn one(server: SocketAddr, question: &Question, end: Instant) -> Outcome {
    let failed = |kind: &str, example: String| Outcome::Failed {
        kind: kind.to_owned(),
        example,
    };
    let answer = match client::ask(server, &question.body, Some(end)) {
        Ok(answer) => answer,
        Err(_) if Instant::now() >= end => return Outcome::Over,
        Err(error) => return failed("no answer", format!("{error:#}")),
    };
    match (answer.status, answer.retry_after) {
        (OK, _) => match read(answer, question, end) {
            Ok(outcome) => outcome,
            Err(_) if Instant::now() >= end => Outcome::Over,
            Err(error) => failed("a broken stream", format!("{error:#}")),
        },
        (TOO_MANY, Some(seconds)) => {
            Outcome::Refused(Duration::from_secs(seconds.min(LONGEST_WAIT)))
        }
        (status, _) => failed(&status.to_string(), answer.text()),
    }
}

fn read(mut answer: Answer, question: &Question, end: Instant) -> Result<Outcome> {
    let mut events = 0;
    let mut ended = false;
    while let Some(data) = answer.event()? {
        events += 1;
        if question.leaves_after.is_some_and(|most| events >= most) {
            return Ok(Outcome::Left);
        }
        if Instant::now() >= end {
            return Ok(Outcome::Over);
        }
        if data == "[DONE]" && ended {
            return Ok(Outcome::Whole);
        }
        if data.contains("\"error\"") {
            anyhow::bail!("an error in the stream: {data}");
        }
        ended |= data.contains("\"finish_reason\":\"");
    }
    anyhow::bail!("the stream ended after {events} events without its end")
}
