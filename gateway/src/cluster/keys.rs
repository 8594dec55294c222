use std::sync::Arc;

use chandler_crds::names::{api_key, labels};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::Config;
use kube_runtime::watcher;

use super::watch::{BURST, is_listed, watched};
use crate::accounts::Keys;
use crate::gateway::Gateway;

/// Keeps the gateway's keys as the labelled Secrets of `namespace` say, and never ends. Until all
/// of them are known, nobody is let in; while the API server is away, the last ones stay.
///
/// # Errors
/// When no client can be made from `config`.
pub async fn follow_keys(config: &Config, namespace: &str, gateway: &Gateway) -> kube::Result<()> {
    gateway.await_keys();
    let selector = format!("{}={}", labels::API_KEY, api_key::LABELLED);
    let selection = watcher::Config::default().labels(&selector);
    let (secrets, changes) = watched::<Secret>(config, Some(namespace), selection, gateway)?;
    let mut bursts = changes.ready_chunks(BURST);
    while let Some(burst) = bursts.next().await {
        if burst.contains(&true) && is_listed(&secrets) {
            let secrets = secrets.state();
            gateway.publish_keys(Keys::of(secrets.iter().map(Arc::as_ref)));
            tracing::debug!(keys = secrets.len(), "API keys were read");
        }
    }
    Ok(())
}
