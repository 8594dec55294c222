//! How many more pods a namespace's quota allows.

use chandler_core::snapshot::RoomSeen;
use k8s_openapi::api::core::v1::{PodSpec, ResourceQuota};
use kube::ResourceExt;

use super::amounts::{Amounts, PODS, amounts, asked, limited, one, take, times};

/// Scopes that a server's pod is in: it runs without a deadline, and asks for something.
const SCOPES: &[&str] = &["NotTerminating", "NotBestEffort"];
/// Resources that are counted both bare and as `requests.`.
const BARE: &[&str] = &["cpu", "memory", "ephemeral-storage"];

/// How many more such pods a quota allows; `None` if it is not about them.
pub(super) fn room(pod: &PodSpec, quota: &ResourceQuota) -> Option<RoomSeen> {
    let spec = quota.spec.as_ref()?;
    let mut scopes = spec.scopes.iter().flatten();
    if spec.scope_selector.is_some() || !scopes.all(|it| SCOPES.contains(&it.as_str())) {
        return None;
    }
    let status = quota.status.as_ref()?;
    let mut free = amounts(status.hard.as_ref());
    take(&mut free, &amounts(status.used.as_ref()));
    let mut counted = counted(pod);
    counted.retain(|name, _| free.contains_key(name));
    let (replicas, short) = times(&counted, &free);
    let name = quota.name_any();
    Some(RoomSeen {
        replicas,
        short_of: short.map(|it| format!("quota `{name}` leaves too little {it}")),
    })
}

/// What a pod counts for, under the names that quotas have.
fn counted(pod: &PodSpec) -> Amounts {
    let mut all = Amounts::new();
    for (name, amount) in asked(pod) {
        if BARE.contains(&name.as_str()) {
            all.insert(name.clone(), amount.clone());
        }
        all.insert(format!("requests.{name}"), amount);
    }
    for (name, amount) in limited(pod) {
        all.insert(format!("limits.{name}"), amount);
    }
    all.extend(one(PODS));
    all.extend(one(&format!("count/{PODS}")));
    all
}
