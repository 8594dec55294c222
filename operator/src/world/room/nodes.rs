//! Which nodes a pod may be on, and how many more of it they have room for.

use std::collections::{BTreeMap, BTreeSet};

use chandler_core::snapshot::RoomSeen;
use k8s_openapi::api::core::v1::{Node, Pod, PodSpec, Taint, Toleration};
use kube::ResourceExt;

use super::MOST;
use super::amounts::{Amounts, add, amounts, asked, take, times};

/// How many more such pods the nodes have room for, told as a scheduler tells it.
pub(super) fn room(pod: &PodSpec, nodes: &[Node], pods: &[Pod]) -> RoomSeen {
    let asked = asked(pod);
    let taken = taken(pods);
    let mut replicas = 0_u32;
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    for node in nodes {
        let (more, reason) = match refusal(pod, node) {
            Some(refusal) => (0, Some(refusal)),
            None => {
                let (more, short) = times(&asked, &free(node, &taken));
                (more, short.map(|name| format!("Insufficient {name}")))
            }
        };
        replicas = replicas.saturating_add(more).min(MOST);
        if let Some(reason) = reason {
            *reasons.entry(reason).or_default() += 1;
        }
    }
    let is_full = reasons.values().sum::<usize>() == nodes.len();
    let reasons = reasons.into_iter();
    let reasons: Vec<_> = reasons
        .map(|(why, count)| format!("{count} {why}"))
        .collect();
    let count = nodes.len();
    let short_of = match reasons.is_empty() {
        true => "there is no node".to_owned(),
        false => format!(
            "0/{count} nodes have room for one more: {}",
            reasons.join(", ")
        ),
    };
    RoomSeen {
        replicas,
        short_of: is_full.then_some(short_of),
    }
}

/// What pods have asked for, by their node.
fn taken(pods: &[Pod]) -> BTreeMap<&str, Amounts> {
    let mut taken: BTreeMap<&str, Amounts> = BTreeMap::new();
    for pod in pods.iter().filter_map(|pod| pod.spec.as_ref()) {
        if let Some(node) = pod.node_name.as_deref() {
            add(taken.entry(node).or_default(), &asked(pod));
        }
    }
    taken
}

/// What a node could still give.
fn free(node: &Node, taken: &BTreeMap<&str, Amounts>) -> Amounts {
    let status = node.status.as_ref();
    let mut free = amounts(status.and_then(|it| it.allocatable.as_ref()));
    let name = node.metadata.name.as_deref().unwrap_or_default();
    if let Some(taken) = taken.get(name) {
        take(&mut free, taken);
    }
    free
}

/// Why a node takes no such pod, whatever it has room for.
fn refusal(pod: &PodSpec, node: &Node) -> Option<String> {
    let spec = node.spec.clone().unwrap_or_default();
    if spec.unschedulable == Some(true) {
        return Some("unschedulable".to_owned());
    }
    let conditions = node
        .status
        .iter()
        .flat_map(|it| it.conditions.iter().flatten());
    let mut ready = conditions.filter(|it| it.type_ == "Ready");
    if ready.any(|it| it.status != "True") {
        return Some("not ready".to_owned());
    }
    let wanted = pod.node_selector.iter().flatten();
    let wanted: BTreeSet<_> = wanted.collect();
    let labels: BTreeSet<_> = node.labels().iter().collect();
    if !wanted.is_subset(&labels) {
        return Some("didn't match the node selector".to_owned());
    }
    let tolerations = pod.tolerations.as_deref().unwrap_or_default();
    let taints = spec.taints.iter().flatten();
    let mut repelling = taints.filter(|taint| repels(taint, tolerations));
    repelling
        .next()
        .map(|taint| format!("had untolerated taint {{{}}}", written(taint)))
}

/// Whether a taint keeps a new pod away.
fn repels(taint: &Taint, tolerations: &[Toleration]) -> bool {
    let is_hard = ["NoSchedule", "NoExecute"].contains(&taint.effect.as_str());
    is_hard && !tolerations.iter().any(|it| tolerates(it, taint))
}

/// As the API documents it: no key tolerates every key, no effect every effect.
fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |it: &Option<String>| it.clone().unwrap_or_default();
    let (key, effect) = (text(&toleration.key), text(&toleration.effect));
    let exists = toleration.operator.as_deref() == Some("Exists");
    let same_key = key == taint.key || (key.is_empty() && exists);
    let same_effect = effect.is_empty() || effect == taint.effect;
    same_key && same_effect && (exists || text(&toleration.value) == text(&taint.value))
}

fn written(taint: &Taint) -> String {
    match taint.value.as_deref() {
        None | Some("") => taint.key.clone(),
        Some(value) => format!("{}: {value}", taint.key),
    }
}
