//! Turns at saturated models: a request waits here while the gateway has as many in flight at a
//! model as its replicas work on at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chandler_core::traffic::fair::{AccountId, Asked, FairQueue, Full, Ticket};
use chandler_core::traffic::{ModelRoute, RouteTable};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::metrics::AccountMetrics;

/// What the caller of a request asks of its model's gate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    pub(super) account: AccountId,
    pub(super) weight: u32,
    /// Tokens, about.
    pub(super) cost: u64,
    /// After how long a turn is of no use any more.
    pub(super) patience: Duration,
}

/// A request's turn at its model. Dropped, it is given up, or over.
#[derive(Debug)]
pub(super) enum Turn {
    /// It has come.
    Come(Place),
    /// It will.
    Awaited(Queued),
}

/// How many requests the ready replicas of a model work on at once. `None`, no bound, while there
/// is none: such requests wait for a replica, and not for each other.
pub(super) fn room(route: &ModelRoute) -> Option<usize> {
    let weighted = route.revisions.iter().filter(|it| it.weight > 0);
    let replicas: usize = weighted.map(|it| it.endpoints.len()).sum();
    let slots = usize::try_from(route.slots.max(1)).unwrap_or(usize::MAX);
    (replicas > 0).then(|| replicas.saturating_mul(slots))
}

/// The gates of all models that have requests, by `namespace/name`.
#[derive(Debug)]
pub(super) struct Gates {
    models: Mutex<HashMap<String, Gate>>,
    /// Most requests that wait at one gate.
    longest: usize,
    metrics: AccountMetrics,
    began: Instant,
}

#[derive(Debug)]
struct Gate {
    queue: FairQueue,
    running: usize,
    room: Option<usize>,
    waiting: HashMap<Ticket, Waiter>,
}

/// Who waits for a turn. It is told [`Full`] if it has to make room for another.
type Waiter = oneshot::Sender<Result<Place, Full>>;

/// Turns to be told to those who wait for them, once the lock is released: a place that nobody
/// takes any more goes back by the same lock.
type Turns = Vec<(Waiter, Result<Place, Full>)>;

impl Gate {
    fn new(longest: usize) -> Self {
        Self {
            queue: FairQueue::new(longest),
            running: 0,
            room: None,
            waiting: HashMap::new(),
        }
    }

    fn has_room(&self) -> bool {
        self.room.is_none_or(|room| self.running < room)
    }

    fn is_idle(&self) -> bool {
        self.running == 0 && self.waiting.is_empty()
    }
}

impl Gates {
    pub(super) fn new(longest: usize, metrics: AccountMetrics) -> Self {
        Self {
            models: Mutex::default(),
            longest,
            metrics,
            began: Instant::now(),
        }
    }

    fn models(&self) -> MutexGuard<'_, HashMap<String, Gate>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A turn at the model of `route`, be it now or later.
    ///
    /// # Errors
    /// The queue is full, and others have a better right to what it holds.
    pub(super) fn turn(self: &Arc<Self>, route: &ModelRoute, wish: Wish) -> Result<Turn, Full> {
        let asked = Asked {
            account: wish.account,
            weight: wish.weight,
            cost: wish.cost,
            deadline: self.began.elapsed().saturating_add(wish.patience),
        };
        let mut models = self.models();
        let gate = models.entry(route.key.clone());
        let gate = gate.or_insert_with(|| Gate::new(self.longest));
        gate.room = room(route);
        if gate.has_room() && gate.queue.is_empty() {
            gate.queue.pass(asked);
            gate.running += 1;
            let place = self.placed(&route.key, asked.account, asked.cost);
            return Ok(Turn::Come(place));
        }
        let queued = gate.queue.push(asked)?;
        let (sender, turn) = oneshot::channel();
        gate.waiting.insert(queued.ticket, sender);
        let mut turns = self.turns(&route.key, gate);
        let evicted = queued.evicted.and_then(|it| gate.waiting.remove(&it));
        turns.extend(evicted.map(|sender| (sender, Err(Full))));
        self.tell(&route.key, gate);
        drop(models);
        hand_out(turns);
        Ok(Turn::Awaited(Queued {
            gates: Arc::clone(self),
            model: route.key.clone(),
            account: asked.account,
            ticket: queued.ticket,
            turn,
        }))
    }

    fn placed(self: &Arc<Self>, model: &str, account: AccountId, charged: u64) -> Place {
        Place {
            gates: Arc::clone(self),
            model: model.to_owned(),
            account,
            charged,
            used: charged,
        }
    }

    /// Gives turns for as long as there is room.
    fn turns(self: &Arc<Self>, model: &str, gate: &mut Gate) -> Turns {
        let now = self.began.elapsed();
        let mut turns = Vec::new();
        while gate.has_room()
            && let Some(turn) = gate.queue.pop(now)
        {
            let Some(sender) = gate.waiting.remove(&turn.ticket) else {
                gate.queue.settle(turn.account, turn.charged, 0);
                continue;
            };
            gate.running += 1;
            let place = self.placed(model, turn.account, turn.charged);
            turns.push((sender, Ok(place)));
        }
        turns
    }

    fn tell(&self, model: &str, gate: &Gate) {
        self.metrics.queued(model, gate.waiting.len());
    }

    /// Does `change` to a gate, and gives the turns that come of it.
    fn change(self: &Arc<Self>, model: &str, change: impl FnOnce(&mut Gate)) {
        let mut models = self.models();
        let Some(gate) = models.get_mut(model) else {
            return;
        };
        change(gate);
        let turns = self.turns(model, gate);
        self.tell(model, gate);
        if gate.is_idle() {
            models.remove(model);
        }
        drop(models);
        hand_out(turns);
    }

    /// Lets as many pass as the replicas of a new table have room for. A model that is gone, or
    /// has no replica, keeps nobody here.
    pub(super) fn rooms(self: &Arc<Self>, table: &RouteTable) {
        let models = self.models();
        let waited = models.iter().filter(|(_, gate)| !gate.waiting.is_empty());
        let waited: Vec<String> = waited.map(|(model, _)| model.clone()).collect();
        drop(models);
        for model in waited {
            let route = table.models.values().find(|route| route.key == model);
            let room = route.and_then(room);
            self.change(&model, |gate| gate.room = room);
        }
    }
}

fn hand_out(turns: Turns) {
    for (sender, turn) in turns {
        // Of one who has left, the place goes back when it is dropped here.
        let _ = sender.send(turn);
    }
}

impl Turn {
    /// Waits until it has come. May be given up and called again: it keeps its place in the queue.
    ///
    /// # Errors
    /// It had to make room for another.
    pub(super) async fn come(&mut self) -> Result<(), Full> {
        if let Self::Awaited(queued) = self {
            let place = (&mut queued.turn).await.unwrap_or(Err(Full))?;
            *self = Self::Come(place);
        }
        Ok(())
    }

    /// Whether it has.
    pub(super) fn has_come(&self) -> bool {
        matches!(self, Self::Come(_))
    }

    /// What the request costs, once that is known.
    pub(super) fn used(&mut self, tokens: u64) {
        if let Self::Come(place) = self {
            place.used = tokens;
        }
    }
}

/// One request's place in a queue. Dropped, it is taken out: its caller has left, or its time is up.
#[derive(Debug)]
pub(super) struct Queued {
    gates: Arc<Gates>,
    model: String,
    account: AccountId,
    ticket: Ticket,
    turn: oneshot::Receiver<Result<Place, Full>>,
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.gates.change(&self.model, |gate| {
            if gate.waiting.remove(&self.ticket).is_some() {
                gate.queue.remove(self.account, self.ticket);
            }
        });
    }
}

/// One request's place at its model until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    gates: Arc<Gates>,
    model: String,
    account: AccountId,
    charged: u64,
    /// What it cost; as much as was charged unless told otherwise.
    used: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let (account, charged, used) = (self.account, self.charged, self.used);
        let gates = Arc::clone(&self.gates);
        gates.change(&self.model, |gate| {
            gate.running = gate.running.saturating_sub(1);
            gate.queue.settle(account, charged, used);
        });
    }
}

#[cfg(test)]
#[path = "gates_tests.rs"]
mod tests;
