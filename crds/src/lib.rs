//! The API of Chandler: the types of `chandler.dev/v1alpha1`, the conditions they carry, the
//! rules that manifests keep, and every name that Chandler's parts share.

// The schema derive copies each type into a function, where `pub` reaches nobody.
#![allow(unreachable_pub)]

pub mod admission;
pub mod conditions;
mod lock;
pub mod names;
pub mod spec;
pub mod status;

pub use k8s_openapi;
pub use kube::CustomResourceExt;
pub use kube::core::Duration;
pub use lock::{LockedFile, ModelLock};
pub use spec::{ModelDeployment, ModelDeploymentSpec};
pub use status::ModelDeploymentStatus;

/// The `CustomResourceDefinition` as YAML, as `crds/yaml/` keeps it.
///
/// # Errors
/// What serde reports; the types make none likely.
pub fn crd_yaml() -> Result<String, serde_yaml::Error> {
    serde_yaml::to_string(&ModelDeployment::crd())
}
