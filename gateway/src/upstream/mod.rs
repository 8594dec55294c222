//! Connections to replicas: opened, kept while idle, and driven by the very task that uses them.
//!
//! A client that gives each connection a task of its own passes a request between two tasks four
//! times, across threads as a rule. Here the task of the request reads and writes the connection
//! itself; that is most of what a proxy of small requests has to save.

mod flow;
mod pool;
mod wire;

pub(crate) use flow::{Flow, SendError};
pub(crate) use pool::{Pool, set_home};
pub(crate) use wire::{Opener, WireError};
