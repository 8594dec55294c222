//! The runtime against an API server that lives in the test.

#![allow(clippy::unwrap_used)]

mod elector;
mod fake;
mod lead;
mod models;
mod operate;
mod served;
mod turn;

use std::time::Duration;

use chandler_operator::lead::Timing;

/// Short enough for tests, and long enough for a machine that has other things to do.
const TIMING: Timing = Timing {
    lease: Duration::from_secs(3),
    renew_deadline: Duration::from_secs(2),
    retry: Duration::from_millis(20),
};

/// What a test waits for comes in seconds; this only ends a test that would hang.
const HANG: Duration = Duration::from_secs(60);

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let ended = tokio::time::timeout(HANG, future).await;
    ended.unwrap_or_else(|_| panic!("never came: {what}"))
}

/// Waits until `condition` holds.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let polled = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    soon(what, polled).await;
}
