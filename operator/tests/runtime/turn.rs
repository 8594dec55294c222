//! One turn of one model.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use chandler_core::world::{Failure, Outcome};
use chandler_crds::status::StartupTimes;
use chandler_operator::events::Teller;
use chandler_operator::failpoint::Failpoints;
use chandler_operator::guard::Guard;
use chandler_operator::health::Pulse;
use chandler_operator::lead::{Elector, Tenure, Timing};
use chandler_operator::metrics::Metrics;
use chandler_operator::reconcile::{Context, Left, reconcile};
use kube_runtime::controller::Action;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};

use crate::fake::{FakeApi, Line};
use crate::models::{Scripted, ScriptedWorlds, Sight, key, lock, object, path};
use crate::soon;

const EVENTS: &str = "POST /apis/events.k8s.io/v1/namespaces/default/events";

struct Scene {
    api: FakeApi,
    world: Arc<Scripted>,
    line: Line,
    context: Context<ScriptedWorlds>,
}

impl Scene {
    /// A leader, and the model `chat`.
    async fn new() -> Self {
        let api = FakeApi::default();
        let client = api.client();
        let timing = Timing::default();
        let mut elector = Elector::new(client, "chandler", "operator", "me", timing, Pulse::new());
        elector.acquire().await;
        let scene = Self::with(api, elector.tenure(), Failpoints::new(None));
        scene.api.put(&path("chat"), object("chat"));
        scene.api.calls();
        scene
    }

    fn with(api: FakeApi, tenure: Tenure, failpoints: Failpoints) -> Self {
        let world = Scripted::new(&api);
        let line = Line::default();
        let client = api.client_on(&line);
        let context = Context {
            client: client.clone(),
            worlds: Arc::new(ScriptedWorlds(Arc::clone(&world))),
            guard: Guard {
                tenure,
                failpoints,
                metrics: Metrics::new().unwrap(),
                turns: Arc::new(Semaphore::new(1)),
            },
            teller: Teller::new(client, "me"),
            alive: mpsc::channel(1).0,
        };
        Self {
            api,
            world,
            line,
            context,
        }
    }

    async fn turn(&self) -> Action {
        reconcile(&key("chat"), &self.context).await
    }

    fn status(&self) -> Value {
        self.api.get(&path("chat")).unwrap()["status"].clone()
    }

    /// `reason` of the events written since the last time.
    fn told(&self) -> Vec<String> {
        let calls = self.api.calls().into_iter();
        calls
            .filter(|call| call.method == "POST")
            .map(|call| call.body["reason"].as_str().unwrap().to_owned())
            .collect()
    }

    fn metrics(&self) -> String {
        self.context.guard.metrics.render().unwrap()
    }
}

fn condition(status: &Value, kind: &str) -> (String, String) {
    let all = status["conditions"].as_array().unwrap();
    let found = all.iter().find(|one| one["type"] == kind).unwrap();
    let text = |field: &str| found[field].as_str().unwrap().to_owned();
    (text("status"), text("reason"))
}

fn patch() -> String {
    format!("PATCH {}/status", path("chat"))
}

fn name_taken() -> Failure {
    Failure {
        reason: "NameTaken".to_owned(),
        message: "the Service chat is not ours: delete it or rename the model".to_owned(),
        transient: false,
    }
}

#[tokio::test]
async fn the_status_is_written_once_and_then_rests() {
    let scene = Scene::new().await;
    scene.turn().await;
    assert_eq!(scene.world.performed(), ["Resolve"]);
    let calls = scene.api.calls();
    let written: Vec<_> = calls.iter().filter(|call| call.method == "PATCH").collect();
    let [written] = written[..] else {
        panic!("{calls:?}")
    };
    assert_eq!(written.path, format!("{}/status", path("chat")));
    assert!(
        written.query.contains("fieldManager=chandler"),
        "{}",
        written.query
    );
    assert!(written.query.contains("force=true"), "{}", written.query);
    let seen = json!({"name": "chat", "namespace": "default", "resourceVersion": "2"});
    assert_eq!(written.body["metadata"], seen);
    assert_eq!(written.body["kind"], "ModelDeployment");
    assert_eq!(scene.status()["observedGeneration"], 3);

    scene.turn().await;
    let calls = scene.api.calls();
    assert_eq!(calls.len(), 1, "nothing new is nothing to write: {calls:?}");
    assert_eq!(calls[0].method, "GET");
}

/// What the last turn left, of one that changed nothing.
fn left(scene: &Scene) -> Option<Left> {
    scene
        .world
        .settled
        .lock()
        .unwrap()
        .get(&key("chat"))
        .cloned()
}

#[tokio::test]
async fn a_turn_that_does_nothing_leaves_the_object_as_it_stands_until_the_next_begins() {
    let scene = Scene::new().await;
    proving(&scene).await;
    assert!(
        left(&scene).is_none(),
        "it was done, and is not as it was seen"
    );
    scene
        .world
        .does([Outcome::Answered(StartupTimes::default())]);
    scene.turn().await;
    assert_eq!(scene.world.performed(), ["Probe"]);
    assert!(left(&scene).is_none());
    scene.turn().await;
    assert_eq!(scene.world.performed(), Vec::<&str>::new());
    assert!(scene.api.writes().contains(&patch()), "it told so");
    let stands = scene.status();
    let known = left(&scene).expect("nothing is to be done");
    assert_eq!(serde_json::to_value(&known.object.status).unwrap(), stands);
    assert_eq!(known.seen.revisions.len(), 1);
    scene.turn().await;
    assert_eq!(scene.api.writes(), Vec::<String>::new());
    assert_eq!(left(&scene).unwrap().object.status, known.object.status);

    let passing = Failure {
        transient: true,
        ..name_taken()
    };
    scene.world.sees([Sight::Fails(passing), Sight::Changed]);
    scene.turn().await;
    assert!(left(&scene).is_none(), "nothing is known after a failure");
    scene.turn().await;
    scene.turn().await;
    assert!(left(&scene).is_some());
    scene.api.delete(&path("chat"));
    scene.turn().await;
    assert!(left(&scene).is_none(), "it is gone");
}

#[tokio::test]
async fn what_goes_or_is_gone_is_left_alone() {
    let scene = Scene::new().await;
    let mut going = object("chat");
    going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    going["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
    scene.api.put(&path("chat"), going);
    assert_eq!(scene.turn().await, Action::await_change());
    scene.api.delete(&path("chat"));
    assert_eq!(scene.turn().await, Action::await_change());
    assert_eq!(scene.api.writes(), Vec::<String>::new());
    assert_eq!(scene.world.looks.load(Ordering::SeqCst), 0);
    assert!(
        scene
            .metrics()
            .contains("chandler_operator_reconciles_total{outcome=\"gone\"} 2")
    );
}

#[tokio::test]
async fn a_change_meanwhile_wins_and_the_turn_is_done_again() {
    let scene = Scene::new().await;
    scene.world.sees([Sight::Changed]);
    scene.world.does([Outcome::Resolved(lock())]);
    let action = scene.turn().await;
    assert_ne!(action, Action::await_change());
    assert_eq!(scene.status(), Value::Null, "the newer object stands");
    assert_eq!(
        scene.told(),
        ["Resolve"],
        "what was done was done all the same"
    );
    scene.turn().await;
    assert_eq!(condition(&scene.status(), "Ready").0, "False");
    let metrics = scene.metrics();
    assert!(metrics.contains("chandler_operator_reconciles_total{outcome=\"conflict\"} 1"));
    assert!(metrics.contains("chandler_operator_reconciles_total{outcome=\"done\"} 1"));
}

#[tokio::test]
async fn actions_are_told_and_counted() {
    let scene = Scene::new().await;
    scene.world.does([Outcome::Resolved(lock())]);
    scene.turn().await;
    assert_eq!(
        scene.api.writes(),
        [patch(), EVENTS.to_owned()],
        "written first, then told"
    );
    let failed = Failure {
        reason: "QuotaExceeded".to_owned(),
        message: "no room".to_owned(),
        transient: true,
    };
    scene.world.does([Outcome::Failed(failed)]);
    scene.turn().await;
    assert_eq!(scene.world.performed(), ["Resolve", "EnsureRevision"]);
    assert_eq!(scene.told(), ["QuotaExceeded"]);
    let metrics = scene.metrics();
    assert!(metrics.contains("actions_total{action=\"Resolve\",outcome=\"done\"} 1"));
    assert!(metrics.contains("actions_total{action=\"EnsureRevision\",outcome=\"failed\"} 1"));
    assert!(metrics.contains("chandler_operator_models{condition=\"Ready\",status=\"False\"} 1"));
}

#[tokio::test]
async fn what_a_person_must_mend_is_shown_once() {
    let scene = Scene::new().await;
    scene
        .world
        .sees([Sight::Fails(name_taken()), Sight::Fails(name_taken())]);
    let action = scene.turn().await;
    assert_ne!(action, Action::await_change());
    let stalled = ("True".to_owned(), "NameTaken".to_owned());
    assert_eq!(condition(&scene.status(), "Stalled"), stalled);
    assert_eq!(scene.told(), ["NameTaken"]);
    scene.turn().await;
    assert_eq!(scene.api.writes(), Vec::<String>::new());
    scene.turn().await;
    assert_eq!(
        condition(&scene.status(), "Stalled").0,
        "False",
        "mended outside the spec"
    );
}

#[tokio::test]
async fn what_passes_by_itself_is_not_shown() {
    let scene = Scene::new().await;
    let passing = Failure {
        transient: true,
        ..name_taken()
    };
    scene.world.sees([Sight::Fails(passing)]);
    assert_ne!(scene.turn().await, Action::await_change());
    assert_eq!(scene.api.writes(), Vec::<String>::new());
    scene.line.cut();
    assert_ne!(scene.turn().await, Action::await_change());
    scene.line.mend();
    scene.turn().await;
    assert_eq!(condition(&scene.status(), "Stalled").0, "False");
}

#[tokio::test]
async fn without_the_lease_nothing_is_done() {
    let api = FakeApi::default();
    api.put(&path("chat"), object("chat"));
    let scene = Scene::with(api, Tenure::new(), Failpoints::new(None));
    assert_ne!(scene.turn().await, Action::await_change());
    assert_eq!(scene.world.performed(), Vec::<&str>::new());
    assert!(!scene.api.writes().contains(&patch()));
}

#[tokio::test]
async fn a_failpoint_ends_the_process_at_its_boundary() {
    for (point, performed, written) in [
        ("before:Resolve", 0, false),
        ("after:Resolve", 1, false),
        ("before:PublishStatus", 1, false),
        ("after:PublishStatus", 1, true),
    ] {
        let Scene { api, context, .. } = Scene::new().await;
        let point = Some(point.parse().unwrap());
        let failpoints = Failpoints::ending(point.clone(), || panic!("ended"));
        let scene = Scene::with(api, context.guard.tenure, failpoints);
        let (world, api) = (Arc::clone(&scene.world), scene.api.clone());
        let ended = tokio::spawn(async move { scene.turn().await }).await;
        assert!(ended.unwrap_err().is_panic(), "{point:?}");
        assert_eq!(world.performed().len(), performed, "{point:?}");
        assert_eq!(api.writes() == [patch()], written, "{point:?}");
    }
}

#[tokio::test]
async fn a_slow_probe_holds_up_no_other_model() {
    let scene = Scene::new().await;
    scene.api.put(&path("other"), object("other"));
    let status = proving(&scene).await;
    scene.world.mute();
    let other = key("other");
    let turn_of_other = async {
        scene.world.probing().await;
        reconcile(&other, &scene.context).await
    };
    tokio::select! {
        _ = scene.turn() => panic!("the probe is not answered: {status}"),
        _ = soon("the other's turn", turn_of_other) => {}
    }
    assert_eq!(scene.world.performed(), ["Probe", "Resolve"]);
}

/// Brings `chat` to where it is asked for its first answer.
async fn proving(scene: &Scene) -> Value {
    scene.world.does([Outcome::Resolved(lock()), Outcome::Done]);
    scene.turn().await;
    scene.turn().await;
    assert_eq!(scene.world.performed(), ["Resolve", "EnsureRevision"]);
    let status = scene.status();
    let revision = status["revisions"][0]["name"].as_str().unwrap();
    scene.world.has_ready(revision);
    status
}
