use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use chandler_core::traffic::RouteTable;
use tokio_util::sync::CancellationToken;

use crate::attempt::Upstream;
use crate::config::GatewayConfig;
use crate::metrics::Metrics;
use crate::routes;
use crate::table::Routes;
use crate::wait::WaitingRoom;

/// The front door. Clones are the same gateway.
#[derive(Debug, Clone)]
pub struct Gateway(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: GatewayConfig,
    pub(crate) routes: Routes,
    pub(crate) upstream: Upstream,
    pub(crate) metrics: Metrics,
    pub(crate) waiting: WaitingRoom,
    /// Set when callers had better go elsewhere, while those who come are still answered.
    pub(crate) leaving: AtomicBool,
    /// Set when no new requests are welcome.
    pub(crate) draining: CancellationToken,
    /// Set when requests in flight can be waited for no longer.
    pub(crate) ending: CancellationToken,
    began: Instant,
    turns: AtomicU64,
}

impl Gateway {
    /// A gateway with no table: requests wait for the first one.
    ///
    /// # Errors
    /// When the metrics can't be registered, which is a fault of their names.
    pub fn new(config: GatewayConfig) -> prometheus::Result<Self> {
        Ok(Self(Arc::new(Inner {
            routes: Routes::new(),
            upstream: Upstream::new(&config),
            metrics: Metrics::new()?,
            waiting: WaitingRoom::new(config.max_waiting),
            leaving: AtomicBool::new(false),
            draining: CancellationToken::new(),
            ending: CancellationToken::new(),
            began: Instant::now(),
            turns: AtomicU64::new(0),
            config,
        })))
    }

    /// Replaces the whole table. Requests in flight keep the replicas that they have; requests
    /// that wait for a replica look again.
    pub fn publish(&self, table: RouteTable) {
        self.0.routes.publish(table);
    }

    /// Requests in flight at an endpoint, be it in the table still or not; 0 if unknown.
    pub fn in_flight(&self, endpoint_id: &str) -> u64 {
        self.0.routes.in_flight(endpoint_id)
    }

    /// The HTTP service, for a caller that has a listener and a shutdown of its own; others use
    /// [`serve`](crate::serve).
    pub fn router(&self) -> Router {
        routes::router(self.clone())
    }

    /// Health and metrics alone, for a port of their own.
    pub fn admin_router(&self) -> Router {
        routes::admin(self.clone())
    }

    /// Tells probes and callers to go elsewhere: from now on the gateway is not ready, and closes
    /// each connection after the answer. It still answers whoever comes.
    pub fn leave(&self) {
        self.0.leaving.store(true, Ordering::Relaxed);
    }

    /// Ends what is in flight: a stream with an error event, anything else with a 503.
    pub fn cut(&self) {
        self.0.ending.cancel();
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }
}

impl Inner {
    /// The time as the policies of `core::traffic` take it.
    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn next_turn(&self) -> u64 {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }
}
