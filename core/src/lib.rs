//! The decisions of Chandler. Nothing here knows a clock, a client or a runtime: what is seen,
//! what is remembered and what time it is are arguments, and what comes back is data.
//!
//! ```text
//! observe ──► decide ──► check ──► perform ──► conclude ──► (sleep until wake_at)
//! Snapshot    Decision             Outcomes    Status
//! ```

pub mod analysis;
pub mod check;
pub mod conclude;
pub mod cycle;
pub mod decide;
pub mod load;
pub mod memory;
pub mod outlook;
pub mod retry;
pub mod rollout;
pub mod scale;
pub mod schedule;
pub mod snapshot;
pub mod traffic;
pub mod validate;
pub mod why;
pub mod worker;
pub mod world;
