//! The simulation itself: arrivals, ends of runs, starts, crashes and looks, in the order of time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chandler_core::load::Series;

use super::dice::Dice;
use super::fleet::{Fleet, State};
use super::model::ReplicaModel;
use super::outcome::Outcome;
use super::policy::{LOOK, Policy, Sight};
use super::record::Record;
use super::replica::{Ended, Job, Nanos};
use super::trace::Trace;

/// How many replicas there may be, and how many there are as it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Fewest.
    pub min: u32,
    /// Most.
    pub max: u32,
    /// Ready from the first moment.
    pub first: u32,
}

/// What befalls the replicas and whoever looks at them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Longest time to the first token that is well.
    pub slo: Duration,
    /// Of all chance.
    pub seed: u64,
    /// Share of scrapes that get lost, 0 to 1.
    pub lost_scrapes: f64,
    /// Share of replicas that take twice the time for everything.
    pub slow_replicas: f64,
    /// Crashes of a replica in an hour.
    pub crashes_per_hour: f64,
    /// How late whoever looks and the gateway hear of a replica that is ready.
    pub watch_delay: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            slo: Duration::from_secs(2),
            seed: 1,
            lost_scrapes: 0.0,
            slow_replicas: 0.0,
            crashes_per_hour: 0.0,
            watch_delay: Duration::from_millis(500),
        }
    }
}

/// Runs a policy against a trace. The same arguments give the same outcome.
#[must_use]
pub fn simulate(
    trace: &Trace,
    model: &ReplicaModel,
    bounds: Bounds,
    policy: &mut dyn Policy,
    options: &Options,
) -> Outcome {
    let model = Arc::new(model.clone());
    let beside = Duration::try_from_secs_f64(model.request_seconds).unwrap_or(Duration::MAX);
    let mut run = Run {
        fleet: Fleet::new(Arc::clone(&model), options.slow_replicas),
        model,
        options: *options,
        bounds,
        dice: Dice::new(options.seed),
        events: BinaryHeap::new(),
        made: 0,
        scheduled: Vec::new(),
        held: VecDeque::new(),
        record: Record::new(trace, options.slo, beside),
        series: Series::default(),
        ended: Ended::default(),
        now: 0,
    };
    run.begin();
    run.go(trace, policy);
    run.record
        .outcome(policy.name(), run.fleet.hours(run.now), run.now)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    RunEnds { replica: usize, epoch: u32 },
    Starts(usize),
    Crashes(usize),
    DrainIsOver(usize),
    Look,
}

struct Run {
    model: Arc<ReplicaModel>,
    options: Options,
    bounds: Bounds,
    fleet: Fleet,
    dice: Dice,
    /// By time, then in the order they were made.
    events: BinaryHeap<Reverse<(Nanos, u64, Event)>>,
    made: u64,
    /// By replica: which of its runs' ends is among the events.
    scheduled: Vec<u32>,
    /// Requests that no replica is there for.
    held: VecDeque<Job>,
    record: Record,
    series: Series,
    ended: Ended,
    now: Nanos,
}

impl Run {
    fn begin(&mut self) {
        for _ in 0..self.bounds.first {
            let replica = self.order();
            self.becomes_ready(replica);
        }
        self.at(LOOK.as_nanos() as Nanos, Event::Look);
    }

    /// Until all of the trace has come and ended, and its length is over.
    fn go(&mut self, trace: &Trace, policy: &mut dyn Policy) {
        let end = nanos(trace.length);
        let mut arrivals = (0u32..).zip(&trace.requests).peekable();
        loop {
            let arrival = arrivals.peek().map(|(_, request)| nanos(request.at));
            let event = self.events.peek().map(|Reverse((at, _, _))| *at);
            match (arrival, event) {
                (Some(at), event) if event.is_none_or(|event| at <= event) => {
                    self.now = at;
                    if let Some((id, request)) = arrivals.next() {
                        self.arrive(Job {
                            id,
                            prompt: request.prompt_tokens,
                            answer: request.generated_tokens.max(1),
                            came: at,
                            sent: at,
                        });
                    }
                }
                (_, Some(at)) => {
                    let over = arrival.is_none() && at > end && self.record.in_flight() == 0;
                    if over || at > end + nanos(MOST_TAIL) {
                        self.now = self.now.max(end);
                        return;
                    }
                    self.now = at;
                    if let Some(Reverse((_, _, event))) = self.events.pop() {
                        self.happen(event, policy);
                    }
                }
                (None, None) | (Some(_), None) => return,
            }
        }
    }

    fn happen(&mut self, event: Event, policy: &mut dyn Policy) {
        match event {
            Event::RunEnds { replica, epoch } => {
                if self.fleet.replicas[replica].engine.epoch == epoch {
                    self.run_ends(replica);
                }
            }
            Event::Starts(replica) => self.becomes_ready(replica),
            Event::Crashes(replica) => self.crash(replica),
            Event::DrainIsOver(replica) => {
                let spilt = self.fleet.end(replica, self.now);
                self.record.lost(&spilt, self.now);
            }
            Event::Look => {
                self.look(policy);
                self.at(self.now + nanos(LOOK), Event::Look);
            }
        }
    }

    fn at(&mut self, at: Nanos, event: Event) {
        self.made += 1;
        self.events.push(Reverse((at, self.made, event)));
    }

    fn arrive(&mut self, job: Job) {
        self.record.came(self.now);
        self.route(job);
    }

    /// Sends a request where there is room, or holds it until there is a replica.
    fn route(&mut self, job: Job) {
        if self.fleet.ready() == 0 {
            self.held.push_back(job);
            return;
        }
        match self
            .fleet
            .send(job, self.now, &mut self.dice, &mut self.ended)
        {
            Ok(replica) => self.settle(replica),
            Err(job) => self.record.lost(&[job], self.now),
        }
    }

    fn run_ends(&mut self, replica: usize) {
        self.fleet.replicas[replica]
            .engine
            .finish(self.now, &mut self.ended);
        self.settle(replica);
        let there = &self.fleet.replicas[replica];
        if there.state == State::Draining && there.engine.in_flight() == 0 {
            self.fleet.end(replica, self.now);
        }
    }

    /// Notes what ended, and when the replica's run will.
    fn settle(&mut self, replica: usize) {
        let there = &mut self.fleet.replicas[replica];
        self.record
            .note(&mut self.ended, &mut there.counters, self.now);
        let (end, epoch) = (there.engine.end(), there.engine.epoch);
        if let Some(end) = end
            && self.scheduled[replica] != epoch
        {
            self.scheduled[replica] = epoch;
            self.at(end, Event::RunEnds { replica, epoch });
        }
    }

    fn order(&mut self) -> usize {
        let replica = self.fleet.order(self.now, &mut self.dice);
        self.scheduled.push(0);
        replica
    }

    /// A replica's start, as long as one of those that were measured.
    fn start(&mut self, replica: usize) {
        let starts = &self.model.start_seconds;
        let length = starts[self.dice.below(starts.len())];
        let delay = Duration::from_secs_f64(length) + self.options.watch_delay;
        self.at(self.now + nanos(delay), Event::Starts(replica));
    }

    fn becomes_ready(&mut self, replica: usize) {
        if !self.fleet.becomes_ready(replica) {
            return;
        }
        if self.options.crashes_per_hour > 0.0 {
            let wait = self.dice.wait(self.options.crashes_per_hour / 3600.0);
            let at = self.now + nanos(Duration::from_secs_f64(wait));
            self.at(at, Event::Crashes(replica));
        }
        for job in std::mem::take(&mut self.held) {
            self.route(job);
        }
    }

    /// Requests that have had nothing yet go to another replica, as the gateway sends them.
    fn crash(&mut self, replica: usize) {
        if self.fleet.replicas[replica].state != State::Ready {
            return;
        }
        let spilt = self.fleet.crash(replica);
        self.start(replica);
        for job in spilt {
            if self.record.is_answered(job.id) {
                self.record.lost(&[job], self.now);
            } else {
                self.route(job);
            }
        }
    }

    fn look(&mut self, policy: &mut dyn Policy) {
        let now = Duration::from_nanos(self.now);
        self.scrape(now);
        let load = self.series.load(REVISION, now);
        let trail = self.series.trail(now);
        let second = self.record.second(self.now);
        let queued: usize = self.fleet.open().map(|it| it.engine.waiting()).sum();
        let sight = Sight {
            now,
            desired: self.fleet.desired() as u32,
            ready: self.fleet.ready() as u32,
            held: self.held.len() as f64,
            concurrency: second.concurrency,
            queued: (queued + self.held.len()) as f64,
            arrived: second.arrived,
            load: load.as_ref(),
            trail: &trail,
        };
        self.record.sample(&sight);
        if let Some(wanted) = policy.look(&sight) {
            self.scale(wanted.clamp(self.bounds.min, self.bounds.max));
        }
    }

    /// Asks each ready replica what it measures, as a world does each second.
    fn scrape(&mut self, now: Duration) {
        let mut there = Vec::new();
        for replica in self.fleet.open() {
            let name = replica.name.as_str();
            there.push(name);
            if self.dice.share() >= self.options.lost_scrapes {
                let reading = replica.counters.reading(&replica.engine, self.now);
                self.series.note(REVISION, name, reading, now);
            }
        }
        self.series.keep(&there.into_iter().collect(), now);
    }

    fn scale(&mut self, wanted: u32) {
        let desired = self.fleet.desired() as u32;
        self.record.scaled(desired, wanted);
        for _ in desired..wanted {
            let replica = self.order();
            self.start(replica);
        }
        for _ in wanted..desired {
            if let Some(replica) = self.fleet.release(self.now) {
                let drain = Duration::from_secs_f64(self.model.drain_seconds);
                self.at(self.now + nanos(drain), Event::DrainIsOver(replica));
            }
        }
    }
}

/// The one revision of a simulation of traffic.
const REVISION: &str = "simulated";
/// Longest time that is simulated beyond the end of a trace, for those who still wait.
const MOST_TAIL: Duration = Duration::from_secs(3600);

/// A length that a simulation can have: five hundred years at most.
fn nanos(length: Duration) -> Nanos {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX / 2)
}
