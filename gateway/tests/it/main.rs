//! The gateway on a real port, before real upstreams on loopback.

#![allow(clippy::unwrap_used)]

mod accounts;
mod api_server;
mod aside;
mod cluster;
mod collector;
mod compare;
mod conversation;
mod deadline;
mod hedge;
mod hold;
mod idle;
mod keys;
mod limits;
mod objects;
mod process;
mod retry;
mod routing;
mod shutdown;
mod slow;
mod streaming;
mod support;
mod tensors;
mod tls;
mod traces;
mod turns;
mod upstream;
mod wishes;
