use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::json;

use crate::support::{Door, config, table};
use crate::upstream::Upstream;

const REVISION: &str = "x-chandler-revision";
const SESSION: &str = "x-session-id";

#[tokio::test]
async fn a_revision_answers_that_was_asked_for() {
    let (old, new) = (Upstream::named("old").await, Upstream::named("new").await);
    let door = Door::open(config()).await;
    let resting = Upstream::named("resting").await;
    door.gateway.publish(table(&[(
        "chat",
        &[
            ("r1", 99, old.alone()),
            ("r2", 1, new.alone()),
            ("r3", 0, resting.alone()),
            ("r4", 1, &[]),
        ],
    )]));
    for _ in 0..5 {
        let answer = door.chat_with(&[(REVISION, "r2")]).await;
        assert_eq!(answer.header(REVISION), Some("r2"));
        assert_eq!(answer.json(), json!({ "from": "new" }));
    }
    for missing in ["r3", "r4", "r5"] {
        let answer = door.chat_with(&[(REVISION, missing)]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{missing}");
        assert_eq!(answer.error().2, "revision_not_available");
        assert!(answer.message().contains(missing));
    }
    assert_eq!(resting.requests(), 0);
}

#[tokio::test]
async fn a_session_stays_with_its_revision_and_replica() {
    let mut replicas = Vec::new();
    for _ in 0..4 {
        replicas.push(Upstream::named("x").await);
    }
    let endpoints: Vec<_> = replicas.iter().map(|r| r.endpoint.clone()).collect();
    let door = Door::open(config()).await;
    let revisions = |a, b| {
        let (left, right) = endpoints.split_at(2);
        table(&[("chat", &[("r1", a, left), ("r2", b, right)])])
    };
    door.gateway.publish(revisions(50, 50));
    let mut seen = BTreeSet::new();
    for session in 0..16 {
        let session = format!("caller-{session}");
        let before: Vec<_> = replicas.iter().map(Upstream::requests).collect();
        let mut told = BTreeSet::new();
        for _ in 0..5 {
            let answer = door.chat_with(&[(SESSION, &session)]).await;
            told.insert(answer.header(REVISION).unwrap().to_owned());
        }
        assert_eq!(told.len(), 1, "{told:?}");
        let after = replicas.iter().map(Upstream::requests);
        let asked = after.zip(before).filter(|(after, before)| after > before);
        assert_eq!(asked.count(), 1);
        seen.extend(told);
    }
    assert_eq!(seen.len(), 2, "sessions share the revisions");
}

#[tokio::test]
async fn a_header_that_cannot_be_meant_is_told() {
    let upstream = Upstream::named("a").await;
    let door = Door::before(upstream.alone()).await;
    for (name, value) in [("x-request-timeout", "soon"), (SESSION, " ")] {
        let answer = door.chat_with(&[(name, value)]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(answer.error().2, "invalid_header");
        assert!(answer.message().contains(name), "{}", answer.message());
    }
    assert_eq!(upstream.requests(), 0);
}
