//! Replicas asked each second what they measure.

use std::time::Duration;

use chandler_core::load::Reading;
use chandler_core::validate::ModelKey;
use chandler_probe::{Client, idle, reading};
use futures::{StreamExt, stream};

use super::model::Told;
use super::{Replica, Scraper};

/// The longest that a replica is waited for.
const ANSWER_TIME: Duration = Duration::from_secs(1);
/// Questions at one time.
pub(super) const AT_ONCE: usize = 64;
/// Questions in a row that come to nothing before people are told.
const TELL_AFTER: u32 = 3;

/// What became of a question.
#[derive(Debug)]
pub(super) enum Answer {
    /// All that a reading needs.
    Told(Told),
    /// Metrics that are not those of a replica, or that can't be.
    Odd,
    /// None.
    Silent(chandler_probe::Failed),
}

impl Scraper {
    /// Asks everyone whose turn it is.
    pub(super) async fn ask_all(&self, client: &Client) {
        let due = self.due();
        let questions = stream::iter(due).map(async |(key, replica)| {
            let answer = ask(client, &replica).await;
            self.note(&key, &replica, answer);
        });
        questions.buffer_unordered(AT_ONCE).collect::<()>().await;
    }

    /// Who is to be asked, of the models that are still there.
    fn due(&self) -> Vec<(ModelKey, Replica)> {
        let mut due = Vec::new();
        for (key, model) in &mut self.state_of_present().models {
            due.extend(model.due().into_iter().map(|it| (key.clone(), it)));
        }
        due
    }

    /// Notes an answer as it comes, so that nobody's numbers wait for another's.
    pub(super) fn note(&self, key: &ModelKey, replica: &Replica, answer: Answer) {
        self.0.metrics.scrape(answer.outcome());
        let why = answer.why();
        let told = answer.told();
        let now = self.now();
        let mut state = self.state();
        let model = state.models.get_mut(key);
        let misses = model.map_or(0, |model| model.note(replica, told, now));
        if misses == TELL_AFTER {
            let (address, error) = (replica.address, why);
            tracing::warn!(model = %key, %address, error, "a replica does not tell its load");
        }
    }
}

pub(super) async fn ask(client: &Client, replica: &Replica) -> Answer {
    match client.metrics(replica.address, ANSWER_TIME).await {
        Ok(told) => match reading(&told).filter(Reading::is_plausible) {
            Some(reading) => Answer::Told(Told {
                reading,
                idle: idle(&told),
            }),
            None => Answer::Odd,
        },
        Err(error) => Answer::Silent(error),
    }
}

impl Answer {
    fn told(self) -> Option<Told> {
        match self {
            Self::Told(told) => Some(told),
            Self::Odd | Self::Silent(_) => None,
        }
    }

    /// Its label in metrics.
    fn outcome(&self) -> &'static str {
        match self {
            Self::Told(_) => "told",
            Self::Odd => "odd",
            Self::Silent(_) => "failed",
        }
    }

    /// Why nothing was told.
    fn why(&self) -> String {
        match self {
            Self::Told(_) => String::new(),
            Self::Odd => "its metrics are not those of a replica".to_owned(),
            Self::Silent(error) => error.to_string(),
        }
    }
}
