//! The time from a request's arrival to its end, of 95 in 100 requests of the last minute,
//! or of the last seconds if those were better: what is over is no reason for more replicas.

use super::{Measured, Signal, time};
use crate::load::LoadSeen;
use crate::validate::Targets;

pub(super) fn measure(targets: &Targets, load: &LoadSeen) -> Option<Measured> {
    time(Signal::LatencyP95, targets.latency_p95, load, |flow| {
        flow.latency_p95
    })
}
