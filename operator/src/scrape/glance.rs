//! Who is looked at because of what replicas tell. What the last turn of a model saw and left is kept,
//! so that a look first does the turn again in memory, with what is told by now: only if that would
//! change anything is there a turn, which asks the API server anew.
//!
//! ```text
//! a turn that changed nothing ──► settled ──► glance: core foresees ──► still
//!                  a turn begins ──► none ──────────────────────────└──► a turn
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chandler_core::cycle::{Foreseen, foresee};
use chandler_core::load::Trail;
use chandler_core::memory::Memory;
use chandler_core::rollout::fallback;
use chandler_core::snapshot::Snapshot;
use chandler_core::validate::{ModelKey, Validated, validate};
use chandler_crds::ModelDeploymentStatus;
use jiff::Timestamp;

use super::{Scraper, State};
use crate::gateways::Gateways;
use crate::looks::Looks;
use crate::reconcile::Left;

/// Turns that a round asks for at most, those first that are overdue most: each lists a model's
/// objects, and an API server has other things to do.
pub(super) const LOOKS: usize = 16;

/// What a turn left that changed nothing: it holds until the next one begins. Whatever changes of the
/// model, but for what is told of its load, begins one.
#[derive(Clone, Debug)]
pub struct Settled {
    spec: Validated,
    status: Option<ModelDeploymentStatus>,
    /// Without what was told of requests.
    seen: Snapshot,
    /// Another turn comes then.
    wake_at: Option<Timestamp>,
    gateways: Option<Gateways>,
}

/// A moment by the clock of what replicas tell, which is never set, and by that of decisions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) now: Duration,
    pub(crate) at: Timestamp,
}

impl Moment {
    /// So much later.
    #[cfg(test)]
    pub(crate) fn after(self, wait: Duration) -> Self {
        Self {
            now: self.now + wait,
            at: self.at + wait,
        }
    }
}

impl Settled {
    /// `None` if the object can't be followed.
    #[must_use]
    pub fn new(left: Left, gateways: Option<Gateways>) -> Option<Self> {
        let Left {
            object,
            mut seen,
            wake_at,
        } = left;
        (seen.trail, seen.trial) = (Trail::default(), None);
        for there in seen.revisions.values_mut() {
            (there.load, there.idle) = (None, None);
        }
        Some(Self {
            spec: validate(&object).ok()?,
            status: object.status,
            seen,
            wake_at,
            gateways,
        })
    }

    /// What a turn would see now. It would ask the replicas themselves how long they have had no
    /// request, where that is not known to be too short; this is no turn.
    fn see(&self, key: &ModelKey, scraper: &Scraper, now: Duration) -> Snapshot {
        let mut seen = self.seen.clone();
        scraper.hear_at(key, &mut seen, now);
        let gateways = self.gateways.as_ref();
        seen.gateways = gateways.map(|all| all.seen(key));
        seen.trial = gateways.and_then(|all| all.compared(key));
        let memory = Memory::from_status(self.status.as_ref());
        let before = fallback(&self.spec, &memory);
        let Validated {
            revision, replicas, ..
        } = before.as_ref().unwrap_or(&self.spec);
        let may_rest = self.gateways.is_some() && replicas.idle_after().is_some();
        if let Some(there) = seen.revisions.get_mut(revision).filter(|_| may_rest) {
            there.idle = scraper.idle_at(key, revision, now);
        }
        seen
    }

    /// When to look again by itself: before the next turn, if the last one did not know so.
    fn again(&self, wake_at: Option<Timestamp>, moment: Moment) -> Option<Duration> {
        let known = |at: &Timestamp| self.wake_at.is_some_and(|turn| turn <= *at);
        let at = wake_at.filter(|at| !known(at))?;
        let wait = Duration::try_from(at.duration_since(moment.at)).unwrap_or_default();
        Some(moment.now + wait)
    }
}

impl Scraper {
    /// Keeps what a turn left of a model whose replicas it told of.
    pub fn settle(&self, key: &ModelKey, settled: Settled) {
        if let Some(model) = self.state().models.get_mut(key) {
            model.settled = Some(Arc::new(settled));
        }
    }

    /// Keeps it no more.
    pub fn unsettle(&self, key: &ModelKey) {
        if let Some(model) = self.state().models.get_mut(key) {
            model.settled = None;
            model.again = None;
        }
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment {
            now: self.now(),
            at: Timestamp::now(),
        }
    }

    /// The models that need a turn, which are noted as looked at; so are those that need none.
    pub(crate) fn looks(&self, moment: Moment) -> Looks {
        let metrics = &self.0.metrics;
        let mut turns = BTreeSet::new();
        for key in self.overdue(moment.now) {
            let glanced = self.glance(&key, moment);
            if let Some((Foreseen::Still { .. }, again)) = glanced {
                metrics.glance("still");
                self.looked(&key, again, moment.now);
            } else if turns.len() < LOOKS {
                if glanced.is_some() {
                    metrics.glance("turn");
                }
                self.looked(&key, None, moment.now);
                turns.insert(key);
            }
        }
        Looks::Of(turns)
    }

    /// Models with news, those that are to be looked at again by now, and those of which what people
    /// are told is so no more; those first that are overdue most.
    fn overdue(&self, now: Duration) -> Vec<ModelKey> {
        let state = self.state();
        let models = state.models.iter();
        let mut due: Vec<(Duration, &ModelKey)> = models
            .filter_map(|(key, model)| {
                let again = model.again.filter(|at| *at <= now);
                let news = model.look_due(now).into_iter().chain(again).min();
                let other = || {
                    let shown = self.why_untold(&state, model, now);
                    (shown != model.untold).then_some(now)
                };
                Some((news.or_else(other)?, key))
            })
            .collect();
        due.sort_unstable();
        due.into_iter().map(|(_, key)| key.clone()).collect()
    }

    /// Does the last turn of a model again in memory, with what is told by now; gives when to look
    /// again, too. `None` if it is not known what that turn left.
    fn glance(&self, key: &ModelKey, moment: Moment) -> Option<(Foreseen, Option<Duration>)> {
        let settled = self.settled(key)?;
        let seen = settled.see(key, self, moment.now);
        let foreseen = foresee(&settled.spec, settled.status.as_ref(), &seen, moment.at);
        let again = match foreseen {
            Foreseen::Still { wake_at } => settled.again(wake_at, moment),
            Foreseen::Turn => None,
        };
        Some((foreseen, again))
    }

    fn settled(&self, key: &ModelKey) -> Option<Arc<Settled>> {
        self.state().models.get(key)?.settled.clone()
    }

    /// Notes that a model was looked at, or that a turn is asked for.
    fn looked(&self, key: &ModelKey, again: Option<Duration>, now: Duration) {
        let mut state = self.state();
        if let Some(model) = state.models.get_mut(key) {
            model.looked(now);
            model.again = again;
        }
        self.shown(&mut state, key, now);
    }

    /// Notes what people are told.
    pub(super) fn shown(&self, state: &mut State, key: &ModelKey, now: Duration) {
        let model = state.models.get(key);
        let untold = model.and_then(|model| self.why_untold(state, model, now));
        if let Some(model) = state.models.get_mut(key) {
            model.untold = untold;
        }
    }
}
