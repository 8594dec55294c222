//! The comparisons of all models that one process watches, made from what gateways tell.

use std::collections::{BTreeMap, BTreeSet};

use super::check::Verdict;
use super::question::Question;
use super::tally::Tally;
use super::told::{Compared, Tallies};
use super::trial::{Trial, TrialSeen};
use crate::validate::ModelKey;

/// Comparisons that are under way.
#[derive(Clone, Debug, Default)]
pub struct Trials {
    models: BTreeMap<ModelKey, Trial>,
    /// What each gateway told last, by gateway and model.
    told: BTreeMap<(String, String), Compared>,
}

impl Trials {
    /// Whether nothing is compared: nobody has to be asked then.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.models.is_empty()
    }

    /// Compares what a model's turn asks, from now on if it is another question than before, and
    /// tells what it has come to.
    pub fn ask(&mut self, key: &ModelKey, question: Option<&Question>) -> Option<TrialSeen> {
        let Some(question) = question else {
            self.forget(key);
            return None;
        };
        let trial = self.models.get(key);
        if trial.is_none_or(|trial| trial.question() != question) {
            self.models
                .insert(key.clone(), Trial::new(question.clone()));
        }
        self.seen(key)
    }

    /// What a model's comparison has come to.
    #[must_use]
    pub fn seen(&self, key: &ModelKey) -> Option<TrialSeen> {
        self.models.get(key).map(Trial::seen)
    }

    /// Compares a model no more.
    pub fn forget(&mut self, key: &ModelKey) {
        self.models.remove(key);
        if self.models.is_empty() {
            self.told.clear();
        }
    }

    /// Takes note of what gateways told in one round; gives the models whose comparison has come to
    /// another verdict by it.
    pub fn note(&mut self, round: BTreeMap<String, Tallies>) -> BTreeSet<ModelKey> {
        let mut added: BTreeMap<String, BTreeMap<String, Tally>> = BTreeMap::new();
        for (gateway, tallies) in round {
            for (model, compared) in tallies.0 {
                let place = (gateway.clone(), model.clone());
                let revisions = added.entry(model).or_default();
                for (revision, more) in compared.since(self.told.get(&place)) {
                    revisions.entry(revision).or_default().add(&more);
                }
                self.told.insert(place, compared);
            }
        }
        let mut changed = BTreeSet::new();
        for (key, trial) in &mut self.models {
            let before = trial.verdict();
            if let Some(revisions) = added.get(&key.to_string()) {
                note(trial, revisions);
            }
            // An open one has nothing to be acted on.
            if trial.verdict() != before && trial.verdict() != Verdict::Open {
                changed.insert(key.clone());
            }
        }
        changed
    }
}

fn note(trial: &mut Trial, revisions: &BTreeMap<String, Tally>) {
    let none = Tally::default();
    let of = |revision: &String| revisions.get(revision).unwrap_or(&none);
    let (canary, stable) = {
        let question = trial.question();
        (of(&question.revision), of(&question.from))
    };
    trial.note(canary, stable);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::question::Limits;
    use super::*;

    fn key() -> ModelKey {
        ModelKey {
            namespace: "team".to_owned(),
            name: "m".to_owned(),
        }
    }

    fn question(step: u32) -> Question {
        Question {
            revision: "new".to_owned(),
            from: "old".to_owned(),
            step,
            steps: 2,
            limits: Limits {
                error_rate: Some(0.01),
                ..Limits::default()
            },
            aside: None,
        }
    }

    /// What a gateway told, with so many failures of the newer revision.
    fn told(gateway: &str, epoch: &str, failed: u64) -> BTreeMap<String, Tallies> {
        let tally = |answered, failed| Tally {
            answered,
            failed,
            ..Tally::default()
        };
        let compared = Compared {
            epoch: epoch.to_owned(),
            revisions: [
                ("new".to_owned(), tally(10, failed)),
                ("old".to_owned(), tally(100, 0)),
            ]
            .into(),
        };
        let tallies = Tallies([("team/m".to_owned(), compared)].into());
        [(gateway.to_owned(), tallies)].into()
    }

    #[test]
    fn what_gateways_add_is_counted_once() {
        let mut trials = Trials::default();
        assert_eq!(trials.ask(&key(), Some(&question(1))).unwrap().requests, 0);
        assert!(trials.note(told("a", "x", 0)).is_empty());
        trials.note(told("b", "y", 0));
        assert_eq!(trials.seen(&key()).unwrap().requests, 20);
        trials.note(told("a", "x", 0));
        assert_eq!(
            trials.seen(&key()).unwrap().requests,
            20,
            "nothing was added"
        );
        trials.note(told("a", "z", 0));
        assert_eq!(trials.seen(&key()).unwrap().requests, 30, "it began anew");
    }

    #[test]
    fn another_verdict_is_told_and_another_question_begins_anew() {
        let mut trials = Trials::default();
        trials.ask(&key(), Some(&question(1)));
        assert_eq!(trials.note(told("a", "x", 10)), [key()].into());
        assert!(trials.note(told("a", "x", 10)).is_empty(), "it is known");
        let again = trials.ask(&key(), Some(&question(1))).unwrap();
        assert_eq!(again.verdict(), Verdict::Failed);
        let next = trials.ask(&key(), Some(&question(2))).unwrap();
        assert_eq!((next.verdict(), next.requests), (Verdict::Open, 0));
        assert_eq!(trials.ask(&key(), None), None);
        assert!(trials.is_empty());
    }
}
