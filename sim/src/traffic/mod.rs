//! A simulation of a model's traffic: requests of a trace go to replicas that compute as a measured
//! replica model says, while a policy decides how many there are.
//!
//! It runs request by request where [`crate::Simulation`] plays moves of an operator; both run the
//! same decisions on how many replicas are wanted. Callers bring the same replicas there: requests that
//! come evenly.
//!
//! ```text
//! Trace ──► Run { Fleet { Engine … }, Record } ──look──► Policy ──► another count
//!                      └── readings ──► Sight ──────────────┘
//! ```

pub mod baselines;
mod callers;
mod clairvoyant;
mod dice;
mod engine;
#[cfg(test)]
mod engine_tests;
mod fleet;
mod model;
mod ours;
mod outcome;
mod policy;
mod record;
mod replica;
pub mod report;
mod shares;
mod tallies;
mod tell;
pub mod trace;

pub use callers::Calls;
pub(crate) use callers::{Callers, There};
pub use clairvoyant::{Need, PLAN_SLOT, Planned, needs, plan};
pub use dice::Dice;
pub use engine::{Bounds, Options, simulate};
pub use model::{Impossible, ModelError, ReplicaModel};
pub use ours::Chandler;
pub use outcome::{Outcome, Quantiles, Sample};
pub use policy::{LOOK, Policy, Sight};
pub use tallies::Manner;
