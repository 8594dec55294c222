use chandler_core::traffic::limit::Bound;
use chandler_crds::names::metrics as names;
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::usage::Usage;

const ACCOUNT: &str = "account";
const DIRECTION: &str = "direction";
const BOUND: &str = "bound";
const IN: &str = "in";
const OUT: &str = "out";

/// What accounts use, and what they are refused. Labels are names of configured keys and of
/// models in the table, so that no caller can grow the series.
#[derive(Debug, Clone)]
pub(super) struct AccountMetrics {
    tokens: IntCounterVec,
    limited: IntCounterVec,
    queued: IntGaugeVec,
    open: IntGauge,
}

impl AccountMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let tokens = Opts::new(
            names::GATEWAY_TOKENS,
            "Tokens of prompts (in) and of answers (out), by the key's name and by model.",
        );
        let limited = Opts::new(
            names::GATEWAY_RATE_LIMITED,
            "Requests refused because of a key's limits, by the key's name and by the limit.",
        );
        let queued = Opts::new(
            names::GATEWAY_QUEUED,
            "Requests that wait for their turn at a saturated model, by namespace/name of it.",
        );
        let metrics = Self {
            tokens: IntCounterVec::new(tokens, &[ACCOUNT, names::MODEL, DIRECTION])?,
            limited: IntCounterVec::new(limited, &[ACCOUNT, BOUND])?,
            queued: IntGaugeVec::new(queued, &[names::MODEL])?,
            open: IntGauge::new(
                names::GATEWAY_OPEN,
                "1 while no API key is configured and everyone may ask.",
            )?,
        };
        registry.register(Box::new(metrics.tokens.clone()))?;
        registry.register(Box::new(metrics.limited.clone()))?;
        registry.register(Box::new(metrics.queued.clone()))?;
        registry.register(Box::new(metrics.open.clone()))?;
        Ok(metrics)
    }

    pub(super) fn used(&self, account: &str, model: &str, usage: Usage) {
        for (direction, tokens) in [(IN, usage.prompt), (OUT, usage.answer)] {
            let labels = [account, model, direction];
            self.tokens.with_label_values(&labels).inc_by(tokens);
        }
    }

    pub(super) fn limited(&self, account: &str, bound: Bound) {
        let labels = [account, bound.reason()];
        self.limited.with_label_values(&labels).inc();
    }

    pub(super) fn queued(&self, model: &str, requests: usize) {
        let requests = i64::try_from(requests).unwrap_or(i64::MAX);
        self.queued.with_label_values(&[model]).set(requests);
    }

    pub(super) fn open(&self, open: bool) {
        self.open.set(open.into());
    }
}
