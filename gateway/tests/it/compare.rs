//! What is counted of revisions that share a model's traffic.

use axum::response::IntoResponse;
use chandler_gateway::Endpoint;
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::{Door, config, table};
use crate::upstream::Upstream;

/// A gateway before one model, `chat`, whose traffic two revisions share evenly.
async fn shared(old: &[Endpoint], new: &[Endpoint]) -> Door {
    let door = Door::open(config()).await;
    let revisions: &[(&str, u32, &[Endpoint])] = &[("old", 50, old), ("new", 50, new)];
    door.gateway.publish(table(&[("chat", revisions)]));
    door
}

/// What is counted of a revision.
async fn counted(door: &Door, revision: &str) -> Value {
    let told = door.get("/tallies").await;
    assert_eq!(told.status, StatusCode::OK);
    let told = told.json();
    let models = told.as_object().unwrap();
    assert_eq!(models.len(), 1, "{told}");
    models.values().next().unwrap()["revisions"][revision].clone()
}

fn count(bins: &Value) -> u64 {
    let bins = bins.as_object().unwrap();
    bins.values().filter_map(Value::as_u64).sum()
}

#[tokio::test]
async fn a_replica_that_is_lost_counts_though_another_answers() {
    let old = Upstream::named("old").await;
    let new = Upstream::dying("").await;
    let door = shared(old.alone(), new.alone()).await;
    for _ in 0..4 {
        assert_eq!(door.chat().await.status, StatusCode::OK);
    }
    let (old_told, new_told) = (counted(&door, "old").await, counted(&door, "new").await);
    assert_eq!(old_told["answered"], 4);
    assert_eq!(old_told["failed"], 0);
    assert_eq!(count(&old_told["firstToken"]), 4);
    assert_eq!(count(&old_told["latency"]), 4);
    assert_eq!(new_told["answered"], 0);
    assert_eq!(new_told["failed"], new.requests());
    assert!(new.requests() > 0);
}

#[tokio::test]
async fn streams_and_errors_are_counted_by_how_they_end() {
    const PIECE: &str = "data: {}\n\n";
    const EVENTS: [(&str, &str); 1] = [("content-type", "text/event-stream")];
    let old = Upstream::new(|_| async { (EVENTS, PIECE.repeat(3) + "data: [DONE]\n\n") }).await;
    let new = Upstream::new(|_| async {
        let broken = axum::Json(json!({"error": {"message": "x"}}));
        (StatusCode::INTERNAL_SERVER_ERROR, broken).into_response()
    })
    .await;
    let door = shared(old.alone(), new.alone()).await;
    let statuses = [door.chat().await.status, door.chat().await.status];
    assert!(statuses.contains(&StatusCode::OK), "{statuses:?}");
    assert!(statuses.contains(&StatusCode::INTERNAL_SERVER_ERROR));
    let (old, new) = (counted(&door, "old").await, counted(&door, "new").await);
    assert_eq!([&old["answered"], &old["failed"]], [&json!(1), &json!(0)]);
    assert_eq!([&new["answered"], &new["failed"]], [&json!(0), &json!(1)]);
}

#[tokio::test]
async fn a_model_of_one_revision_is_not_counted() {
    let only = Upstream::named("only").await;
    let door = Door::before(only.alone()).await;
    assert_eq!(door.chat().await.status, StatusCode::OK);
    assert_eq!(door.get("/tallies").await.json(), json!({}));
}
