//! The count follows the load: from what the replicas measured to how many there shall be.
//!
//! ```text
//! trail ─► reach ─┐
//! load ──► strains ┴─► capacity ──► demand ──┐
//!    └───► shares ───────────────────────────┴─► wish ──► limits ──► replicas
//! ```

use std::time::Duration;

use jiff::Timestamp;

use super::capacity::{self, Capacity, Strain, learn};
use super::demand::{Demand, demand};
use super::limits::{self, Noted, Way, Wished};
use super::reach::{Reach, reach};
use super::signals::{Measured, shares, strains};
use crate::load::{LoadSeen, Trail};
use crate::validate::{Scaling, Targets};
use crate::why::Why;

/// A share this near to its target is at it: the same that the horizontal pod autoscaler has.
const TOLERANCE: f64 = 0.1;
/// Shares of their targets below which all signals leave room for more.
const SLACK: f64 = 0.5;
/// Peaks are taken to be no longer than this.
const LONGEST_PEAK: Duration = Duration::from_secs(30);
/// A window that is shorter shows too little to let replicas go.
const LEAST_WINDOW: Duration = Duration::from_secs(30);

/// A model at one moment, as far as its count of replicas goes.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// What is asked for.
    pub scaling: &'a Scaling,
    /// Fewest replicas now.
    pub min: u32,
    /// Most.
    pub max: u32,
    /// Replicas that were asked for, starting ones among them.
    pub desired: u32,
    /// Replicas that are ready.
    pub ready: u32,
    /// Requests that wait at gateways for a first replica.
    pub held: u64,
    /// What the replicas measured; `None` if none told.
    pub load: Option<&'a LoadSeen>,
    /// What was asked of the model lately.
    pub trail: &'a Trail,
    /// How long a replica takes to start.
    pub start: Duration,
    /// When the count was last changed, if that is remembered.
    pub moved_at: Option<Timestamp>,
    /// The time.
    pub now: Timestamp,
}

/// What is remembered from one look to the next.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remembered {
    /// What one replica can do, if that is known.
    pub capacity: Option<Capacity>,
    /// Since when fewer replicas would do.
    pub lows: Vec<Wished>,
    /// Since when more would be needed, where they wait for a while.
    pub highs: Vec<Wished>,
}

/// How many replicas there shall be.
#[derive(Clone, Debug, PartialEq)]
pub struct Followed {
    /// So many.
    pub replicas: u32,
    /// Why.
    pub why: Vec<Why>,
    /// To be remembered.
    pub remembered: Remembered,
    /// How soon that may be another though nothing is seen to change.
    pub look_after: Option<Duration>,
}

/// Follows the load for one step. The same arguments give the same answer.
#[must_use]
pub fn follow(case: &Case<'_>, before: &Remembered) -> Followed {
    let held = case.desired.clamp(case.min, case.max);
    let Some(load) = case.load else {
        return blind(case, before, held);
    };
    // What this look teaches counts from the next one on: with more to do, a replica that has just
    // shown that it can do more would else be reason for fewer.
    let look = look(case, load, before);
    let wish = wish(case, load, &look);
    let replicas = wish.replicas.clamp(case.min, case.max);
    let remembered = Remembered {
        capacity: learned(case, load, &look, before),
        ..Remembered::default()
    };
    if replicas >= held {
        return grown(case, held, (replicas, wish), before, remembered);
    }
    if load.replicas < case.ready || load.stable.length < LEAST_WINDOW {
        return blind(case, &remembered, held);
    }
    shrunk(case, held, replicas, before, remembered)
}

/// A count that would do, and the reasons for it.
struct Wish {
    replicas: u32,
    over: Vec<Measured>,
    demand: Option<Demand>,
}

/// What a look finds, with what is known before it.
struct Look {
    /// The strains that have a target.
    measured: Vec<Measured>,
    /// What a replica could do with a full batch, where that is known.
    reach: Option<Reach>,
    /// Needs a capacity.
    demand: Option<Demand>,
    /// Whether the capacity is one that replicas can't do more than; else it only tells how many
    /// would do, not how many would not.
    is_all: bool,
}

fn look(case: &Case<'_>, load: &LoadSeen, before: &Remembered) -> Look {
    let reach = load.most_running.and_then(|most| reach(case.trail, most));
    let held = f64::from(u32::try_from(case.held).unwrap_or(u32::MAX));
    let known = before.capacity;
    let demand = known.map(|known| demand(load, held, case.trail, &known, case.start));
    let was_strained = known.is_some_and(|known| known.strained_at.is_some());
    Look {
        measured: strains(&case.scaling.targets, load),
        reach,
        demand,
        is_all: was_strained || reach.is_some(),
    }
}

/// Nobody told enough: what is there stays.
fn blind(case: &Case<'_>, before: &Remembered, held: u32) -> Followed {
    Followed {
        replicas: held,
        why: vec![Why::LoadUnknown { ready: case.ready }],
        remembered: Remembered {
            capacity: before.capacity,
            ..Remembered::default()
        },
        look_after: None,
    }
}

fn learned(case: &Case<'_>, load: &LoadSeen, look: &Look, before: &Remembered) -> Option<Capacity> {
    let worst = look.measured.iter().map(Measured::ratio).reduce(f64::max);
    let strain = match worst {
        None => return None,
        Some(ratio) if ratio > 1.0 => Strain::Over,
        Some(ratio) if ratio < SLACK && needs_all(case, look) => Strain::Slack,
        Some(_) => Strain::Within,
    };
    learn(before.capacity, load, strain, look.reach, case.now)
}

/// Whether, by what is known, no fewer would do than there are: only then is it worth to find out
/// that a replica can do more.
fn needs_all(case: &Case<'_>, look: &Look) -> bool {
    case.desired > case.min
        && case.ready == case.desired
        && needs(case, look).is_some_and(|needs| needs >= case.desired)
}

/// Replicas for what is asked: more than there are as soon as it needs them, fewer only once they would
/// do with something to spare.
fn needs(case: &Case<'_>, look: &Look) -> Option<u32> {
    let demand = look.demand?;
    let patience = patience(&case.scaling.targets);
    let (more, fewer) = (demand.ahead / patience, demand.to_shrink / patience);
    Some(count(more).max(count(fewer).min(case.desired)))
}

/// What a replica may be given in a slot, as a multiple of what it can do: what is left over when such
/// a peak ends is done while the first tokens may still be waited for.
fn patience(targets: &Targets) -> f64 {
    let wait = targets.ttft_p95.unwrap_or_default();
    1.0 + wait.as_secs_f64() / LONGEST_PEAK.as_secs_f64()
}

fn wish(case: &Case<'_>, load: &LoadSeen, look: &Look) -> Wish {
    let over = look.measured.iter().filter(|it| it.ratio() > 1.0);
    let mut over: Vec<Measured> = over.copied().collect();
    let mut replicas = None;
    if !look.measured.is_empty() {
        // Without anything learned, what is there is needed.
        let mut wish = match needs(case, look) {
            Some(needs) if look.is_all => needs,
            Some(needs) => needs.min(case.desired),
            None => case.desired,
        };
        if !over.is_empty() && look.reach.is_none() {
            // One more than are ready: those that start already count.
            wish = wish.max(case.ready.saturating_add(1));
        }
        replicas = Some(wish);
    }
    for share in shares(&case.scaling.targets, load) {
        let needs = share_count(case, load, &share);
        if needs > case.desired {
            over.push(share);
        }
        replicas = Some(replicas.unwrap_or(0).max(needs));
    }
    Wish {
        replicas: replicas.unwrap_or(case.desired),
        over,
        demand: look.demand.filter(|_| !look.measured.is_empty()),
    }
}

/// The count that brings a share to its target, unless it is near enough.
fn share_count(case: &Case<'_>, load: &LoadSeen, share: &Measured) -> u32 {
    let there = f64::from(load.replicas);
    let wanted = there * share.ratio();
    let ratio = wanted / f64::from(case.desired.max(1));
    if (ratio - 1.0).abs() <= TOLERANCE {
        case.desired
    } else {
        count(wanted)
    }
}

fn grown(
    case: &Case<'_>,
    held: u32,
    (wish, why): (u32, Wish),
    before: &Remembered,
    remembered: Remembered,
) -> Followed {
    let hold = case.scaling.up.stabilization.unwrap_or_default();
    let waits = wish > held && !hold.is_zero();
    let noted = waits.then(|| limits::note(Way::Up, &before.highs, wish, hold, case.now));
    let to = match &noted {
        Some(noted) => noted.to.unwrap_or(held).clamp(held, wish),
        None => wish,
    };
    let (to, next_step) = stepped(case, held, to, case.scaling.up.max_step);
    let replicas = to.min(case.max);
    let why = if let Some(Noted { until, .. }) = &noted
        && replicas == held
    {
        Why::MayGrow { until: *until }
    } else if replicas > held {
        Why::LoadWants {
            replicas,
            over: why.over,
            demand: why.demand,
        }
    } else {
        Why::Follows { replicas }
    };
    Followed {
        replicas,
        why: vec![why],
        look_after: next_step.or_else(|| look_after(noted.as_ref()?, hold, case.now)),
        remembered: Remembered {
            highs: noted.map(|noted| noted.wishes).unwrap_or_default(),
            ..remembered
        },
    }
}

fn shrunk(
    case: &Case<'_>,
    held: u32,
    wish: u32,
    before: &Remembered,
    remembered: Remembered,
) -> Followed {
    let hold = hold(case);
    let noted = limits::note(Way::Down, &before.lows, wish, hold, case.now);
    let to = noted.to.unwrap_or(held).clamp(wish.min(held), held);
    let (to, next_step) = stepped(case, held, to, case.scaling.down.max_step);
    let replicas = to.max(case.min);
    let why = if replicas < held {
        Why::LoadLeaves {
            replicas,
            lasted: hold,
        }
    } else {
        Why::MayShrink { until: noted.until }
    };
    Followed {
        replicas,
        why: vec![why],
        look_after: next_step.or_else(|| look_after(&noted, hold, case.now)),
        remembered: Remembered {
            lows: noted.wishes,
            ..remembered
        },
    }
}

/// As far towards `to` as a limit allows now, and when it allows more, if that is all that is waited
/// for.
fn stepped(case: &Case<'_>, held: u32, to: u32, most: Option<u32>) -> (u32, Option<Duration>) {
    let wait = limits::next_step(case.moved_at, case.now);
    match wait.filter(|_| most.is_some() && to != held) {
        Some(wait) => (held, Some(wait)),
        None => (limits::stepped(held, to, most), None),
    }
}

/// How soon to look again at a wish that has to last: what nobody looks at for a part of the while is
/// not known to have lasted.
fn look_after(noted: &Noted, hold: Duration, now: Timestamp) -> Option<Duration> {
    let wait = Duration::try_from(noted.until.duration_since(now)).unwrap_or_default();
    let wait = wait.min(hold / limits::PARTS);
    (!wait.is_zero()).then_some(wait)
}

/// How long fewer must have done. To let a replica go that is wanted again costs a start, so it
/// takes as long as one does, from three minutes to five.
fn hold(case: &Case<'_>) -> Duration {
    let (least, most) = (Duration::from_secs(180), Duration::from_secs(300));
    let told = case.scaling.down.stabilization;
    told.unwrap_or_else(|| case.start.clamp(least, most))
}

/// Whole replicas for so much work, at least one.
fn count(work: f64) -> u32 {
    // What is no number, or more than there can be, ends at the bounds.
    (work - capacity::ROUNDING).ceil().max(1.0) as u32
}
