//! What a replica tells of its load, in a header of each answer.

use chandler_crds::names::load;
use http::HeaderMap;

use crate::headers::LOAD;

/// How ORCA's text form begins; its others are JSON and protobuf.
const TEXT: &str = "TEXT";

/// The tokens that wait at the replica to be computed; `None` if it does not tell, or tells it in
/// no form that is known here.
pub(crate) fn queued_tokens(headers: &HeaderMap) -> Option<u64> {
    let report = headers.get(&LOAD)?.to_str().ok()?;
    let metrics = report.trim_start().strip_prefix(TEXT)?;
    let mut metrics = metrics
        .split(',')
        .filter_map(|metric| metric.split_once('='));
    let (_, value) = metrics.find(|(name, _)| name.trim() == load::QUEUED_TOKENS)?;
    // ORCA's values are doubles. What is below zero or no number is nothing.
    let value: f64 = value.trim().parse().ok()?;
    (value >= 0.0).then_some(value as u64)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn reads_the_queued_tokens_among_other_metrics() {
        #[rustfmt::skip]
        let cases: &[(&[u8], Option<u64>)] = &[
            (b"TEXT named_metrics.queued_tokens=123, named_metrics.running=2", Some(123)),
            (b"TEXT cpu_utilization=0.5,named_metrics.queued_tokens = 7.9", Some(7)),
            (b" TEXT named_metrics.queued_tokens=0", Some(0)),
            (b"TEXT named_metrics.queued_tokens=1e30", Some(u64::MAX)),
            (b"TEXT named_metrics.queued_tokens=inf", Some(u64::MAX)),
            (b"TEXT named_metrics.queued_tokens=-1", None),
            (b"TEXT named_metrics.queued_tokens=NaN", None),
            (b"TEXT named_metrics.queued_tokens=", None),
            (b"TEXT named_metrics.queued_tokens", None),
            (b"TEXT named_metrics.running=2", None),
            (b"TEXT", None),
            (b"", None),
            (b"JSON {\"named_metrics\": {\"queued_tokens\": 5}}", None),
            (b"named_metrics.queued_tokens=5", None),
            (b"TEXT \xff", None),
        ];
        for (value, wanted) in cases {
            let value = HeaderValue::from_bytes(value).unwrap_or(HeaderValue::from_static("TEXT"));
            let headers = HeaderMap::from_iter([(LOAD.clone(), value)]);
            assert_eq!(queued_tokens(&headers), *wanted, "{headers:?}");
        }
        assert_eq!(queued_tokens(&HeaderMap::new()), None);
    }
}
