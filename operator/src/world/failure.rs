//! What keeps a replica from being ready, told from its pod: pure functions.

use std::cmp::Reverse;

use chandler_core::snapshot::FailureSeen;
use chandler_crds::conditions::Reason;
use chandler_crds::names::labels;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition};
use k8s_openapi::api::core::v1::{ContainerStateWaiting, ContainerStatus, Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::observe::desired;
use super::owner::label;
use super::words;

/// How telling a failure is; the first is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// A container ended.
    Ended,
    /// A container can't be made: its image or its configuration.
    Container,
    /// A pod can't be made.
    Refused,
    /// A pod has no node.
    Unscheduled,
    /// A node gave a pod up.
    GivenUp,
    /// A pod waits for what it mounts.
    Waiting,
}

#[derive(Clone, Debug, PartialEq)]
struct Blocker {
    rank: Rank,
    failure: FailureSeen,
}

impl Blocker {
    /// A failure that was not counted.
    fn new(rank: Rank, reason: &str, message: String, at: Timestamp, transient: bool) -> Self {
        let failure = FailureSeen {
            reason: reason.to_owned(),
            message: words::short(&message),
            attempts: 1,
            at,
            transient,
        };
        Self { rank, failure }
    }
}

/// The most telling failure of a revision whose replicas are not all ready.
pub(super) fn of_revision(deployment: &Deployment, pods: &[Pod]) -> Option<FailureSeen> {
    let newest = pods.iter().max_by_key(|pod| created(pod));
    let template = newest.and_then(template);
    let found = pods.iter().filter_map(|pod| {
        let blocker = of_pod(pod)?;
        let is_old = self::template(pod) != template;
        Some((is_old, blocker, pod.metadata.name.clone()))
    });
    let missing = usize::try_from(desired(deployment)).unwrap_or(usize::MAX) > pods.len();
    let refused = of_deployment(deployment).filter(|_| missing);
    let refused = refused.map(|blocker| (false, blocker, None));
    let all = found.chain(refused);
    // By name at last, so that two alike are not told in turns.
    all.min_by_key(|(is_old, blocker, name)| (*is_old, blocker.rank, name.clone()))
        .map(|(_, blocker, _)| blocker.failure)
}

/// What keeps one pod from being ready, or from ending well.
pub(super) fn of_one(pod: &Pod) -> Option<FailureSeen> {
    of_pod(pod).map(|blocker| blocker.failure)
}

/// Whether a condition of a pod holds; `None` if it isn't told.
pub(super) fn condition(pod: &Pod, kind: &str) -> Option<bool> {
    condition_of(pod, kind).map(|condition| condition.status == "True")
}

pub(super) fn condition_of<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    let status = pod.status.as_ref()?;
    let mut all = status.conditions.iter().flatten();
    all.find(|condition| condition.type_ == kind)
}

fn of_pod(pod: &Pod) -> Option<Blocker> {
    if pod.metadata.deletion_timestamp.is_some() || condition(pod, "Ready") == Some(true) {
        return None;
    }
    let status = pod.status.as_ref()?;
    if status.phase.as_deref() == Some("Failed") {
        let reason = status.reason.as_deref().unwrap_or("PodFailed");
        let message = status.message.as_deref().unwrap_or("it does not say why");
        let message = format!("its node gave a pod up: {message}");
        return Some(Blocker::new(
            Rank::GivenUp,
            reason,
            message,
            created(pod),
            true,
        ));
    }
    let init = status.init_container_statuses.iter().flatten();
    let all = init.chain(status.container_statuses.iter().flatten());
    unscheduled(pod)
        .or_else(|| {
            all.filter_map(|container| of_container(container, pod))
                .next()
        })
        .or_else(|| waiting(pod))
}

fn unscheduled(pod: &Pod) -> Option<Blocker> {
    let condition = condition_of(pod, "PodScheduled").filter(|one| one.status == "False")?;
    let told = condition.message.as_deref().unwrap_or_default();
    // What follows tells of preemption, and changes from try to try.
    let told = told.split(" preemption:").next().unwrap_or_default().trim();
    let unschedulable = Reason::Unschedulable.to_string();
    let reason = condition.reason.as_deref().unwrap_or(&unschedulable);
    let of_claim = told.contains("persistentvolumeclaim \"");
    let (reason, message) = if of_claim && told.contains("not found") {
        let message = format!("a PersistentVolumeClaim is missing, create it: {told}");
        ("ClaimNotFound", message)
    } else {
        (reason, format!("a pod finds no node: {told}"))
    };
    let at = time(condition.last_transition_time.as_ref(), pod);
    // A missing claim as well: once it is there, nobody has to change this resource.
    Some(Blocker::new(Rank::Unscheduled, reason, message, at, true))
}

fn of_container(status: &ContainerStatus, pod: &Pod) -> Option<Blocker> {
    let state = status.state.clone().unwrap_or_default();
    let ended_well = |exit_code| exit_code == 0;
    if state
        .terminated
        .as_ref()
        .is_some_and(|end| ended_well(end.exit_code))
    {
        return None;
    }
    if let Some(waiting) = &state.waiting
        && let Some(blocker) = not_started(status, waiting, pod)
    {
        return Some(blocker);
    }
    let last = status.last_state.as_ref();
    let end = state
        .terminated
        .as_ref()
        .or(last.and_then(|last| last.terminated.as_ref()))
        .filter(|end| !ended_well(end.exit_code))?;
    let restarts = u32::try_from(status.restart_count).unwrap_or(0);
    let told = words::of_end(&status.name, end, words::memory_limit(pod, &status.name));
    let at = time(end.finished_at.as_ref(), pod);
    let mut blocker = Blocker::new(Rank::Ended, &told.reason, told.message, at, told.transient);
    blocker.failure.attempts = restarts.max(1);
    // Once may be chance. A model that is killed again and again needs more memory.
    if told.reason == words::OUT_OF_MEMORY {
        blocker.failure.transient = restarts < 3;
    }
    Some(blocker)
}

/// A container whose image or configuration keeps it from starting.
fn not_started(
    status: &ContainerStatus,
    waiting: &ContainerStateWaiting,
    pod: &Pod,
) -> Option<Blocker> {
    let reason = waiting.reason.as_deref()?;
    let told = waiting.message.as_deref().unwrap_or_default();
    let (name, image) = (&status.name, &status.image);
    let message = match reason {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "RegistryUnavailable"
        | "ImageInspectError"
        | "SignatureValidationFailed"
        | "ErrImageNeverPull"
        | "InvalidImageName" => {
            let told = words::of_registry(told);
            format!("image `{image}` of container {name} can't be had: {told}")
        }
        "CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError"
        | "PreStartHookError"
        | "PostStartHookError" => format!("container {name} can't be started: {told}"),
        _ => return None,
    };
    let transient = !matches!(reason, "InvalidImageName" | "ErrImageNeverPull");
    Some(Blocker::new(
        Rank::Container,
        reason,
        message,
        created(pod),
        transient,
    ))
}

/// A pod on a node whose sandbox is not up. Only the kubelet's events tell that a Secret or a folder
/// is missing and no status does, so what the pod needs is told; for most this is over before anyone
/// reads it.
fn waiting(pod: &Pod) -> Option<Blocker> {
    if condition(pod, "PodReadyToStartContainers") != Some(false) {
        return None;
    }
    let needs = words::mounted(pod)?;
    let message = format!("a pod waits for its node to mount {needs}");
    let mut blocker = Blocker::new(
        Rank::Waiting,
        "WaitingForVolumes",
        message,
        created(pod),
        true,
    );
    blocker.failure.attempts = 0;
    Some(blocker)
}

/// Pods that the API server refuses to make.
fn of_deployment(deployment: &Deployment) -> Option<Blocker> {
    let status = deployment.status.as_ref()?;
    let is_failure = |one: &&DeploymentCondition| {
        one.type_.as_deref() == Some("ReplicaFailure") && one.status.as_deref() == Some("True")
    };
    let condition = status.conditions.iter().flatten().find(is_failure)?;
    let told = condition.message.as_deref().unwrap_or_default();
    let quota_exceeded = Reason::QuotaExceeded.to_string();
    let (reason, transient) = if told.contains("exceeded quota") {
        (quota_exceeded.as_str(), true)
    } else if told.contains("violates PodSecurity") {
        ("PodSecurityRefused", false)
    } else {
        (condition.reason.as_deref().unwrap_or("FailedCreate"), true)
    };
    let at = condition.last_transition_time.as_ref();
    let at = at.map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    let message = match told.contains("hostPath") {
        true => format!(
            "a pod can't be made, since its namespace {}: {told}",
            words::NO_HOST_PATH
        ),
        false => format!("a pod can't be made: {told}"),
    };
    Some(Blocker::new(Rank::Refused, reason, message, at, transient))
}

fn template(pod: &Pod) -> Option<&str> {
    label(&pod.metadata, labels::POD_TEMPLATE_HASH)
}

pub(super) fn created(pod: &Pod) -> Timestamp {
    let created = pod.metadata.creation_timestamp.as_ref();
    created.map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}

fn time(at: Option<&Time>, pod: &Pod) -> Timestamp {
    at.map_or_else(|| created(pod), |time| time.0)
}

/// The youngest first: of a template that was mended, the pods of the newer one.
pub(super) fn youngest_first(pods: &mut [&Pod]) {
    pods.sort_by_key(|pod| (Reverse(created(pod)), pod.metadata.name.clone()));
}
