//! Traffic analysis: whether a canary's requests fare as well as those of the revision that it is to
//! take over from, in the same time.
//!
//! ```text
//! gateways count ──► Tally of each revision ──► Trial ──► TrialSeen ──► the step goes on, or fails
//! ```
//!
//! A step begins a [`Trial`]. Each limit is a check of its own that passes, fails, or is open until
//! the requests tell; both answers come from bets that may be looked at at any moment (see
//! [`share`] and [`odds`]), so that looking often makes no error likelier.

mod bins;
mod check;
mod mean;
mod odds;
mod question;
mod share;
mod tally;
#[cfg(test)]
mod tests;
mod told;
mod trial;
mod trials;

pub use bins::Bins;
pub use check::{Check, CheckSeen, Verdict};
pub use question::{Limits, Question, question};
pub use tally::{Answered, Tally};
pub use told::{Compared, Tallies};
pub use trial::{Trial, TrialSeen};
pub use trials::Trials;
