//! Every metric of the server. Names and buckets are vLLM's, whatever the task.

use std::time::Duration;

use chandler_crds::names::metrics as names;
use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, Result, TextEncoder,
};

use crate::engine::{EngineStats, FinishReason};
use crate::lifecycle::{Phase, Progress};

/// The server's metrics and the registry that they are in.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    running: IntGauge,
    most_running: IntGauge,
    waiting: IntGauge,
    cache_usage: Gauge,
    prefill_rate: Gauge,
    decode_rate: Gauge,
    load_bytes: IntGauge,
    load_bytes_total: IntGauge,
    load_phase: IntGaugeVec,
    phase_seconds: GaugeVec,
    idle_seconds: Gauge,
    success: IntCounterVec,
    first_token: Histogram,
    next_token: Histogram,
    e2e: Histogram,
    /// Seconds between arrival and the first computation.
    pub queue_time: Histogram,
    /// Prompt tokens processed.
    pub prompt_tokens: IntCounter,
    /// Tokens written.
    pub generation_tokens: IntCounter,
    /// Sequences that lost their place in the KV cache to others, and are computed anew.
    pub preemptions: IntCounter,
    /// Requests refused for want of memory.
    pub memory_refusals: IntCounter,
    memory_available: IntGauge,
}

impl Metrics {
    /// The `finished_reason` of a request whose client went away.
    pub const ABORTED: &'static str = "abort";
    /// The `finished_reason` of a request whose time was up.
    pub const TIMED_OUT: &'static str = "timeout";
    /// The `finished_reason` of a request that the engine could not complete.
    pub const FAILED: &'static str = "error";

    /// All metrics at zero, labelled with the served model's name.
    ///
    /// # Errors
    /// What the metrics library says of a name or a bucket list; none with the names of today.
    pub fn new(model_name: &str) -> Result<Self> {
        let builder = Builder {
            registry: Registry::new(),
            model_name,
        };
        Ok(Self {
            running: builder.gauge(names::REQUESTS_RUNNING, "Requests in the running batch.")?,
            most_running: builder.gauge(
                names::MOST_RUNNING,
                "Most requests in the running batch; 0 if there is no such bound.",
            )?,
            waiting: builder.gauge(names::REQUESTS_WAITING, "Requests in the queue.")?,
            cache_usage: builder.float(
                names::KV_CACHE_USAGE,
                "Used share of the KV cache, 0 to 1.",
            )?,
            prefill_rate: builder.float(
                names::PREFILL_RATE,
                "Tokens of prompts that are read a second, as the last steps took; 0 if not known.",
            )?,
            decode_rate: builder.float(
                names::DECODE_RATE,
                "Tokens that the largest batch so far writes a second; 0 if not known.",
            )?,
            load_bytes: builder.gauge(names::LOAD_BYTES, "Bytes loaded so far.")?,
            load_bytes_total: builder.gauge(names::LOAD_BYTES_TOTAL, "Bytes to load in all.")?,
            load_phase: builder.phases()?,
            phase_seconds: builder.phase_seconds()?,
            idle_seconds: builder.float(
                names::IDLE_SECONDS,
                "Seconds since the last request ended, or the model was ready; 0 while there is one.",
            )?,
            success: builder.finished()?,
            first_token: builder.histogram(
                names::TIME_TO_FIRST_TOKEN,
                "Seconds from arrival to the first token.",
                names::FIRST_TOKEN_BUCKETS,
            )?,
            next_token: builder.histogram(
                names::INTER_TOKEN_LATENCY,
                "Seconds between two tokens of an answer.",
                names::NEXT_TOKEN_BUCKETS,
            )?,
            e2e: builder.histogram(
                names::E2E_LATENCY,
                "Seconds from arrival to the end.",
                names::REQUEST_BUCKETS,
            )?,
            queue_time: builder.histogram(
                names::QUEUE_TIME,
                "Seconds in the queue.",
                names::REQUEST_BUCKETS,
            )?,
            prompt_tokens: builder.counter(names::PROMPT_TOKENS, "Prompt tokens processed.")?,
            generation_tokens: builder.counter(names::GENERATION_TOKENS, "Tokens generated.")?,
            preemptions: builder.counter(
                names::PREEMPTIONS,
                "Sequences that lost their place in the KV cache to others.",
            )?,
            memory_refusals: builder.counter(
                names::MEMORY_REFUSALS,
                "Requests refused because too little memory was left.",
            )?,
            memory_available: builder.gauge(
                names::MEMORY_AVAILABLE,
                "Bytes that can be taken without being killed; 0 if not known.",
            )?,
            registry: builder.registry,
        })
    }

    /// An answer's first token came `after` its request.
    pub fn observe_first_token(&self, after: Duration) {
        self.first_token.observe(after.as_secs_f64());
    }

    /// A further token came `after` the one before.
    pub fn observe_next_token(&self, after: Duration) {
        self.next_token.observe(after.as_secs_f64());
    }

    /// A request ended for `reason`, `after` its arrival.
    pub fn observe_end(&self, reason: &str, after: Duration) {
        self.success.with_label_values(&[reason]).inc();
        self.e2e.observe(after.as_secs_f64());
    }

    /// So many bytes of memory can still be taken.
    pub fn set_memory_available(&self, bytes: u64) {
        self.memory_available.set(saturate(bytes));
    }

    /// The text format, with the load and the progress as they are now, and how long no request
    /// has been in flight.
    ///
    /// # Errors
    /// What the encoder reports.
    pub fn render(&self, load: EngineStats, progress: &Progress, rest: Duration) -> Result<String> {
        // An engine may still compute for a caller who has left.
        let busy = load.running > 0 || load.waiting > 0;
        let rest = if busy { Duration::ZERO } else { rest };
        self.idle_seconds.set(rest.as_secs_f64());
        self.running.set(saturate(load.running as u64));
        self.most_running.set(saturate(load.most_running as u64));
        self.waiting.set(saturate(load.waiting as u64));
        self.cache_usage.set(load.cache_usage);
        self.prefill_rate.set(load.prefill_rate);
        self.decode_rate.set(load.decode_rate);
        self.load_bytes.set(saturate(progress.bytes_done));
        self.load_bytes_total.set(saturate(progress.bytes_total));
        for phase in Phase::ALL {
            let gauge = self.load_phase.with_label_values(&[phase.as_str()]);
            gauge.set(i64::from(phase == progress.phase));
        }
        for (phase, spent) in &progress.phases {
            let gauge = self.phase_seconds.with_label_values(&[phase.as_str()]);
            gauge.set(spent.as_secs_f64());
        }
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

fn saturate(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

struct Builder<'a> {
    registry: Registry,
    model_name: &'a str,
}

impl Builder<'_> {
    fn opts(&self, name: &str, help: &str) -> Opts {
        Opts::new(name, help).const_label(names::MODEL_NAME, self.model_name)
    }

    fn add<C: Collector + Clone + 'static>(&self, collector: C) -> Result<C> {
        self.registry.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge> {
        self.add(IntGauge::with_opts(self.opts(name, help))?)
    }

    fn float(&self, name: &str, help: &str) -> Result<Gauge> {
        self.add(Gauge::with_opts(self.opts(name, help))?)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter> {
        self.add(IntCounter::with_opts(self.opts(name, help))?)
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Result<Histogram> {
        let opts = HistogramOpts::from(self.opts(name, help)).buckets(buckets.to_vec());
        self.add(Histogram::with_opts(opts)?)
    }

    fn phases(&self) -> Result<IntGaugeVec> {
        let opts = self.opts(names::LOAD_PHASE, "1 for the phase the server is in.");
        self.add(IntGaugeVec::new(opts, &["phase"])?)
    }

    fn phase_seconds(&self) -> Result<GaugeVec> {
        let help = "Seconds spent in a phase of the start that is over.";
        let opts = self.opts(names::PHASE_SECONDS, help);
        self.add(GaugeVec::new(opts, &["phase"])?)
    }

    fn finished(&self) -> Result<IntCounterVec> {
        let opts = self.opts(names::REQUEST_SUCCESS, "Requests ended, by reason.");
        let counter = self.add(IntCounterVec::new(opts, &[names::FINISHED_REASON])?)?;
        // A rate over a series that appears with its first event misses that event.
        let ended = [FinishReason::Stop, FinishReason::Length].map(FinishReason::as_str);
        let others = [Metrics::ABORTED, Metrics::TIMED_OUT, Metrics::FAILED];
        for reason in ended.into_iter().chain(others) {
            counter.get_metric_with_label_values(&[reason])?;
        }
        Ok(counter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(metrics: &Metrics, load: EngineStats, progress: &Progress) -> String {
        let rest = Duration::from_millis(2500);
        metrics.render(load, progress, rest).unwrap()
    }

    #[test]
    fn a_busy_engine_is_no_rest() {
        let metrics = Metrics::new("chat").unwrap();
        let idle = EngineStats::default();
        let (running, waiting) = (
            EngineStats { running: 1, ..idle },
            EngineStats { waiting: 1, ..idle },
        );
        for (load, seconds) in [(idle, "2.5"), (running, "0"), (waiting, "0"), (idle, "2.5")] {
            let text = rendered(&metrics, load, &Progress::default());
            let line = format!(r#"chandler:idle_seconds{{model_name="chat"}} {seconds}"#);
            assert!(text.lines().any(|l| l == line), "{text}");
        }
    }

    #[test]
    fn a_phase_that_is_over_tells_its_time() {
        let metrics = Metrics::new("chat").unwrap();
        let progress = Progress {
            phases: vec![(Phase::Loading, Duration::from_millis(1500))],
            ..Progress::default()
        };
        let text = rendered(&metrics, EngineStats::default(), &progress);
        let line = r#"chandler:phase_seconds{model_name="chat",phase="loading"} 1.5"#;
        assert!(text.lines().any(|l| l == line), "{text}");
    }

    #[test]
    fn everything_is_there_from_the_start() {
        let metrics = Metrics::new("chat").unwrap();
        let text = rendered(&metrics, EngineStats::default(), &Progress::default());
        for line in [
            r#"vllm:num_requests_running{model_name="chat"} 0"#,
            r#"vllm:num_requests_waiting{model_name="chat"} 0"#,
            r#"vllm:kv_cache_usage_perc{model_name="chat"} 0"#,
            r#"vllm:prompt_tokens_total{model_name="chat"} 0"#,
            r#"vllm:generation_tokens_total{model_name="chat"} 0"#,
            r#"vllm:num_preemptions_total{model_name="chat"} 0"#,
            r#"vllm:request_success_total{finished_reason="stop",model_name="chat"} 0"#,
            r#"vllm:request_success_total{finished_reason="abort",model_name="chat"} 0"#,
            r#"vllm:request_success_total{finished_reason="timeout",model_name="chat"} 0"#,
            r#"vllm:time_to_first_token_seconds_bucket{model_name="chat",le="0.001"} 0"#,
            r#"vllm:inter_token_latency_seconds_bucket{model_name="chat",le="0.025"} 0"#,
            r#"vllm:e2e_request_latency_seconds_bucket{model_name="chat",le="7680"} 0"#,
            r#"vllm:request_queue_time_seconds_bucket{model_name="chat",le="0.3"} 0"#,
            r#"chandler:load_phase{model_name="chat",phase="resolving"} 1"#,
            r#"chandler:load_phase{model_name="chat",phase="ready"} 0"#,
            r#"chandler:idle_seconds{model_name="chat"} 2.5"#,
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }
}
