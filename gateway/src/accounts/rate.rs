//! OpenAI's headers of rate limits.

use std::time::Duration;

use chandler_core::traffic::limit::{Remaining, Window};
use chandler_crds::names::rate_headers;
use http::{HeaderMap, HeaderName, HeaderValue};

const REQUESTS: [&str; 3] = [
    rate_headers::LIMIT_REQUESTS,
    rate_headers::REMAINING_REQUESTS,
    rate_headers::RESET_REQUESTS,
];
const TOKENS: [&str; 3] = [
    rate_headers::LIMIT_TOKENS,
    rate_headers::REMAINING_TOKENS,
    rate_headers::RESET_TOKENS,
];

/// Tells what is left. A rate without a limit has no headers. What a replica wrote gives way: it
/// knows nothing of keys.
pub(super) fn tell(remaining: &Remaining, headers: &mut HeaderMap) {
    for (names, window) in [(REQUESTS, remaining.requests), (TOKENS, remaining.tokens)] {
        let Some(Window {
            limit,
            remaining,
            reset,
        }) = window
        else {
            continue;
        };
        let values = [limit.to_string(), remaining.to_string(), duration(reset)];
        for (name, value) in names.into_iter().zip(values) {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}

/// A duration as OpenAI writes it: `20ms`, `1s`, `8.64s`, `6m0s`, `1h0m30s`. Rounded up to a
/// millisecond.
fn duration(duration: Duration) -> String {
    let millis = duration.as_nanos().div_ceil(1_000_000);
    let (minutes, millis) = (millis / 60_000, millis % 60_000);
    let (hours, minutes) = (minutes / 60, minutes % 60);
    let (whole, part) = (millis / 1000, millis % 1000);
    let mut seconds = format!("{whole}.{part:03}");
    seconds.truncate(seconds.trim_end_matches('0').trim_end_matches('.').len());
    match (hours, minutes, whole) {
        (0, 0, 0) if part > 0 => format!("{part}ms"),
        (0, 0, _) => format!("{seconds}s"),
        (0, _, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn durations_are_written_as_openai_does() {
        for (micros, wanted) in [
            (0, "0s"),
            (1, "1ms"),
            (20_000, "20ms"),
            (1_000_000, "1s"),
            (8_640_000, "8.64s"),
            (10_000_000, "10s"),
            (59_999_001, "1m0s"),
            (360_000_000, "6m0s"),
            (3_630_500_000, "1h0m30.5s"),
        ] {
            assert_eq!(duration(Duration::from_micros(micros)), wanted);
        }
    }

    #[test]
    fn only_what_has_a_limit_is_told() {
        let remaining = Remaining {
            requests: None,
            tokens: Some(Window {
                limit: 100,
                remaining: 40,
                reset: Duration::from_secs(36),
            }),
        };
        let mut headers = HeaderMap::new();
        let own = HeaderValue::from_static("9");
        headers.insert(HeaderName::from_static("x-ratelimit-limit-tokens"), own);
        tell(&remaining, &mut headers);
        let told = |name: &str| headers.get(name).map(|it| it.to_str().unwrap().to_owned());
        assert_eq!(told("x-ratelimit-limit-tokens").unwrap(), "100");
        assert_eq!(told("x-ratelimit-remaining-tokens").unwrap(), "40");
        assert_eq!(told("x-ratelimit-reset-tokens").unwrap(), "36s");
        assert_eq!(headers.len(), 3);
    }
}
