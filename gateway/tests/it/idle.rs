//! What the gateway tells of a model's rest, and of those who wait for it.

use std::time::Duration;

use chandler_gateway::RouteTable;
use futures::future::join_all;
use http::StatusCode;
use http_body_util::BodyExt;

use crate::support::{Door, chat, config, soon, table, until};
use crate::upstream::{Upstream, one_event_each};

const NONE: &str = r#"chandler_gateway_idle_seconds{model="default/chat"} 0"#;

impl Door {
    /// How long the chat model has been without a request, as told twice: what was to be seen
    /// since the look before is seen by the first.
    fn rest(&self) -> [Option<Duration>; 2] {
        [(); 2].map(|()| self.gateway.told("default/chat").idle)
    }

    fn is_at_rest(&self) -> bool {
        self.rest()[1] > Some(Duration::ZERO)
    }
}

#[tokio::test]
async fn a_request_that_waits_or_is_in_flight_is_no_rest() {
    let (upstream, mut streams) = one_event_each().await;
    let door = Door::open(config()).await;
    door.gateway.publish(chat(&[]));
    assert!(door.is_at_rest(), "it is known, and nobody has come");
    let asked = async {
        let response = door.begin_chat().await;
        response.into_body().collect().await.unwrap();
    };
    let seen = async {
        door.metric(r#"chandler_gateway_requests_waiting{model="default/chat"} 1"#)
            .await;
        assert_eq!(door.rest(), [Some(Duration::ZERO); 2], "it waits");
        assert!(door.has_metric(NONE).await);
        assert_eq!(door.gateway.told("default/chat").waiting, 1);
        door.gateway.publish(chat(upstream.alone()));
        let events = soon("the replica's answer", streams.recv()).await.unwrap();
        assert_eq!(door.gateway.told("default/chat").waiting, 0);
        assert_eq!(door.rest(), [Some(Duration::ZERO); 2], "it is in flight");
        assert!(door.has_metric(NONE).await);
        events.send("data: [DONE]\n\n").unwrap();
    };
    tokio::join!(asked, seen);
    door.idle(&upstream.endpoint).await;
    until("rest", || door.is_at_rest()).await;
    assert!(!door.has_metric(NONE).await);
}

#[tokio::test]
async fn a_request_between_two_looks_is_seen_whatever_came_of_it() {
    let upstream = Upstream::named("a").await;
    let door = Door::before(upstream.alone()).await;
    for (model, status, comes) in [
        ("chat", StatusCode::OK, true),
        ("default/chat", StatusCode::NOT_FOUND, false),
        ("other", StatusCode::NOT_FOUND, false),
    ] {
        assert!(door.is_at_rest());
        assert_eq!(door.ask(model).await.status, status);
        door.idle(&upstream.endpoint).await;
        let [first, second] = door.rest();
        assert_eq!(first == Some(Duration::ZERO), comes, "{model}: {first:?}");
        assert!(second > Some(Duration::ZERO), "{model}");
    }
}

#[tokio::test]
async fn every_name_of_a_model_is_the_models() {
    let upstream = Upstream::named("a").await;
    let door = Door::open(config()).await;
    let RouteTable { mut models } = chat(upstream.alone());
    models.insert("default/chat".to_owned(), models["chat"].clone());
    door.gateway.publish(RouteTable { models });
    for name in ["chat", "default/chat"] {
        assert!(door.is_at_rest());
        assert_eq!(door.ask(name).await.status, StatusCode::OK);
        door.idle(&upstream.endpoint).await;
        assert_eq!(door.rest()[0], Some(Duration::ZERO), "{name}");
    }
    let all = door.get("/metrics").await;
    let series = |line: &&str| line.starts_with("chandler_gateway_idle_seconds{");
    assert_eq!(all.text().lines().filter(series).count(), 1);
}

#[tokio::test]
async fn a_model_that_has_left_the_table_is_told_of_no_more() {
    let door = Door::before(&[]).await;
    assert!(door.gateway.told("default/chat").idle.is_some());
    let series = r#"chandler_gateway_idle_seconds{model="default/chat"}"#;
    assert!(door.get("/metrics").await.text().contains(series));
    door.gateway.publish(table(&[("other", &[])]));
    assert_eq!(door.gateway.told("default/chat").idle, None);
    assert!(!door.get("/metrics").await.text().contains(series));
}

#[tokio::test]
async fn a_herd_is_one_change_of_demand() {
    const HERD: usize = 100;
    let upstream = Upstream::named("woken").await;
    let door = Door::before(&[]).await;
    let mut changes = door.gateway.demand_changes();
    let before = *changes.borrow_and_update();
    assert!(door.gateway.waited_for().is_empty());
    let wake = async {
        soon("demand", changes.changed()).await.unwrap();
        assert_eq!(door.gateway.waited_for(), ["default/chat"]);
        let all = format!(r#"chandler_gateway_requests_waiting{{model="default/chat"}} {HERD}"#);
        door.metric(&all).await;
        door.gateway.publish(chat(upstream.alone()));
    };
    let (answers, ()) = tokio::join!(join_all((0..HERD).map(|_| door.chat())), wake);
    assert!(answers.iter().all(|it| it.status == StatusCode::OK));
    assert_eq!(*changes.borrow_and_update(), before + 1);
    assert!(door.gateway.waited_for().is_empty());
    door.gateway.publish(chat(&[]));
    let wake = async {
        soon("demand again", changes.changed()).await.unwrap();
        door.gateway.publish(chat(upstream.alone()));
    };
    let (answer, ()) = tokio::join!(door.chat(), wake);
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn whether_everyone_may_ask_is_told() {
    let door = Door::before(&[]).await;
    assert!(door.gateway.told("default/chat").open);
    door.gateway.await_keys();
    assert!(!door.gateway.told("default/chat").open);
}
