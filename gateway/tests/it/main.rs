//! The gateway on a real port, before real upstreams on loopback.

#![allow(clippy::unwrap_used)]

mod api_server;
mod cluster;
mod limits;
mod objects;
mod process;
mod retry;
mod routing;
mod shutdown;
mod streaming;
mod support;
mod upstream;
