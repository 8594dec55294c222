//! The Secrets of one namespace that are keys.

use anyhow::{Context, Result, bail};
use chandler_crds::names::{FIELD_MANAGER, api_key, labels};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, ListParams, PostParams, Preconditions};
use kube::{Api, ResourceExt};

use crate::args::GatewayArgs;
use crate::cluster::connect;

const CONFLICT: u16 = 409;

pub(super) struct Keys {
    secrets: Api<Secret>,
    namespace: String,
}

impl Keys {
    /// Of the cluster that the arguments name.
    pub(super) async fn of(args: &GatewayArgs) -> Result<Self> {
        let client = connect(&args.cluster).await?;
        Ok(Self {
            secrets: Api::namespaced(client, &args.namespace),
            namespace: args.namespace.clone(),
        })
    }

    pub(super) async fn create(&self, secret: &Secret) -> Result<()> {
        let params = PostParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        match self.secrets.create(&params, secret).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == CONFLICT => bail!(
                "{} has a Secret {} already: revoke that key first, or give another name",
                self.namespace,
                secret.name_any()
            ),
            Err(error) => Err(error).context("the key could not be made"),
        }
    }

    /// By name.
    pub(super) async fn list(&self) -> Result<Vec<Secret>> {
        let selector = format!("{}={}", labels::API_KEY, api_key::LABELLED);
        let listed = self
            .secrets
            .list(&ListParams::default().labels(&selector))
            .await;
        let mut secrets = listed.context("the keys could not be listed")?.items;
        secrets.sort_by_key(ResourceExt::name_any);
        Ok(secrets)
    }

    /// Deletes the Secret, if it is a key and still the one that was looked at.
    pub(super) async fn revoke(&self, name: &str) -> Result<()> {
        let found = self.secrets.get_opt(name).await;
        let found = found.context("the key could not be looked up")?;
        let is_key = |secret: &Secret| {
            let label = secret.labels().get(labels::API_KEY);
            label.is_some_and(|label| label == api_key::LABELLED)
        };
        let Some(secret) = found.filter(is_key) else {
            bail!(
                "{} has no key {name}; `chandler keys list -n {}` tells those it has",
                self.namespace,
                self.namespace
            );
        };
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: secret.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let deleted = self.secrets.delete(name, &params).await;
        deleted.context("the key could not be revoked").map(drop)
    }
}
