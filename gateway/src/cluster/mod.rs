//! The gateway in a Kubernetes cluster. It watches the models, whose status tells the served
//! names and the weights, and the EndpointSlices of their revisions, and publishes a new table on
//! each change. The Secrets of its own namespace that are API keys it watches as well.

mod api;
mod keys;
mod link;
mod run;
mod table;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod terms_tests;
mod watch;

pub use keys::follow_keys;
pub use run::{RunError, run};
pub use table::{Clash, Routing, table};
pub use watch::follow;
