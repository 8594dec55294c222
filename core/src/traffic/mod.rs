//! Traffic policies: pure functions that the gateway asks on each request. Whoever calls them
//! brings the random draw, the load and the turn, so a simulation can run the same code.

pub mod route;

#[cfg(test)]
mod route_tests;

pub use route::{Choice, Endpoint, ModelRoute, NoRoute, RevisionRoute, RouteTable, pick};
