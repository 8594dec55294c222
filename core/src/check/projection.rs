//! What a decision's actions come to, as far as counts and weights go.

use std::collections::BTreeMap;

use super::Violation;
use crate::decide::Action;
use crate::snapshot::{Snapshot, Weights};

/// What the world will be once the actions are done, as far as counts go.
pub(super) struct Projection {
    pub(super) weights: Weights,
    /// Desired and ready replicas.
    pub(super) counts: BTreeMap<String, (u32, u32)>,
}

impl Projection {
    pub(super) fn of(seen: &Snapshot) -> Self {
        let counts = seen
            .revisions
            .iter()
            .map(|(name, there)| (name.clone(), (there.desired, there.ready)));
        Self {
            weights: seen.weights.clone(),
            counts: counts.collect(),
        }
    }

    pub(super) fn strongest(&self) -> u32 {
        self.ready().max().unwrap_or(0)
    }

    /// Ready replicas that have traffic.
    pub(super) fn bearing(&self) -> u32 {
        self.ready().fold(0, u32::saturating_add)
    }

    /// Ready replicas of each revision with traffic.
    fn ready(&self) -> impl Iterator<Item = u32> {
        let weighted = self.weights.iter().filter(|(_, weight)| **weight > 0);
        let counts = weighted.filter_map(|(name, _)| self.counts.get(name));
        counts.map(|(_, ready)| *ready)
    }

    pub(super) fn apply(&mut self, action: &Action, broken: &mut Vec<Violation>) {
        let mut stale = |action, revision: &str| {
            broken.push(Violation::StalePrecondition {
                action,
                revision: revision.to_owned(),
            });
        };
        let counts = &self.counts;
        let is_ready =
            |revision: &String| counts.get(revision).is_some_and(|(_, ready)| *ready > 0);
        match action {
            Action::Resolve { .. } => {}
            Action::Mend { revision, .. } => {
                if !self.counts.contains_key(revision) {
                    stale("mending", revision);
                }
            }
            Action::Probe { revision } => {
                if !is_ready(revision) {
                    stale("probe", revision);
                }
            }
            Action::Evaluate { revision, from, .. } => {
                for asked in [revision, from].into_iter().filter(|it| !is_ready(it)) {
                    stale("evaluation", asked);
                }
            }
            Action::EnsureRevision {
                revision, replicas, ..
            } => {
                if self
                    .counts
                    .insert(revision.clone(), (*replicas, 0))
                    .is_some()
                {
                    stale("creation", revision);
                }
            }
            Action::Scale { revision, from, to } => match self.counts.get_mut(revision) {
                Some((desired, ready)) if desired == from => {
                    (*desired, *ready) = (*to, (*ready).min(*to));
                }
                _ => stale("scaling", revision),
            },
            Action::SetTraffic { from, to } => {
                if *from != self.weights {
                    stale("traffic", to.keys().next().map_or("none", String::as_str));
                }
                self.weights.clone_from(to);
            }
            Action::Retire { revision } => {
                let weight = self.weights.get(revision).copied().unwrap_or(0);
                if weight > 0 {
                    broken.push(Violation::RetiredWithTraffic {
                        revision: revision.clone(),
                        weight,
                    });
                }
                if self.counts.remove(revision).is_none() {
                    broken.push(Violation::StalePrecondition {
                        action: "retirement",
                        revision: revision.clone(),
                    });
                }
            }
        }
    }
}
