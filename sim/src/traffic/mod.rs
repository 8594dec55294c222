//! A simulation of a model's traffic: requests of a trace go to replicas that compute as a measured
//! replica model says, while a policy decides how many there are.
//!
//! It runs request by request where [`crate::Simulation`] plays moves of an operator; both run the
//! same decisions on how many replicas are wanted.

pub mod baselines;
mod clairvoyant;
mod dice;
mod outcome;
mod policy;
pub mod report;
pub mod trace;

pub use clairvoyant::{Need, PLAN_SLOT, Planned, needs, plan};
pub use dice::Dice;
pub use outcome::{Outcome, Quantiles, Sample};
pub use policy::{LOOK, Policy, Sight};
