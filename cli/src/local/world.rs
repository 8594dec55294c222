//! The port to the local world, for one model.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use chandler_core::analysis;
use chandler_core::decide::Action;
use chandler_core::snapshot::{GatewaysSeen, RevisionSeen, Snapshot, Weights};
use chandler_core::traffic::Shadow;
use chandler_core::validate::ModelKey;
use chandler_core::worker::WorkerSpec;
use chandler_core::world::{Failure, Outcome, World};
use chandler_crds::spec::Evaluation;
use chandler_crds::status::StartupTimes;
use chandler_probe::first_answer;
use chandler_source::{Source, resolve};

use super::Local;
use super::judging::{Asked, Judge, Question};
use super::replica::Replica;
use super::rest;
use super::state::{Model, Models, Revision};
use crate::output::Phase;

/// One model of this machine.
pub(crate) struct LocalModel {
    local: Arc<Local>,
    key: ModelKey,
}

impl World for LocalModel {
    async fn observe(
        &mut self,
        key: &ModelKey,
        question: Option<&analysis::Question>,
    ) -> Result<Snapshot, Failure> {
        let (mut snapshot, asked) = self.known();
        snapshot.trial = self.local.trials().ask(key, question);
        self.ask_aside(question);
        for (name, rest) in rest::of(&self.local.client, asked).await {
            if let Some(revision) = snapshot.revisions.get_mut(&name) {
                revision.idle = Some(rest);
            }
        }
        Ok(snapshot)
    }

    async fn perform(&mut self, _key: &ModelKey, action: &Action) -> Outcome {
        let done = match action {
            Action::Resolve {
                source,
                source_revision,
                ..
            } => {
                return self.resolve(source, source_revision.as_deref()).await;
            }
            Action::Probe { revision } => {
                return self
                    .probe(revision)
                    .await
                    .map_or_else(Outcome::Failed, Outcome::Answered);
            }
            Action::Evaluate {
                revision,
                from,
                evaluations,
            } => {
                return self.evaluate(Question {
                    revision: revision.clone(),
                    from: from.clone(),
                    evaluations: evaluations.clone(),
                });
            }
            Action::EnsureRevision {
                revision,
                worker,
                replicas,
            } => self.ensure(revision, worker, *replicas),
            Action::Scale { revision, from, to } => self.scale(revision, *from, *to),
            // Child processes are changed by nobody else, and `observe` sees none that were.
            Action::Mend { .. } => Err(stale("there is nothing to mend")),
            Action::SetTraffic { from, to } => self.set_traffic(from, to),
            Action::Retire { revision } => self.retire(revision),
        };
        self.local.publish();
        done.map_or_else(Outcome::Failed, |()| Outcome::Done)
    }
}

impl LocalModel {
    pub(super) fn new(local: Arc<Local>, key: ModelKey) -> Self {
        Self { local, key }
    }

    /// What is known without asking, and the ready replicas to be asked how long they have been at
    /// rest: of a model that may sleep, all of them.
    fn known(&self) -> (Snapshot, Vec<(String, Vec<SocketAddr>)>) {
        let mut models = self.local.models();
        models.tidy();
        let Some(model) = models.all.get_mut(&self.key) else {
            return Default::default();
        };
        let now = self.local.now();
        model.series.looked(now);
        let revisions = model.revisions.iter();
        let snapshot = Snapshot {
            revisions: revisions
                .clone()
                .map(|(name, revision)| {
                    let load = model.series.load(name, now);
                    let seen = self.seen(revision);
                    (name.clone(), RevisionSeen { load, ..seen })
                })
                .collect(),
            weights: model.weights.clone(),
            gateways: Some(self.told()),
            trail: model.series.trail(now),
            trial: None,
            untold: None,
            room: None,
        };
        let ready = revisions.map(|(name, revision)| {
            let endpoints = revision.replicas.iter();
            let endpoints = endpoints.filter_map(|replica| replica.view().ready_endpoint());
            let addrs = endpoints.map(|endpoint| endpoint.addr).collect();
            (name.clone(), addrs)
        });
        (snapshot, ready.filter(|_| model.may_sleep).collect())
    }

    /// Prompts are asked aside for as long as they are asked about.
    fn ask_aside(&self, question: Option<&analysis::Question>) {
        let shadow = question.and_then(|asked| {
            Some(Shadow {
                from: asked.from.clone(),
                to: asked.revision.clone(),
                share: asked.aside?,
            })
        });
        let changed = self.change(|model, _| {
            let is_other = model.shadow != shadow;
            model.shadow = shadow;
            Ok(is_other)
        });
        if changed == Ok(true) {
            self.local.publish();
        }
    }

    /// What the one gateway tells, which is part of this process.
    fn told(&self) -> GatewaysSeen {
        let told = self.local.gateway.told(&self.key.to_string());
        GatewaysSeen {
            waiting: told.waiting,
            idle: told.idle,
            open: Some(told.open),
        }
    }

    fn seen(&self, revision: &Revision) -> RevisionSeen {
        let views: Vec<_> = revision.replicas.iter().map(Replica::view).collect();
        let ready = views
            .iter()
            .filter(|view| view.phase == Phase::Ready)
            .count();
        let endpoints = views.iter().filter_map(|view| view.endpoint.as_ref());
        RevisionSeen {
            desired: revision.desired,
            ready: u32::try_from(ready).unwrap_or(u32::MAX),
            in_flight: Some(
                endpoints
                    .map(|endpoint| self.local.gateway.in_flight(&endpoint.id))
                    .sum(),
            ),
            idle: None,
            load: None,
            drifted: false,
            failure: views
                .into_iter()
                .filter(|view| view.phase != Phase::Ready)
                .find_map(|view| view.failure),
        }
    }

    /// Changes the model under the lock; the list takes replicas that leave until they are gone.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Model, &mut Vec<Replica>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut models = self.local.models();
        let Models { all, leaving, .. } = &mut *models;
        let model = all.get_mut(&self.key);
        change(model.ok_or_else(|| stale("the model is gone"))?, leaving)
    }

    async fn resolve(&self, source: &str, revision: Option<&str>) -> Outcome {
        let config = &self.local.config;
        let resolved = async {
            let source = Source::parse(source)?;
            resolve(&source, revision, &config.access, &config.cache).await
        };
        match resolved.await {
            Ok(lock) => Outcome::Resolved(lock),
            Err(error) => Outcome::Failed(Failure {
                reason: error.reason().to_owned(),
                message: error.to_string(),
                transient: error.is_transient(),
            }),
        }
    }

    fn ensure(&self, name: &str, worker: &WorkerSpec, count: u32) -> Result<(), Failure> {
        self.change(|model, _| {
            if model.revisions.contains_key(name) {
                return Err(stale("the revision exists"));
            }
            let mut revision = Revision {
                worker: worker.clone(),
                desired: count,
                replicas: Vec::new(),
            };
            self.fill(name, &mut revision);
            model.revisions.insert(name.to_owned(), revision);
            Ok(())
        })
    }

    fn scale(&self, name: &str, from: u32, to: u32) -> Result<(), Failure> {
        self.change(|model, leaving| {
            let Some(revision) = model.revisions.get_mut(name) else {
                return Err(stale("the revision is gone"));
            };
            if revision.desired != from {
                return Err(stale("the count has changed"));
            }
            revision.desired = to;
            self.fill(name, revision);
            leaving.extend(surplus(revision));
            Ok(())
        })
    }

    /// Starts the replicas that are missing.
    fn fill(&self, name: &str, revision: &mut Revision) {
        let wanted = usize::try_from(revision.desired).unwrap_or(usize::MAX);
        let missing = wanted.saturating_sub(revision.replicas.len());
        for number in revision.free_numbers(missing) {
            let replica = Replica::start(&self.local, &self.key, name, number, &revision.worker);
            revision.replicas.push(replica);
        }
    }

    async fn probe(&self, name: &str) -> Result<StartupTimes, Failure> {
        let (addr, served_name) = self.change(|model, _| {
            let ready = model.ready(name);
            let ready = ready.ok_or_else(|| stale("no replica is ready any more"))?;
            Ok((ready.addr, model.served_name.clone()))
        })?;
        let took = first_answer(&self.local.client, addr, &served_name).await?;
        Ok(StartupTimes {
            first_answer_ms: Some(u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
            ..StartupTimes::default()
        })
    }

    /// Has answers judged, or tells what came of it.
    fn evaluate(&self, question: Question) -> Outcome {
        let begun = self.change(|model, _| {
            if let Some(judging) = &mut model.judging
                && judging.question == question
            {
                return Ok(match judging.outcome.take() {
                    None => Err(Outcome::Pending { blocked: None }),
                    Some(outcome) => {
                        model.judging = None;
                        Err(outcome)
                    }
                });
            }
            let asked = [&question.revision, &question.from];
            let asked = asked.map(|name| model.ready(name).map(|endpoint| endpoint.addr));
            let [Some(canary), Some(stable)] = asked else {
                return Err(stale("no replica is ready any more"));
            };
            Ok(Ok([canary, stable]))
        });
        let [canary, stable] = match begun {
            Ok(Ok(addrs)) => addrs,
            Ok(Err(outcome)) => return outcome,
            Err(failure) => return Outcome::Failed(failure),
        };
        let judge = self.vectors_for(&question.evaluations);
        let judge = judge.and_then(|embeddings| {
            let asked = Asked {
                canary,
                stable,
                embeddings,
            };
            Judge::new(&self.local, &self.key, &question, &asked)
        });
        let begun = judge.and_then(|judge| {
            self.change(|model, _| {
                // Under the lock, so that its end finds it noted.
                model.judging = Some(judge.start(&self.local, &self.key, question));
                Ok(())
            })
        });
        begun.map_or_else(Outcome::Failed, |()| Outcome::Pending { blocked: None })
    }

    /// A ready replica of each model that makes vectors for these.
    fn vectors_for(
        &self,
        evaluations: &[Evaluation],
    ) -> Result<Vec<(String, SocketAddr)>, Failure> {
        let names: BTreeSet<&str> = evaluations
            .iter()
            .filter_map(Evaluation::embedding_model)
            .collect();
        let models = self.local.models();
        let replica = |name: &str| {
            let key = ModelKey {
                namespace: self.key.namespace.clone(),
                name: name.to_owned(),
            };
            let model = models.all.get(&key)?;
            let mut revisions = model.revisions.keys();
            revisions.find_map(|revision| model.ready(revision))
        };
        let found = names.into_iter().map(|name| match replica(name) {
            Some(endpoint) => Ok((name.to_owned(), endpoint.addr)),
            None => Err(Failure::no_vectors(name)),
        });
        found.collect()
    }

    fn set_traffic(&self, from: &Weights, to: &Weights) -> Result<(), Failure> {
        self.change(|model, _| {
            if model.weights != *from {
                return Err(stale("the traffic has changed"));
            }
            model.weights.clone_from(to);
            Ok(())
        })
    }

    fn retire(&self, name: &str) -> Result<(), Failure> {
        self.change(|model, leaving| {
            if model.weights.get(name).is_some_and(|weight| *weight > 0) {
                return Err(stale("the revision has traffic"));
            }
            let Some(revision) = model.revisions.remove(name) else {
                return Err(stale("the revision is gone"));
            };
            for replica in &revision.replicas {
                replica.drain();
            }
            leaving.extend(revision.replicas);
            Ok(())
        })
    }
}

/// Drains the replicas above the count, those that are not ready first, then the youngest.
fn surplus(revision: &mut Revision) -> Vec<Replica> {
    let keep = usize::try_from(revision.desired).unwrap_or(usize::MAX);
    revision
        .replicas
        .sort_by_key(|replica| (replica.view().phase != Phase::Ready, replica.number));
    let gone = revision
        .replicas
        .split_off(keep.min(revision.replicas.len()));
    gone.iter().for_each(Replica::drain);
    gone
}

fn stale(message: &str) -> Failure {
    Failure {
        reason: "Conflict".to_owned(),
        message: message.to_owned(),
        transient: true,
    }
}
