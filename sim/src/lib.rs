//! A simulated world in virtual time, and scripts that play in it. It runs the same cycle as the
//! real worlds, so what a script shows is what an operator does.
//!
//! ```text
//! script ──► Simulation { object, status, clock } ──cycle──► SimWorld { replicas, requests, faults }
//!                                            ▲──── load ────┘
//! ```

pub mod clock;
pub mod fault;
pub mod gateways;
mod replica;
mod revision;
pub mod rollouts;
mod scrapes;
pub mod script;
pub mod simulation;
pub mod traffic;
pub mod world;

pub use simulation::{Entry, SimError, Simulation};
pub use world::SimWorld;
