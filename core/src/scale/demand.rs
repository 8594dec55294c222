//! What is asked of a model: its work a second now, and how much more it may become while a replica
//! starts.

use std::time::Duration;

use crate::load::{Flow, LoadSeen, SLOT, Slot, Trail};
use crate::scale::capacity::Capacity;

/// Standard deviations of a count that comes by chance which make a burst.
const BURST: f64 = 3.0;
/// Slots that are averaged: a minute.
const MEAN: usize = 6;
/// Share of the growths that were seen which a forecast covers.
const COVERED: f64 = 0.7;
/// Growths that a forecast must have seen.
const LEAST_GROWTHS: usize = 30;
/// What is taken to come where little was seen: so much in [`SUPPOSED_IN`], less in less.
const SUPPOSED: f64 = 0.2;
const SUPPOSED_IN: Duration = Duration::from_secs(300);
/// Those who wait are to be served within this, by replicas beyond those that the flow needs; or
/// within as long as a replica takes to start, for none that is ordered now helps them sooner.
const BACKLOG_TIME: Duration = Duration::from_secs(60);

/// Whether more requests came in the last seconds than chance makes of the last minute's.
pub(super) fn is_burst(load: &LoadSeen) -> bool {
    let (recent, stable) = (&load.recent, &load.stable);
    let (length, minute) = (recent.length.as_secs_f64(), stable.length.as_secs_f64());
    if length <= 0.0 || minute < 2.0 * length {
        return false;
    }
    // What came in the rest of the minute is what was to be expected of these seconds.
    let before = (stable.arrived - recent.arrived).max(0.0);
    let expected = before * length / (minute - length);
    recent.arrived > expected + BURST * (expected + 1.0).sqrt()
}

/// Work that comes in a second, in replicas that it keeps busy.
pub(super) fn now(load: &LoadSeen, held: f64, capacity: &Capacity, start: Duration) -> f64 {
    let stable = rate(&load.stable, capacity);
    let came = if is_burst(load) {
        // What a burst brings is counted by its requests: their tokens are still to be computed.
        let length = load.recent.length.as_secs_f64();
        (load.recent.arrived / length * per_request(&load.stable, capacity)).max(stable)
    } else {
        stable
    };
    let backlog = (load.waiting + held) * per_request(&load.stable, capacity);
    came + backlog / BACKLOG_TIME.max(start).as_secs_f64()
}

/// Work of a flow in a second.
fn rate(flow: &Flow, capacity: &Capacity) -> f64 {
    let length = flow.length.as_secs_f64();
    if length > 0.0 {
        capacity.work(flow.prompt_tokens, flow.generation_tokens) / length
    } else {
        0.0
    }
}

/// Work of one request, in seconds of a replica.
fn per_request(flow: &Flow, capacity: &Capacity) -> f64 {
    let work = capacity.work(flow.prompt_tokens, flow.generation_tokens);
    work / flow.ended.max(flow.first_tokens).max(1.0)
}

/// By what the work may have grown at most at some moment of the time `ahead`, as a factor: as much
/// as it grew in most such times of those that were seen.
pub(super) fn growth(trail: &Trail, capacity: &Capacity, ahead: Duration) -> f64 {
    let ahead_slots = ahead.as_secs().div_ceil(SLOT.as_secs()).max(1);
    let steps = usize::try_from(ahead_slots).unwrap_or(usize::MAX);
    let means = means(&trail.0, capacity);
    let mut growths: Vec<f64> = (0..means.len().saturating_sub(steps))
        .filter(|at| means[*at] > 0.0)
        .map(|at| {
            let later = means[at + 1..=at + steps].iter().copied();
            later.fold(0.0, f64::max) / means[at]
        })
        .collect();
    if growths.len() < LEAST_GROWTHS {
        let share = ahead.as_secs_f64() / SUPPOSED_IN.as_secs_f64();
        return 1.0 + SUPPOSED * share.min(1.0).sqrt();
    }
    let rank = ((growths.len() - 1) as f64 * COVERED) as usize;
    let (_, growth, _) = growths.select_nth_unstable_by(rank, f64::total_cmp);
    growth.max(1.0)
}

/// Means of a minute's work, slot by slot.
fn means(slots: &[Slot], capacity: &Capacity) -> Vec<f64> {
    let work = |slot: &Slot| capacity.work(slot.prompt_tokens, slot.generation_tokens);
    slots
        .windows(MEAN)
        .map(|minute| minute.iter().map(work).sum::<f64>() / MEAN as f64)
        .collect()
}
