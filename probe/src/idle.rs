//! How long replicas have been without a request, as they tell themselves.

use std::net::SocketAddr;
use std::time::Duration;

use chandler_crds::names::metrics;
use futures::future::join_all;

use crate::http::Client;
use crate::text::Sample;

/// How long none of the replicas has had a request. All are asked at once, and each has `limit` to
/// tell; `None` unless each does, for what is not known is no rest.
pub async fn least_idle(
    client: &Client,
    replicas: &[SocketAddr],
    limit: Duration,
) -> Option<Duration> {
    let asked = replicas.iter().map(|addr| client.metrics(*addr, limit));
    let answers = join_all(asked).await.into_iter();
    least(answers.map(|answer| idle(&answer.ok()?)))
}

/// How long a replica has had no request, by the metrics that it told.
#[must_use]
pub fn idle(told: &[Sample]) -> Option<Duration> {
    let all = told
        .iter()
        .filter(|sample| sample.name == metrics::IDLE_SECONDS);
    least(all.map(|sample| Duration::try_from_secs_f64(sample.value).ok()))
}

/// The least of all, if all are known.
pub fn least(lengths: impl Iterator<Item = Option<Duration>>) -> Option<Duration> {
    lengths.collect::<Option<Vec<_>>>()?.into_iter().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_rests_for_as_long_as_the_last_of_its_replicas() {
        for (told, rest) in [
            (vec![Some(7), Some(3), Some(5)], Some(3)),
            (vec![Some(3), Some(7)], Some(3)),
            (vec![Some(7), None], None),
            (vec![None, Some(7)], None),
        ] {
            let lengths = told.iter().map(|rest| rest.map(Duration::from_secs));
            assert_eq!(least(lengths), rest.map(Duration::from_secs), "{told:?}");
        }
    }
}
