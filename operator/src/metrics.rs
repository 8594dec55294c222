//! The operator's metrics, in a registry of their own.

use std::time::Duration;

use chandler_core::world::Outcome;
use chandler_crds::ModelDeploymentStatus;
use chandler_crds::names::metrics as names;
use chandler_crds::status::StartupTimes;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use crate::ledger::Ledger;

const OUTCOME: &str = "outcome";
const ACTION: &str = "action";
const CONDITION: &str = "condition";
const STATUS: &str = "status";
const PHASE: &str = "phase";
const STATE: &str = "state";
/// Seconds. From a look at a model at rest to a probe that is not answered.
const TURN_BUCKETS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0];
/// Seconds. From a node that has everything to a big model over a thin line.
const STARTUP_BUCKETS: [f64; 14] = [
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0,
];

/// Counts what the operator does.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    turns: IntCounterVec,
    turn_seconds: Histogram,
    actions: IntCounterVec,
    leader: IntGauge,
    models: IntGaugeVec,
    startup: HistogramVec,
    gateways: IntGaugeVec,
    scrapes: IntCounterVec,
    glances: IntCounterVec,
    replicas: IntGaugeVec,
    memory: IntGauge,
    ledger: Ledger,
}

impl Metrics {
    /// All at zero.
    ///
    /// # Errors
    /// A name is wrong or given twice, which is a mistake of this file.
    pub fn new() -> prometheus::Result<Self> {
        let turns = Opts::new(names::OPERATOR_TURNS, "Turns, by outcome.");
        let turn_seconds = HistogramOpts::new(names::OPERATOR_TURN_SECONDS, "Seconds a turn took.");
        let actions = Opts::new(
            names::OPERATOR_ACTIONS,
            "Actions that were tried, by outcome.",
        );
        let models = Opts::new(
            names::OPERATOR_MODELS,
            "Models, by condition and its status; told by the leader.",
        );
        let startup = HistogramOpts::new(
            names::STARTUP_SECONDS,
            "Seconds of each phase from a revision's first replica to its first answer.",
        );
        let gateways = Opts::new(
            names::OPERATOR_GATEWAYS,
            "Gateways that the leader found, by whether they tell of requests.",
        );
        let scrapes = Opts::new(
            names::OPERATOR_SCRAPES,
            "Questions to replicas for their load, by outcome.",
        );
        let glances = Opts::new(
            names::OPERATOR_GLANCES,
            "Looks at models at work that needed no more than memory, by what came of them.",
        );
        let replicas = Opts::new(
            names::OPERATOR_REPLICAS,
            "Replicas that the leader asks, by whether they told their load lately.",
        );
        let metrics = Self {
            registry: Registry::new(),
            turns: IntCounterVec::new(turns, &[OUTCOME])?,
            turn_seconds: Histogram::with_opts(turn_seconds.buckets(TURN_BUCKETS.to_vec()))?,
            actions: IntCounterVec::new(actions, &[ACTION, OUTCOME])?,
            leader: IntGauge::new(names::OPERATOR_LEADER, "1 on the operator that leads.")?,
            models: IntGaugeVec::new(models, &[CONDITION, STATUS])?,
            startup: HistogramVec::new(startup.buckets(STARTUP_BUCKETS.to_vec()), &[PHASE])?,
            gateways: IntGaugeVec::new(gateways, &[STATE])?,
            scrapes: IntCounterVec::new(scrapes, &[OUTCOME])?,
            glances: IntCounterVec::new(glances, &[OUTCOME])?,
            replicas: IntGaugeVec::new(replicas, &[STATE])?,
            memory: IntGauge::new(names::RESIDENT_MEMORY, "Memory that the process occupies.")?,
            ledger: Ledger::default(),
        };
        let registry = &metrics.registry;
        registry.register(Box::new(metrics.turns.clone()))?;
        registry.register(Box::new(metrics.turn_seconds.clone()))?;
        registry.register(Box::new(metrics.actions.clone()))?;
        registry.register(Box::new(metrics.leader.clone()))?;
        registry.register(Box::new(metrics.models.clone()))?;
        registry.register(Box::new(metrics.startup.clone()))?;
        registry.register(Box::new(metrics.gateways.clone()))?;
        registry.register(Box::new(metrics.scrapes.clone()))?;
        registry.register(Box::new(metrics.glances.clone()))?;
        registry.register(Box::new(metrics.replicas.clone()))?;
        registry.register(Box::new(metrics.memory.clone()))?;
        Ok(metrics)
    }

    /// The Prometheus text format.
    ///
    /// # Errors
    /// A metric can't be written.
    pub fn render(&self) -> prometheus::Result<String> {
        self.models.reset();
        for ((condition, status), count) in self.ledger.counts() {
            self.models
                .with_label_values(&[condition.as_str(), &status])
                .set(count);
        }
        if let Some(bytes) = resident_memory() {
            self.memory.set(bytes);
        }
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// What is known of each model.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(crate) fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    pub(crate) fn gateways(&self, answering: usize, silent: usize) {
        states(
            &self.gateways,
            [("answering", answering), ("silent", silent)],
        );
    }

    pub(crate) fn scrape(&self, outcome: &str) {
        self.scrapes.with_label_values(&[outcome]).inc();
    }

    pub(crate) fn glance(&self, outcome: &str) {
        self.glances.with_label_values(&[outcome]).inc();
    }

    pub(crate) fn replicas(&self, fresh: usize, stale: usize) {
        states(&self.replicas, [("fresh", fresh), ("stale", stale)]);
    }

    pub(crate) fn turn(&self, outcome: &str, took: Duration) {
        self.turns.with_label_values(&[outcome]).inc();
        self.turn_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn action(&self, name: &str, outcome: &Outcome) {
        let outcome = match outcome {
            Outcome::Done | Outcome::Resolved(_) | Outcome::Answered(_) | Outcome::Evaluated(_) => {
                "done"
            }
            Outcome::Pending { .. } => "pending",
            Outcome::Failed(_) => "failed",
            Outcome::Skipped => "skipped",
        };
        self.actions.with_label_values(&[name, outcome]).inc();
    }

    /// Notes how long revisions took to start of which that was not told before.
    pub(crate) fn startups(&self, before: &ModelDeploymentStatus, after: &ModelDeploymentStatus) {
        let told = |name: &str| {
            let mut known = before.revisions.iter();
            known.any(|revision| revision.name == name && revision.startup.is_some())
        };
        let new = after.revisions.iter().filter(|new| !told(&new.name));
        for startup in new.filter_map(|revision| revision.startup.as_ref()) {
            for (phase, millis) in phases(startup) {
                let seconds = Duration::from_millis(millis).as_secs_f64();
                self.startup.with_label_values(&[phase]).observe(seconds);
            }
        }
    }
}

/// Sets how many are in each state.
fn states(gauges: &IntGaugeVec, counts: [(&str, usize); 2]) {
    for (state, count) in counts {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        gauges.with_label_values(&[state]).set(count);
    }
}

/// The phases that are known.
fn phases(startup: &StartupTimes) -> impl Iterator<Item = (&'static str, u64)> {
    let all = [
        ("schedule", startup.schedule_ms),
        ("pull", startup.pull_ms),
        ("fetch", startup.fetch_ms),
        ("load", startup.load_ms),
        ("warm_up", startup.warm_up_ms),
        ("first_answer", startup.first_answer_ms),
    ];
    all.into_iter()
        .filter_map(|(phase, millis)| Some((phase, millis?)))
}

/// What Linux tells of this process, in bytes.
fn resident_memory() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: i64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chandler_crds::status::RevisionStatus;
    use serde_json::json;

    fn status(startup: Option<StartupTimes>) -> ModelDeploymentStatus {
        let revision = json!({
            "name": "a1", "phase": "Serving", "createdAt": "2026-01-01T00:00:00.000000Z",
        });
        let revision = RevisionStatus {
            startup,
            ..serde_json::from_value(revision).expect("a revision")
        };
        ModelDeploymentStatus {
            revisions: vec![revision],
            ..ModelDeploymentStatus::default()
        }
    }

    #[test]
    fn a_startup_is_counted_once_and_by_known_phases() {
        let metrics = Metrics::new().expect("metrics");
        let times = StartupTimes {
            load_ms: Some(1500),
            first_answer_ms: Some(40),
            ..StartupTimes::default()
        };
        let (before, after) = (status(None), status(Some(times)));
        metrics.startups(&before, &before);
        metrics.startups(&before, &after);
        metrics.startups(&after, &after);
        let text = metrics.render().expect("text");
        assert!(text.contains("chandler_startup_seconds_sum{phase=\"load\"} 1.5\n"));
        assert!(text.contains("chandler_startup_seconds_count{phase=\"first_answer\"} 1\n"));
        assert!(!text.contains("phase=\"pull\""));
    }

    #[test]
    fn memory_is_told() {
        let metrics = Metrics::new().expect("metrics");
        metrics.render().expect("text");
        assert!(metrics.memory.get() > 1 << 20);
    }
}
