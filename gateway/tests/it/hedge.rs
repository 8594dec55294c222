//! Embeddings and labels that take long are asked of a second replica as well.

use axum::response::IntoResponse;
use chandler_gateway::GatewayConfig;
use futures::future::join_all;
use http::{Method, StatusCode};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::accounts::CHAT;
use crate::support::{Answer, Client, Door, chat, config, read, soon, until};
use crate::upstream::{Guard, Upstream};

const EMBEDDINGS: &str = "/v1/embeddings";
const CLASSIFY: &str = "/classify";
/// Answers after which the gateway knows how long one takes.
const ENOUGH: usize = 100;

/// A replica that answers with the status of the moment, and waits while there is none.
struct Replica {
    upstream: Upstream,
    status: watch::Sender<Option<StatusCode>>,
    /// A caller left before its answer.
    left: CancellationToken,
}

impl Replica {
    async fn named(name: &'static str) -> Self {
        let (status, _) = watch::channel(Some(StatusCode::OK));
        let left = CancellationToken::new();
        let (says, token) = (status.clone(), left.clone());
        let upstream = Upstream::new(move |_| {
            let (mut says, guard) = (says.subscribe(), Guard(token.clone()));
            async move {
                let mut guard = guard;
                let status = *says.wait_for(Option::is_some).await.unwrap();
                // Who stays to the end does not count as having left.
                let _stayed = std::mem::take(&mut guard.0);
                (status.unwrap(), axum::Json(json!({ "from": name }))).into_response()
            }
        });
        Self {
            upstream: upstream.await,
            status,
            left,
        }
    }

    fn waits(&self) {
        self.status.send_replace(None);
    }

    fn answers(&self, status: StatusCode) {
        self.status.send_replace(Some(status));
    }
}

/// A gateway that knows how long the answers of two replicas take, and a session whose requests go
/// to the one called `slow`.
struct Pair {
    door: Door,
    client: Client,
    slow: Replica,
    other: Replica,
    session: String,
}

impl Pair {
    async fn behind(config: GatewayConfig) -> Self {
        let (slow, other) = (Replica::named("slow").await, Replica::named("other").await);
        let door = Door::open(config).await;
        let endpoints = [&slow, &other].map(|replica| replica.upstream.endpoint.clone());
        door.gateway.publish(chat(&endpoints));
        let mut pair = Self {
            client: Client::of(door.addr),
            door,
            slow,
            other,
            session: String::new(),
        };
        for session in 0..ENOUGH {
            let session = session.to_string();
            let answer = pair.asks(EMBEDDINGS, &[("x-session-id", &session)]).await;
            if answer.json() == json!({ "from": "slow" }) {
                pair.session = session;
            }
        }
        assert_ne!(pair.session, "");
        pair
    }

    async fn asks(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let body = json!({ "model": "chat" }).to_string();
        let answer = self.client.begin_with(Method::POST, path, body, headers);
        read(answer.await).await
    }

    /// Asks the slow one.
    async fn asks_slow(&self, path: &str) -> Answer {
        self.asks(path, &[("x-session-id", &self.session)]).await
    }

    async fn hedges(&self, outcome: &str) -> u64 {
        let line = format!(r#"chandler_gateway_hedges_total{{model="chat",outcome="{outcome}"}} "#);
        let metrics = self.door.get("/metrics").await;
        let mut lines = metrics.text().lines();
        let number = lines.find_map(|got| got.strip_prefix(&line));
        number.map_or(0, |number| number.parse().unwrap())
    }
}

#[tokio::test]
async fn what_is_read_alone_and_takes_long_is_answered_by_another_replica() {
    let pair = Pair::behind(config()).await;
    pair.slow.waits();
    for (won, path) in (1..).zip([EMBEDDINGS, CLASSIFY, EMBEDDINGS]) {
        let answer = pair.asks_slow(path).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.json(), json!({ "from": "other" }));
        assert_eq!(answer.header("x-chandler-revision"), Some("r1"));
        assert_eq!(pair.hedges("won").await, won);
    }
    soon(
        "the slow one's loss of its caller",
        pair.slow.left.cancelled(),
    )
    .await;
    pair.door.idle(&pair.slow.upstream.endpoint).await;
    pair.door.idle(&pair.other.upstream.endpoint).await;
    assert_eq!(
        pair.slow.upstream.requests() + pair.other.upstream.requests(),
        ENOUGH + 6
    );
}

#[tokio::test]
async fn what_the_second_fails_at_is_left_to_the_first() {
    let pair = Pair::behind(config()).await;
    pair.slow.waits();
    pair.other.answers(StatusCode::INTERNAL_SERVER_ERROR);
    let answers = ENOUGH + 1;
    let seen =
        format!(r#"chandler_gateway_upstream_response_seconds_count{{model="chat"}} {answers}"#);
    let second = async {
        pair.door.metric(&seen).await;
        pair.slow.answers(StatusCode::OK);
    };
    let (answer, ()) = tokio::join!(pair.asks_slow(EMBEDDINGS), second);
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json(), json!({ "from": "slow" }));
    assert_eq!(
        (pair.hedges("won").await, pair.hedges("lost").await),
        (0, 1)
    );
}

#[tokio::test]
async fn what_is_generated_is_asked_of_one_replica_however_long_it_takes() {
    let pair = Pair::behind(config()).await;
    pair.slow.waits();
    let before = pair.slow.upstream.requests();
    let later = async {
        until("the chat", || pair.slow.upstream.requests() > before).await;
        // Its delay ends after that of the chat, if that had one.
        let answer = pair.asks_slow(EMBEDDINGS).await;
        assert_eq!(answer.json(), json!({ "from": "other" }));
        pair.slow.answers(StatusCode::OK);
    };
    let (answer, ()) = tokio::join!(pair.asks_slow(CHAT), later);
    assert_eq!(answer.json(), json!({ "from": "slow" }));
    assert_eq!(
        (pair.hedges("won").await, pair.hedges("lost").await),
        (1, 0)
    );
}

#[tokio::test]
async fn where_all_are_slow_few_are_asked_twice() {
    const REQUESTS: usize = 60;
    let pair = Pair::behind(config()).await;
    pair.slow.waits();
    pair.other.waits();
    let spent = async {
        while pair.hedges("noBudget").await == 0 {}
        pair.slow.answers(StatusCode::OK);
        pair.other.answers(StatusCode::OK);
    };
    let asked = join_all((0..REQUESTS).map(|_| pair.asks(EMBEDDINGS, &[])));
    let (answers, ()) = tokio::join!(asked, soon("a spent budget", spent));
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK));
    let sent = pair.slow.upstream.requests() + pair.other.upstream.requests();
    assert!(sent < ENOUGH + 2 * REQUESTS, "{sent}");
}

#[tokio::test]
async fn it_can_be_switched_off() {
    let hedge = false;
    let pair = Pair::behind(GatewayConfig { hedge, ..config() }).await;
    pair.slow.waits();
    let before = pair.other.upstream.requests();
    let headers = [
        ("x-session-id", &*pair.session),
        ("x-request-timeout", "0.5"),
    ];
    let answer = pair.asks(EMBEDDINGS, &headers).await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(pair.other.upstream.requests(), before);
}
