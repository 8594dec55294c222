//! The replicas of a simulated model: ordered, starting, ready, draining, gone; and the gateway's
//! way to them, which is the gateway's own code.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use chandler_core::traffic::{Ask, Draws, Endpoint, Load, ModelRoute, RevisionRoute, pick};

use super::dice::Dice;
use super::model::ReplicaModel;
use super::replica::{Ended, Engine, Job, Nanos};
use super::tell::Counters;

/// Replicas that are asked to take a request before it is refused.
const MOST_TRIES: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Starting,
    Ready,
    Draining,
    Gone,
}

#[derive(Debug)]
pub(super) struct Replica {
    pub(super) state: State,
    pub(super) engine: Engine,
    pub(super) counters: Counters,
    /// Of its pod, which no other one has.
    pub(super) name: String,
    ordered: Nanos,
}

/// All replicas that ever were, and who is open to requests.
#[derive(Debug)]
pub(super) struct Fleet {
    model: Arc<ReplicaModel>,
    slow_share: f64,
    pub(super) replicas: Vec<Replica>,
    /// Those that are not gone, oldest first.
    live: Vec<usize>,
    /// Those that take requests, in the route's order.
    open: Vec<usize>,
    route: ModelRoute,
    spent: u128,
}

impl Fleet {
    pub(super) fn new(model: Arc<ReplicaModel>, slow_share: f64) -> Self {
        Self {
            model,
            slow_share,
            replicas: Vec::new(),
            live: Vec::new(),
            open: Vec::new(),
            route: ModelRoute::default(),
            spent: 0,
        }
    }

    /// Those that are asked for: not the ones that drain.
    pub(super) fn desired(&self) -> usize {
        self.in_state(|state| matches!(state, State::Starting | State::Ready))
    }

    pub(super) fn ready(&self) -> usize {
        self.open.len()
    }

    /// Those that take requests.
    pub(super) fn open(&self) -> impl Iterator<Item = &Replica> {
        self.open.iter().map(|at| &self.replicas[*at])
    }

    fn in_state(&self, is: impl Fn(State) -> bool) -> usize {
        let states = self.live.iter().map(|at| self.replicas[*at].state);
        states.filter(|state| is(*state)).count()
    }

    /// Orders one more; gives its number.
    pub(super) fn order(&mut self, now: Nanos, dice: &mut Dice) -> usize {
        let slowness = if dice.share() < self.slow_share {
            2.0
        } else {
            1.0
        };
        let number = self.replicas.len();
        self.replicas.push(Replica {
            state: State::Starting,
            engine: Engine::new(Arc::clone(&self.model), slowness),
            counters: Counters::default(),
            name: number.to_string(),
            ordered: now,
        });
        self.live.push(number);
        number
    }

    /// Lets one go: the youngest that starts, else the youngest that is ready, as a ReplicaSet
    /// does. Gives its number if it has something to finish.
    pub(super) fn release(&mut self, now: Nanos) -> Option<usize> {
        let youngest = |state| {
            let mut live = self.live.iter().rev();
            live.find(|at| self.replicas[**at].state == state).copied()
        };
        let number = youngest(State::Starting).or_else(|| youngest(State::Ready))?;
        let replica = &mut self.replicas[number];
        if replica.state == State::Ready && replica.engine.in_flight() > 0 {
            replica.state = State::Draining;
            self.reroute();
            return Some(number);
        }
        self.end(number, now);
        None
    }

    pub(super) fn becomes_ready(&mut self, number: usize) -> bool {
        let replica = &mut self.replicas[number];
        let starts = replica.state == State::Starting;
        if starts {
            replica.state = State::Ready;
            self.reroute();
        }
        starts
    }

    /// Its process ends and begins anew: all it had is given back.
    pub(super) fn crash(&mut self, number: usize) -> Vec<Job> {
        let replica = &mut self.replicas[number];
        replica.state = State::Starting;
        replica.counters = Counters::default();
        let spilt = replica.engine.spill();
        self.reroute();
        spilt
    }

    /// It is gone; gives what it had.
    pub(super) fn end(&mut self, number: usize, now: Nanos) -> Vec<Job> {
        let replica = &mut self.replicas[number];
        if replica.state == State::Gone {
            return Vec::new();
        }
        replica.state = State::Gone;
        self.spent += u128::from(now - replica.ordered);
        let spilt = replica.engine.spill();
        self.live.retain(|at| *at != number);
        self.reroute();
        spilt
    }

    /// Replicas' time from their orders to their ends, in hours.
    pub(super) fn hours(&self, now: Nanos) -> f64 {
        let live = self
            .live
            .iter()
            .map(|at| u128::from(now - self.replicas[*at].ordered));
        (self.spent + live.sum::<u128>()) as f64 / 3.6e12
    }

    /// Gives a request to a replica that has room; gives the replica's number, or the request back.
    pub(super) fn send(
        &mut self,
        mut job: Job,
        now: Nanos,
        dice: &mut Dice,
        ended: &mut Ended,
    ) -> Result<usize, Job> {
        job.sent = now;
        let mut tried: Vec<String> = Vec::new();
        loop {
            let ask = Ask {
                tried: &tried,
                draws: Draws {
                    revision: 0.0,
                    replica: dice.number(),
                },
                ..Ask::default()
            };
            let load = |place: chandler_core::traffic::Place| {
                let engine = &self.replicas[self.open[place.endpoint]].engine;
                Load {
                    in_flight: u32::try_from(engine.in_flight()).unwrap_or(u32::MAX),
                    queued_tokens: engine.queued_tokens(),
                    ejected: false,
                }
            };
            let Ok(place) = pick(&self.route, &ask, load) else {
                return Err(job);
            };
            let number = self.open[place.endpoint];
            match self.replicas[number].engine.take(job, now, ended) {
                Ok(()) => return Ok(number),
                Err(_) if tried.len() + 1 < MOST_TRIES => tried.push(number.to_string()),
                Err(job) => return Err(job),
            }
        }
    }

    fn reroute(&mut self) {
        let ready = |at: &&usize| self.replicas[**at].state == State::Ready;
        self.open = self.live.iter().filter(ready).copied().collect();
        let endpoint = |number: &usize| Endpoint {
            id: number.to_string(),
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        };
        self.route.revisions = vec![RevisionRoute {
            revision: "simulated".to_owned(),
            weight: 100,
            endpoints: self.open.iter().map(endpoint).collect(),
        }];
    }
}
