//! How many replicas are wanted. One file a policy; signals of running replicas come beside
//! them, one file each.

mod fixed;

use crate::snapshot::Snapshot;
use crate::validate::{Replicas, Validated};
use crate::why::Why;

/// Replicas that the wanted revision shall have.
pub(crate) fn wanted(spec: &Validated, seen: &Snapshot, why: &mut Vec<Why>) -> u32 {
    match spec.replicas {
        Replicas::Fixed(count) => count,
        Replicas::Scaled { min, max } => {
            let replicas = fixed::held(min, max, seen);
            why.push(Why::HeldCount { replicas, min, max });
            replicas
        }
    }
}
