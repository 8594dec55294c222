//! The operator: Chandler's decisions carried out on a Kubernetes cluster.
//!
//! ```text
//! lead ──► controller ──► reconcile: fetch → default → cycle → publish → tell
//!                 ▲                             │
//!       gateways, scrape       guard ──► world ──► render
//!             prometheus ─┘
//! ```

pub mod cli;
pub mod controller;
pub mod events;
pub mod failpoint;
pub mod gateways;
pub mod guard;
pub mod health;
pub mod lead;
pub mod ledger;
pub mod looks;
pub mod metrics;
pub mod prometheus;
pub mod publish;
pub mod reconcile;
pub mod render;
pub mod run;
pub mod scrape;
#[cfg(test)]
#[path = "../tests/runtime/served.rs"]
mod served;
pub mod world;
