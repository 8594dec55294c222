//! What replicas measure of their load: those of models that follow it are asked each second.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chandler_core::load::Reading;
use chandler_core::validate::ModelKey;
use chandler_gateway::Endpoint;
use chandler_probe::reading;
use tokio::task::JoinSet;

use super::Local;
use super::replica::Replica;
use super::state::Models;

/// How long a replica may take to tell.
const TIME: Duration = Duration::from_secs(1);

/// A replica that is asked.
struct Asked {
    key: ModelKey,
    revision: String,
    endpoint: Endpoint,
}

/// Asks every ready replica once, all at one time, and wakes the runners that are due. What one
/// tells is noted as it comes.
pub(super) async fn round(local: &Arc<Local>) {
    let mut questions = JoinSet::new();
    let due = local.models().due_questions(local.now());
    for asked in due {
        let local = Arc::clone(local);
        questions.spawn(async move {
            let told = local.client.metrics(asked.endpoint.addr, TIME).await;
            // A replica that tells nothing of use is in no number.
            if let Some(reading) = told.ok().and_then(|told| reading(&told)) {
                local.models().note(&asked, reading, local.now());
            }
        });
    }
    questions.join_all().await;
    local.models().wake_due(local.now());
}

impl Models {
    /// The ready replicas of models that follow their load. All others count no more.
    fn due_questions(&mut self, now: Duration) -> Vec<Asked> {
        let mut all = Vec::new();
        for (key, model) in self.all.iter_mut().filter(|(_, model)| model.follows_load) {
            let first = all.len();
            for (revision, there) in &model.revisions {
                let views = there.replicas.iter().map(Replica::view);
                all.extend(views.filter_map(|view| {
                    Some(Asked {
                        key: key.clone(),
                        revision: revision.clone(),
                        endpoint: view.ready_endpoint()?,
                    })
                }));
            }
            let there = all[first..].iter().map(|asked| asked.endpoint.id.as_str());
            model.series.keep(&there.collect::<BTreeSet<_>>(), now);
        }
        all
    }

    fn note(&mut self, asked: &Asked, reading: Reading, now: Duration) {
        let Asked {
            key,
            revision,
            endpoint,
        } = asked;
        let model = self.all.get_mut(key).filter(|model| model.follows_load);
        if let Some(model) = model {
            model.series.note(revision, &endpoint.id, reading, now);
        }
    }

    /// Wakes the runners of models that are due for a look.
    fn wake_due(&mut self, now: Duration) {
        for model in self.all.values_mut() {
            if model.series.look_due(now).is_some() {
                model.series.looked(now);
                model.wake.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::pin::pin;
    use std::task::{Context, Waker};

    use chandler_core::validate::{Validated, validate};
    use chandler_crds::ModelDeployment;
    use chandler_crds::names::{GROUP, KIND, VERSION};
    use serde_json::{Value, json};

    use super::*;

    fn spec(count: &Value) -> Validated {
        let mut object = json!({
            "apiVersion": format!("{GROUP}/{VERSION}"), "kind": KIND,
            "metadata": {"name": "chat"},
            "spec": {"model": {"source": "file:///a"}},
        });
        let spec = object["spec"].as_object_mut().unwrap();
        spec.extend(count.as_object().unwrap().clone());
        let object: ModelDeployment = serde_json::from_value(object).unwrap();
        validate(&object).unwrap()
    }

    fn asked() -> Asked {
        Asked {
            key: spec(&json!({"replicas": 1})).key,
            revision: "r".to_owned(),
            endpoint: Endpoint {
                id: "chat-r-0.0".to_owned(),
                addr: ([127, 0, 0, 1], 1).into(),
            },
        }
    }

    #[test]
    fn a_model_that_follows_its_load_is_looked_at_when_it_works() {
        let fixed = json!({"replicas": 1});
        let scaled = json!({"autoscaling": {"minReplicas": 1, "maxReplicas": 2}});
        let paused = json!({"paused": true, "autoscaling": {"maxReplicas": 2}});
        for (count, running, due) in [
            (&scaled, 1.0, true),
            (&scaled, 0.0, false),
            (&fixed, 1.0, false),
            (&paused, 1.0, false),
        ] {
            let mut models = Models::default();
            models.insert(&spec(&scaled));
            let first = Duration::from_secs(9);
            models.note(&asked(), Reading::default(), first);
            models.insert(&spec(count));
            let reading = Reading {
                running,
                ..Reading::default()
            };
            let now = Duration::from_secs(10);
            models.note(&asked(), reading, now);
            models.wake_due(now);
            let model = &models.all[&asked().key];
            let mut look = Context::from_waker(Waker::noop());
            let is_woken = pin!(model.wake.notified()).poll(&mut look).is_ready();
            assert_eq!(is_woken, due, "{count} {running}");
            let load = model.series.load("r", now);
            assert_eq!(load.is_some(), model.follows_load, "{count}");
        }
    }

    #[test]
    fn who_is_ready_no_more_counts_no_more() {
        let mut models = Models::default();
        models.insert(&spec(&json!({"autoscaling": {"maxReplicas": 2}})));
        let now = Duration::from_secs(1);
        models.note(&asked(), Reading::default(), now);
        assert!(models.all[&asked().key].series.load("r", now).is_some());
        assert_eq!(models.due_questions(now).len(), 0);
        assert_eq!(models.all[&asked().key].series.load("r", now), None);
    }
}
