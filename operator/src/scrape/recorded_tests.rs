#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::State as Given;
use axum::http::StatusCode;
use axum::routing::post;
use chandler_crds::names::{metrics, prometheus as names};
use chandler_probe::samples;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::form_urlencoded;

use super::*;
use crate::prometheus::{Credentials, Server};
use crate::served::load;

/// What a server answered that scraped two replicas every 15 s, each of which had two requests a
/// second.
const RECORDED: &str = include_str!("../../tests/fixtures/prometheus.json");
/// The moment of that, and the begin of all other tests; milliseconds.
const NOW: i64 = 1_795_707_152_557;
const SECOND: i64 = 1000;

/// A scrape of a pod: its labels, when, and what the pod told.
type Scrape = (BTreeMap<&'static str, String>, i64, String);

/// A server that has scraped, or that answers as one was recorded to.
#[derive(Clone, Debug, Default)]
struct Scraped {
    now: i64,
    scrapes: Vec<Scrape>,
    recorded: BTreeMap<String, String>,
    away: bool,
}

impl Scraped {
    fn answer(&self, query: &str) -> String {
        if let Some(answer) = self.recorded.get(query) {
            return answer.clone();
        }
        let seconds = self.now as f64 / 1000.0;
        if query == "time()" {
            return success("scalar", &json!([seconds, seconds.to_string()]));
        }
        assert!(query.ends_with("[90s]"), "{query}");
        let metric = query.split_once('{').unwrap().0;
        let mut series: BTreeMap<String, (Value, Vec<Value>)> = BTreeMap::new();
        for (labels, at, text) in &self.scrapes {
            let is_new = (self.now - 90 * SECOND..=self.now).contains(at);
            let told = samples(text).unwrap().into_iter();
            for sample in told.filter(|sample| is_new && sample.name == metric) {
                let mut all = json!(labels);
                for (name, value) in sample.labels {
                    all[name] = json!(value);
                }
                let point = json!([*at as f64 / 1000.0, sample.value.to_string()]);
                let one = series.entry(all.to_string());
                one.or_insert((all, Vec::new())).1.push(point);
            }
        }
        let all = series.into_values();
        let all = all.map(|(metric, values)| json!({"metric": metric, "values": values}));
        success("matrix", &all.collect())
    }
}

fn success(kind: &str, result: &Value) -> String {
    json!({"status": "success", "data": {"resultType": kind, "result": result}}).to_string()
}

/// An operator that asks such a server of the model `team/chat`.
struct Stage {
    server: Arc<Mutex<Scraped>>,
    scraper: Scraper,
}

impl Stage {
    async fn new(scraped: Scraped, pods: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Arc::new(Mutex::new(scraped));
        let router = Router::new()
            .route(names::QUERY, post(answered))
            .with_state(Arc::clone(&server));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let asked = Server::new(&url.parse().unwrap(), Credentials::default()).unwrap();
        let scraper = Scraper::recorded(asked, None, Metrics::new().unwrap());
        let stage = Self { server, scraper };
        stage.there(pods);
        stage
    }

    /// These pods are ready, a turn finds.
    fn there(&self, pods: &[&str]) {
        let replicas = pods.iter().map(|pod| Replica {
            revision: "r".to_owned(),
            uid: format!("uid-{pod}"),
            pod: (*pod).to_owned(),
            address: ([127, 0, 0, 1], 1).into(),
        });
        self.scraper.register(&key(), replicas.collect());
    }

    /// A scrape, so many seconds after the begin.
    fn scraped(&self, job: &str, pod: &str, second: i64, text: &str) {
        let labels = [
            (names::JOB, job),
            (names::INSTANCE, job),
            (names::NAMESPACE, "team"),
            (names::POD, pod),
        ];
        let labels = labels.map(|(name, value)| (name, value.to_owned()));
        let scrape = (labels.into(), NOW + second * SECOND, text.to_owned());
        self.server.lock().unwrap().scrapes.push(scrape);
    }

    /// Time passes, here and there.
    fn pass(&mut self, seconds: u64) {
        let shared = Arc::get_mut(&mut self.scraper.0).unwrap();
        shared.began -= Duration::from_secs(seconds);
        self.server.lock().unwrap().now += i64::try_from(seconds).unwrap() * SECOND;
    }

    /// The server is asked; whether the model is to be looked at.
    async fn asked(&self) -> bool {
        self.scraper.round(0).await == Looks::Of([key()].into())
    }

    fn load(&self) -> Option<LoadSeen> {
        self.scraper.load(&key(), "r")
    }

    fn untold(&self) -> String {
        let mut seen = Snapshot::default();
        self.scraper.hear(&key(), &mut seen);
        seen.untold.unwrap_or_default()
    }
}

async fn answered(Given(server): Given<Arc<Mutex<Scraped>>>, form: String) -> (StatusCode, String) {
    let scraped = server.lock().unwrap().clone();
    if scraped.away {
        return (StatusCode::SERVICE_UNAVAILABLE, "away".to_owned());
    }
    let mut form = form_urlencoded::parse(form.as_bytes());
    let query = form.find_map(|(name, value)| (name == "query").then_some(value));
    (StatusCode::OK, scraped.answer(&query.unwrap()))
}

fn key() -> ModelKey {
    ModelKey {
        namespace: "team".to_owned(),
        name: "chat".to_owned(),
    }
}

fn empty() -> Scraped {
    Scraped {
        now: NOW,
        ..Scraped::default()
    }
}

fn is_near(value: f64, wanted: f64) -> bool {
    (value / wanted - 1.0).abs() < 0.05
}

#[tokio::test]
async fn recorded_answers_come_to_what_the_replicas_told() {
    let recorded: Value = serde_json::from_str(RECORDED).unwrap();
    let recorded = Scraped {
        recorded: serde_json::from_value(recorded["answers"].clone()).unwrap(),
        ..empty()
    };
    let stage = Stage::new(recorded, &["chat-a1-x", "chat-a1-y"]).await;
    assert!(stage.asked().await);
    let seen = stage.load().unwrap();
    assert_eq!((seen.replicas, seen.running, seen.waiting), (2, 4.0, 2.0));
    assert_eq!(seen.kv_cache, None);
    for (flow, seconds) in [(&seen.recent, 10.0), (&seen.stable, 60.0)] {
        assert!(is_near(flow.length.as_secs_f64(), seconds), "{flow:?}");
        assert!(is_near(flow.replicas, 2.0), "{flow:?}");
        assert!(is_near(flow.ended, 4.0 * seconds), "{flow:?}");
        assert!(is_near(flow.prompt_tokens, 20.0 * seconds), "{flow:?}");
        assert!(is_near(flow.first_tokens, 4.0 * seconds), "{flow:?}");
        // Half of all took up to half a second, the others up to one.
        let p95 = flow.ttft_p95.unwrap().as_secs_f64();
        assert!(is_near(p95, 0.95), "{flow:?}");
    }
    assert_eq!(stage.scraper.idle(&key(), "r"), Some(Duration::ZERO));
    assert_eq!(stage.untold(), "");
}

#[tokio::test]
async fn one_pod_that_is_not_scraped_is_in_no_number() {
    let stage = Stage::new(empty(), &["a", "b"]).await;
    for second in [-20, -5] {
        stage.scraped("job", "a", second, &load(1, 0, 10));
        stage.scraped("job", "other", second, &load(9, 0, 10));
    }
    stage.asked().await;
    let seen = stage.load().unwrap();
    assert_eq!((seen.replicas, seen.running), (1, 1.0));
    assert_eq!(stage.scraper.idle(&key(), "r"), None, "one has not told");
}

#[tokio::test]
async fn a_scrape_counts_once_and_a_pod_scraped_twice_counts_once() {
    let mut stage = Stage::new(empty(), &["a"]).await;
    for (second, ended) in [(-35, 0), (-20, 6), (-5, 10)] {
        stage.scraped("one", "a", second, &load(1, 0, ended));
        stage.scraped("two", "a", second - 7, &load(1, 0, ended.max(1) - 1));
        stage.scraped("three", "a", second, &load(1, 0, ended));
    }
    for _ in 0..3 {
        stage.asked().await;
        let seen = stage.load().unwrap();
        assert_eq!((seen.replicas, seen.running), (1, 1.0));
        assert_eq!(seen.stable.ended, 10.0);
    }
    stage.scraped("one", "a", 10, &load(1, 0, 15));
    stage.pass(11);
    stage.asked().await;
    assert_eq!(stage.load().unwrap().stable.ended, 15.0);
}

#[tokio::test]
async fn what_was_scraped_too_long_ago_is_told_no_more() {
    let mut stage = Stage::new(empty(), &["a"]).await;
    assert!(
        stage.untold().contains("was not asked"),
        "{}",
        stage.untold()
    );
    for second in [-16, -1] {
        stage.scraped("job", "a", second, &load(0, 0, 10));
    }
    assert!(stage.asked().await, "something is known now");
    assert!(!stage.asked().await, "it rests, and nothing is new");
    // The server would still call the sample present: it does so for five minutes.
    stage.pass(33);
    assert!(!stage.asked().await);
    assert!(stage.load().is_some());
    stage.pass(2);
    assert!(stage.asked().await, "nothing is known any more");
    assert_eq!(stage.load(), None);
    let old = "has not scraped its replicas lately";
    assert!(stage.untold().contains(old), "{}", stage.untold());
    assert!(!stage.asked().await, "that was told");
}

#[tokio::test]
async fn a_server_that_is_away_holds_the_count_and_nothing_scraped_meanwhile_is_lost() {
    let mut stage = Stage::new(empty(), &["a"]).await;
    for second in [-20, -5] {
        stage.scraped("job", "a", second, &load(1, 0, 0));
    }
    stage.asked().await;
    stage.server.lock().unwrap().away = true;
    stage.pass(5);
    stage.asked().await;
    assert!(stage.load().is_some(), "what it told is still true");
    assert_eq!(stage.untold(), "");
    stage.pass(30);
    assert!(stage.asked().await);
    assert_eq!(stage.load(), None);
    let away = "answers 503 Service Unavailable \"away\"";
    assert!(stage.untold().contains(away), "{}", stage.untold());
    for (second, ended) in [(10, 30), (25, 60)] {
        stage.scraped("job", "a", second, &load(1, 0, ended));
    }
    stage.server.lock().unwrap().away = false;
    assert!(stage.asked().await);
    let seen = stage.load().unwrap();
    assert_eq!((seen.stable.ended, stage.untold()), (60.0, String::new()));
    assert!(is_near(seen.stable.length.as_secs_f64(), 45.0), "{seen:?}");
}

#[tokio::test]
async fn what_keeps_a_load_from_being_known_is_told() {
    let whole = load(1, 0, 10);
    let without = |name: &str| {
        let lines = whole.lines().filter(|line| !line.starts_with(name));
        lines.collect::<Vec<_>>().join("\n")
    };
    let waiting = format!("{}{{model_name=\"m\"}} 0", metrics::REQUESTS_WAITING);
    let absurd = whole.replace(&waiting, &format!("{} NaN", metrics::REQUESTS_WAITING));
    for (every, text, words) in [
        (60, whole.clone(), "every 60 s: let it do so every 30 s"),
        (
            15,
            without(metrics::REQUESTS_WAITING),
            metrics::REQUESTS_WAITING,
        ),
        (15, without(metrics::E2E_LATENCY), metrics::E2E_LATENCY),
        (15, absurd, "can't be"),
        (0, String::new(), "by the labels namespace and pod"),
    ] {
        let stage = Stage::new(empty(), &["a"]).await;
        if every > 0 {
            for second in [-5 - every, -5] {
                stage.scraped("job", "a", second, &text);
            }
            // It came a little late.
            stage.server.lock().unwrap().scrapes[0].1 += 3;
        }
        assert!(stage.asked().await, "{words}: it is told");
        assert_eq!(stage.load(), None, "{words}");
        assert!(stage.untold().contains(words), "{}", stage.untold());
    }
}

#[tokio::test]
async fn a_server_whose_clock_is_set_goes_on_telling() {
    for hour in [3600 * SECOND, -3600 * SECOND] {
        let mut stage = Stage::new(empty(), &["a"]).await;
        for second in [-20, -5] {
            stage.scraped("job", "a", second, &load(1, 0, 10));
        }
        stage.asked().await;
        stage.pass(10);
        stage.server.lock().unwrap().now += hour;
        let second = hour / SECOND + 10;
        stage.scraped("job", "a", second, &load(1, 0, 16));
        // What the server's clock shows is noticed in one round, and believed in the next.
        stage.asked().await;
        stage.asked().await;
        let seen = stage.load().unwrap();
        assert_eq!(seen.stable.ended, 6.0);
        assert!(is_near(seen.stable.length.as_secs_f64(), 30.0), "{seen:?}");
    }
}

#[tokio::test]
async fn nobody_is_asked_of_no_replica() {
    let stage = Stage::new(empty(), &[]).await;
    stage.server.lock().unwrap().away = true;
    stage.asked().await;
    assert_eq!(stage.untold(), "");
    assert_eq!(stage.scraper.state().fault, None);
}
