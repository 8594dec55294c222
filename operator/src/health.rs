//! What the kubelet and Prometheus ask: is it alive, is it ready, how is it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use chandler_crds::names::paths;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::metrics::Metrics;

/// The election looks at its lease every other second, and no look takes longer than ten.
const SILENCE: Duration = Duration::from_secs(30);

/// What this operator does in its election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It waits for the lease, ready to take over.
    Candidate,
    /// It leads, and does not know every model yet.
    Syncing,
    /// It leads.
    Leading,
}

/// The beat of the loop that everything else hangs on.
#[derive(Clone, Debug)]
pub struct Pulse {
    began: Instant,
    last: Arc<AtomicU64>,
}

impl Default for Pulse {
    fn default() -> Self {
        Self::new()
    }
}

impl Pulse {
    /// Counts as having beaten now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            last: Arc::default(),
        }
    }

    pub(crate) fn beat(&self) {
        self.last.store(self.millis(), Ordering::Relaxed);
    }

    /// How long ago the last beat was.
    fn silent(&self) -> Duration {
        let last = self.last.load(Ordering::Relaxed);
        Duration::from_millis(self.millis().saturating_sub(last))
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// What the answers are made of.
#[derive(Clone, Debug)]
pub struct Health {
    /// The election's.
    pub pulse: Pulse,
    /// As it changes.
    pub standing: watch::Receiver<Standing>,
    /// To be scraped.
    pub metrics: Metrics,
}

/// Answers for as long as the process lives.
///
/// # Errors
/// The listener broke.
pub async fn serve(listener: TcpListener, health: Health) -> io::Result<()> {
    axum::serve(listener, router(health)).await
}

/// The routes.
pub fn router(health: Health) -> Router {
    Router::new()
        .route(paths::LIVE, get(live))
        .route(paths::READY, get(ready))
        .route(paths::METRICS, get(metrics))
        .with_state(health)
}

async fn live(State(health): State<Health>) -> (StatusCode, String) {
    let silent = health.pulse.silent();
    if silent < SILENCE {
        (StatusCode::OK, "alive\n".to_owned())
    } else {
        let seconds = silent.as_secs();
        let told = format!("the election has not looked at its lease for {seconds} s\n");
        (StatusCode::INTERNAL_SERVER_ERROR, told)
    }
}

async fn ready(State(health): State<Health>) -> (StatusCode, &'static str) {
    match *health.standing.borrow() {
        Standing::Candidate => (StatusCode::OK, "standing by\n"),
        Standing::Leading => (StatusCode::OK, "leading\n"),
        Standing::Syncing => (StatusCode::SERVICE_UNAVAILABLE, "listing the models\n"),
    }
}

async fn metrics(State(health): State<Health>) -> impl IntoResponse {
    match health.metrics.render() {
        Ok(text) => (
            StatusCode::OK,
            [(CONTENT_TYPE, prometheus::TEXT_FORMAT)],
            text,
        ),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            [(CONTENT_TYPE, "text/plain")],
            error.to_string(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(standing: Standing, silent: Duration) -> (Health, watch::Sender<Standing>) {
        let (sender, receiver) = watch::channel(standing);
        let mut pulse = Pulse::new();
        pulse.began = Instant::now()
            .checked_sub(silent)
            .expect("a machine that is up for a minute");
        let metrics = Metrics::new().expect("metrics");
        let health = Health {
            pulse,
            standing: receiver,
            metrics,
        };
        (health, sender)
    }

    #[tokio::test]
    async fn a_silent_election_is_not_alive() {
        let (health, _sender) = health(Standing::Leading, SILENCE);
        assert_eq!(
            live(State(health.clone())).await.0,
            StatusCode::INTERNAL_SERVER_ERROR
        );
        health.pulse.beat();
        assert_eq!(live(State(health)).await.0, StatusCode::OK);
    }

    #[tokio::test]
    async fn only_a_leader_without_its_list_is_not_ready() {
        let (health, sender) = health(Standing::Candidate, Duration::ZERO);
        assert_eq!(ready(State(health.clone())).await.0, StatusCode::OK);
        sender.send_replace(Standing::Syncing);
        assert_eq!(
            ready(State(health.clone())).await.0,
            StatusCode::SERVICE_UNAVAILABLE
        );
        sender.send_replace(Standing::Leading);
        assert_eq!(ready(State(health)).await.0, StatusCode::OK);
    }
}
