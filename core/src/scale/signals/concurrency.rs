//! Requests in flight in a replica, in its queue or being computed: the mean of the last minute, or
//! of the last seconds if that is more than chance makes of the minute's.

use super::{Measured, Signal};
use crate::load::{Flow, LoadSeen};
use crate::scale::demand::is_burst;
use crate::validate::Targets;

pub(super) fn measure(targets: &Targets, load: &LoadSeen) -> Option<Measured> {
    let target = f64::from(targets.concurrency?);
    let per = |flow: &Flow| (flow.running + flow.waiting) / flow.replicas.max(1.0);
    let value = if is_burst(load) {
        per(&load.recent).max(per(&load.stable))
    } else {
        per(&load.stable)
    };
    Some(Measured {
        signal: Signal::Concurrency,
        value,
        target,
    })
}
