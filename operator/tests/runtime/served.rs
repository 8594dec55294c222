//! A process that tells metrics. The unit tests use it as well.

#![allow(clippy::unwrap_used, dead_code)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use chandler_crds::names::{metrics, paths};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// It tells until it is dropped.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    text: Arc<Mutex<Option<String>>>,
    tallies: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Served {
    pub(crate) async fn new(text: &str) -> Self {
        Self::at("127.0.0.1:0", text).await
    }

    pub(crate) async fn at(address: &str, text: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let text = Arc::new(Mutex::new(Some(text.to_owned())));
        let asked = Arc::<AtomicUsize>::default();
        let (told, count) = (Arc::clone(&text), Arc::clone(&asked));
        let answer = async move || {
            count.fetch_add(1, Ordering::SeqCst);
            let told = told.lock().unwrap().clone();
            told.map_or_else(
                || (StatusCode::SERVICE_UNAVAILABLE, String::new()),
                |text| (StatusCode::OK, text),
            )
        };
        let tallies = Arc::new(Mutex::new("{}".to_owned()));
        let counted = Arc::clone(&tallies);
        let counts = async move || counted.lock().unwrap().clone();
        let router = Router::new()
            .route(paths::METRICS, get(answer))
            .route(paths::TALLIES, get(counts));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            text,
            tallies,
            asked,
            serving,
        }
    }

    pub(crate) fn tells(&self, text: &str) {
        *self.text.lock().unwrap() = Some(text.to_owned());
    }

    /// What it counts of revisions that share a model's traffic, as JSON.
    pub(crate) fn counts(&self, tallies: &str) {
        tallies.clone_into(&mut self.tallies.lock().unwrap());
    }

    /// It gives errors from now on.
    pub(crate) fn fails(&self) {
        *self.text.lock().unwrap() = None;
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// What a replica tells of its load: requests that it computes, that wait, and that have ended.
pub(crate) fn load(running: u32, waiting: u32, ended: u32) -> String {
    let gauges = [
        (metrics::REQUESTS_RUNNING, running),
        (metrics::REQUESTS_WAITING, waiting),
        (metrics::PROMPT_TOKENS, 5 * ended),
        (metrics::GENERATION_TOKENS, 3 * ended),
        (metrics::REQUEST_SUCCESS, ended),
    ];
    let gauges = gauges.map(|(name, value)| format!("{name}{{model_name=\"m\"}} {value}\n"));
    let histograms = [
        metrics::TIME_TO_FIRST_TOKEN,
        metrics::E2E_LATENCY,
        metrics::QUEUE_TIME,
    ];
    let histograms = histograms
        .map(|name| format!("{name}_bucket{{le=\"+Inf\"}} {ended}\n{name}_sum {ended}\n"));
    gauges.concat() + &histograms.concat()
}
