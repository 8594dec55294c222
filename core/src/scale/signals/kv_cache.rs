//! The used share of the key-value cache, the mean of the replicas that have one.

use super::{Measured, Signal};
use crate::load::LoadSeen;
use crate::validate::Targets;

pub(super) fn measure(targets: &Targets, load: &LoadSeen) -> Option<Measured> {
    Some(Measured {
        signal: Signal::KvCacheUsage,
        value: load.kv_cache?,
        target: f64::from(targets.kv_cache_usage?) / 100.0,
    })
}
