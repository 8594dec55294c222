//! The inference server: one process serves one model.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod cli;
pub mod delivery;
pub mod engine;
pub mod http;
pub mod lifecycle;
pub mod load;
pub mod memory;
pub mod metrics;
pub mod models;
pub mod node_cache;
pub mod reporter;
pub mod serve;
pub mod startup;
pub mod tasks;
