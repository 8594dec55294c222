//! Turns at saturated models: a request waits here while the gateway has as many in flight at a
//! model as its replicas work on at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chandler_core::traffic::fair::{AccountId, Asked, FairQueue, Ticket};
use chandler_core::traffic::{ModelRoute, RouteTable};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::metrics::AccountMetrics;

/// Why a request got no turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shed {
    /// The queue is full, and others have a better right to what it holds.
    Full,
    TimeIsUp,
}

/// What the caller of a request asks of its model's gate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish {
    pub(super) account: AccountId,
    pub(super) weight: u32,
    /// Tokens, about.
    pub(super) cost: u64,
    /// The longest wait.
    pub(super) patience: Duration,
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
    waiting: HashMap<Ticket, oneshot::Sender<Result<Place, Shed>>>,
}

/// Turns to be told to those who wait for them, once the lock is released: a place that nobody
/// takes any more goes back by the same lock.
type Turns = Vec<(oneshot::Sender<Result<Place, Shed>>, Result<Place, Shed>)>;

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

    /// Waits for a turn at the model of `route`. Dropping the future gives the turn up.
    pub(super) async fn place(
        self: &Arc<Self>,
        route: &ModelRoute,
        wish: Wish,
    ) -> Result<Place, Shed> {
        let asked = Asked {
            account: wish.account,
            weight: wish.weight,
            cost: wish.cost,
            deadline: self.began.elapsed().saturating_add(wish.patience),
        };
        let (ticket, turn) = match self.enter(route, asked)? {
            Entered::Placed(place) => return Ok(place),
            Entered::Queued(ticket, turn) => (ticket, turn),
        };
        let _leaving = Leaving {
            gates: self,
            model: &route.key,
            account: wish.account,
            ticket,
        };
        match timeout(wish.patience, turn).await {
            Ok(Ok(turn)) => turn,
            Ok(Err(_)) | Err(_) => Err(Shed::TimeIsUp),
        }
    }

    fn enter(self: &Arc<Self>, route: &ModelRoute, asked: Asked) -> Result<Entered, Shed> {
        let mut models = self.models();
        let gate = models.entry(route.key.clone());
        let gate = gate.or_insert_with(|| Gate::new(self.longest));
        gate.room = room(route);
        if gate.has_room() && gate.queue.is_empty() {
            gate.queue.pass(asked);
            gate.running += 1;
            let place = self.placed(&route.key, asked.account, asked.cost);
            return Ok(Entered::Placed(place));
        }
        let queued = gate.queue.push(asked).map_err(|_| Shed::Full)?;
        let (sender, turn) = oneshot::channel();
        gate.waiting.insert(queued.ticket, sender);
        let mut turns = self.turns(&route.key, gate);
        let evicted = queued.evicted.and_then(|it| gate.waiting.remove(&it));
        turns.extend(evicted.map(|sender| (sender, Err(Shed::Full))));
        self.tell(&route.key, gate);
        drop(models);
        hand_out(turns);
        Ok(Entered::Queued(queued.ticket, turn))
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

enum Entered {
    Placed(Place),
    Queued(Ticket, oneshot::Receiver<Result<Place, Shed>>),
}

fn hand_out(turns: Turns) {
    for (sender, turn) in turns {
        // Of one who has left, the place goes back when it is dropped here.
        let _ = sender.send(turn);
    }
}

/// Takes a request out of its queue when its caller leaves or its time is up.
struct Leaving<'a> {
    gates: &'a Arc<Gates>,
    model: &'a str,
    account: AccountId,
    ticket: Ticket,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.gates.change(self.model, |gate| {
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
    pub(super) used: u64,
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
