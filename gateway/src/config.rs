use std::time::Duration;

use chandler_crds::names::limits;

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
    /// How long a request waits, in all, for a replica to be ready.
    pub wait_for_replica: Duration,
    /// Most requests that wait for a replica at one time; more get a 503 at once.
    pub max_waiting: usize,
    /// Most replicas that one request may lose while they work on it. The bound keeps a request
    /// that kills its replica from killing them all. A replica that never took the request
    /// (connection refused, not ready) does not count.
    pub max_losses: u32,
    /// Time to connect to a replica.
    pub connect_timeout: Duration,
    /// How long shutdown waits for requests in flight before it ends their streams.
    pub drain_deadline: Duration,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        const MIB: usize = 1 << 20;
        Self {
            body_limit: limits::REQUEST_BODY,
            discard_limit: 32 * MIB,
            hold_limit: 64 * MIB,
            wait_for_replica: Duration::from_secs(30),
            max_waiting: 1024,
            max_losses: 3,
            connect_timeout: Duration::from_secs(2),
            drain_deadline: Duration::from_secs(30),
        }
    }
}
