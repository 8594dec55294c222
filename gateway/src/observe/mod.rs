//! What becomes of each request, told to whoever wants to know: a line of the access log, and
//! spans of its trace.

mod export;
mod line;
mod log;
mod record;
mod span;
mod trace;

use std::sync::Arc;

use prometheus::IntCounter;
use tokio::time::Instant;

pub use export::{Otlp, OtlpError};
pub use log::AccessLog;
pub(crate) use record::{AccessRecord, Attempt, Refusal};

use crate::config::GatewayConfig;
use crate::metrics::Metrics;
use export::SpanExporter;
use record::Record;
use span::Ended;

/// Who hears of each request.
#[derive(Debug, Default)]
pub(crate) struct Observers {
    log: Option<(AccessLog, IntCounter)>,
    spans: Option<SpanExporter>,
}

impl Observers {
    /// Those that `config` names. Needs a runtime if spans are among it.
    pub(crate) fn new(config: &GatewayConfig, metrics: &Metrics) -> Arc<Self> {
        let log = config.access_log.clone();
        let spans = config.otlp.as_ref();
        Arc::new(Self {
            log: log.map(|log| (log, metrics.access_lines_lost())),
            spans: spans.map(|otlp| SpanExporter::start(otlp, metrics.spans_lost())),
        })
    }

    /// Whether a trace that begins here is kept.
    fn sampled(&self, trace: u128) -> bool {
        let spans = self.spans.as_ref();
        spans.is_some_and(|spans| spans.sampled(trace))
    }

    /// A request is over.
    fn ended(&self, record: &Record) {
        let log = self.log.as_ref();
        let spans = self.spans.as_ref().filter(|_| record.trace.sampled);
        if log.is_none() && spans.is_none() {
            return;
        }
        let (now, told) = (Instant::now(), record.take_told());
        if let Some((log, lost)) = log
            && !log.write(&line::line(record, &told, now))
        {
            lost.inc();
        }
        if let Some(spans) = spans {
            spans.export(Ended::new(record, told, now));
        }
    }

    /// Waits until what was told is written and sent, or can't be soon.
    pub(crate) async fn flush(&self) {
        if let Some((log, _)) = &self.log {
            log.flush().await;
        }
        if let Some(spans) = &self.spans {
            spans.flush().await;
        }
    }
}
