//! The time from a request's arrival to its first token, of 95 in 100 requests of the last minute,
//! or of the last seconds if those were better: what is over is no reason for more replicas.

use super::{Measured, Signal};
use crate::load::LoadSeen;
use crate::validate::Targets;

pub(super) fn measure(targets: &Targets, load: &LoadSeen) -> Option<Measured> {
    let stable = load.stable.ttft_p95?;
    let value = load
        .recent
        .ttft_p95
        .map_or(stable, |recent| recent.min(stable));
    Some(Measured {
        signal: Signal::TtftP95,
        value: value.as_secs_f64(),
        target: targets.ttft_p95?.as_secs_f64(),
    })
}
