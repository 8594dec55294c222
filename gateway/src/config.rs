use std::time::Duration;

use chandler_core::traffic::route;
use chandler_crds::names::limits;

use crate::observe::{AccessLog, Otlp};
use crate::serve::Certificates;

/// The gateway's bounds. [`Default`] suits a laptop and a cluster alike.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Longest request body, bytes; over it the caller gets a 413.
    pub body_limit: usize,
    /// How much of a body that is too long is read and thrown away before the 413, bytes. A
    /// client that is still sending when the connection closes never sees the answer.
    pub discard_limit: usize,
    /// Longest JSON answer held back until it is whole, bytes, so that the request can be sent
    /// again if its replica dies midway. A longer one is streamed, and can then be cut.
    pub hold_limit: usize,
    /// How long an answer may take where neither the caller nor the model says.
    pub request_timeout: Duration,
    /// How long a request waits, in all, for a replica to be ready.
    pub wait_for_replica: Duration,
    /// Most requests that wait for a replica at one time; more get a 503 at once.
    pub max_waiting: usize,
    /// Most bytes of all the requests that wait; more get a 503 at once.
    pub max_waiting_bytes: usize,
    /// After how long of waiting a stream is begun, so that comments can tell the caller that its
    /// request is alive. Until then an error can still be told by its status.
    pub stream_patience: Duration,
    /// Time between two of those comments.
    pub heartbeat: Duration,
    /// Most replicas that one request may lose while they work on it. Two: it is sent again once.
    /// The bound keeps a request that kills its replica from killing them all. A replica that
    /// never took the request (connection refused, not ready) does not count.
    pub max_losses: u32,
    /// Whether an embedding that takes longer than nearly all do is asked of a second replica as
    /// well.
    pub hedge: bool,
    /// Time to connect to a replica.
    pub connect_timeout: Duration,
    /// How long shutdown waits for requests in flight before it ends their streams.
    pub drain_deadline: Duration,
    /// How slow a caller may be.
    pub pace: Pace,
    /// Most connections of callers at one time; those beyond are closed at once.
    pub max_connections: usize,
    /// Threads that answer requests, besides those of the runtime that serves; with 0 it is that
    /// runtime that answers.
    pub threads: usize,
    /// What callers are shown; without it plain HTTP is spoken.
    pub tls: Option<Certificates>,
    /// Where a line of each request is written.
    pub access_log: Option<AccessLog>,
    /// Where spans of each request are sent. The gateway must then be made in a runtime.
    pub otlp: Option<Otlp>,
}

/// How slow a caller may be before its connection is closed. Times are kept to within half of the
/// shortest of them.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// From the first byte of a request's head to its last, and the same for a TLS handshake.
    pub head: Duration,
    /// Without a request.
    pub idle: Duration,
    /// Longest pause in a body; then its caller gets a 408.
    pub body_pause: Duration,
    /// Least mean rate of a body, bytes a second, once the first pause is over; then the same.
    pub body_rate: u64,
    /// How long a caller may take none of what is sent to it.
    pub write_pause: Duration,
}

impl Pace {
    pub(crate) fn shortest(&self) -> Duration {
        let others = [self.idle, self.body_pause, self.write_pause];
        others.into_iter().fold(self.head, Duration::min)
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            body_pause: Duration::from_secs(20),
            body_rate: 1 << 10,
            write_pause: Duration::from_secs(60),
        }
    }
}

impl Default for GatewayConfig {
    fn default() -> Self {
        const MIB: usize = 1 << 20;
        Self {
            body_limit: limits::REQUEST_BODY,
            discard_limit: 32 * MIB,
            hold_limit: 64 * MIB,
            request_timeout: route::REQUEST_TIMEOUT,
            wait_for_replica: Duration::from_secs(120),
            max_waiting: 4096,
            max_waiting_bytes: 256 * MIB,
            stream_patience: Duration::from_secs(1),
            heartbeat: Duration::from_secs(5),
            max_losses: 2,
            hedge: true,
            connect_timeout: Duration::from_secs(2),
            drain_deadline: Duration::from_secs(30),
            pace: Pace::default(),
            max_connections: 10_000,
            threads: 0,
            tls: None,
            access_log: None,
            otlp: None,
        }
    }
}
