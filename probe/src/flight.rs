//! The requests that replicas have, as they tell themselves.

use std::net::SocketAddr;
use std::time::Duration;

use chandler_crds::names::metrics;
use futures::future::join_all;

use crate::http::Client;
use crate::idle::idle;
use crate::load::values;
use crate::text::Sample;

/// What replicas have to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flight {
    /// Requests that run or wait.
    pub requests: u64,
    /// For how long none of the replicas has had one.
    pub idle: Duration,
}

/// What all these replicas have together. All are asked at once, and each has `limit` to tell; `None` unless each does.
pub async fn in_flight(
    client: &Client,
    replicas: &[SocketAddr],
    limit: Duration,
) -> Option<Flight> {
    let asked = replicas.iter().map(|addr| client.metrics(*addr, limit));
    let answers = join_all(asked).await.into_iter();
    let told = answers.map(|answer| flight(&answer.ok()?));
    told.reduce(|one, other| {
        let (one, other) = (one?, other?);
        Some(Flight {
            requests: one.requests.saturating_add(other.requests),
            idle: one.idle.min(other.idle),
        })
    })?
}

fn flight(told: &[Sample]) -> Option<Flight> {
    let sum = |name| {
        let sum = values(told, name).reduce(|sum, value| sum + value)?;
        (sum.is_finite() && sum >= 0.0).then_some(sum as u64)
    };
    let (running, waiting) = (
        sum(metrics::REQUESTS_RUNNING)?,
        sum(metrics::REQUESTS_WAITING)?,
    );
    Some(Flight {
        requests: running.saturating_add(waiting),
        idle: idle(told)?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::text::samples;

    fn read(running: &str, waiting: &str, idle: &str) -> Option<Flight> {
        let [one, two, three] = [
            metrics::REQUESTS_RUNNING,
            metrics::REQUESTS_WAITING,
            metrics::IDLE_SECONDS,
        ];
        let lines = [(one, running), (two, waiting), (three, idle)];
        let lines = lines.iter().filter(|(_, value)| !value.is_empty());
        let lines: Vec<_> = lines
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        flight(&samples(&(lines.join("\n") + "\n")).unwrap())
    }

    #[test]
    fn requests_that_run_and_wait_are_in_flight() {
        let there = |requests, seconds| {
            Some(Flight {
                requests,
                idle: Duration::from_secs(seconds),
            })
        };
        assert_eq!(read("2", "3", "0"), there(5, 0));
        assert_eq!(read("0", "0", "40"), there(0, 40));
    }

    #[test]
    fn what_is_missing_or_can_not_be_leaves_nothing_told() {
        for [running, waiting, idle] in [
            ["", "1", "0"],
            ["1", "", "0"],
            ["1", "1", ""],
            ["NaN", "1", "0"],
            ["-1", "1", "0"],
            ["1", "1", "-1"],
        ] {
            assert_eq!(
                read(running, waiting, idle),
                None,
                "{running} {waiting} {idle}"
            );
        }
    }
}
