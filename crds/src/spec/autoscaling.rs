use kube::KubeSchema;
use kube::core::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Replicas by what the replicas measure.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.minReplicas) || self.minReplicas <= self.maxReplicas").message(
    "minReplicas must not be above maxReplicas: lower the one or raise the other"
))]
#[x_kube(validation = Rule::new(
    "!has(self.schedule) || self.schedule.all(floor, floor.minReplicas <= self.maxReplicas)"
).message(
    "a minReplicas of the schedule must not be above maxReplicas: lower the one or raise the other"
))]
pub struct Autoscaling {
    /// Fewest replicas; 0 lets an idle model sleep. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 0").message("minReplicas must be 0 or more"))]
    pub min_replicas: Option<i32>,

    /// Most replicas.
    #[x_kube(validation = Rule::new("self >= 1 && self <= 10000").message("maxReplicas must be from 1 to 10000"))]
    pub max_replicas: i32,

    /// What each replica should be kept at; the target that asks for most replicas decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<Targets>,

    /// With `minReplicas: 0`, how long no request may have come before the model sleeps, such as
    /// `5m`. Default: `5m`. It wakes with the next request that comes to a gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s')").message("idleAfter must be at least 1s: write such as 5m"))]
    pub idle_after: Option<Duration>,

    /// How fast the count may move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behavior: Option<Behavior>,

    /// Floors by the clock, such as two replicas in office hours. Of those that hold at a time the
    /// greatest counts, and while one does the model does not sleep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub schedule: Option<Vec<ScheduledFloor>>,
}

/// Target of each signal; absent ones are not looked at.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Targets {
    /// Requests waiting in a replica's queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1").message("queueWaiting must be at least 1 request"))]
    pub queue_waiting: Option<i32>,
    /// 95th percentile of the time to the first token, such as `2s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttft_p95: Option<Duration>,
    /// 95th percentile of the whole request's time, such as `10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_p95: Option<Duration>,
    /// Used share of the KV cache in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1 && self <= 100").message("kvCacheUsage is in percent: write 1 to 100"))]
    pub kv_cache_usage: Option<i32>,
    /// Requests in flight in a replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1").message("concurrency must be at least 1 request"))]
    pub concurrency: Option<i32>,
}

/// How fast the count may move, up and down.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Behavior {
    /// Limits on the way up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_up: Option<ScalingLimit>,
    /// Limits on the way down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down: Option<ScalingLimit>,
}

/// Limits in one direction.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScalingLimit {
    /// How long the wish must have held before it is followed, such as `5m`; then the least that was
    /// wished for in that time is done. Default: none on the way up, and on the way down as long as a start
    /// takes, from `3m` to `5m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stabilization: Option<Duration>,
    /// Most replicas in one step; a step comes at least `15s` after the change before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self >= 1").message("maxStep must be at least 1 replica"))]
    pub max_step: Option<i32>,
}

/// A floor that holds from each `start` until the next `end`.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduledFloor {
    /// When the floor begins, as five cron fields: minute, hour, day of the month, month, day of the
    /// week, such as `0 8 * * 1-5`.
    pub start: String,
    /// When it ends, in the same form.
    pub end: String,
    /// IANA time zone of both, such as `Europe/Berlin`. Default: `UTC`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Fewest replicas in between.
    #[x_kube(validation = Rule::new("self >= 1").message("a scheduled floor needs at least 1 replica"))]
    pub min_replicas: i32,
}
