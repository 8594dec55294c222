//! Amounts of resources by name, such as `nvidia.com/gpu`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube_quantity::ParsedQuantity;

use super::MOST;

/// Amounts by the resource's name.
pub(super) type Amounts = BTreeMap<String, ParsedQuantity>;

/// The resource that each pod takes one of.
pub(super) const PODS: &str = "pods";

/// Reads amounts as the API has them. What can't be read was written by nobody who checks it, and counts
/// as none.
pub(super) fn amounts(wire: Option<&BTreeMap<String, Quantity>>) -> Amounts {
    let all = wire.into_iter().flatten();
    all.filter_map(|(name, amount)| Some((name.clone(), amount.try_into().ok()?)))
        .collect()
}

/// What a pod asks for, itself among it: all of its containers together, or the init container that asks
/// for most, beside the sidecars that run with it.
pub(super) fn asked(pod: &PodSpec) -> Amounts {
    let mut running = Amounts::new();
    let mut starting = Amounts::new();
    for init in pod.init_containers.iter().flatten() {
        let asked = of_container(init);
        if init.restart_policy.as_deref() == Some("Always") {
            add(&mut running, &asked);
            raise(&mut starting, &running);
        } else {
            let mut beside = running.clone();
            add(&mut beside, &asked);
            raise(&mut starting, &beside);
        }
    }
    for container in &pod.containers {
        add(&mut running, &of_container(container));
    }
    raise(&mut running, &starting);
    add(&mut running, &amounts(pod.overhead.as_ref()));
    running.extend(one(PODS));
    running
}

/// What is limited and not asked for is asked for as it is limited.
fn of_container(container: &Container) -> Amounts {
    let resources = container.resources.as_ref();
    let mut all = amounts(resources.and_then(|it| it.limits.as_ref()));
    all.extend(amounts(resources.and_then(|it| it.requests.as_ref())));
    all
}

/// What a pod is limited to.
pub(super) fn limited(pod: &PodSpec) -> Amounts {
    let mut all = Amounts::new();
    for container in &pod.containers {
        let limits = container
            .resources
            .as_ref()
            .and_then(|it| it.limits.as_ref());
        add(&mut all, &amounts(limits));
    }
    all
}

/// One of a resource.
pub(super) fn one(name: &str) -> Option<(String, ParsedQuantity)> {
    Some((name.to_owned(), ParsedQuantity::try_from("1").ok()?))
}

pub(super) fn add(to: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let sum = match to.remove(name) {
            Some(before) => before + amount.clone(),
            None => amount.clone(),
        };
        to.insert(name.clone(), sum);
    }
}

pub(super) fn take(from: &mut Amounts, less: &Amounts) {
    for (name, amount) in less {
        if let Some(before) = from.remove(name) {
            from.insert(name.clone(), before - amount.clone());
        }
    }
}

/// The greater of both, of each.
fn raise(to: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        let is_less = to.get(name).is_none_or(|before| before < amount);
        if is_less {
            to.insert(name.clone(), amount.clone());
        }
    }
}

/// How often what is asked for fits into what is free, at most [`MOST`] times, and the resource that is
/// short first; `None` if nothing is. What is not offered at all is free none.
pub(super) fn times(asked: &Amounts, free: &Amounts) -> (u32, Option<String>) {
    let mut left = free.clone();
    for count in 0..MOST {
        let is_short = |(name, amount): &(&String, &ParsedQuantity)| {
            let none = (*amount).clone() - (*amount).clone();
            **amount > none && left.get(*name).is_none_or(|left| left < *amount)
        };
        if let Some((name, _)) = asked.iter().find(is_short) {
            return (count, Some(name.clone()));
        }
        take(&mut left, asked);
    }
    (MOST, None)
}
