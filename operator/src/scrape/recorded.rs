//! What a Prometheus server has scraped of the replicas, asked for every few seconds: one query a
//! metric, of all models.
//!
//! Range selectors give samples as they were scraped, each with its own time. Those of one scrape have
//! the same time and make the same reading that the replica would have told. So it does not matter
//! how old a sample may be for the server to still think it present, nor which moment a query is
//! for; and what was scraped while nobody asked is not lost.

use std::fmt;
use std::time::Duration;

use chandler_crds::names::{metrics, prometheus as names};
use chandler_probe::{HISTOGRAMS, NUMBERS};
use futures::{StreamExt, stream};

use super::clock::Glance;
use super::join::{Joint, Recorded};
use super::model::Model;
use super::{Scraper, Source, State};
use crate::prometheus::{QueryError, Series, Server};

/// The server is asked in every so many'th round, which is every so many'th second.
pub(super) const ROUNDS: u32 = 5;
/// Seconds that each query reaches back: the longer window, and a scrape before it.
const RANGE: u32 = 90;
/// Queries at one time. A server has twenty places unless told otherwise, and others to answer.
const AT_ONCE: usize = 4;

/// Asks a server.
#[derive(Debug)]
pub(super) struct Recorder {
    server: Server,
    /// Those whose answers make a reading.
    needed: Vec<Query>,
    /// What not every model has. It is asked for after the others: a scrape that is in their answers
    /// is in those to these too, if they are of it at all.
    extra: Vec<Query>,
}

/// A metric and the selector of its samples.
#[derive(Clone, Debug)]
struct Query {
    metric: String,
    selector: String,
}

/// Why nothing is known of a replica, the most telling first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Silence {
    /// It is scraped too seldom: every so many seconds.
    Seldom(u64),
    /// A metric is missing from what is scraped.
    Incomplete(&'static str),
    /// A number can't be what it stands for.
    Absurd,
    /// The server has nothing of it.
    NotFound,
    /// The last scrape was too long ago.
    Old,
    /// The server was not asked of it yet.
    New,
}

impl Silence {
    /// The case as one CamelCase word.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Seldom(_) => "ScrapedTooSeldom",
            Self::Incomplete(_) => "MetricMissing",
            Self::Absurd => "AbsurdNumbers",
            Self::NotFound => "NotScraped",
            Self::Old => "NotScrapedLately",
            Self::New => "NotAskedYet",
        }
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Seldom(seconds) => write!(
                f,
                "scrapes replicas every {seconds} s: let it do so every 30 s or more often"
            ),
            Self::Incomplete(name) => write!(f, "has samples of its replicas, but none of {name}"),
            Self::Absurd => f.write_str("has numbers of its replicas that can't be"),
            Self::NotFound => write!(
                f,
                "has no samples of its replicas: let it scrape them and name each by the labels {} \
                 and {}",
                names::NAMESPACE,
                names::POD
            ),
            Self::Old => f.write_str("has not scraped its replicas lately"),
            Self::New => f.write_str("was not asked of its replicas yet"),
        }
    }
}

impl Recorder {
    pub(super) fn new(server: Server, namespace: Option<&str>) -> Self {
        let query = |metric: &str, bound: Option<&str>| Query {
            metric: metric.to_owned(),
            selector: selector(metric, namespace, bound),
        };
        let numbers = NUMBERS.map(|name| query(name, None)).into_iter();
        let histograms = HISTOGRAMS.into_iter().flat_map(|name| {
            // Of the time in queues its sum alone is of use, and a bucket that has all of them.
            let bound = (name == metrics::QUEUE_TIME).then_some("+Inf");
            let bucket = query(&format!("{name}{}", metrics::BUCKET), bound);
            [bucket, query(&format!("{name}{}", metrics::SUM), None)]
        });
        let extra = [
            metrics::MOST_RUNNING,
            metrics::KV_CACHE_USAGE,
            metrics::IDLE_SECONDS,
        ];
        Self {
            server,
            needed: numbers.chain(histograms).collect(),
            extra: extra.map(|name| query(name, None)).into(),
        }
    }

    /// Asks for all there is of these replicas.
    async fn ask(&self, joint: &mut Joint) -> Result<(), QueryError> {
        for queries in [&self.needed, &self.extra] {
            let asked: Vec<_> = queries.iter().map(|query| self.answer(query)).collect();
            let mut answers = stream::iter(asked).buffer_unordered(AT_ONCE);
            while let Some((metric, series)) = answers.next().await {
                joint.add(metric, series?);
            }
        }
        Ok(())
    }

    async fn answer<'a>(&self, query: &'a Query) -> (&'a str, Result<Vec<Series>, QueryError>) {
        let series = self.server.samples(&query.selector).await;
        (&query.metric, series)
    }
}

/// All samples of a metric that are new enough to be of use, and of a pod.
fn selector(metric: &str, namespace: Option<&str>, bound: Option<&str>) -> String {
    let namespace = match namespace {
        Some(one) => format!("{}={}", names::NAMESPACE, quoted(one)),
        None => format!("{}!=\"\"", names::NAMESPACE),
    };
    let bound = bound.map(|bound| format!(",{}={}", metrics::BOUND, quoted(bound)));
    let bound = bound.unwrap_or_default();
    format!(
        "{metric}{{{namespace},{}!=\"\"{bound}}}[{RANGE}s]",
        names::POD
    )
}

/// As PromQL reads it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

impl Scraper {
    /// Asks the server, if there is anything to ask it for.
    pub(super) async fn ask_server(&self, recorder: &Recorder) {
        let mut joint = self.joint();
        if joint.is_empty() {
            return;
        }
        let answer = self.fetch(recorder, &mut joint).await;
        let outcome = if answer.is_ok() { "told" } else { "failed" };
        self.0.metrics.scrape(outcome);
        match answer {
            Ok(glance) => self.heard(&glance, joint),
            Err(error) => self.failed(recorder, &error),
        }
    }

    async fn fetch(&self, recorder: &Recorder, joint: &mut Joint) -> Result<Glance, QueryError> {
        let asked = self.now();
        let shows = recorder.server.time().await?;
        let answered = self.now();
        recorder.ask(joint).await?;
        Ok(Glance {
            asked,
            answered,
            shows,
        })
    }

    /// The replicas of all models that are still there.
    fn joint(&self) -> Joint {
        let state = self.state_of_present();
        let models = state.models.iter();
        Joint::of(models.flat_map(|(key, model)| {
            let replicas = model.known_until();
            replicas.map(move |(replica, until)| (key.clone(), replica.clone(), until))
        }))
    }

    fn heard(&self, glance: &Glance, joint: Joint) {
        let mut state = self.state();
        if state.fault.take().is_some() {
            tracing::info!("the Prometheus server answers again");
        }
        let State { clock, models, .. } = &mut *state;
        if clock.seen(glance) {
            tracing::warn!("the clock of the Prometheus server was set");
            models.values_mut().for_each(Model::begin_anew);
        }
        for (key, replica, recorded) in joint.told() {
            let Some(model) = models.get_mut(&key) else {
                continue;
            };
            let Recorded { readings, silence } = recorded;
            if let Some(silence) = model.hush(&replica, silence) {
                let (pod, reason) = (&replica.pod, silence.reason());
                tracing::warn!(model = %key, pod, reason, "the Prometheus server {silence}");
            }
            for (shown, lasts, told) in readings {
                if let Some(at) = clock.moment(shown) {
                    model.record(&replica, told, (shown, at), lasts);
                }
            }
        }
    }

    fn failed(&self, recorder: &Recorder, error: &QueryError) {
        let fault = format!("the Prometheus server at {} {error}", recorder.server);
        let before = self.state().fault.replace(fault.clone());
        if before.as_ref() != Some(&fault) {
            tracing::warn!(reason = error.reason(), "{fault}");
        }
    }

    /// Why nothing is known of a model's replicas; `None` if something is.
    pub(super) fn why_untold(&self, state: &State, model: &Model, now: Duration) -> Option<String> {
        let Source::Server(Recorder { server, .. }) = &self.0.source else {
            return None;
        };
        let silence = model.silence(now)?;
        let fault = state.fault.clone();
        Some(fault.unwrap_or_else(|| format!("the Prometheus server at {server} {silence}")))
    }
}
