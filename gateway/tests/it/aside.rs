//! Live prompts that two revisions are asked aside.

use std::sync::{Arc, Mutex};

use axum::body::to_bytes;
use chandler_gateway::{Shadow, ShadowShare};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::yield_now;

use crate::support::{Door, config, table};
use crate::upstream::Upstream;

const CHAT: &str = "/v1/chat/completions";

/// What a replica was asked.
type Asked = Arc<Mutex<Vec<Value>>>;

/// A replica that says `text`, in a stream if that is asked for.
async fn saying(text: &'static str, asked: &Asked) -> Upstream {
    let asked = Arc::clone(asked);
    Upstream::new(move |request| {
        let asked = Arc::clone(&asked);
        async move {
            let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            let streams = body["stream"] == true;
            asked.lock().unwrap().push(body);
            if streams {
                return (
                    [("content-type", "text/event-stream")],
                    "data: {}\n\ndata: [DONE]\n\n".to_owned(),
                );
            }
            let answer = json!({"choices": [{"message": {"content": text}}]});
            ([("content-type", "application/json")], answer.to_string())
        }
    })
    .await
}

/// A gateway before a revision that serves and one that is to take over, and which is asked each prompt aside.
async fn shadowed(old: &Upstream, new: &Upstream) -> Door {
    let door = Door::open(config()).await;
    let mut table = table(&[(
        "chat",
        &[("old", 100, old.alone()), ("new", 0, new.alone())],
    )]);
    for route in table.models.values_mut() {
        route.shadow = Some(Shadow {
            from: "old".to_owned(),
            to: "new".to_owned(),
            share: ShadowShare {
                percent: 100,
                millionths: 500_000,
            },
        });
    }
    door.gateway.publish(table);
    door
}

/// What is counted of the newer revision, once so many prompts were asked.
async fn counted(door: &Door, prompts: u64) -> [u64; 2] {
    loop {
        let told = door.get("/tallies").await.json();
        let revisions = &told["default/chat"]["revisions"];
        let of = |revision: &str, what: &str| revisions[revision][what].as_u64().unwrap();
        assert_eq!(of("old", "failed"), 0);
        if of("old", "answered") == prompts {
            return ["answered", "failed"].map(|what| of("new", what));
        }
        yield_now().await;
    }
}

#[tokio::test]
async fn each_is_asked_of_both_and_what_differs_is_counted() {
    const SAID: &str = "Paris is the capital of France.";
    for (text, expected) in [(SAID, [2, 0]), ("no idea what you mean", [0, 2])] {
        let (of_old, of_new) = (Asked::default(), Asked::default());
        let (old, new) = (saying(SAID, &of_old).await, saying(text, &of_new).await);
        let door = shadowed(&old, &new).await;
        let prompt = json!({"model": "chat", "messages": [{"role": "user", "content": "?"}], "stream": true,
            "stream_options": {"include_usage": true}, "temperature": 1.5, "n": 3, "max_tokens": 999});
        for _ in 0..2 {
            let told = door.send(Method::POST, CHAT, prompt.to_string()).await;
            assert_eq!(told.status, StatusCode::OK);
        }
        assert_eq!(counted(&door, 2).await, expected);
        // Callers had their own answers, of the revision that serves.
        assert_eq!(of_old.lock().unwrap().len(), 4);
        let asked = of_new.lock().unwrap();
        assert_eq!(asked.len(), 2);
        let aside = json!({"model": "chat", "messages": [{"role": "user", "content": "?"}], "stream": false,
            "temperature": 0, "max_tokens": 256, "priority": 1_000_000});
        assert_eq!(asked[0], aside);
    }
}

#[tokio::test]
async fn a_replica_that_refuses_a_prompt_answers_otherwise_and_one_that_is_away_is_not_asked() {
    let asked = Asked::default();
    let old = saying("yes", &asked).await;
    let refuses = Upstream::new(|_| async { (StatusCode::BAD_REQUEST, "no") }).await;
    let door = shadowed(&old, &refuses).await;
    assert_eq!(door.chat().await.status, StatusCode::OK);
    assert_eq!(counted(&door, 1).await, [0, 1]);

    let busy = Upstream::new(|_| async { StatusCode::SERVICE_UNAVAILABLE }).await;
    let door = shadowed(&old, &busy).await;
    assert_eq!(door.chat().await.status, StatusCode::OK);
    while busy.requests() == 0 {
        yield_now().await;
    }
    assert_eq!(counted(&door, 0).await, [0, 0]);
}

#[tokio::test]
async fn without_being_told_so_nothing_is_asked_aside() {
    let asked = Asked::default();
    let (old, new) = (saying("yes", &asked).await, saying("yes", &asked).await);
    let door = Door::open(config()).await;
    let revisions = [("old", 100, old.alone()), ("new", 0, new.alone())];
    door.gateway.publish(table(&[("chat", &revisions)]));
    for _ in 0..3 {
        assert_eq!(door.chat().await.status, StatusCode::OK);
    }
    assert_eq!((old.requests(), new.requests()), (3, 0));
    assert_eq!(door.get("/tallies").await.json(), json!({}));
}
