//! Connections to replicas: opened, kept while idle, and driven by the very task that uses them.
//!
//! hyper's pooled client gives each connection a task of its own, so that a request passes between
//! two tasks four times, across threads as a rule. Here the task of the request polls the
//! connection itself; that is most of what a proxy of small requests has to save.

mod flow;
mod pool;
mod wire;

pub(crate) use flow::{Flow, SendError};
pub(crate) use pool::Pool;
pub(crate) use wire::Opener;
