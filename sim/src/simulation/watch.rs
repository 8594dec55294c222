//! What an operator must never do, whatever it is asked for and whatever befalls it.

use chandler_core::decide::Action;
use chandler_core::load::FRESH;
use chandler_core::memory::Memory;
use chandler_core::rollout::{RolloutMemory, restored};
use chandler_core::validate::{Replicas, TakeOver};
use chandler_core::world::Outcome;

use super::{Event, Simulation};
use crate::clock::after;
use crate::world::Lost;

impl Simulation {
    /// Nothing that the operator does may leave a model without a serving replica, unless it is
    /// asked to.
    pub(super) fn watch_outage(&mut self, before: u32) {
        let Some(spec) = self.spec.as_ref().filter(|_| !self.removing) else {
            return;
        };
        let asked = match spec.replicas {
            Replicas::Fixed(count) => count == 0,
            Replicas::Scaled { idle_after, .. } => idle_after
                .zip(self.world.rested())
                .is_some_and(|(least, rested)| rested >= least),
        };
        let asked = asked || spec.rollout.strategy == TakeOver::Recreate;
        if before > 0 && !asked && self.world.snapshot().serving() == 0 {
            self.note(Event::Harm("nothing serves after this turn".to_owned()));
        }
    }

    /// Requests may end with their revision at its drain deadline and no sooner.
    pub(super) fn watch_drain(&mut self, lost: &Lost) {
        let memory = Memory::from_status(Some(&self.status()));
        let made = |spec| restored(spec, &lost.revision, &memory);
        let spec = self.spec.as_ref();
        let made = spec.and_then(made);
        let drain = made.as_ref().or(spec).map(|spec| spec.worker.drain());
        // The deadline is kept by the operator's clock.
        let set = self.clock.forward_since(lost.shut_since);
        let now = after(self.world.now(), set);
        if after(lost.shut_since, drain.unwrap_or_default()) > now {
            let revision = &lost.revision;
            self.note(Event::Harm(format!(
                "revision {revision} was cut before its drain deadline"
            )));
        }
    }

    /// A count that follows the load stays within its bounds, and never shrinks on what is not told.
    pub(super) fn watch_scale(
        &mut self,
        done: &[(Action, Outcome)],
        rollout: Option<&RolloutMemory>,
    ) {
        let Some(Replicas::Scaled { min, max, .. }) = self.spec.as_ref().map(|it| it.replicas)
        else {
            return;
        };
        // One takes the places of another: the count is of both together.
        let revisions = self.world.snapshot().revisions.len();
        let is_on = |rollout: &RolloutMemory| rollout.is_open() || revisions > 1;
        let rollout = rollout.filter(|rollout| is_on(rollout));
        if rollout.is_some_and(|rollout| rollout.in_place().is_some()) {
            return;
        }
        for (action, outcome) in done {
            let Action::Scale { revision, from, to } = action else {
                continue;
            };
            if self.removing || !outcome.is_done() {
                continue;
            }
            if *to < min || *to > max {
                let harm = format!("revision {revision} has {to} replicas, not {min} to {max}");
                self.note(Event::Harm(harm));
            }
            let shrinks = *to > 0 && *to < (*from).min(max);
            if shrinks && self.world.untold_for(revision) >= FRESH {
                let harm = format!("revision {revision} shrinks to {to} replicas untold");
                self.note(Event::Harm(harm));
            }
        }
    }
}
