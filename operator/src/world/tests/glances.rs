//! Looks at a model at work ask the API server nothing, unless a turn would change anything.

use std::time::Duration;

use chandler_core::analysis::Question;
use chandler_core::cycle::{Turn, cycle};
use chandler_crds::ModelDeploymentStatus;

use super::*;
use crate::looks::Looks;
use crate::reconcile::Left;
use crate::scrape::{Moment, Settled};

const PODS: [&str; 2] = ["one", "two"];

/// A model with two replicas that follows its load, at a moment that goes on as it is told.
struct Stage {
    model: Fixture,
    moment: Moment,
}

/// The world as it is at a later moment: what is told by then is part of it.
struct Later<'a> {
    world: ClusterModel,
    stage: &'a Stage,
}

impl World for Later<'_> {
    async fn observe(
        &mut self,
        key: &ModelKey,
        question: Option<&Question>,
    ) -> Result<Snapshot, Failure> {
        let mut seen = self.world.observe(key, question).await?;
        let Stage { model, moment } = self.stage;
        if self.stage.follows() {
            model.scraper.see(key, moment.now);
        }
        model.scraper.hear_at(key, &mut seen, moment.now);
        Ok(seen)
    }

    async fn perform(&mut self, key: &ModelKey, action: &Action) -> Outcome {
        self.world.perform(key, action).await
    }
}

impl Stage {
    /// After a minute of so many requests at each replica, and the turns that come of it.
    async fn new(autoscaling: Value, each: f64) -> Self {
        let mut model = Fixture::made().await;
        model.object.spec.replicas = None;
        model.object.spec.autoscaling = serde_json::from_value(autoscaling).unwrap();
        let status = model.object.status.as_mut().unwrap();
        status.revisions[0].answered_at = Some(status.revisions[0].created_at.clone());
        model
            .perform(&Fixture::shift(&Weights::new(), &model.all()))
            .await;
        for (number, name) in PODS.iter().enumerate() {
            let pod = pod(&model, name, number);
            model.fake.set(&format!("pods/{name}"), &pod);
        }
        let moment = model.scraper.moment();
        let mut stage = Self { model, moment };
        stage.observe().await;
        for second in 0..60 {
            let at = moment.now - Duration::from_secs(60 - second);
            stage.tell(each, each, at);
        }
        stage.turns().await;
        stage.model.fake.state().asked = 0;
        stage
    }

    fn key(&self) -> ModelKey {
        ModelKey::from(&self.model.object)
    }

    fn follows(&self) -> bool {
        self.model.object.spec.paused != Some(true)
    }

    async fn observe(&self) {
        self.model.observe().await.unwrap();
    }

    fn tell(&self, one: f64, two: f64, at: Duration) {
        for (uid, running) in PODS.into_iter().zip([one, two]) {
            // A negative number of requests is none that anyone tells.
            if running >= 0.0 {
                self.model.scraper.tell(&self.key(), uid, running, at);
            }
        }
    }

    /// A turn as the operator does it.
    async fn turn(&mut self) -> Result<Turn, Failure> {
        let key = self.key();
        self.model.scraper.unsettle(&key);
        let mut world = Later {
            world: self.model.world(),
            stage: self,
        };
        let turn = cycle(&mut world, &self.model.object, self.moment.at).await?;
        self.model.object.status = Some(kept(&turn.status));
        if turn.decision.actions.is_empty() {
            self.settle(&turn, turn.wake_at);
        }
        Ok(turn)
    }

    fn settle(&self, turn: &Turn, wake_at: Option<jiff::Timestamp>) {
        let left = Left {
            object: self.model.object.clone(),
            seen: turn.seen.clone().unwrap(),
            wake_at,
        };
        let settled = Settled::new(left, self.model.gateways.clone()).unwrap();
        self.model.scraper.settle(&self.key(), settled);
    }

    /// Turns until one changes nothing, as each that does brings the next; gives the last.
    async fn turns(&mut self) -> Turn {
        loop {
            let before = self.model.object.status.clone();
            let turn = self.turn().await.unwrap();
            if turn.decision.actions.is_empty() && self.model.object.status == before {
                return turn;
            }
        }
    }

    /// A second later: whether a turn is asked for.
    fn looks(&mut self, one: f64, two: f64) -> bool {
        self.moment = self.moment.after(Duration::from_secs(1));
        self.tell(one, two, self.moment.now);
        let looks = self.model.scraper.looks(self.moment);
        match looks {
            Looks::Of(keys) => keys.contains(&self.key()),
            Looks::All => panic!("one is known"),
        }
    }

    /// The first of so many seconds in which a turn is asked for.
    fn first_look(&mut self, seconds: u64, one: f64, two: f64) -> Option<u64> {
        (1..=seconds).find(|_| self.looks(one, two))
    }

    fn asked(&self) -> usize {
        std::mem::take(&mut self.model.fake.state().asked)
    }

    fn counted(&self, outcome: &str) -> u64 {
        let text = self.model.metrics.render().unwrap();
        let begin = format!("chandler_operator_glances_total{{outcome=\"{outcome}\"}} ");
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(&begin));
        value.map_or(0, |value| value.parse().unwrap())
    }

    fn why(&self) -> String {
        self.model.object.status.as_ref().unwrap().why.join("; ")
    }
}

fn pod(model: &Fixture, name: &str, number: usize) -> Value {
    let deployment = model.fake.get(&model.path("deployments"));
    let mut labels = deployment["spec"]["template"]["metadata"]["labels"].clone();
    labels["pod-template-hash"] = json!("t1");
    let set = format!("chat-{}-t1", model.revision);
    json!({
        "metadata": {"name": name, "uid": name, "labels": labels,
            "ownerReferences": owner("ReplicaSet", &set, "u")},
        "status": {"conditions": [{"type": "Ready", "status": "True"}],
            "podIP": format!("127.0.72.{}", number + 1)},
    })
}

/// What an API server keeps of a status.
fn kept(status: &ModelDeploymentStatus) -> ModelDeploymentStatus {
    serde_json::from_value(serde_json::to_value(status).unwrap()).unwrap()
}

/// Four requests a replica, and as few as will do after a minute and a half.
fn four() -> Value {
    json!({"minReplicas": 1, "maxReplicas": 4, "targets": {"concurrency": 4},
        "behavior": {"scaleDown": {"stabilization": "90s"}}})
}

#[tokio::test]
async fn a_steady_load_asks_the_api_server_nothing() {
    let mut stage = Stage::new(four(), 4.0).await;
    assert_eq!(stage.first_look(300, 4.0, 4.0), None);
    assert_eq!(stage.asked(), 0);
    assert_eq!((stage.counted("still"), stage.counted("turn")), (150, 0));
}

#[tokio::test]
async fn a_load_that_rises_asks_for_a_turn() {
    let mut stage = Stage::new(four(), 4.0).await;
    assert_eq!(stage.first_look(10, 4.0, 4.0), None);
    assert!(stage.first_look(60, 8.0, 8.0).is_some());
    assert_eq!((stage.asked(), stage.counted("turn")), (0, 1));
    stage.turns().await;
    let deployment = stage.model.fake.get(&stage.model.path("deployments"));
    assert_eq!(deployment["spec"]["replicas"], 3);
}

#[tokio::test]
async fn a_replica_that_falls_silent_is_told_of() {
    let mut stage = Stage::new(four(), 4.0).await;
    let two_tell = stage.why();
    assert!(stage.first_look(10, 4.0, -1.0).is_some());
    stage.turns().await;
    let one_tells = stage.why();
    assert_ne!(one_tells, two_tell);
    assert_eq!(stage.first_look(60, 4.0, -1.0), None, "{one_tells}");
    assert!(stage.first_look(10, -1.0, -1.0).is_some());
    stage.turns().await;
    let status = stage.model.object.status.as_ref().unwrap();
    let scales = status.conditions.iter();
    let mut scales = scales.filter(|one| one.type_ == "ScalingActive");
    assert_eq!(scales.next().unwrap().reason, "LoadUnknown");
    assert_eq!(stage.first_look(60, -1.0, -1.0), None);
}

#[tokio::test]
async fn a_while_that_ends_asks_for_a_turn() {
    let mut stage = Stage::new(four(), 1.0).await;
    let mut turns = Vec::new();
    for second in 1..=90 {
        if stage.looks(1.0, 1.0) {
            turns.push(second);
            stage.turns().await;
        }
    }
    assert_eq!(turns, [18, 36, 54, 72, 90], "its parts, and its end");
    let deployment = stage.model.fake.get(&stage.model.path("deployments"));
    assert_eq!(deployment["spec"]["replicas"], 1);
}

#[tokio::test]
async fn after_a_turn_that_failed_each_look_is_a_turn() {
    let mut stage = Stage::new(four(), 4.0).await;
    stage.model.fake.state().refuse = Some(("list pods/".to_owned(), 503));
    stage.turn().await.unwrap_err();
    assert_eq!(stage.first_look(2, 4.0, 4.0), Some(2));
    assert_eq!(stage.first_look(2, 4.0, 4.0), Some(2));
    assert_eq!((stage.counted("still"), stage.counted("turn")), (0, 0));
    stage.model.fake.state().refuse = None;
    stage.turns().await;
    assert_eq!(stage.first_look(30, 4.0, 4.0), None);
}

#[tokio::test]
async fn what_a_look_alone_knows_to_come_is_looked_at_without_news() {
    let floor = json!({"start": "0 9 * * *", "end": "0 18 * * *", "minReplicas": 3});
    // The stage is set at whatever time it is, which may be one that the floor holds at.
    let mut spec = json!({"minReplicas": 2, "maxReplicas": 4, "targets": {"concurrency": 4}});
    let mut stage = Stage::new(spec.clone(), 0.0).await;
    spec["schedule"] = json!([floor]);
    stage.model.object.spec.autoscaling = serde_json::from_value(spec).unwrap();
    stage.moment.at = "2026-01-05T08:58:00Z".parse().unwrap();
    let turn = stage.turns().await;
    assert!(turn.wake_at.is_some());
    assert!(!stage.looks(1.0, 0.0));
    assert!(!stage.looks(0.0, 0.0));
    assert_eq!(stage.first_look(200, 0.0, 0.0), None, "the turn knew");

    stage.moment.at = "2026-01-05T08:58:00Z".parse().unwrap();
    let turn = stage.turns().await;
    stage.settle(&turn, None);
    assert!(!stage.looks(1.0, 0.0));
    assert_eq!(stage.first_look(200, 0.0, 0.0), Some(119));
}

#[tokio::test]
async fn a_paused_model_is_forgotten() {
    let mut stage = Stage::new(four(), 4.0).await;
    stage.model.object.spec.paused = Some(true);
    stage.turns().await;
    let moment = stage.moment.after(Duration::from_secs(3));
    assert_eq!(stage.model.scraper.looks(moment), Looks::Of([].into()));
    assert_eq!(stage.counted("still"), 0);
}
