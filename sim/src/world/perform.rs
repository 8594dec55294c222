//! What an operator does in the simulated world: each action, unless it is made to fail or what it
//! rests on is no longer so.

use std::future::{Future, ready};

use chandler_core::analysis::Question;
use chandler_core::decide::Action;
use chandler_core::snapshot::{Snapshot, Weights};
use chandler_core::traffic::Shadow;
use chandler_core::validate::ModelKey;
use chandler_core::world::{Failure, Outcome, World};
use chandler_crds::{LockedFile, ModelLock};

use super::{Death, Lost, SimWorld};
use crate::fault::Step;
use crate::revision::Revision;

impl SimWorld {
    fn try_action(&mut self, action: &Action) -> Result<Outcome, Failure> {
        if let Some(failure) = self.faults.take(Step::from(action)) {
            return Err(failure);
        }
        match action {
            Action::Resolve { source, .. } => return Ok(Outcome::Resolved(lock(source))),
            Action::EnsureRevision {
                revision, replicas, ..
            } => self.create(revision, *replicas)?,
            Action::Scale { revision, from, to } => self.scale(revision, *from, *to)?,
            Action::Mend { revision, .. } => self.mend(revision)?,
            Action::Probe { revision } => self.probe(revision)?,
            Action::Evaluate {
                revision,
                from,
                evaluations,
            } => {
                let of = [revision.as_str(), from];
                return Ok(self.answers.judge(of, evaluations, self.now));
            }
            Action::SetTraffic { from, to } => self.set_traffic(from, to)?,
            Action::Retire { revision } => self.retire(revision)?,
        }
        self.place();
        self.meet();
        Ok(Outcome::Done)
    }

    fn create(&mut self, name: &str, replicas: u32) -> Result<(), Failure> {
        if self.revisions.contains_key(name) {
            return Err(conflict("the revision is there already"));
        }
        let mut revision = Revision::new(self.now);
        revision.resize(name, replicas);
        self.revisions.insert(name.to_owned(), revision);
        Ok(())
    }

    fn scale(&mut self, name: &str, from: u32, to: u32) -> Result<(), Failure> {
        let revision = self.revisions.get_mut(name).ok_or_else(missing)?;
        if revision.replicas.len() != from as usize {
            return Err(conflict("the count is another by now"));
        }
        revision.resize(name, to);
        Ok(())
    }

    fn mend(&mut self, name: &str) -> Result<(), Failure> {
        let revision = self.revisions.get_mut(name).ok_or_else(missing)?;
        revision.drifted = false;
        Ok(())
    }

    fn probe(&mut self, name: &str) -> Result<(), Failure> {
        let revision = self.revisions.get_mut(name).ok_or_else(missing)?;
        if revision.is_ready() {
            revision.probed(self.now);
            Ok(())
        } else {
            Err(conflict("no replica is ready"))
        }
    }

    fn set_traffic(&mut self, from: &Weights, to: &Weights) -> Result<(), Failure> {
        if self.weights != *from {
            return Err(conflict("the weights are others by now"));
        }
        let weight = |weights: &Weights, name| weights.get(name).copied().unwrap_or(0);
        for (name, revision) in &mut self.revisions {
            if weight(from, name) > 0 && weight(to, name) == 0 {
                revision.shut_since = self.now;
            }
        }
        self.weights.clone_from(to);
        self.send();
        Ok(())
    }

    fn retire(&mut self, name: &str) -> Result<(), Failure> {
        if self.weights.get(name).is_some_and(|weight| *weight > 0) {
            return Err(conflict("the revision has traffic"));
        }
        let revision = self.revisions.remove(name).ok_or_else(missing)?;
        self.answers.forget(name);
        let callers = self.callers.as_mut();
        let called = callers.map_or(0, |callers| callers.lose(name));
        let requests = revision.requests.len() + called;
        if requests > 0 {
            self.lost.push(Lost {
                revision: name.to_owned(),
                requests,
                shut_since: revision.shut_since,
            });
        }
        Ok(())
    }
}

/// The prompts that a question asks aside.
fn aside(question: &Question) -> Option<Shadow> {
    Some(Shadow {
        from: question.from.clone(),
        to: question.revision.clone(),
        share: question.aside?,
    })
}

impl World for SimWorld {
    fn observe(
        &mut self,
        key: &ModelKey,
        question: Option<&Question>,
    ) -> impl Future<Output = Result<Snapshot, Failure>> + Send {
        ready(match self.faults.take(Step::Observe) {
            Some(failure) => Err(failure),
            None => {
                self.register();
                let mut snapshot = self.snapshot();
                self.key = Some(key.clone());
                snapshot.trial = self.trials.ask(key, question);
                if let Some(callers) = &mut self.callers {
                    callers.ask_aside(question.and_then(aside), self.now);
                }
                Ok(snapshot)
            }
        })
    }

    fn perform(
        &mut self,
        _key: &ModelKey,
        action: &Action,
    ) -> impl Future<Output = Outcome> + Send {
        let mut dies = false;
        if let Some(death) = &mut self.death {
            let (Death::Before(left) | Death::After(left)) = death;
            *left = left.saturating_sub(1);
            if *left == 0 {
                dies = true;
                self.dead |= matches!(death, Death::Before(_));
                self.death = None;
            }
        }
        let outcome = if self.dead {
            Err(conflict("the operator is dead"))
        } else {
            self.try_action(action)
        };
        self.dead |= dies;
        ready(outcome.unwrap_or_else(Outcome::Failed))
    }
}

fn conflict(message: &str) -> Failure {
    Failure {
        reason: "Conflict".to_owned(),
        message: message.to_owned(),
        transient: true,
    }
}

fn missing() -> Failure {
    Failure {
        reason: "NotFound".to_owned(),
        message: "there is no such revision".to_owned(),
        transient: true,
    }
}

/// The files of a source that exists nowhere.
pub(crate) fn lock(source: &str) -> ModelLock {
    ModelLock {
        source: source.to_owned(),
        commit: None,
        files: vec![LockedFile {
            path: "model.safetensors".to_owned(),
            size: 1_000_000,
            sha256: "0".repeat(64),
        }],
    }
}
