use std::collections::HashMap;

use chandler_crds::names::metrics as names;
use http::StatusCode;
use prometheus::core::Collector;
use prometheus::proto::Metric;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

const REVISION: &str = "revision";
const CODE: &str = "code";
const KIND: &str = "kind";
const REASON: &str = "reason";
const OUTCOME: &str = "outcome";
/// The code of a request whose caller left before its answer was complete.
const CALLER_GONE: u16 = 499;
/// Seconds. From a cached embedding to a long answer that is not streamed.
const UPSTREAM_BUCKETS: [f64; 16] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0,
    600.0,
];

/// The gateway's metrics, in a registry of their own.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    in_flight: IntGaugeVec,
    retries: IntCounterVec,
    hedges: IntCounterVec,
    upstream: HistogramVec,
    watch_connected: IntGaugeVec,
    waiting: IntGaugeVec,
    connections: IntGauge,
    connections_ended: IntCounterVec,
    certificate_refused: IntGauge,
    access_lines_lost: IntCounter,
    spans_lost: IntCounter,
}

impl Metrics {
    pub(crate) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let requests = IntCounterVec::new(
            Opts::new(
                names::GATEWAY_REQUESTS,
                "Requests by model, revision and status code; 499 where the caller left early.",
            ),
            &[names::MODEL, REVISION, CODE],
        )?;
        let in_flight = IntGaugeVec::new(
            Opts::new(
                names::GATEWAY_IN_FLIGHT,
                "Requests being proxied, by model.",
            ),
            &[names::MODEL],
        )?;
        let retries = IntCounterVec::new(
            Opts::new(
                names::GATEWAY_RETRIES,
                "Requests sent again to another replica, by model.",
            ),
            &[names::MODEL],
        )?;
        let hedges = IntCounterVec::new(
            Opts::new(
                names::GATEWAY_HEDGES,
                "Slow requests by model and what a second replica did: won, lost, or noBudget.",
            ),
            &[names::MODEL, OUTCOME],
        )?;
        let upstream = HistogramVec::new(
            HistogramOpts::new(
                names::GATEWAY_UPSTREAM_SECONDS,
                "Seconds until the head of a replica's response, by model.",
            )
            .buckets(UPSTREAM_BUCKETS.to_vec()),
            &[names::MODEL],
        )?;
        let watch_connected = IntGaugeVec::new(
            Opts::new(
                names::GATEWAY_WATCH_CONNECTED,
                "1 while the API server tells of changes, by kind of object; 0 after it was lost.",
            ),
            &[KIND],
        )?;
        let waiting = IntGaugeVec::new(
            Opts::new(
                names::GATEWAY_WAITING,
                "Requests that wait for a first replica, by namespace/name of the model.",
            ),
            &[names::MODEL],
        )?;
        let connections = IntGauge::new(
            names::GATEWAY_CONNECTIONS,
            "Connections of callers that are open.",
        )?;
        let connections_ended = IntCounterVec::new(
            Opts::new(
                names::GATEWAY_CONNECTIONS_ENDED,
                "Connections that the gateway ended, by reason; slow callers and those too many.",
            ),
            &[REASON],
        )?;
        let certificate_refused = IntGauge::new(
            names::GATEWAY_CERTIFICATE_REFUSED,
            "1 while the certificate's files hold what can't be used, and an older one is shown.",
        )?;
        let access_lines_lost = IntCounter::new(
            names::GATEWAY_ACCESS_LINES_LOST,
            "Lines of the access log that were not taken fast enough.",
        )?;
        let spans_lost =
            IntCounter::new(names::GATEWAY_SPANS_LOST, "Spans that no collector took.")?;
        registry.register(Box::new(connections.clone()))?;
        registry.register(Box::new(connections_ended.clone()))?;
        registry.register(Box::new(certificate_refused.clone()))?;
        registry.register(Box::new(access_lines_lost.clone()))?;
        registry.register(Box::new(spans_lost.clone()))?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(in_flight.clone()))?;
        registry.register(Box::new(retries.clone()))?;
        registry.register(Box::new(hedges.clone()))?;
        registry.register(Box::new(upstream.clone()))?;
        registry.register(Box::new(watch_connected.clone()))?;
        registry.register(Box::new(waiting.clone()))?;
        Ok(Self {
            registry,
            requests,
            in_flight,
            retries,
            hedges,
            upstream,
            watch_connected,
            waiting,
            connections,
            connections_ended,
            certificate_refused,
            access_lines_lost,
            spans_lost,
        })
    }

    /// For metrics of another part.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The Prometheus text format.
    pub(crate) fn render(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// What is counted of requests, by the name that their callers used for the model.
    pub(crate) fn tallies(&self) -> HashMap<String, Tally> {
        let mut tallies: HashMap<String, Tally> = HashMap::new();
        // First those in flight: one that ends in between is counted twice, and not missed.
        for family in self.in_flight.collect() {
            for metric in family.get_metric() {
                let tally = tallies.entry(model(metric).to_owned()).or_default();
                tally.in_flight += metric.get_gauge().get_value() as i64;
            }
        }
        for family in self.requests.collect() {
            for metric in family.get_metric() {
                let tally = tallies.entry(model(metric).to_owned()).or_default();
                tally.ended += metric.get_counter().get_value() as u64;
            }
        }
        tallies
    }

    /// Counts a request that never got to a model. It has no model label: a name that the caller
    /// made up would grow the series without bound.
    pub(crate) fn refused(&self, status: StatusCode) {
        self.requests
            .with_label_values(&["", "", status.as_str()])
            .inc();
    }

    /// Begins to count a request to a model of the table.
    pub(crate) fn exchange(&self, model: &str) -> Exchange {
        let in_flight = self.in_flight.with_label_values(&[model]);
        in_flight.inc();
        Exchange {
            requests: self.requests.clone(),
            in_flight,
            model: model.to_owned(),
            revision: String::new(),
            code: CALLER_GONE,
        }
    }

    pub(crate) fn connections(&self, open: usize) {
        self.connections
            .set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    /// The gateway itself closed a connection.
    pub(crate) fn connection_ended(&self, reason: &str) {
        self.connections_ended.with_label_values(&[reason]).inc();
    }

    pub(crate) fn certificate_refused(&self) -> IntGauge {
        self.certificate_refused.clone()
    }

    pub(crate) fn access_lines_lost(&self) -> IntCounter {
        self.access_lines_lost.clone()
    }

    pub(crate) fn spans_lost(&self) -> IntCounter {
        self.spans_lost.clone()
    }

    pub(crate) fn retried(&self, model: &str) {
        self.retries.with_label_values(&[model]).inc();
    }

    /// A request took long: a second replica answered it, or did not, or was not asked.
    pub(crate) fn hedged(&self, model: &str, outcome: &str) {
        self.hedges.with_label_values(&[model, outcome]).inc();
    }

    /// How many requests wait for a first replica of a model.
    pub(crate) fn waiting(&self, key: &str, requests: usize) {
        let requests = i64::try_from(requests).unwrap_or(i64::MAX);
        self.waiting.with_label_values(&[key]).set(requests);
    }

    /// Whether changes of one kind of object are heard of.
    pub(crate) fn watch_connected(&self, kind: &str) -> IntGauge {
        self.watch_connected.with_label_values(&[kind])
    }

    pub(crate) fn upstream_seconds(&self, model: &str, seconds: f64) {
        self.upstream.with_label_values(&[model]).observe(seconds);
    }
}

/// What is counted of the requests for one name.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    /// Those whose answer is not complete; they may wait.
    pub(crate) in_flight: i64,
    /// Those that have ended, however.
    pub(crate) ended: u64,
}

/// The model of a series; empty if it has none.
fn model(series: &Metric) -> &str {
    let mut labels = series.get_label().iter();
    let label = labels.find(|label| label.name() == names::MODEL);
    label.map_or("", |label| label.value())
}

/// One request from its model's name being known until its answer is complete, or its caller gone.
#[derive(Debug)]
pub(crate) struct Exchange {
    requests: IntCounterVec,
    in_flight: IntGauge,
    model: String,
    revision: String,
    code: u16,
}

impl Exchange {
    pub(crate) fn answered_by(&mut self, revision: &str) {
        revision.clone_into(&mut self.revision);
    }

    /// The code to count: the answer's once it is complete, or the one of what went wrong.
    pub(crate) fn ended(&mut self, status: StatusCode) {
        self.code = status.as_u16();
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let mut digits = itoa::Buffer::new();
        let code = digits.format(self.code);
        self.requests
            .with_label_values(&[self.model.as_str(), &self.revision, code])
            .inc();
        // Last, so that whoever sees it in flight no more sees that it has ended.
        self.in_flight.dec();
        tracing::debug!(
            model = self.model,
            revision = self.revision,
            code = self.code,
            "request ended"
        );
    }
}
