//! Asking a replica: about itself, and for the first answer that makes its revision count as
//! ready. Every world that has real replicas asks in this way.

mod answer;
mod http;

pub use answer::first_answer;
pub use http::{Client, Failed};
pub use hyper::StatusCode;
