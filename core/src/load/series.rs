//! Readings of a model's replicas as they come, and what they come to.
//!
//! What a replica did is a difference between two of its own readings, and is summed over replicas
//! only then: one that comes, goes or begins anew changes no sum by what it did at another time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::slots::Slots;
use super::track::{Part, Track, Work};
use super::{FRESH, Flow, LoadSeen, RECENT, Reading, STABLE, Trail};

/// Between two looks at a model because of what its replicas tell.
const LOOK: Duration = Duration::from_secs(2);

/// Readings of all replicas of one model.
#[derive(Debug, Default)]
pub struct Series {
    /// By revision and by the replica's own name.
    revisions: BTreeMap<String, BTreeMap<String, Track>>,
    slots: Slots,
    /// When a replica last told of a request.
    worked: Option<Duration>,
    /// When someone last looked.
    looked: Option<Duration>,
    /// Whether something was told since.
    news: bool,
    /// Replicas of which something was known to be true then.
    telling: usize,
}

impl Series {
    /// Takes what a replica told at a moment. `replica` is a name that no other one ever has; its
    /// process may begin anew. An implausible reading is not taken, nor is one that comes late.
    pub fn note(&mut self, revision: &str, replica: &str, reading: Reading, at: Duration) {
        self.note_lasting(revision, replica, reading, at, FRESH);
    }

    /// The same of a replica that tells seldom: what it told is true for less than `lasts`, in which
    /// it should have told anew. That is [`STABLE`] at the most, since windows reach no further.
    pub fn note_lasting(
        &mut self,
        revision: &str,
        replica: &str,
        reading: Reading,
        at: Duration,
        lasts: Duration,
    ) {
        if !reading.is_plausible() {
            return;
        }
        let lasts = lasts.min(STABLE);
        let track = self
            .revisions
            .get_mut(revision)
            .and_then(|tracks| tracks.get_mut(replica));
        let mut works = reading.open() > 0.0;
        match track {
            Some(track) if track.told_at() >= at => return,
            Some(track) if !track.is_past(at) => {
                let part = track.go_on(reading, at, lasts);
                works |= part.work.ended > 0.0;
                self.slots.add(part.from, part.until, part.work.slot());
            }
            _ => {
                let tracks = self.revisions.entry(revision.to_owned()).or_default();
                tracks.insert(replica.to_owned(), Track::begin(reading, at, lasts));
            }
        }
        self.news = true;
        if works {
            self.worked = Some(at);
        }
    }

    /// Takes note of who is there: the others count as they are no more, and only for what they
    /// did. Those whose last reading no window reaches are forgotten.
    pub fn keep(&mut self, there: &BTreeSet<&str>, now: Duration) {
        for tracks in self.revisions.values_mut() {
            for (replica, track) in tracks.iter_mut() {
                track.gone = !there.contains(replica.as_str());
            }
            tracks.retain(|_, track| !track.is_past(now));
        }
        self.revisions.retain(|_, tracks| !tracks.is_empty());
    }

    /// The load of a revision; `None` if nothing that one of its replicas told is still true.
    #[must_use]
    pub fn load(&self, revision: &str, now: Duration) -> Option<LoadSeen> {
        let tracks = self.revisions.get(revision)?;
        let fresh = tracks.values().filter(|track| track.is_fresh(now));
        let fresh: Vec<&Reading> = fresh.map(|track| &track.last).collect();
        if fresh.is_empty() {
            return None;
        }
        let mut load = LoadSeen {
            replicas: u32::try_from(fresh.len()).unwrap_or(u32::MAX),
            running: fresh.iter().map(|it| it.running).sum(),
            waiting: fresh.iter().map(|it| it.waiting).sum(),
            most_running: mean(fresh.iter().filter_map(|it| it.most_running)),
            kv_cache: mean(fresh.iter().filter_map(|it| it.kv_cache)).map(|usage| usage.min(1.0)),
            ..LoadSeen::default()
        };
        let flow = |window| flow(tracks.values(), &load, now, window);
        let (recent, stable) = (flow(RECENT), flow(STABLE));
        load.recent = recent;
        load.stable = stable;
        Some(load)
    }

    /// Since when someone should look: at something new, or since a replica has fallen silent, not
    /// too soon after the last look, and while a window holds a request. Once none does, all that come
    /// are alike.
    #[must_use]
    pub fn look_due(&self, now: Duration) -> Option<Duration> {
        let since = self.looked.unwrap_or_default() + LOOK;
        let worked = self.worked?;
        let works = now.saturating_sub(worked) <= STABLE;
        let due = works && since <= now && (self.news || self.telling(now) < self.telling);
        due.then_some(since)
    }

    /// Notes that someone looks, or is asked to.
    pub fn looked(&mut self, now: Duration) {
        self.looked = Some(now);
        self.news = false;
        self.telling = self.telling(now);
    }

    fn telling(&self, now: Duration) -> usize {
        let tracks = self.revisions.values().flat_map(BTreeMap::values);
        tracks.filter(|track| track.is_fresh(now)).count()
    }

    /// What was asked of the model, all revisions together.
    #[must_use]
    pub fn trail(&self, now: Duration) -> Trail {
        let tracks = self.revisions.values().flat_map(BTreeMap::values);
        let lasts = tracks.map(Track::lasts).max().unwrap_or(FRESH);
        self.slots.trail(now, lasts)
    }
}

/// `None` of nothing.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), it| (sum + it, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

/// What replicas did in the last `window`; `load` tells how many there are and what they have.
fn flow<'a>(
    tracks: impl Iterator<Item = &'a Track>,
    load: &LoadSeen,
    now: Duration,
    window: Duration,
) -> Flow {
    let parts = tracks.filter_map(|track| track.within(now, window));
    let parts: Vec<Part> = parts.collect();
    let mut done = Work::default();
    for part in &parts {
        done.add(&part.work);
    }
    let seen: Duration = parts.iter().map(Part::length).sum();
    let length = covered(&parts).min(window);
    // A mean over a moment is what there is at that moment.
    let mean = |sum: f64, at_once: f64| {
        if length.is_zero() {
            at_once
        } else {
            sum / length.as_secs_f64()
        }
    };
    Flow {
        length,
        replicas: mean(seen.as_secs_f64(), f64::from(load.replicas)),
        running: mean(done.running_seconds, load.running),
        waiting: mean(done.waiting_seconds, load.waiting),
        arrived: done.arrived.max(0.0),
        ended: done.ended,
        prompt_tokens: done.prompt_tokens,
        generation_tokens: done.generation_tokens,
        prefill_seconds: done.prefill_seconds.max(0.0),
        first_tokens: done.ttft.count(),
        ttft_p95: done.ttft.quantile(0.95),
        latency_p95: done.latency.quantile(0.95),
    }
}

/// The time in which at least one replica was seen.
fn covered(parts: &[Part]) -> Duration {
    let mut spans: Vec<_> = parts.iter().map(|part| (part.from, part.until)).collect();
    spans.sort_unstable();
    let (mut sum, mut end) = (Duration::ZERO, Duration::ZERO);
    for (from, until) in spans {
        sum += until.saturating_sub(from.max(end));
        end = end.max(until);
    }
    sum
}
