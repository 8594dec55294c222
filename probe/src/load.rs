//! A replica's load, read from its metrics.

use chandler_core::load::{Histogram, Reading};
use chandler_crds::names::metrics as names;

use crate::text::Sample;

/// The histograms of which [`reading`] takes buckets and sum.
pub const HISTOGRAMS: [&str; 3] = [
    names::TIME_TO_FIRST_TOKEN,
    names::E2E_LATENCY,
    names::QUEUE_TIME,
];
/// The other metrics without which there is no [`reading`].
pub const NUMBERS: [&str; 5] = [
    names::REQUESTS_RUNNING,
    names::REQUESTS_WAITING,
    names::PROMPT_TOKENS,
    names::GENERATION_TOKENS,
    names::REQUEST_SUCCESS,
];

/// What a replica tells of its load; `None` if anything of it is missing but the key-value cache
/// and the bound of the batch, which not every model has. A replica of several engines tells of each by
/// a label of its own.
#[must_use]
pub fn reading(told: &[Sample]) -> Option<Reading> {
    let sum = |name| values(told, name).reduce(|sum, value| sum + value);
    let usages = values(told, names::KV_CACHE_USAGE).count();
    Some(Reading {
        running: sum(names::REQUESTS_RUNNING)?,
        waiting: sum(names::REQUESTS_WAITING)?,
        most_running: sum(names::MOST_RUNNING).filter(|most| *most > 0.0),
        kv_cache: sum(names::KV_CACHE_USAGE).map(|sum| sum / usages as f64),
        prompt_tokens: sum(names::PROMPT_TOKENS)?,
        generation_tokens: sum(names::GENERATION_TOKENS)?,
        ended: sum(names::REQUEST_SUCCESS)?,
        ttft: histogram(told, names::TIME_TO_FIRST_TOKEN)?,
        latency: histogram(told, names::E2E_LATENCY)?,
        queue_time: histogram(told, names::QUEUE_TIME)?,
    })
}

/// The values of all series of a metric.
pub(crate) fn values<'a>(told: &'a [Sample], name: &'a str) -> impl Iterator<Item = f64> + 'a {
    let all = told.iter().filter(move |sample| sample.name == name);
    all.map(|sample| sample.value)
}

/// All series of a histogram together; `None` unless each of its values is in a bucket.
fn histogram(told: &[Sample], name: &str) -> Option<Histogram> {
    let mut buckets: Vec<(f64, f64)> = Vec::new();
    let mut sum = None;
    for sample in told {
        match sample.name.strip_prefix(name) {
            Some(names::BUCKET) => {
                let bound: f64 = sample.label(names::BOUND)?.parse().ok()?;
                match buckets.iter_mut().find(|(known, _)| *known == bound) {
                    Some((_, count)) => *count += sample.value,
                    None => buckets.push((bound, sample.value)),
                }
            }
            Some(names::SUM) => *sum.get_or_insert(0.0) += sample.value,
            _ => {}
        }
    }
    buckets.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let (last, _) = buckets.last()?;
    (*last == f64::INFINITY).then_some(Histogram { buckets, sum: sum? })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;
    use crate::text::samples;

    /// What two engines of one server tell.
    const TOLD: &str = r#"
# HELP vllm:num_requests_running Requests in the running batch.
vllm:num_requests_running{engine="0",model_name="m"} 2
vllm:num_requests_running{engine="1",model_name="m"} 1
chandler:max_requests_running{engine="0"} 32
chandler:max_requests_running{engine="1"} 16
vllm:num_requests_waiting{engine="0"} 4
vllm:kv_cache_usage_perc{engine="0"} 0.25
vllm:kv_cache_usage_perc{engine="1"} 0.75
vllm:prompt_tokens_total 1000
vllm:generation_tokens_total 300
vllm:request_success_total{finished_reason="stop"} 7
vllm:request_success_total{finished_reason="abort"} 2
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf"} 8
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.5"} 2
vllm:time_to_first_token_seconds_bucket{engine="1",le="0.5"} 1
vllm:time_to_first_token_seconds_bucket{engine="1",le="+Inf"} 1
vllm:time_to_first_token_seconds_sum{engine="0"} 6.5
vllm:time_to_first_token_seconds_sum{engine="1"} 0.25
vllm:time_to_first_token_seconds_count{engine="0"} 8
vllm:e2e_request_latency_seconds_bucket{le="+Inf"} 9
vllm:e2e_request_latency_seconds_sum 90
vllm:request_queue_time_seconds_bucket{le="+Inf"} 9
vllm:request_queue_time_seconds_sum 0.5
chandler:idle_seconds 0
"#;

    fn read(text: &str) -> Option<Reading> {
        reading(&samples(text).unwrap())
    }

    #[test]
    fn a_load_is_read_from_the_names_of_vllm() {
        let of = |buckets: &[(f64, f64)], sum| Histogram {
            buckets: buckets.to_vec(),
            sum,
        };
        let expected = Reading {
            running: 3.0,
            waiting: 4.0,
            most_running: Some(48.0),
            kv_cache: Some(0.5),
            prompt_tokens: 1000.0,
            generation_tokens: 300.0,
            ended: 9.0,
            ttft: of(&[(0.5, 3.0), (f64::INFINITY, 9.0)], 6.75),
            latency: of(&[(f64::INFINITY, 9.0)], 90.0),
            queue_time: of(&[(f64::INFINITY, 9.0)], 0.5),
        };
        assert_eq!(read(TOLD), Some(expected));
    }

    #[test]
    fn one_line_that_is_missing_leaves_nothing_told() {
        let parts = [names::BUCKET, names::SUM];
        let of = |name| parts.map(|part| format!("{name}{part}"));
        let numbers = NUMBERS.map(str::to_owned).into_iter();
        let all = numbers.chain(HISTOGRAMS.into_iter().flat_map(of));
        for name in all {
            let lines = TOLD.lines().filter(|line| !line.starts_with(&name));
            assert_eq!(read(&lines.collect::<Vec<_>>().join("\n")), None, "{name}");
        }
        let endless = TOLD.replace("le=\"+Inf\"} 9", "le=\"80\"} 9");
        assert_eq!(read(&endless), None);
        let odd = TOLD.replace("le=\"0.5\"", "le=\"half\"");
        assert_eq!(read(&odd), None);
    }

    #[test]
    fn a_model_without_a_cache_tells_of_none() {
        let lines = TOLD.lines().filter(|line| !line.contains("kv_cache"));
        let reading = read(&lines.collect::<Vec<_>>().join("\n")).unwrap();
        assert_eq!(reading.kv_cache, None);
    }

    #[test]
    fn a_bound_of_nothing_is_none() {
        let lines = TOLD.lines().map(|line| match line.split_once("} ") {
            Some((name, _)) if name.starts_with(names::MOST_RUNNING) => format!("{name}}} 0"),
            _ => line.to_owned(),
        });
        let reading = read(&lines.collect::<Vec<_>>().join("\n")).unwrap();
        assert_eq!(reading.most_running, None);
    }

    #[test]
    fn what_can_not_be_is_read_as_it_stands_and_implausible() {
        let reading = read(&TOLD.replace("_total 300", "_total NaN")).unwrap();
        assert!(!reading.is_plausible());
        assert!(read(TOLD).unwrap().is_plausible());
        let p95 = read(TOLD).unwrap().ttft.quantile(0.95);
        assert_eq!(p95, Some(Duration::from_millis(500)));
    }
}
