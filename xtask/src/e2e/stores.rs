//! The stores that the tests' models come from, in the cluster's network.

use super::hub;
use super::install::ServerEnv;
use anyhow::Result;
use chandler_e2e::hub::Hub;
use chandler_e2e::layout;
use chandler_e2e::stores::{Store, shared};

/// A hub, an S3 service and an OCI registry; they end when dropped.
pub(super) struct Stores {
    hub: Hub,
    buckets: Store,
    registry: Store,
}

/// Starts them on free ports of `address`.
///
/// # Errors
/// When the models have not been fetched, or one does not start.
pub(super) fn start(address: &str) -> Result<Stores> {
    let model = layout::model(layout::EMBEDDING_MODEL)?;
    let port = format!("{address}:0");
    let artifact = format!("{}:{}", shared::ARTIFACT, shared::TAG);
    Ok(Stores {
        hub: hub::start(address)?,
        buckets: Store::s3_at(&port, &[(shared::FOLDER, &model)], Some(shared::KEY))?,
        registry: Store::oci_at(&port, &[(&artifact, &model)], Some(shared::USER), None)?,
    })
}

impl Stores {
    /// What servers must know to find them. None has a certificate.
    pub(super) fn server_env(&self) -> Vec<ServerEnv> {
        let endpoint = format!("http://{}", self.buckets.address());
        vec![
            hub::server_env(&self.hub),
            ("AWS_ENDPOINT_URL", endpoint),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("CHANDLER_OCI_PLAIN_HTTP", self.registry().to_owned()),
        ]
    }

    /// The registry's `host:port`.
    pub(super) fn registry(&self) -> &str {
        self.registry.address()
    }
}
