//! One thing that is compared, and what it has come to.

use super::bins::{Bins, apart};
use super::odds::{Block, Odds};
use super::share::Share;
use super::tally::Tally;

/// Share of the requests above the quantile that is compared, the 95th percentile.
const SLOWEST: f64 = 0.05;
/// Fewest of the other revision's values before its quantile is known well enough.
const KNOWN: u64 = 20;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// Share of failed requests.
    ErrorRate,
    /// Share of prompts, asked aside, that are not answered alike.
    Difference,
    /// p95 of the time to the first token.
    FirstToken,
    /// p95 of the whole answer's time.
    Latency,
    /// p95 of the time from one token to the next.
    TokenTime,
}

/// What a check has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The requests so far do not tell.
    Open,
    /// The limit is kept.
    Passed,
    /// It is not.
    Failed,
}

/// A check as it is seen.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckSeen {
    /// Which one.
    pub check: Check,
    /// What it has come to.
    pub verdict: Verdict,
    /// The canary's share of errors or of other answers, or its 95th percentile in seconds; `None` if there is none.
    pub canary: Option<f64>,
    /// The same of the other revision.
    pub stable: Option<f64>,
    /// The limit: of the canary's share, or of the ratio of the two.
    pub limit: f64,
}

/// How much evidence ends a check, as logarithms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bars {
    pub(super) pass: f64,
    pub(super) fail: f64,
}

/// One check while it goes on.
#[derive(Clone, Debug)]
pub(super) struct Test {
    check: Check,
    limit: f64,
    bars: Bars,
    bet: Bet,
    verdict: Verdict,
}

#[derive(Clone, Debug)]
enum Bet {
    Errors {
        /// More than the limit.
        above: Share,
        /// Less than the limit.
        below: Share,
        /// More often than the other revision, whose errors it may share.
        worse: Odds,
    },
    Times {
        slower: Odds,
        faster: Odds,
    },
}

impl Check {
    /// Its name in status and in what people read.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ErrorRate => "errorRate",
            Self::Difference => "answersDiffer",
            Self::FirstToken => "ttftP95",
            Self::Latency => "latencyP95",
            Self::TokenTime => "tokenTimeP95",
        }
    }

    fn bins(self, tally: &Tally) -> Option<&Bins> {
        match self {
            Self::ErrorRate | Self::Difference => None,
            Self::FirstToken => Some(&tally.first_token),
            Self::Latency => Some(&tally.latency),
            Self::TokenTime => Some(&tally.token_time),
        }
    }

    fn value(self, tally: &Tally) -> Option<f64> {
        match self.bins(tally) {
            Some(bins) => bins.quantile(1.0 - SLOWEST),
            None => tally.error_rate(),
        }
    }
}

impl Test {
    pub(super) fn new(check: Check, limit: f64, bars: Bars) -> Self {
        let bet = match check {
            Check::ErrorRate | Check::Difference => Bet::Errors {
                above: Share::above(limit),
                below: Share::below(limit),
                worse: Odds::above(),
            },
            _ => Bet::Times {
                slower: Odds::above(),
                faster: Odds::below(),
            },
        };
        Self {
            check,
            limit,
            bars,
            bet,
            verdict: Verdict::Open,
        }
    }

    /// Takes note of a block of both revisions' requests. `before` is what the other revision did
    /// before it: where its quantile lies must not depend on what it is compared by.
    pub(super) fn note(&mut self, canary: &Tally, stable: &Tally, before: &Tally) {
        match &mut self.bet {
            Bet::Errors {
                above,
                below,
                worse,
            } => {
                above.note(canary.failed, canary.answered);
                below.note(canary.failed, canary.answered);
                worse.note(Block {
                    one: (canary.requests(), canary.failed),
                    other: (stable.requests(), stable.failed),
                });
            }
            Bet::Times { slower, faster } => {
                let of = |tally| self.check.bins(tally);
                let (Some(canary), Some(stable), Some(before)) =
                    (of(canary), of(stable), of(before))
                else {
                    return;
                };
                let (less, more) = apart(self.limit);
                let Some(bound) = before.below(SLOWEST).filter(|_| before.count() >= KNOWN) else {
                    return;
                };
                let block = |bound: i16, apart: i16| Block {
                    one: (canary.count(), canary.above(bound.saturating_add(apart))),
                    other: (stable.count(), stable.above(bound)),
                };
                // Of the bounds of the quantile's bucket each bet takes the one that most of the values
                // that are alike do not lie beyond, so that it has something to tell of them. Between
                // the limit and the buckets' bounds it takes what it bets against.
                slower.note(block(bound.saturating_add(1), more));
                faster.note(block(bound, less));
            }
        }
    }

    /// Says what it has come to. What has once been said stays; that it fails outweighs that it
    /// passed.
    pub(super) fn judge(&mut self) {
        let (failed, passed) = match &self.bet {
            Bet::Errors {
                above,
                below,
                worse,
            } => (above.evidence().min(worse.evidence()), below.evidence()),
            Bet::Times { slower, faster } => (slower.evidence(), faster.evidence()),
        };
        if failed >= self.bars.fail {
            self.verdict = Verdict::Failed;
        } else if passed >= self.bars.pass && self.verdict == Verdict::Open {
            self.verdict = Verdict::Passed;
        }
    }

    pub(super) fn seen(&self, canary: &Tally, stable: &Tally) -> CheckSeen {
        CheckSeen {
            check: self.check,
            verdict: self.verdict,
            canary: self.check.value(canary),
            stable: self.check.value(stable),
            limit: self.limit,
        }
    }
}
