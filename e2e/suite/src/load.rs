//! Callers that go on asking while something happens.

use std::collections::BTreeSet;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::Gateway;

/// Callers at work.
#[derive(Debug)]
pub struct Load {
    stop: watch::Sender<bool>,
    callers: JoinSet<Tally>,
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

impl Load {
    /// Lets `callers` ask one model for embeddings, each again as soon as it was answered.
    #[must_use]
    pub fn start(gateway: &Gateway, model: &str, callers: usize) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for _ in 0..callers {
            tasks.spawn(call(gateway.clone(), model.to_owned(), stopped.clone()));
        }
        Self {
            stop,
            callers: tasks,
        }
    }

    /// Lets each caller have its last answer and tells all.
    ///
    /// # Panics
    /// When a caller did.
    pub async fn stop(self) -> Tally {
        self.stop.send_replace(true);
        let tallies = self.callers.join_all().await;
        tallies.into_iter().fold(Tally::default(), |mut all, one| {
            all.answered += one.answered;
            all.failed.extend(one.failed);
            all.revisions.extend(one.revisions);
            all
        })
    }
}

async fn call(gateway: Gateway, model: String, stopped: watch::Receiver<bool>) -> Tally {
    let mut tally = Tally::default();
    while !*stopped.borrow() {
        match gateway.embed(&model).await {
            Ok(embedding) => {
                tally.answered += 1;
                tally.revisions.insert(embedding.revision);
            }
            Err(error) => tally.failed.push(format!("{error:#}")),
        }
    }
    tally
}

impl Tally {
    /// Whoever was not answered was told why by the gateway itself, and callers were answered.
    ///
    /// # Panics
    /// When a connection just ended, or nobody was answered.
    pub fn assert_answered_or_told(&self) {
        println!(
            "{} requests answered, {:#?} failed",
            self.answered, self.failed
        );
        let untold = self
            .failed
            .iter()
            .filter(|told| !told.contains("\"error\""));
        assert_eq!(untold.count(), 0, "{:#?}", self.failed);
        assert!(self.answered > 0, "no request was answered");
    }

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
