//! Every call to the API server that a model's world makes, in typed form.

use std::fmt::Debug;

use chandler_crds::names::FIELD_MANAGER;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::WorldError;

/// Objects of a long list that are asked for at once.
const PAGE: u32 = 500;

type Result<T> = std::result::Result<T, WorldError>;

/// Kinds that live in a namespace and are known when this is compiled.
pub(super) trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
{
}

impl<K> Kind for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
{
}

/// One namespace of the cluster.
#[derive(Clone)]
pub(super) struct Cluster {
    client: Client,
    namespace: String,
}

impl Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cluster({})", self.namespace)
    }
}

impl Cluster {
    pub(super) fn new(client: Client, namespace: String) -> Self {
        Self { client, namespace }
    }

    fn api<K: Kind>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Everything with these labels. No resource version is asked for, so it is as new as
    /// everything that was written before.
    pub(super) async fn list<K: Kind>(&self, labels: &str) -> Result<Vec<K>> {
        let params = ListParams::default().labels(labels);
        let found = self.api::<K>().list(&params).await;
        let found = found.map_err(|error| failed("list", &plural::<K>(), error))?;
        Ok(found.items)
    }

    /// Everything in the cluster that these fields pick, page by page.
    pub(super) async fn list_all<K>(&self, fields: &str) -> Result<Vec<K>>
    where
        K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    {
        let api = Api::<K>::all(self.client.clone());
        let mut params = ListParams::default().fields(fields).limit(PAGE);
        let mut all = Vec::new();
        loop {
            let page = api.list(&params).await;
            let page = page.map_err(|error| failed("list", &plural::<K>(), error))?;
            all.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(all),
            }
        }
    }

    /// The object of this name, whatever its labels. A list of one: the operator can then do
    /// without the right to get.
    pub(super) async fn find<K: Kind>(&self, name: &str) -> Result<Option<K>> {
        let params = ListParams::default().fields(&format!("metadata.name={name}"));
        let found = self.api::<K>().list(&params).await;
        let found = found.map_err(|error| failed("look for", &called::<K>(name), error))?;
        Ok(found.items.into_iter().next())
    }

    /// Applies what must be new: a field that someone else has set otherwise fails it.
    pub(super) async fn create<K: Kind>(&self, object: &K) -> Result<K> {
        let params = PatchParams::apply(FIELD_MANAGER);
        self.patch(object, &params, "create").await
    }

    /// Applies it over whatever others have set. A `uid` or `resourceVersion` in it is a
    /// precondition.
    pub(super) async fn apply<K: Kind>(&self, object: &K) -> Result<K> {
        let params = PatchParams::apply(FIELD_MANAGER).force();
        self.patch(object, &params, "apply").await
    }

    /// What [`Self::apply`] would make of it.
    pub(super) async fn rehearse<K: Kind>(&self, object: &K) -> Result<K> {
        let params = PatchParams::apply(FIELD_MANAGER).force().dry_run();
        self.patch(object, &params, "compare").await
    }

    async fn patch<K: Kind>(&self, object: &K, params: &PatchParams, doing: &str) -> Result<K> {
        let name = object.meta().name.clone().unwrap_or_default();
        let patched = self.api().patch(&name, params, &Patch::Apply(object)).await;
        patched.map_err(|error| failed(doing, &called::<K>(&name), error))
    }

    /// Changes the count of a Deployment that is still as it was found.
    ///
    /// Server-side apply would have to name every other field again, which can't be done for a
    /// revision that the spec no longer describes; the scale subresource would need one more
    /// right and make a second owner of the count. A merge patch touches the count alone. The
    /// count then belongs to this manager's updates as well as to its applied fields, and since a
    /// later apply carries the count that it finds, the two never differ.
    pub(super) async fn set_replicas(&self, found: &Deployment, replicas: u32) -> Result<()> {
        let name = found.metadata.name.clone().unwrap_or_default();
        let patch = CountPatch {
            metadata: ObjectMeta {
                uid: found.metadata.uid.clone(),
                resource_version: found.metadata.resource_version.clone(),
                ..ObjectMeta::default()
            },
            spec: Count {
                replicas: i32::try_from(replicas).unwrap_or(i32::MAX),
            },
        };
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let api = self.api::<Deployment>();
        let patched = api.patch(&name, &params, &Patch::Merge(&patch)).await;
        patched.map_err(|error| failed("scale", &called::<Deployment>(&name), error))?;
        Ok(())
    }

    /// Deletes exactly the object that was found; what depends on it goes in the background. One
    /// that is gone already is as it shall be.
    pub(super) async fn delete<K: Kind>(&self, found: &K) -> Result<()> {
        let name = found.meta().name.clone().unwrap_or_default();
        let params = DeleteParams::background().preconditions(Preconditions {
            uid: found.meta().uid.clone(),
            resource_version: None,
        });
        match self.api::<K>().delete(&name, &params).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(failed("delete", &called::<K>(&name), error)),
            Ok(_) => Ok(()),
        }
    }
}

/// A merge patch of a count, with what must still be so.
#[derive(Debug, Serialize)]
struct CountPatch {
    metadata: ObjectMeta,
    spec: Count,
}

#[derive(Debug, Serialize)]
struct Count {
    replicas: i32,
}

fn plural<K: Resource<DynamicType = ()>>() -> String {
    K::plural(&()).into_owned()
}

fn called<K: Kind>(name: &str) -> String {
    format!("{} `{name}`", K::kind(&()))
}

fn failed(verb: &str, object: &str, error: kube::Error) -> WorldError {
    WorldError::of_api(format!("{verb} {object}"), error)
}
