//! What is asked of a model: its work a second now, and how much it may become while a replica
//! starts.

use std::time::Duration;

use crate::load::{Flow, LoadSeen, SLOT, STABLE, Slot, Trail};
use crate::scale::capacity::Capacity;

/// A burst is so many times what was to be expected,
const BURST: f64 = 1.5;
/// and so many standard deviations of a count that comes by chance on top.
const CHANCE: f64 = 3.0;
/// Share of the growths that were seen which a forecast covers.
const COVERED: f64 = 0.9;
/// Growths that a forecast must have seen.
const LEAST_GROWTHS: usize = 30;
/// So many of them count: those that began most like the last minute.
const ALIKE: usize = 60;
/// What began with so many times less or more tells nothing of now, as after a jump of the load.
const UNLIKE: f64 = 4.0;
/// What is taken to come where little was seen: so much in [`SUPPOSED_IN`], less in less. It keeps
/// replicas and orders none: an operator that has just begun to look has seen little of any model.
const SUPPOSED: f64 = 0.3;
const SUPPOSED_IN: Duration = Duration::from_secs(300);
/// Fewer replicas would do once they could bear so much more: else chance alone moves the count of a
/// steady load to and fro.
const BAND: f64 = 0.05;
/// Slots that are averaged: a minute.
const MEAN: usize = 6;
/// Those who wait are to be served within this, by replicas beyond those that the flow needs; or
/// within as long as a replica takes to start, for none that is ordered now helps them sooner.
const BACKLOG_TIME: Duration = Duration::from_secs(60);

/// What is asked, in replicas that it keeps busy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Demand {
    /// Now.
    pub now: f64,
    /// At most, until a replica that is ordered now is ready; those who wait included.
    pub ahead: f64,
    /// What fewer replicas would have to bear for any to go.
    pub to_shrink: f64,
}

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
    recent.arrived > BURST * expected + CHANCE * (expected + 1.0).sqrt()
}

/// What is asked of replicas that can do so much and take so long to start.
pub(super) fn demand(
    load: &LoadSeen,
    held: f64,
    trail: &Trail,
    capacity: &Capacity,
    start: Duration,
) -> Demand {
    let now = flowing(load, capacity, start);
    let seen = growth(trail, capacity, start);
    let backlog = (load.waiting + held) * per_request(&load.stable, capacity);
    let backlog = backlog / BACKLOG_TIME.max(start).as_secs_f64();
    let ahead = |growth: f64| now * growth + backlog;
    Demand {
        now,
        ahead: ahead(seen.unwrap_or(1.0)),
        to_shrink: ahead(seen.unwrap_or_else(|| supposed(start))) * (1.0 + BAND),
    }
}

/// Work that comes in a second.
fn flowing(load: &LoadSeen, capacity: &Capacity, start: Duration) -> f64 {
    let stable = rate(&load.stable, capacity);
    if !is_burst(load) {
        return stable;
    }
    // What a burst brings is counted by its requests: their tokens are still to be computed.
    let length = load.recent.length.as_secs_f64();
    let burst = load.recent.arrived / length * per_request(&load.stable, capacity);
    // The longer a start takes, the less likely it finds the burst.
    let lasts = STABLE.as_secs_f64() / start.max(STABLE).as_secs_f64();
    stable + lasts * (burst - stable).max(0.0)
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

/// By what the work of a slot may exceed the minute before it until a replica which is ordered now
/// is ready, as a factor: as much as it did in most of those times, among all that were seen, that
/// began most like the last minute. From a peak it goes up less than from a valley. `None` if too few
/// were seen.
fn growth(trail: &Trail, capacity: &Capacity, start: Duration) -> Option<f64> {
    let ahead = slots(start + SLOT);
    let work = |slot: &Slot| capacity.work(slot.prompt_tokens, slot.generation_tokens);
    let works: Vec<f64> = trail.0.iter().map(work).collect();
    let mean = |until: usize| works[until - MEAN..until].iter().sum::<f64>() / MEAN as f64;
    let begins = MEAN..=works.len().saturating_sub(ahead);
    let last = (!begins.is_empty()).then(|| mean(works.len()))?;
    let seen = begins.map(|at| {
        let (mean, later) = (mean(at), works[at..at + ahead].iter().copied());
        ((mean / last).ln().abs(), later.fold(0.0, f64::max) / mean)
    });
    let alike = seen.filter(|(unlike, _)| *unlike < UNLIKE.ln());
    let mut seen: Vec<(f64, f64)> = alike.collect();
    if seen.len() < LEAST_GROWTHS {
        return None;
    }
    seen.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
    seen.truncate(ALIKE);
    seen.sort_unstable_by(|one, other| one.1.total_cmp(&other.1));
    let rank = ((seen.len() - 1) as f64 * COVERED) as usize;
    Some(seen[rank].1.max(1.0))
}

/// What work is supposed to grow by in the time of a start, as a factor.
fn supposed(start: Duration) -> f64 {
    let share = start.as_secs_f64() / SUPPOSED_IN.as_secs_f64();
    1.0 + SUPPOSED * share.min(1.0).sqrt()
}

/// Slots that a time lasts for, begun ones whole.
fn slots(time: Duration) -> usize {
    let slots = time.as_secs().div_ceil(SLOT.as_secs()).max(1);
    usize::try_from(slots).unwrap_or(usize::MAX)
}
