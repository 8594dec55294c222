#![allow(clippy::unwrap_used)]

use std::time::Duration;

use proptest::prelude::*;

use super::limit::{Bound, Limiter, Limits, Remaining, Window};

const SECOND: Duration = Duration::from_secs(1);

fn limits(requests: Option<u32>, tokens: Option<u32>, concurrent: Option<u32>) -> Limits {
    Limits {
        requests_per_minute: requests,
        tokens_per_minute: tokens,
        max_concurrent: concurrent,
    }
}

#[test]
fn without_limits_everything_passes_and_nothing_is_told() {
    let mut limiter = Limiter::new(Limits::default(), Duration::ZERO);
    for _ in 0..1000 {
        let taken = limiter.take(Duration::ZERO, 1, u64::MAX);
        assert_eq!(taken, Ok(Remaining::default()));
    }
}

#[test]
fn requests_run_out_and_come_back_one_by_one() {
    let mut limiter = Limiter::new(limits(Some(60), None, None), Duration::ZERO);
    for left in (0..60).rev() {
        let taken = limiter.take(Duration::ZERO, 1, 0).unwrap();
        let window = Window {
            limit: 60,
            remaining: left,
            reset: SECOND * u32::try_from(60 - left).unwrap(),
        };
        assert_eq!(taken.requests, Some(window));
    }
    let refused = limiter.take(Duration::ZERO, 1, 0).unwrap_err();
    assert_eq!((refused.which, refused.limit), (Bound::Requests, 60));
    assert_eq!(refused.retry_after, Some(SECOND));
    let early = limiter.take(Duration::from_millis(999), 1, 0).unwrap_err();
    assert_eq!(early.retry_after, Some(Duration::from_millis(1)));
    assert!(limiter.take(SECOND, 1, 0).is_ok());
    assert!(limiter.take(SECOND, 1, 0).is_err());
}

#[test]
fn tokens_are_settled_by_refund_and_by_debt() {
    let mut limiter = Limiter::new(limits(None, Some(600), None), Duration::ZERO);
    limiter.take(Duration::ZERO, 1, 600).unwrap();
    let refused = limiter.take(Duration::ZERO, 1, 10).unwrap_err();
    assert_eq!(
        (refused.which, refused.retry_after),
        (Bound::Tokens, Some(SECOND))
    );
    limiter.settle(Duration::ZERO, 600, 100);
    let left = limiter
        .take(Duration::ZERO, 1, 400)
        .unwrap()
        .tokens
        .unwrap();
    assert_eq!(left.remaining, 100);
    // 150 more than was reserved: 50 below nothing.
    limiter.settle(Duration::ZERO, 400, 550);
    let refused = limiter.take(Duration::ZERO, 1, 10).unwrap_err();
    assert_eq!(refused.remaining.tokens.unwrap().remaining, 0);
    assert_eq!(refused.retry_after, Some(SECOND * 6));
    assert!(limiter.take(SECOND * 6, 1, 10).is_ok());
}

#[test]
fn a_refund_never_overfills() {
    let mut limiter = Limiter::new(limits(None, Some(100), None), Duration::ZERO);
    limiter.take(Duration::ZERO, 1, 100).unwrap();
    limiter.settle(SECOND * 60, 100, 0);
    let window = limiter.remaining(SECOND * 60).tokens.unwrap();
    assert_eq!((window.remaining, window.reset), (100, Duration::ZERO));
}

#[test]
fn more_than_a_full_bucket_is_never_to_be_had() {
    let mut limiter = Limiter::new(limits(None, Some(100), None), Duration::ZERO);
    let refused = limiter.take(Duration::ZERO, 1, 101).unwrap_err();
    assert_eq!((refused.asked, refused.retry_after), (101, None));
}

#[test]
fn a_place_is_free_again_when_a_request_ends() {
    let mut limiter = Limiter::new(limits(Some(100), Some(100), Some(2)), Duration::ZERO);
    for _ in 0..2 {
        limiter.take(Duration::ZERO, 1, 1).unwrap();
    }
    let refused = limiter.take(Duration::ZERO, 1, 1).unwrap_err();
    assert_eq!((refused.which, refused.limit), (Bound::Concurrent, 2));
    let left = refused.remaining;
    assert_eq!(
        left.requests.unwrap().remaining,
        98,
        "a refusal takes nothing"
    );
    assert_eq!(
        left.tokens.unwrap().remaining,
        98,
        "a refusal takes nothing"
    );
    limiter.release();
    assert!(limiter.take(Duration::ZERO, 1, 1).is_ok());
}

#[test]
fn other_limits_leave_what_was_used_used() {
    let mut limiter = Limiter::new(limits(Some(100), None, None), Duration::ZERO);
    for _ in 0..90 {
        limiter.take(Duration::ZERO, 1, 0).unwrap();
    }
    limiter.change(limits(Some(95), Some(7), None), Duration::ZERO);
    let left = limiter.remaining(Duration::ZERO);
    assert_eq!(left.requests.unwrap().remaining, 5);
    assert_eq!(left.tokens.unwrap().remaining, 7);
    limiter.change(limits(Some(10), None, None), Duration::ZERO);
    let refused = limiter.take(Duration::ZERO, 1, 0).unwrap_err();
    assert_eq!(
        refused.retry_after,
        Some(SECOND * (81 * 6)),
        "80 below, and one"
    );
}

#[test]
fn a_clock_that_steps_back_gives_nothing() {
    let mut limiter = Limiter::new(limits(Some(1), None, None), SECOND * 600);
    limiter.take(SECOND * 600, 1, 0).unwrap();
    assert!(limiter.take(Duration::ZERO, 1, 0).is_err());
    assert!(limiter.take(SECOND * 659, 1, 0).is_err());
    assert!(limiter.take(SECOND * 660, 1, 0).is_ok());
}

/// Milliseconds since the last one, tokens reserved, and tokens used in the end.
fn requests() -> impl Strategy<Value = Vec<(u64, u64, u64)>> {
    let gap = prop_oneof![Just(0), 0..2_000u64, 0..90_000u64];
    prop::collection::vec((gap, 0..200u64, 0..300u64), 1..120)
}

/// What flows in within `elapsed`, rounded up.
fn refill(rate: u32, elapsed: Duration) -> u128 {
    (u128::from(rate) * elapsed.as_nanos()).div_ceil(60_000_000_000)
}

proptest! {
    #[test]
    fn no_span_of_time_gives_more_than_a_bucket_and_what_flows_in(
        rate in 1..400u32, requests in requests(),
    ) {
        let mut limiter = Limiter::new(limits(Some(rate), Some(rate), None), Duration::ZERO);
        let mut now = Duration::ZERO;
        let mut taken: Vec<(Duration, u64)> = Vec::new();
        for (gap, tokens, _) in requests {
            now += Duration::from_millis(gap);
            if limiter.take(now, 1, tokens).is_err() {
                continue;
            }
            taken.push((now, tokens));
            let (mut count, mut sum) = (0u128, 0u128);
            for (at, tokens) in taken.iter().rev() {
                (count, sum) = (count + 1, sum + u128::from(*tokens));
                let most = u128::from(rate) + refill(rate, now - *at);
                prop_assert!(sum <= most, "{sum} tokens since {at:?}, {most} at most");
                prop_assert!(count <= most, "{count} requests since {at:?}, {most} at most");
            }
        }
    }

    #[test]
    fn with_settling_the_net_use_stays_within_a_bucket_and_what_flowed_in(
        rate in 1..400u32, requests in requests(),
    ) {
        let mut limiter = Limiter::new(limits(None, Some(rate), None), Duration::ZERO);
        let (mut now, mut net) = (Duration::ZERO, 0i128);
        for (gap, reserved, used) in requests {
            now += Duration::from_millis(gap);
            if limiter.take(now, 1, reserved).is_err() {
                continue;
            }
            net += i128::from(reserved);
            let most = u128::from(rate) + refill(rate, now);
            prop_assert!(net <= i128::try_from(most).unwrap(), "{net} of {most}");
            limiter.settle(now, reserved, used);
            net += i128::from(used) - i128::from(reserved);
        }
    }

    #[test]
    fn after_the_told_time_there_is_room_and_not_before(
        rate in 1..400u32, requests in requests(),
    ) {
        let mut limiter = Limiter::new(limits(None, Some(rate), None), Duration::ZERO);
        let mut now = Duration::ZERO;
        for (gap, tokens, used) in requests {
            now += Duration::from_millis(gap);
            let Err(refused) = limiter.take(now, 1, tokens) else {
                limiter.settle(now, tokens, used);
                continue;
            };
            prop_assert_eq!(refused.retry_after.is_none(), tokens > u64::from(rate));
            if let Some(wait) = refused.retry_after {
                let mut early = limiter.clone();
                let just_before = now + wait - Duration::from_nanos(1);
                prop_assert!(early.take(just_before, 1, tokens).is_err());
                prop_assert!(limiter.clone().take(now + wait, 1, tokens).is_ok());
            }
        }
    }
}
