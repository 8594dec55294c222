//! Callers that go on asking while something happens.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use tokio::runtime;
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;

use crate::gateway::TEXT;
use crate::{Gateway, eventually};

/// Between an answer and the same caller's next request: the machine has a cluster to run as well.
const THOUGHT: Duration = Duration::from_millis(40);

/// Tokens of a streamed answer.
const STREAMED: u32 = 24;

/// Callers at work, on a thread of their own: a test that waits for a program keeps nobody from
/// asking. They stop when this is dropped.
#[derive(Debug)]
pub struct Load {
    /// Its receivers see when it is gone.
    going: watch::Sender<()>,
    answered: Arc<AtomicUsize>,
    callers: thread::JoinHandle<Tally>,
}

/// What became of the requests.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many were answered.
    pub answered: usize,
    /// Why others were not.
    pub failed: Vec<String>,
    /// The revisions that answered.
    pub revisions: BTreeSet<String>,
}

/// One who asks.
#[derive(Clone, Debug)]
struct Caller {
    gateway: Gateway,
    model: String,
    asked: Asked,
    going: watch::Receiver<()>,
    answered: Arc<AtomicUsize>,
}

/// What callers want.
#[derive(Clone, Debug)]
enum Asked {
    /// The vector of a text.
    Embedding(String),
    /// A streamed answer.
    Stream,
}

impl Load {
    /// Lets `callers` ask one model for embeddings, each again soon after it was answered.
    #[must_use]
    pub fn start(gateway: &Gateway, model: &str, callers: usize) -> Self {
        Self::start_with(gateway, model, callers, TEXT)
    }

    /// The same with a text of one's own.
    #[must_use]
    pub fn start_with(gateway: &Gateway, model: &str, callers: usize, text: &str) -> Self {
        Self::begin(gateway, model, callers, Asked::Embedding(text.to_owned()))
    }

    /// Lets `callers` ask a chat model for streams.
    #[must_use]
    pub fn start_chat(gateway: &Gateway, model: &str, callers: usize) -> Self {
        Self::begin(gateway, model, callers, Asked::Stream)
    }

    fn begin(gateway: &Gateway, model: &str, callers: usize, asked: Asked) -> Self {
        let (going, seen) = watch::channel(());
        let answered = Arc::new(AtomicUsize::new(0));
        let caller = Caller {
            gateway: gateway.clone(),
            model: model.to_owned(),
            asked,
            going: seen,
            answered: answered.clone(),
        };
        let callers = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .expect("a runtime for callers")
                .block_on(caller.times(callers))
        });
        Self {
            going,
            answered,
            callers,
        }
    }

    /// How many requests were answered until now.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits until that many more have been answered.
    ///
    /// # Errors
    /// They are not.
    pub async fn wait_answers(&self, more: usize) -> Result<()> {
        let enough = self.answered() + more;
        let come = async || (self.answered() >= enough).then_some(());
        eventually("answered so often", come).await
    }

    /// Lets each caller have its last answer and tells all.
    ///
    /// # Panics
    /// When a caller did.
    pub async fn stop(self) -> Tally {
        drop(self.going);
        let ended = spawn_blocking(|| self.callers.join()).await;
        ended.ok().and_then(Result::ok).expect("callers that end")
    }
}

impl Caller {
    /// So many at once.
    async fn times(self, callers: usize) -> Tally {
        let tasks: JoinSet<Tally> = (0..callers).map(|_| self.clone().ask()).collect();
        let tallies = tasks.join_all().await;
        tallies.into_iter().fold(Tally::default(), |mut all, one| {
            all.answered += one.answered;
            all.failed.extend(one.failed);
            all.revisions.extend(one.revisions);
            all
        })
    }

    /// Gives which revision answered.
    async fn ask_once(&self) -> Result<String> {
        let (gateway, model) = (&self.gateway, &self.model);
        Ok(match &self.asked {
            Asked::Embedding(text) => gateway.embed_text(model, text).await?.revision,
            Asked::Stream => gateway.chat(model, TEXT, STREAMED).await?.revision,
        })
    }

    async fn ask(self) -> Tally {
        let mut tally = Tally::default();
        while self.going.has_changed().is_ok() {
            match self.ask_once().await {
                Ok(revision) => {
                    tally.answered += 1;
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    tally.revisions.insert(revision);
                }
                Err(error) => tally.failed.push(format!("{error:#}")),
            }
            sleep(THOUGHT).await;
        }
        tally
    }
}

impl Tally {
    /// # Panics
    /// When a request failed, or none was made.
    pub fn assert_all_answered(&self) {
        println!(
            "{} requests answered by revisions {:?}, {} failed",
            self.answered,
            self.revisions,
            self.failed.len()
        );
        assert!(self.failed.is_empty(), "{:#?}", self.failed);
        assert!(self.answered > 0, "no request was made");
    }
}
