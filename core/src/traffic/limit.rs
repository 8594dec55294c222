//! What one account may use: requests and tokens a minute, and requests at one time.
//!
//! Both rates are token buckets that hold a minute's worth. An answer's length is known only at
//! its end, so tokens are reserved by an estimate and settled with the real use: what was too much
//! comes back, what was too little is a debt that must be refilled first.

use std::time::Duration;

/// Nanoseconds of a minute: a bucket's level is kept in tokens times this, so that refilling is
/// exact for every whole number a minute.
const MINUTE: i128 = 60_000_000_000;
/// When to come back to an account that has as many requests in flight as it may. Nobody knows
/// when one of them ends.
const RETRY_CONCURRENT: Duration = Duration::from_secs(1);

/// The bounds of an account; an absent one does not bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests a minute, and in one burst.
    pub requests_per_minute: Option<u32>,
    /// Tokens of prompts and answers a minute, and in one burst.
    pub tokens_per_minute: Option<u32>,
    /// Requests at one time, from their coming to the end of their answers.
    pub max_concurrent: Option<u32>,
}

/// One of an account's bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// [`Limits::requests_per_minute`].
    Requests,
    /// [`Limits::tokens_per_minute`].
    Tokens,
    /// [`Limits::max_concurrent`].
    Concurrent,
}

impl Bound {
    /// A stable CamelCase word for logs.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Requests => "RequestsPerMinute",
            Self::Tokens => "TokensPerMinute",
            Self::Concurrent => "ConcurrentRequests",
        }
    }
}

/// A request that its account has no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// The first bound in the way.
    pub which: Bound,
    /// What that bound is.
    pub limit: u32,
    /// What was asked for.
    pub asked: u64,
    /// When there will be room if nothing else is used meanwhile; `None` if there never will,
    /// since more is asked for than a full bucket holds.
    pub retry_after: Option<Duration>,
    /// What is left of both rates.
    pub remaining: Remaining,
}

/// What is left of an account's rates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Remaining {
    /// Of the requests a minute.
    pub requests: Option<Window>,
    /// Of the tokens a minute.
    pub tokens: Option<Window>,
}

/// One rate as OpenAI's `x-ratelimit-*` headers tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// A full bucket.
    pub limit: u32,
    /// What could be taken now.
    pub remaining: u64,
    /// Until the bucket is full if nothing more is taken.
    pub reset: Duration,
}

/// How much of its limits one account has used. Times are measured from any one moment, the same
/// for all calls; one that lies before an earlier call's counts as that call's.
#[derive(Debug, Clone)]
pub struct Limiter {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    max_concurrent: Option<u32>,
    running: u32,
}

impl Limiter {
    /// With full buckets.
    pub fn new(limits: Limits, now: Duration) -> Self {
        let full = |rate: Option<u32>| rate.map(|rate| Bucket::full(rate, now));
        Self {
            requests: full(limits.requests_per_minute),
            tokens: full(limits.tokens_per_minute),
            max_concurrent: limits.max_concurrent,
            running: 0,
        }
    }

    /// Goes on under other limits. What has been used stays used, or each change would be a gift
    /// of a full bucket.
    pub fn change(&mut self, limits: Limits, now: Duration) {
        change(&mut self.requests, limits.requests_per_minute, now);
        change(&mut self.tokens, limits.tokens_per_minute, now);
        self.max_concurrent = limits.max_concurrent;
    }

    /// Takes `requests` and reserves `tokens`, and begins one request in flight; takes all or
    /// nothing. [`settle`](Self::settle) and [`release`](Self::release) end it.
    ///
    /// # Errors
    /// [`Refused`], with the first bound that has no room.
    pub fn take(
        &mut self,
        now: Duration,
        requests: u64,
        tokens: u64,
    ) -> Result<Remaining, Refused> {
        let remaining = self.remaining(now);
        if let Some(limit) = self.max_concurrent.filter(|limit| self.running >= *limit) {
            return Err(Refused {
                which: Bound::Concurrent,
                limit,
                asked: 1,
                retry_after: Some(RETRY_CONCURRENT),
                remaining,
            });
        }
        let rates = [
            (Bound::Requests, &self.requests, requests),
            (Bound::Tokens, &self.tokens, tokens),
        ];
        for (which, bucket, asked) in rates {
            if let Some(bucket) = bucket.as_ref().filter(|bucket| !bucket.has(asked)) {
                return Err(Refused {
                    which,
                    limit: bucket.rate,
                    asked,
                    retry_after: bucket.wait(asked),
                    remaining,
                });
            }
        }
        for (bucket, asked) in [(&mut self.requests, requests), (&mut self.tokens, tokens)] {
            if let Some(bucket) = bucket {
                bucket.level -= scaled(asked);
            }
        }
        self.running += 1;
        Ok(self.remaining(now))
    }

    /// Puts the real use of tokens in the place of what was reserved.
    pub fn settle(&mut self, now: Duration, reserved: u64, used: u64) {
        if let Some(bucket) = &mut self.tokens {
            bucket.refill(now);
            // Whatever overfills it runs over at the next refill, which comes before any look.
            bucket.level += scaled(reserved) - scaled(used);
        }
    }

    /// Ends one request in flight.
    pub fn release(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// What is left at `now`.
    pub fn remaining(&mut self, now: Duration) -> Remaining {
        let window = |bucket: &mut Option<Bucket>| {
            let bucket = bucket.as_mut()?;
            bucket.refill(now);
            Some(bucket.window())
        };
        Remaining {
            requests: window(&mut self.requests),
            tokens: window(&mut self.tokens),
        }
    }
}

fn change(bucket: &mut Option<Bucket>, rate: Option<u32>, now: Duration) {
    *bucket = match (bucket.take(), rate) {
        (_, None) => None,
        (None, Some(rate)) => Some(Bucket::full(rate, now)),
        (Some(mut old), Some(rate)) => {
            old.refill(now);
            let used = old.capacity() - old.level;
            let mut new = Bucket::full(rate, now);
            new.level -= used;
            Some(new)
        }
    };
}

fn scaled(tokens: u64) -> i128 {
    i128::from(tokens) * MINUTE
}

#[derive(Debug, Clone)]
struct Bucket {
    /// A minute, and the bucket's capacity.
    rate: u32,
    /// Tokens times [`MINUTE`]; below zero is a debt.
    level: i128,
    seen: Duration,
}

impl Bucket {
    fn full(rate: u32, now: Duration) -> Self {
        Self {
            rate,
            level: scaled(rate.into()),
            seen: now,
        }
    }

    fn capacity(&self) -> i128 {
        scaled(self.rate.into())
    }

    fn refill(&mut self, now: Duration) {
        let elapsed = now.saturating_sub(self.seen);
        let elapsed = i128::try_from(elapsed.as_nanos()).unwrap_or(i128::MAX);
        let gained = elapsed.saturating_mul(self.rate.into());
        self.level = self.level.saturating_add(gained).min(self.capacity());
        self.seen = self.seen.max(now);
    }

    fn has(&self, asked: u64) -> bool {
        self.level >= scaled(asked)
    }

    /// Until it has `asked`; `None` if it never will.
    fn wait(&self, asked: u64) -> Option<Duration> {
        if asked > u64::from(self.rate) {
            return None;
        }
        Some(self.time_for(scaled(asked) - self.level))
    }

    fn window(&self) -> Window {
        let remaining = (self.level.max(0)) / MINUTE;
        Window {
            limit: self.rate,
            remaining: u64::try_from(remaining).unwrap_or(u64::MAX),
            reset: self.time_for(self.capacity() - self.level),
        }
    }

    /// How long `amount` takes to flow in, rounded up to a nanosecond.
    fn time_for(&self, amount: i128) -> Duration {
        if amount <= 0 {
            return Duration::ZERO;
        }
        let rate = i128::from(self.rate.max(1));
        let nanos = (amount + rate - 1) / rate;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}
