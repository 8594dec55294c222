//! What one replica can do while its signals are within their targets: tokens a second of prompts,
//! were there nothing else to do, and of answers. It is learned from what replicas did.
//!
//! A replica that writes `g` and reads `p` tokens a second is busy for `p / prefill + g / decode` of
//! its time; at 1 it does all that it can. How far its steps reach tells that before it is ever seen,
//! where [`super::reach`] knows. A minute within the targets in which more was done shows
//! that more can be; a minute over a target shows that what was done is too much.

use std::time::Duration;

use jiff::Timestamp;

use super::reach::Reach;
use crate::decide::since;
use crate::load::{Flow, LoadSeen, RECENT};

/// So much of a replica is no reason for another.
pub(super) const ROUNDING: f64 = 1e-6;
/// A change by less is no news, and no reason to write it down.
const NEWS: f64 = 0.05;
/// What one look may take away.
const LEAST_CUT: f64 = 0.9;
/// The same where the reach of replicas is known: most of what strains them then is that more comes
/// than was to be expected.
const LEAST_CUT_KNOWN: f64 = 0.99;
/// What one step of a trial adds.
const TRIAL: f64 = 1.1;
/// Time between two steps of a trial: a minute's window has to be one of the step before.
const TRIAL_EVERY: Duration = Duration::from_secs(60);
/// After trouble nothing is tried for so long.
const TRIAL_AFTER: Duration = Duration::from_secs(3600);
/// A window with fewer requests teaches nothing.
const LEAST_REQUESTS: f64 = 10.0;
/// A token that is written costs as much as so many that are read, at least and at most.
const RATIOS: (f64, f64) = (1.0, 64.0);

/// What one replica can do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Capacity {
    /// Tokens of prompts a second.
    pub prefill: f64,
    /// Tokens of answers a second.
    pub decode: f64,
    /// Requests a second, of those that came of late.
    pub requests: f64,
    /// When this was learned.
    pub at: Timestamp,
    /// When a replica last had more to do than it can; `None` if none ever had, so that it may well
    /// be able to do more.
    pub strained_at: Option<Timestamp>,
}

impl Capacity {
    /// What so many tokens cost, in seconds of a replica.
    #[must_use]
    pub fn work(&self, prompt_tokens: f64, generation_tokens: f64) -> f64 {
        prompt_tokens / self.prefill + generation_tokens / self.decode
    }

    /// With what a written token costs brought down to what it cost in a window, the window's work
    /// being as much as before. The more is written at once, the less each token costs, and it is
    /// the cost at the edge that counts.
    fn split(self, window: &Flow, seconds: f64) -> Self {
        let now = ratio(window, seconds);
        if now >= self.prefill / self.decode * (1.0 - NEWS) {
            return self;
        }
        let work = self.work(window.prompt_tokens, window.generation_tokens);
        let prefill = (window.prompt_tokens + now * window.generation_tokens) / work;
        Self {
            prefill,
            decode: prefill / now,
            ..self
        }
    }

    /// Share of their time that replicas were busy for in a window.
    fn busy(&self, window: &Flow) -> f64 {
        let seconds = seconds(window);
        if seconds > 0.0 {
            self.work(window.prompt_tokens, window.generation_tokens) / seconds
        } else {
            0.0
        }
    }

    /// Without strain: as much as replicas reach, where that is known; after trouble no more of it
    /// than may be tried. Where it is not known, a trial.
    fn reaching(self, window: &Flow, reach: Option<Reach>, strain: Strain, now: Timestamp) -> Self {
        let in_peace = !(self.strained_at).is_some_and(|at| is_within(at, now, TRIAL_AFTER));
        let may_try = strain == Strain::Slack && !is_within(self.at, now, TRIAL_EVERY);
        let Some(reach) = reach else {
            return if may_try && in_peace {
                self.times(TRIAL, now)
            } else {
                self
            };
        };
        let reached = Self {
            prefill: reach.prefill,
            decode: reach.decode,
            ..self
        };
        let work = |it: &Self| it.work(window.prompt_tokens, window.generation_tokens);
        let more = work(&self) / work(&reached);
        let change = match more {
            more if (more - 1.0).abs() <= NEWS => return self,
            more if more < 1.0 || in_peace => more,
            more if may_try => more.min(TRIAL),
            _ => return self,
        };
        let requests = self.requests * change;
        Self {
            requests,
            ..reached.times(change / more, now)
        }
    }

    fn times(self, factor: f64, now: Timestamp) -> Self {
        Self {
            prefill: self.prefill * factor,
            decode: self.decode * factor,
            requests: self.requests * factor,
            at: now,
            ..self
        }
    }
}

/// How the replicas were in the last minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strain {
    /// Over a target.
    Over,
    /// Within all.
    Within,
    /// So far within all that a replica could do more.
    Slack,
}

/// What is known of a replica's capacity after a window, `before` being what was known, and `reach`
/// what it could do with a full batch, if that is known. `None` as long as nothing is.
pub(super) fn learn(
    before: Option<Capacity>,
    load: &LoadSeen,
    strain: Strain,
    reach: Option<Reach>,
    now: Timestamp,
) -> Option<Capacity> {
    let window = &load.stable;
    let seconds = seconds(window);
    if seconds <= 0.0 || requests(window) < LEAST_REQUESTS {
        return before;
    }
    let Some(known) = before else {
        return first(window, seconds, strain, now);
    };
    // Under strain prompts wait for each other while they count as computed.
    let mut known = if strain == Strain::Over || reach.is_some() {
        known
    } else {
        known.split(window, seconds)
    };
    let busy = known.busy(window);
    match strain {
        Strain::Over => {
            // What strains now may be seen in the last seconds alone, the rest of the minute having
            // been calm; and these seconds' requests may happen to be small ones.
            let busy = busy.max(known.busy(&load.recent));
            if busy < 1.0 - NEWS && !is_within(known.at, now, RECENT) {
                let least = reach.map_or(LEAST_CUT, |_| LEAST_CUT_KNOWN);
                known = known.times(busy.max(least), now);
            }
            // Noted now and then: a write a look would be too many.
            let noted = known
                .strained_at
                .is_some_and(|at| is_within(at, now, TRIAL_EVERY));
            if !noted {
                known.strained_at = Some(now);
            }
        }
        _ if busy > 1.0 + NEWS => known = known.times(busy, now),
        Strain::Within | Strain::Slack => known = known.reaching(window, reach, strain, now),
    }
    Some(known)
}

/// Requests of a window; those of a model that writes nothing have no first token.
fn requests(window: &Flow) -> f64 {
    if window.generation_tokens > 0.0 {
        window.first_tokens
    } else {
        window.first_tokens.max(window.ended)
    }
}

/// Seconds of replicas in a window.
fn seconds(window: &Flow) -> f64 {
    window.length.as_secs_f64() * window.replicas
}

/// A time that is still to come was noted by a clock that has been set since: it counts as long
/// ago.
fn is_within(at: Timestamp, now: Timestamp, length: Duration) -> bool {
    since(at, now).is_some_and(|since| since < length)
}

/// The first window is taken for all that a replica can do.
fn first(window: &Flow, seconds: f64, strain: Strain, now: Timestamp) -> Option<Capacity> {
    let ratio = ratio(window, seconds);
    let tokens = window.prompt_tokens + ratio * window.generation_tokens;
    (tokens > 0.0).then(|| Capacity {
        prefill: tokens / seconds,
        decode: tokens / seconds / ratio,
        requests: requests(window) / seconds,
        at: now,
        strained_at: (strain == Strain::Over).then_some(now),
    })
}

/// How many tokens of a prompt cost as much as one that is written. What the replicas did beside
/// reading prompts, they wrote; a replica that is not busy all the time wrote for as long as it had
/// a request.
fn ratio(window: &Flow, seconds: f64) -> f64 {
    let reading = window.prefill_seconds.min(seconds);
    let requests = window.running / window.replicas.max(f64::MIN_POSITIVE);
    let busy = seconds * requests.min(1.0);
    let writing = (busy - reading).max(0.0);
    if window.prompt_tokens <= 0.0 || window.generation_tokens <= 0.0 || reading <= 0.0 {
        return 1.0;
    }
    let (least, most) = RATIOS;
    let read = reading / window.prompt_tokens;
    (writing / window.generation_tokens / read).clamp(least, most)
}
