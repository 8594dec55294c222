//! A harness around the real binaries: it starts `chandler` and `chandler-server` as a user
//! would, reads their events, and speaks to them over HTTP.
//!
//! The tests in `e2e/tests` and the demo and benchmarks of `xtask` stand on it. It knows
//! Chandler only from outside: arguments, events, HTTP.

pub mod api;
pub mod chandler;
pub mod counters;
pub mod hub;
pub mod layout;
pub mod nonsense;
pub mod output;
pub mod process;
pub mod server;
pub mod stores;

pub use api::{Api, Reply, SseEvents};
pub use chandler::{Chandler, Replica};
pub use server::Server;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The longest that anything is waited for. It only bounds a hang: nothing measures it.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// Label of the namespaces that tests on a cluster make.
pub const SPACE_LABEL: &str = "e2e-space";

/// Held by a test while it serves models: a small machine has cores for one at a time.
pub fn take_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
