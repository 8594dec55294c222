//! Requests in a replica's queue. One that waits now and then is no strain, so the mean over a
//! minute counts; so does the last moment's, once it is many times the target.

use super::{Measured, Signal};
use crate::load::LoadSeen;
use crate::validate::Targets;

/// A queue that is so many times its target is a burst, whatever the minute was like.
const BURST: f64 = 4.0;

pub(super) fn measure(targets: &Targets, load: &LoadSeen) -> Option<Measured> {
    let target = f64::from(targets.queue_waiting?);
    let per = |waiting: f64, replicas: f64| waiting / replicas.max(1.0);
    let stable = per(load.stable.waiting, load.stable.replicas);
    let recent = per(load.recent.waiting, load.recent.replicas);
    let value = if recent > BURST * target {
        stable.max(recent)
    } else {
        stable
    };
    Some(Measured {
        signal: Signal::QueueWaiting,
        value,
        target,
    })
}
