use std::collections::BTreeMap;
use std::{fmt, str::FromStr};

use k8s_openapi::api::core::v1::Toleration;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::KubeSchema;
use kube::core::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::model::wire_text;

/// The server process of each replica.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Server {
    /// Container image. Default: the server image of the operator's own version. The local
    /// world runs the bundled server instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,

    /// Where to compute. `auto` takes a GPU if there is one. Default: `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Device>,

    /// CPU, memory and devices of a replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,

    /// Most sequences computed together. Default: what the engine chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 65536").message("maxBatch must be from 1 to 65536 sequences"))]
    pub max_batch: Option<i32>,

    /// Most requests that may wait; above it callers get 429 with Retry-After. Default: 256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 1000000").message("maxQueue must be from 1 to 1000000 requests"))]
    pub max_queue: Option<i32>,

    /// Seconds that a stopping replica may spend on the requests it has. Default: 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 0 && self <= 86400").message("drainSeconds must be from 0 to 86400 seconds"))]
    pub drain_seconds: Option<i32>,

    /// Longest time that a request may take, from its arrival at the gateway to the end of its
    /// answer, such as `90s` or `10m`. A caller may ask for less by the header
    /// `x-request-timeout`. Default: `10m`. A change of it alone makes no new revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('24h')").message("requestTimeout must be from 1s to 24h: write such as 90s or 10m"))]
    pub request_timeout: Option<Duration>,

    /// Labels a node must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<BTreeMap<String, String>>,

    /// Taints a replica tolerates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerations: Option<Vec<Toleration>>,

    /// Priority class of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,

    /// Runtime class of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_class_name: Option<String>,

    /// Service account of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
}

/// Where to compute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Device {
    /// A GPU if there is one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A CUDA GPU; fails where there is none.
    Cuda,
}

wire_text!(Device: Auto = "auto", Cpu = "cpu", Cuda = "cuda");

/// What a replica may use, as in a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// At most this much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<BTreeMap<String, Quantity>>,
    /// At least this much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<BTreeMap<String, Quantity>>,
}
