//! Live prompts that are asked aside: again of the revision that answered its caller, and of the one that is to take over from
//! it. No caller waits for it, pays for it or gets any of it, and all that is kept is how often the two answer alike.

mod prompt;

use std::sync::Arc;
use std::time::Duration;

use chandler_core::traffic::{Shadow, ShadowShare};
use chandler_evaluation::metrics::chrf;
use http::Request;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::attempt::{AnswerBody, AttemptError};
use crate::call::Call;
use crate::compare::{Counter, Counters};
use crate::gateway::Gateway;
use crate::in_flight::Lease;
use crate::observe::AccessRecord;

/// Prompts of one model that a gateway asks aside at a time; others are let pass meanwhile, for a revision that takes over is
/// not yet made for the load.
const AT_ONCE: usize = 2;
/// Longest time of an answer.
const ANSWER_TIME: Duration = Duration::from_secs(120);

/// Prompts of one model that are asked aside, for as long as a table says so.
#[derive(Debug)]
pub(crate) struct Aside {
    from: String,
    to: String,
    share: ShadowShare,
    asked: Arc<Counter>,
    alike: Arc<Counter>,
    room: Arc<Semaphore>,
}

impl Aside {
    /// What a table says, counted there.
    pub(crate) fn new(shadow: &Shadow, counters: &Counters) -> Option<Self> {
        Some(Self {
            asked: Arc::clone(counters.get(&shadow.from)?),
            alike: Arc::clone(counters.get(&shadow.to)?),
            from: shadow.from.clone(),
            to: shadow.to.clone(),
            share: shadow.share,
            room: Arc::new(Semaphore::new(AT_ONCE)),
        })
    }

    /// Whether it is this revision's callers whose prompts are asked.
    pub(crate) fn is_of(&self, revision: &str) -> bool {
        self.from == revision
    }

    /// Asks the prompt of a call that was answered, if it is one of those that are asked, and there is room.
    pub(crate) fn consider(self: &Arc<Self>, gateway: &Gateway, call: &Call) {
        if rand::random_range(0..100) >= self.share.percent {
            return;
        }
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else {
            return;
        };
        if let Some(call) = prompt::alone(call) {
            let aside = Arc::clone(self);
            tokio::spawn(aside.ask(gateway.clone(), call, room));
        }
    }

    /// Asks both, and counts whether they answer alike.
    async fn ask(self: Arc<Self>, gateway: Gateway, call: Call, _room: OwnedSemaphorePermit) {
        let (to, from) = tokio::join!(
            answer(&gateway, &call, &self.to),
            answer(&gateway, &call, &self.from)
        );
        // Of a prompt that the one before does not answer either nothing can be told, nor of one that nobody was asked.
        if let (Told::Text(from), Told::Text(_) | Told::Nothing) = (from, &to) {
            let is_alike = match to {
                Told::Text(to) => self.are_alike(&to, &from),
                _ => false,
            };
            self.asked.note_alike(true);
            self.alike.note_alike(is_alike);
        }
    }

    fn are_alike(&self, one: &str, other: &str) -> bool {
        let least = f64::from(self.share.millionths) / 1e4;
        chrf(one, other) >= least
    }
}

/// What became of a question.
#[derive(Debug)]
enum Told {
    Text(String),
    /// It was refused, or broke off.
    Nothing,
    /// No replica had time for it.
    NotAsked,
}

async fn answer(gateway: &Gateway, call: &Call, revision: &str) -> Told {
    let inner = gateway.inner();
    let snapshot = inner.routes.load();
    let model = snapshot.model(&call.model);
    let lease = model.and_then(|model| model.at_revision(revision, inner.now()));
    let Some(lease) = lease else {
        return Told::NotAsked;
    };
    let asked = timeout(ANSWER_TIME, text(gateway, call, &lease)).await;
    asked.unwrap_or(Told::Nothing)
}

async fn text(gateway: &Gateway, call: &Call, lease: &Lease) -> Told {
    // Nobody's, so that nobody is told of it.
    let record = AccessRecord::begin(&Arc::default(), &mut Request::new(()));
    let attempt = record.attempt(lease.seat(), Instant::now());
    let upstream = &gateway.inner().upstream;
    let answer = match upstream.attempt(call, lease, ANSWER_TIME, &attempt).await {
        Ok(answer) => answer,
        Err(AttemptError::NotReady | AttemptError::Unreachable(_)) => return Told::NotAsked,
        Err(_) => return Told::Nothing,
    };
    let text = match &answer.body {
        AnswerBody::Whole(body) if answer.parts.status.is_success() => prompt::text(body),
        _ => None,
    };
    text.map_or(Told::Nothing, Told::Text)
}
