//! One replica: what it did between any two of its readings, as a difference of sums that only
//! its own readings make.

use std::collections::VecDeque;
use std::time::Duration;

use super::{FRESH, Histogram, RECENT, Reading, STABLE, Slot};

/// Between two marks of the time before [`RECENT`], for which less will do.
const STEP: Duration = Duration::from_secs(5);

/// What a replica did in some time.
#[derive(Clone, Debug, Default)]
pub(super) struct Work {
    /// Requests being computed, times the seconds that they were.
    pub(super) running_seconds: f64,
    /// Those times how many there were.
    pub(super) beside_seconds: f64,
    pub(super) waiting_seconds: f64,
    /// May be less than none: a request that its process took along was counted when it came.
    pub(super) arrived: f64,
    pub(super) ended: f64,
    pub(super) prompt_tokens: f64,
    pub(super) generation_tokens: f64,
    /// May be less than none: the time in the queue is told before that to the first token.
    pub(super) prefill_seconds: f64,
    pub(super) ttft: Histogram,
    pub(super) latency: Histogram,
}

/// What a replica did by the time of a reading, from its first reading on.
#[derive(Clone, Debug)]
struct Mark {
    at: Duration,
    done: Work,
}

/// A replica's work in a window, from one of its readings to another.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) from: Duration,
    pub(super) until: Duration,
    pub(super) work: Work,
}

/// A replica's readings.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) last: Reading,
    /// Whether it is there no more.
    pub(super) gone: bool,
    /// For how long that is true.
    lasts: Duration,
    newest: Mark,
    /// The marks of the last [`RECENT`], the newest not among them.
    recent: VecDeque<Mark>,
    /// Fewer of those before, back to [`STABLE`] and one more.
    older: VecDeque<Mark>,
}

impl Part {
    pub(super) fn length(&self) -> Duration {
        self.until.saturating_sub(self.from)
    }

    fn later(self, by: Duration) -> Self {
        Self {
            from: self.from + by,
            until: self.until + by,
            ..self
        }
    }
}

impl Track {
    /// Of a replica's first reading. What it did before is not known to belong to any window.
    pub(super) fn begin(reading: Reading, at: Duration, lasts: Duration) -> Self {
        Self {
            last: reading,
            gone: false,
            lasts,
            newest: Mark {
                at,
                done: Work::default(),
            },
            recent: VecDeque::new(),
            older: VecDeque::new(),
        }
    }

    /// Adds a later reading; gives what the replica did since the one before.
    pub(super) fn go_on(&mut self, reading: Reading, at: Duration, lasts: Duration) -> Part {
        let from = self.newest.at;
        let work = Work::between(&self.last, &reading, at.saturating_sub(from));
        let before = self.newest.clone();
        self.newest.at = at;
        self.newest.done.add(&work);
        self.last = reading;
        self.lasts = lasts;
        self.gone = false;
        self.recent.push_back(before);
        self.thin();
        Part {
            from,
            until: at,
            work,
        }
    }

    /// Whether what it told last is true of `now`.
    pub(super) fn is_fresh(&self, now: Duration) -> bool {
        !self.gone && now.saturating_sub(self.newest.at) < self.lasts
    }

    pub(super) fn lasts(&self) -> Duration {
        self.lasts
    }

    /// Whether no window reaches back to its last reading.
    pub(super) fn is_past(&self, now: Duration) -> bool {
        now.saturating_sub(self.newest.at) > STABLE
    }

    pub(super) fn told_at(&self) -> Duration {
        self.newest.at
    }

    /// What it did in the `window` that ends now; `None` if nothing of that is known.
    ///
    /// One that tells every second has told of nearly all of it. The window of one that tells seldom
    /// ends with its last reading and may begin between two, what it did from one to the other
    /// counting as if it had done it evenly. As long as it is fresh, that window stands for the
    /// present one: those of replicas that told at different moments lie upon each other, or what
    /// they did together would seem to have taken longer.
    pub(super) fn within(&self, now: Duration, window: Duration) -> Option<Part> {
        if self.lasts <= FRESH {
            return self.since(now.saturating_sub(window), false);
        }
        let late = if self.is_fresh(now) {
            now.saturating_sub(self.newest.at)
        } else {
            Duration::ZERO
        };
        let part = self.since(now.saturating_sub(window + late), true)?;
        Some(part.later(late))
    }

    /// What it did from the first reading at or after `begin` on, or `evenly` from `begin` itself on;
    /// `None` if there is no such reading.
    fn since(&self, begin: Duration, evenly: bool) -> Option<Part> {
        let marks = self.older.iter().chain(&self.recent).chain([&self.newest]);
        let mut before = None;
        let mut later = marks.skip_while(|mark| {
            let is_before = mark.at < begin;
            if is_before {
                before = Some(*mark);
            }
            is_before
        });
        let first = later.next()?;
        let mut part = Part {
            from: first.at,
            until: self.newest.at,
            work: self.newest.done.since(&first.done),
        };
        if let Some(before) = before.filter(|_| evenly) {
            let whole = first.at.saturating_sub(before.at);
            let share = first.at.saturating_sub(begin).div_duration_f64(whole);
            part.work.add(&first.done.since(&before.done).times(share));
            part.from = begin;
        }
        Some(part)
    }

    /// Keeps as many marks as windows need.
    fn thin(&mut self) {
        let now = self.newest.at;
        let is_before = |mark: &Mark, window| mark.at + window < now;
        while let Some(mark) = self.recent.pop_front_if(|mark| is_before(mark, RECENT)) {
            let last = self.older.back();
            if last.is_none_or(|last| last.at + STEP <= mark.at) {
                self.older.push_back(mark);
            }
        }
        // A window that begins between two readings needs the one before as well.
        while let Some(second) = self.older.get(1)
            && is_before(second, STABLE)
        {
            self.older.pop_front();
        }
    }
}

impl Work {
    /// Of one replica that told `earlier` and, so much later, `now`. Of a process that began anew
    /// meanwhile all counts that it tells, and what the one before did at its end is not known.
    fn between(earlier: &Reading, now: &Reading, took: Duration) -> Self {
        let nothing = Reading::default();
        let base = if now.continues(earlier) {
            earlier
        } else {
            &nothing
        };
        let mean = |before: f64, after: f64| f64::midpoint(before, after) * took.as_secs_f64();
        let ended = now.ended - base.ended;
        let ttft = now.ttft.since(&base.ttft);
        let queued = now.queue_time.since(&base.queue_time);
        Self {
            running_seconds: mean(earlier.running, now.running),
            beside_seconds: mean(earlier.running.powi(2), now.running.powi(2)),
            waiting_seconds: mean(earlier.waiting, now.waiting),
            arrived: ended + now.open() - base.open(),
            ended,
            prompt_tokens: now.prompt_tokens - base.prompt_tokens,
            generation_tokens: now.generation_tokens - base.generation_tokens,
            prefill_seconds: ttft.sum - queued.sum,
            ttft,
            latency: now.latency.since(&base.latency),
        }
    }

    pub(super) fn add(&mut self, more: &Self) {
        self.running_seconds += more.running_seconds;
        self.beside_seconds += more.beside_seconds;
        self.waiting_seconds += more.waiting_seconds;
        self.arrived += more.arrived;
        self.ended += more.ended;
        self.prompt_tokens += more.prompt_tokens;
        self.generation_tokens += more.generation_tokens;
        self.prefill_seconds += more.prefill_seconds;
        self.ttft.add(&more.ttft);
        self.latency.add(&more.latency);
    }

    fn since(&self, earlier: &Self) -> Self {
        Self {
            running_seconds: self.running_seconds - earlier.running_seconds,
            beside_seconds: self.beside_seconds - earlier.beside_seconds,
            waiting_seconds: self.waiting_seconds - earlier.waiting_seconds,
            arrived: self.arrived - earlier.arrived,
            ended: self.ended - earlier.ended,
            prompt_tokens: self.prompt_tokens - earlier.prompt_tokens,
            generation_tokens: self.generation_tokens - earlier.generation_tokens,
            prefill_seconds: self.prefill_seconds - earlier.prefill_seconds,
            ttft: self.ttft.since(&earlier.ttft),
            latency: self.latency.since(&earlier.latency),
        }
    }

    fn times(self, share: f64) -> Self {
        Self {
            running_seconds: self.running_seconds * share,
            beside_seconds: self.beside_seconds * share,
            waiting_seconds: self.waiting_seconds * share,
            arrived: self.arrived * share,
            ended: self.ended * share,
            prompt_tokens: self.prompt_tokens * share,
            generation_tokens: self.generation_tokens * share,
            prefill_seconds: self.prefill_seconds * share,
            ttft: self.ttft.times(share),
            latency: self.latency.times(share),
        }
    }

    /// What of it is kept for long.
    pub(super) fn slot(&self) -> Slot {
        Slot {
            running_seconds: self.running_seconds,
            beside_seconds: self.beside_seconds,
            arrived: self.arrived,
            prompt_tokens: self.prompt_tokens,
            generation_tokens: self.generation_tokens,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_has_as_many_marks_as_windows_need() {
        let second = Duration::from_secs(1);
        let mut track = Track::begin(Reading::default(), Duration::ZERO, FRESH);
        for at in 1..1000 {
            track.go_on(Reading::default(), second * at, FRESH);
        }
        let marks = track.recent.len() + track.older.len();
        assert!((20..30).contains(&marks), "{marks}");
        let now = second * 999;
        let recent = track.within(now, RECENT).map(|part| part.length());
        assert_eq!(recent, Some(RECENT));
        let stable = track.within(now, STABLE).map(|part| part.length());
        assert!(stable.is_some_and(|it| it <= STABLE && it > STABLE - STEP));
    }
}
