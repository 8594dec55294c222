//! Asking Chandler's own processes: a replica about itself and for the first answer that makes its
//! revision count as ready, and replicas and gateways for their metrics. Every world that has real
//! ones asks in this way.

mod answer;
mod flight;
mod http;
mod idle;
mod load;
mod text;

pub use answer::first_answer;
pub use flight::{Flight, in_flight};
pub use http::{Client, Failed};
pub use hyper::StatusCode;
pub use idle::{idle, least, least_idle};
pub use load::{HISTOGRAMS, NUMBERS, reading};
pub use text::{Fault, Malformed, Sample, samples};
