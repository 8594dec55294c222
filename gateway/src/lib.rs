//! The front door: one address that speaks the OpenAI API and leads each request to a ready
//! replica of the model that it names.
//!
//! Whoever runs the replicas calls [`Gateway::publish`] with a whole new [`RouteTable`] on each
//! change; in a cluster, [`cluster`] does. A request holds no lock: it loads the table of the moment, asks
//! [`chandler_core::traffic::pick`], and sends the caller's bytes on. Until the caller has been
//! sent something, a replica's death costs it nothing but time: the request goes to another
//! replica, or waits for one.

pub mod accounts;
mod alarm;
mod aside;
mod attempt;
mod call;
pub mod check;
pub mod cli;
pub mod cluster;
mod compare;
mod config;
mod connector;
mod demand;
mod effort;
mod errors;
mod event_gate;
mod form;
#[doc(hidden)]
pub mod fuzzing;
mod gateway;
mod headers;
mod held;
mod http1;
mod idle;
mod in_flight;
mod load_report;
mod metrics;
mod observe;
mod pieces;
mod proxy;
mod routes;
mod serve;
mod signal;
mod stream;
mod table;
mod upstream;
mod wait;

pub use chandler_core::traffic::{
    Endpoint, ModelRoute, RevisionRoute, RouteTable, Shadow, ShadowShare,
};
pub use config::{GatewayConfig, Pace};
pub use errors::{GatewayError, OpenAiError};
pub use gateway::{Gateway, Told};
pub use observe::{AccessLog, Otlp, OtlpError};
pub use serve::{Certificates, TlsError, TlsFiles, serve};
