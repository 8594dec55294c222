//! Scores a model's answers against a suite of questions, and compares two revisions by them.
//! Nothing here knows a clock, a file, a client or a runtime: what a revision answered is an
//! argument, and what comes back is data.
//!
//! ```text
//! Suite::parse ──► (a world asks both revisions) ──► Evidence ──► compare ──► verdict ──► Report
//! items            answers, vectors, logprobs        statistics   interval    reasons     table, JSON, HTML
//! ```
//!
//! Without a second revision, [`ScoreReport`] holds the evidence of one against a floor.
//!
//! `docs/evaluation.md` has the formulas, their sources and what they were compared with.

#![forbid(unsafe_code)]
#![warn(missing_docs)]
// Counts of items, tokens and characters are far below 2^53.
#![allow(clippy::cast_precision_loss)]

mod bootstrap;
pub mod compare;
pub mod evidence;
pub mod metrics;
mod random;
pub mod report;
pub mod suite;
pub mod verdict;

pub use bootstrap::Bootstrap;
pub use compare::{Comparison, compare};
pub use evidence::Evidence;
pub use report::{Report, ScoreReport};
pub use suite::Suite;
pub use verdict::{Limits, Verdict, verdict, verdict_of_score};
