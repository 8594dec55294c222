//! Traffic policies: what the gateway asks on each request. Whoever calls them brings the time,
//! the dice and the load, so a simulation can run the same code.
//!
//! - [`route`]: the table, as data.
//! - [`pick`]: the revision and the replica that take a request.
//! - [`health`]: which replicas to pass over, from what became of the requests sent there.
//! - [`budget`]: whether a request may be sent a second time.
//! - [`hedge`]: when one that is slow to be answered is.
//! - [`limit`]: what an account may use.
//! - [`fair`]: whose turn it is at a model that is saturated.
//! - [`wake`]: how long a model that has to start will take.

pub mod affinity;
pub mod budget;
pub mod fair;
pub mod health;
pub mod hedge;
pub mod limit;
pub mod pick;
pub mod route;
pub mod wake;

#[cfg(test)]
mod balance_tests;
#[cfg(test)]
mod fair_tests;
#[cfg(test)]
mod limit_tests;
#[cfg(test)]
mod pick_tests;
#[cfg(test)]
mod testing;

pub use budget::RetryBudget;
pub use health::{Ejection, Health, Sign};
pub use hedge::Hedging;
pub use pick::{Ask, Draws, Load, Place, pick};
pub use route::{Endpoint, ModelRoute, NoRoute, RevisionRoute, RouteTable, Shadow, ShadowShare};
pub use wake::ColdStarts;
