//! Rollouts of canaries whose worth is known, to count how often the traffic analysis errs. What decides
//! is the cycle itself; requests are drawn, and replicas are ready at once.

use std::collections::BTreeMap;
use std::future::{Future, ready};
use std::time::Duration;

use chandler_core::analysis::{Answered, Compared, Question, Tallies, Tally, Trials};
use chandler_core::cycle::cycle;
use chandler_core::decide::Action;
use chandler_core::snapshot::{RevisionSeen, Snapshot, Weights};
use chandler_core::validate::ModelKey;
use chandler_core::world::{Failure, Outcome, World};
use chandler_crds::ModelDeployment;
use chandler_crds::status::{RolloutPhase, StartupTimes};
use jiff::Timestamp;

use crate::clock::{START, after};
use crate::simulation::drive;
use crate::traffic::{Dice, Manner};
use crate::world::lock;

/// One look at what the gateways tell.
const SECOND: Duration = Duration::from_secs(1);
/// No rollout takes longer.
const LONGEST: u32 = 6 * 3600;
/// How much of what slows all requests down is left after a second, and how much comes.
const SWING: (f64, f64) = (0.9, 0.1);

/// Requests, and how those of any revision fare that is like the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Requests {
    /// So many a second, by chance more or fewer.
    pub per_second: f64,
    /// Median time to the first token, seconds, and by how much its logarithm varies.
    pub first_token: (f64, f64),
    /// Median time from a token to the next, seconds, and by how much its logarithm varies.
    pub token_time: (f64, f64),
    /// Median of an answer's tokens, and by how much its logarithm varies.
    pub tokens: (f64, f64),
    /// Share of them that fail.
    pub errors: f64,
}

/// How a rollout went.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What it came to; one that came to nothing is still progressing.
    pub phase: RolloutPhase,
    /// A word for programs of how it ended.
    pub reason: String,
    /// Requests that the new revision had.
    pub canary: u64,
    /// Seconds that it took.
    pub seconds: u32,
}

/// Lets `after` take over from `before`, whose traffic is as `requests` say; that of `after` is so
/// too but for its `manner`.
#[must_use]
pub fn roll_out(
    before: &ModelDeployment,
    after: &ModelDeployment,
    requests: &Requests,
    manner: Manner,
    seed: u64,
) -> Verdict {
    let mut stage = Stage {
        world: Lean::default(),
        object: before.clone(),
        wake_at: None,
        now: START,
    };
    stage.settle();
    let status = stage.object.status.take();
    stage.object = after.clone();
    stage.object.status = status;
    stage.settle();
    let mut dice = Dice::new(seed);
    let mut canary = 0;
    let mut swing = 0.0;
    for second in 1..=LONGEST {
        swing = SWING.0 * swing + SWING.1 * dice.normal();
        canary += stage.world.serve(requests, manner, swing, &mut dice);
        stage.now = self::after(stage.now, SECOND);
        stage.look();
        if let Some(verdict) = stage.verdict(canary, second) {
            return verdict;
        }
    }
    Verdict {
        phase: RolloutPhase::Progressing,
        reason: String::new(),
        canary,
        seconds: LONGEST,
    }
}

/// A model and its world.
struct Stage {
    world: Lean,
    object: ModelDeployment,
    wake_at: Option<Timestamp>,
    now: Timestamp,
}

impl Stage {
    /// A turn, if one is due.
    fn look(&mut self) {
        let judged = self.world.compare();
        if judged || self.wake_at.is_some_and(|at| at <= self.now) {
            self.settle();
        }
    }

    /// Turns until none is due.
    fn settle(&mut self) {
        loop {
            let turn = drive(cycle(&mut self.world, &self.object, self.now));
            let Ok(turn) = turn else { return };
            self.object.status = Some(turn.status);
            self.wake_at = turn.wake_at;
            let is_due = turn.wake_at.is_some_and(|at| at <= self.now);
            if !is_due && turn.decision.actions.is_empty() {
                return;
            }
        }
    }

    /// How the rollout ended, if it did.
    fn verdict(&self, canary: u64, seconds: u32) -> Option<Verdict> {
        let rollout = self.object.status.as_ref()?.rollout.as_ref()?;
        let reason = &rollout.end.as_ref()?.reason;
        Some(Verdict {
            phase: rollout.phase,
            reason: reason.clone(),
            canary,
            seconds,
        })
    }
}

/// A world in which all is done as soon as it is asked.
#[derive(Default)]
struct Lean {
    desired: BTreeMap<String, u32>,
    weights: Weights,
    /// Whose traffic is the canary's.
    stable: Option<String>,
    trials: Trials,
    key: Option<ModelKey>,
    told: Compared,
}

impl Lean {
    /// A second's requests; gives how many the canary had.
    fn serve(&mut self, requests: &Requests, manner: Manner, swing: f64, dice: &mut Dice) -> u64 {
        if self.weights.len() < 2 {
            return 0;
        }
        let mut canary = 0;
        let mut wait = dice.wait(requests.per_second);
        while wait < 1.0 {
            wait += dice.wait(requests.per_second);
            let Some(revision) = self.draw(dice) else {
                continue;
            };
            let is_canary = Some(&revision) != self.stable.as_ref();
            canary += u64::from(is_canary);
            let manner = if is_canary { manner } else { Manner::default() };
            let tally = self.told.revisions.entry(revision).or_default();
            answer(requests, manner, swing, dice, tally);
        }
        canary
    }

    fn draw(&self, dice: &mut Dice) -> Option<String> {
        let mut at = dice.share() * 100.0;
        let mut shares = self.weights.iter();
        let drawn = shares.find(|(_, weight)| {
            at -= f64::from(**weight);
            at < 0.0
        });
        drawn.map(|(name, _)| name.clone())
    }

    /// What the gateways told is taken note of; gives whether that ends a comparison.
    fn compare(&mut self) -> bool {
        let Some(key) = self.key.as_ref().filter(|_| !self.trials.is_empty()) else {
            return false;
        };
        let told = Tallies([(key.to_string(), self.told.clone())].into());
        let round = [("gateway".to_owned(), told)].into();
        !self.trials.note(round).is_empty()
    }

    fn snapshot(&self) -> Snapshot {
        let seen = |count: &u32| RevisionSeen {
            desired: *count,
            ready: *count,
            in_flight: Some(0),
            ..RevisionSeen::default()
        };
        let revisions = self.desired.iter();
        Snapshot {
            revisions: revisions
                .map(|(name, count)| (name.clone(), seen(count)))
                .collect(),
            weights: self.weights.clone(),
            ..Snapshot::default()
        }
    }

    fn set_traffic(&mut self, to: &Weights) {
        self.weights.clone_from(to);
        if let [only] = Vec::from_iter(to.keys())[..] {
            self.stable = Some(only.clone());
        }
        let epoch = self.told.epoch.parse().unwrap_or(0_u64) + 1;
        self.told = Compared {
            epoch: epoch.to_string(),
            revisions: BTreeMap::new(),
        };
    }
}

impl World for Lean {
    fn observe(
        &mut self,
        key: &ModelKey,
        question: Option<&Question>,
    ) -> impl Future<Output = Result<Snapshot, Failure>> + Send {
        self.key = Some(key.clone());
        let mut snapshot = self.snapshot();
        snapshot.trial = self.trials.ask(key, question);
        ready(Ok(snapshot))
    }

    fn perform(
        &mut self,
        _key: &ModelKey,
        action: &Action,
    ) -> impl Future<Output = Outcome> + Send {
        match action {
            Action::Resolve { source, .. } => return ready(Outcome::Resolved(lock(source))),
            Action::Probe { .. } => return ready(Outcome::Answered(StartupTimes::default())),
            Action::EnsureRevision {
                revision, replicas, ..
            } => {
                self.desired.insert(revision.clone(), *replicas);
            }
            Action::Scale { revision, to, .. } => {
                self.desired.insert(revision.clone(), *to);
            }
            Action::Mend { .. } | Action::Evaluate { .. } => {}
            Action::SetTraffic { to, .. } => self.set_traffic(to),
            Action::Retire { revision } => {
                self.desired.remove(revision);
            }
        }
        ready(Outcome::Done)
    }
}

/// One request's answer.
fn answer(requests: &Requests, manner: Manner, swing: f64, dice: &mut Dice, tally: &mut Tally) {
    if dice.share() < requests.errors + manner.errors {
        return tally.fail();
    }
    let slowness = manner.slowness * swing.exp();
    let mut draw = |(median, sigma): (f64, f64)| median * (sigma * dice.normal()).exp();
    let first_token = slowness * draw(requests.first_token);
    let token_time = slowness * draw(requests.token_time);
    let tokens = draw(requests.tokens).round().max(1.0);
    tally.note(&Answered {
        first_token,
        latency: first_token + token_time * (tokens - 1.0),
        token_time: (tokens > 4.0).then_some(token_time),
    });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::simulation::model;

    const REQUESTS: Requests = Requests {
        per_second: 40.0,
        first_token: (0.3, 0.5),
        token_time: (0.02, 0.2),
        tokens: (120.0, 0.8),
        errors: 0.001,
    };

    fn object(source: &str) -> ModelDeployment {
        let spec = json!({
            "model": {"source": format!("file:///models/{source}")},
            "rollout": {
                "steps": [{"weight": 10, "hold": "2m"}, {"weight": 50, "hold": "2m"}],
                "progressDeadline": "30m",
                "analysis": {
                    "maxErrorRate": 0.01,
                    "maxLatencyP95Ratio": 1.25,
                    "minTokensPerSecondRatio": 0.8,
                },
            },
        });
        model(&spec).expect("a good spec")
    }

    fn verdict(slowness: f64, errors: f64) -> Verdict {
        let manner = Manner {
            slowness,
            errors,
            ..Manner::default()
        };
        roll_out(&object("a"), &object("b"), &REQUESTS, manner, 7)
    }

    #[test]
    fn a_good_canary_takes_over_and_a_bad_one_does_not() {
        let good = verdict(1.0, 0.0);
        assert_eq!(good.phase, RolloutPhase::Completed, "{good:?}");
        for bad in [verdict(1.5, 0.0), verdict(1.0, 0.05)] {
            assert_eq!(bad.phase, RolloutPhase::RolledBack, "{bad:?}");
            assert_eq!(bad.reason, "AnalysisFailed");
            assert!(bad.canary < good.canary, "{bad:?} {good:?}");
        }
    }
}
