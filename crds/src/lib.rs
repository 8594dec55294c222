//! The API of Chandler: the types of `chandler.dev/v1alpha1`, the conditions they carry, the
//! rules that manifests keep, and every name that Chandler's parts share.

// The schema derive copies each type into a function, where `pub` reaches nobody.
#![allow(unreachable_pub)]

pub mod admission;
pub mod conditions;
mod lock;
pub mod names;
pub mod report;
pub mod spec;
pub mod status;

pub use k8s_openapi;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSON;
pub use kube::CustomResourceExt;
pub use kube::core::Duration;
pub use lock::{LockedFile, ModelLock};
pub use spec::{ModelDeployment, ModelDeploymentSpec};
pub use status::ModelDeploymentStatus;

/// The `CustomResourceDefinition` as YAML, as `crds/yaml/` keeps it. An object that no operator has
/// looked at has a status that says so: kstatus takes one without any for done.
///
/// # Errors
/// What serde reports; the types make none likely.
pub fn crd_yaml() -> Result<String, serde_yaml::Error> {
    let mut crd = ModelDeployment::crd();
    for version in &mut crd.spec.versions {
        let schema = version.schema.as_mut();
        let schema = schema.and_then(|schema| schema.open_api_v3_schema.as_mut());
        let fields = schema.and_then(|schema| schema.properties.as_mut());
        if let Some(status) = fields.and_then(|fields| fields.get_mut("status")) {
            status.default = Some(JSON(serde_json::json!({"observedGeneration": -1})));
        }
    }
    serde_yaml::to_string(&crd)
}
