//! What the requests sent to a replica tell of it, and one request's place there.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use chandler_core::traffic::health::EJECTION;
use chandler_core::traffic::{Endpoint, Health, Load};
use http::HeaderValue;

use crate::aside::Aside;
use crate::compare::Counter;
use crate::upstream::Pool;

/// How long a replica's word on its queue counts. One that gets no requests tells nothing new,
/// and must not be passed over for ever for what it told last.
const REPORT_COUNTS_FOR: Duration = Duration::from_secs(2);

/// What is known of one endpoint. Read by each request without a lock; written under one only
/// when something speaks against the endpoint.
#[derive(Debug, Default)]
pub(crate) struct Replica {
    in_flight: AtomicU32,
    /// Tokens in its queue as it told, in the lower half; when it did, in milliseconds, in the
    /// upper. As one number, so that they change as one.
    report: AtomicU64,
    /// [`Health::ejected_until`] in nanoseconds: 0 if admitted, `u64::MAX` while on trial.
    ejected_until: AtomicU64,
    /// Whether a success would change `health`.
    blemished: AtomicBool,
    health: Mutex<Health>,
    /// Connections that rest.
    pub(crate) pool: Pool,
}

impl Replica {
    pub(crate) fn load(&self, now: Duration) -> Load {
        let until = self.ejected_until.load(Ordering::Relaxed);
        Load {
            in_flight: self.in_flight.load(Ordering::Relaxed),
            queued_tokens: self.queued_tokens(now),
            ejected: until > 0 && nanos(now) < until,
        }
    }

    fn queued_tokens(&self, now: Duration) -> u64 {
        let report = self.report.load(Ordering::Relaxed);
        let age = millis(now).wrapping_sub((report >> 32) as u32);
        if u128::from(age) < REPORT_COUNTS_FOR.as_millis() {
            report & u64::from(u32::MAX)
        } else {
            0
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Health) -> T) -> T {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut health);
        let until = nanos(health.ejected_until());
        self.ejected_until.store(until, Ordering::Relaxed);
        self.blemished
            .store(!health.is_spotless(), Ordering::Relaxed);
        result
    }

    /// Whether a request may go there, and if so, whether it is the one that tries it.
    fn admit(&self, now: Duration, ejected_too: bool) -> Option<Trial> {
        let until = self.ejected_until.load(Ordering::Relaxed);
        if until == 0 {
            return Some(Trial(false));
        }
        if nanos(now) < until {
            return ejected_too.then_some(Trial(false));
        }
        self.change(|health| {
            if health.begin_trial(now) {
                return Some(Trial(true));
            }
            // Readmitted meanwhile, or tried by another request.
            (ejected_too || !health.is_ejected(now)).then_some(Trial(false))
        })
    }
}

struct Trial(bool);

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Wraps around after 49 days: what was told so long ago may then count once more.
fn millis(time: Duration) -> u32 {
    time.as_millis() as u32
}

/// Every endpoint that a table names or a request still uses. An endpoint keeps its count when a
/// table drops it while it drains, and when a later table takes it back.
#[derive(Debug, Default)]
pub(crate) struct Replicas(HashMap<String, Known>);

#[derive(Debug)]
struct Known {
    endpoint: Endpoint,
    /// The last table that named it.
    version: u64,
    replica: Weak<Replica>,
}

impl Replicas {
    /// The one replica of `endpoint`, which the table of `version` names; made if there is none.
    /// One that comes back, or listens elsewhere than before, is ready anew, whatever it did.
    pub(crate) fn of(&mut self, endpoint: &Endpoint, version: u64) -> Arc<Replica> {
        if let Some(known) = self.0.get_mut(&endpoint.id)
            && let Some(replica) = known.replica.upgrade()
        {
            if known.endpoint != *endpoint || known.version + 1 < version {
                replica.change(|health| *health = Health::default());
                known.endpoint = endpoint.clone();
            }
            known.version = version;
            return replica;
        }
        let replica = Arc::default();
        let known = Known {
            endpoint: endpoint.clone(),
            version,
            replica: Arc::downgrade(&replica),
        };
        self.0.insert(endpoint.id.clone(), known);
        replica
    }

    /// Requests in flight at `id`; 0 for one never heard of.
    pub(crate) fn in_flight(&self, id: &str) -> u64 {
        let replica = self.0.get(id).and_then(|known| known.replica.upgrade());
        replica.map_or(0, |replica| {
            replica.in_flight.load(Ordering::Relaxed).into()
        })
    }

    /// Forgets endpoints that neither a table nor a request holds.
    pub(crate) fn forget_unused(&mut self) {
        self.0.retain(|_, known| known.replica.strong_count() > 0);
    }
}

/// A replica as one table has it.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) endpoint: Endpoint,
    /// Its address as a request's header has it.
    pub(crate) host: HeaderValue,
    /// The revision's hash.
    pub(crate) revision: Arc<str>,
    /// The same as a header of an answer.
    pub(crate) revision_header: HeaderValue,
    /// What the endpoint calls the model.
    pub(crate) served_name: Arc<str>,
    pub(crate) replica: Arc<Replica>,
    /// Where what becomes of its requests is counted, while its revision shares the traffic.
    pub(crate) counter: Option<Arc<Counter>>,
    /// Where its callers' prompts are asked aside.
    pub(crate) aside: Option<Arc<Aside>>,
}

/// One request's place at a replica; counted from its creation until it is dropped. Whoever has
/// it tells what became of the request, or nothing if that says nothing of the replica.
#[derive(Debug)]
pub(crate) struct Lease {
    seat: Arc<Seat>,
    /// Whether this request tries an ejected replica and has not told yet.
    trial: AtomicBool,
}

impl Lease {
    /// Where it is, to be told of later.
    pub(crate) fn seat(&self) -> Arc<Seat> {
        Arc::clone(&self.seat)
    }
}

impl Deref for Lease {
    type Target = Seat;

    fn deref(&self) -> &Seat {
        &self.seat
    }
}

impl Seat {
    pub(crate) fn new(
        endpoint: Endpoint,
        revision: Arc<str>,
        served_name: Arc<str>,
        replica: Arc<Replica>,
        counter: Option<Arc<Counter>>,
    ) -> Self {
        let host = HeaderValue::from_str(&endpoint.addr.to_string());
        // A hash is always the value of a header.
        let revision_header = HeaderValue::from_str(&revision);
        Self {
            // An address and a port are always the value of a header.
            host: host.unwrap_or(HeaderValue::from_static("replica")),
            revision_header: revision_header.unwrap_or(HeaderValue::from_static("")),
            endpoint,
            revision,
            served_name,
            replica,
            counter,
            aside: None,
        }
    }

    /// The same, whose callers' prompts are asked aside as well.
    pub(crate) fn with_aside(self, aside: Option<Arc<Aside>>) -> Self {
        Self { aside, ..self }
    }
}

impl Lease {
    /// A place at `seat`; `None` if the replica is ejected, unless the request is to go to
    /// `ejected_too`. Of requests that find its time over, the first gets a place to try it.
    pub(crate) fn take(seat: &Arc<Seat>, now: Duration, ejected_too: bool) -> Option<Self> {
        let Trial(trial) = seat.replica.admit(now, ejected_too)?;
        seat.replica.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(Self {
            seat: Arc::clone(seat),
            trial: AtomicBool::new(trial),
        })
    }

    /// The replica answered. To be told of any answer but a 5xx, as soon as it is known.
    pub(crate) fn succeeded(&self) {
        self.trial.store(false, Ordering::Relaxed);
        if self.replica.blemished.load(Ordering::Relaxed) {
            self.replica.change(Health::succeeded);
        }
    }

    /// The replica could not be reached, was lost, or answered with a 5xx that is more than a
    /// word that it takes no requests now.
    pub(crate) fn failed(&self, now: Duration) {
        self.trial.store(false, Ordering::Relaxed);
        self.replica.change(|health| health.failed(now, &EJECTION));
    }

    /// Counts a request that it did not answer against its revision, if that shares the traffic.
    pub(crate) fn count_failure(&self) {
        if let Some(counter) = &self.counter {
            counter.fail();
        }
    }

    /// The replica told how many tokens wait in its queue.
    pub(crate) fn report_queued_tokens(&self, tokens: u64, now: Duration) {
        let tokens = tokens.min(u32::MAX.into());
        let report = u64::from(millis(now)) << 32 | tokens;
        self.replica.report.store(report, Ordering::Relaxed);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.replica.in_flight.fetch_sub(1, Ordering::Relaxed);
        if self.trial.load(Ordering::Relaxed) {
            self.replica.change(Health::abandon_trial);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn endpoint(id: &str, port: u16) -> Endpoint {
        Endpoint {
            id: id.into(),
            addr: ([127, 0, 0, 1], port).into(),
        }
    }

    fn seat(replicas: &mut Replicas, endpoint: Endpoint, version: u64) -> Arc<Seat> {
        let replica = replicas.of(&endpoint, version);
        Arc::new(Seat::new(endpoint, "r".into(), "m".into(), replica, None))
    }

    fn a_seat() -> Arc<Seat> {
        seat(&mut Replicas::default(), endpoint("a", 1), 1)
    }

    fn ejected() -> Arc<Seat> {
        let seat = a_seat();
        for _ in 0..EJECTION.failures {
            Lease::take(&seat, at(0), false).unwrap().failed(at(0));
        }
        assert!(seat.replica.load(at(1)).ejected);
        seat
    }

    #[test]
    fn a_count_lives_as_long_as_its_last_request() {
        let mut replicas = Replicas::default();
        let mut lease =
            || Lease::take(&seat(&mut replicas, endpoint("a", 1), 1), at(0), false).unwrap();
        let (first, second) = (lease(), lease());
        replicas.forget_unused();
        assert_eq!((replicas.in_flight("a"), replicas.in_flight("b")), (2, 0));
        drop(first);
        assert_eq!(replicas.in_flight("a"), 1);
        drop(second);
        replicas.forget_unused();
        assert_eq!((replicas.in_flight("a"), replicas.0.len()), (0, 0));
    }

    #[test]
    fn an_ejected_replica_is_tried_by_one_request_of_many() {
        let seat = ejected();
        let over = EJECTION.base;
        assert!(!seat.replica.load(over).ejected);
        let leases = std::thread::scope(|scope| {
            let takers = [(); 8].map(|()| scope.spawn(|| Lease::take(&seat, over, false)));
            takers.map(|taker| taker.join().unwrap())
        });
        let trials: Vec<_> = leases.into_iter().flatten().collect();
        assert_eq!(trials.len(), 1);
        assert!(seat.replica.load(over).ejected);
        let other = Lease::take(&seat, over, true).unwrap();
        drop(other);
        assert!(seat.replica.load(over).ejected, "the other was no trial");
        trials[0].succeeded();
        assert!(!seat.replica.load(over).ejected);
        drop(trials);
        assert_eq!(seat.replica.load(over), Load::default());
    }

    #[test]
    fn a_trial_whose_caller_left_is_the_next_ones() {
        let (seat, over) = (ejected(), EJECTION.base);
        drop(Lease::take(&seat, over, false).unwrap());
        assert!(!seat.replica.load(over).ejected);
        let trial = Lease::take(&seat, over, false).unwrap();
        trial.failed(over);
        drop(trial);
        assert!(seat.replica.load(over * 2).ejected, "for twice as long");
        assert!(!seat.replica.load(over * 3).ejected);
    }

    #[test]
    fn successes_between_failures_keep_a_replica_in() {
        let seat = a_seat();
        for _ in 0..10 {
            let lease = Lease::take(&seat, at(0), false).unwrap();
            (1..EJECTION.failures).for_each(|_| lease.failed(at(0)));
            lease.succeeded();
        }
        assert!(!seat.replica.load(at(0)).ejected);
    }

    #[test]
    fn a_replica_that_is_ready_anew_starts_over() {
        for (endpoint_then, version, starts_over) in [
            (endpoint("a", 1), 2, false),
            (endpoint("a", 2), 2, true),
            (endpoint("a", 1), 3, true),
        ] {
            let mut replicas = Replicas::default();
            let before = seat(&mut replicas, endpoint("a", 1), 1);
            let lease = Lease::take(&before, at(0), false).unwrap();
            (0..EJECTION.failures).for_each(|_| lease.failed(at(0)));
            let after = seat(&mut replicas, endpoint_then, version);
            assert_eq!(after.replica.load(at(0)).ejected, !starts_over);
            assert_eq!(
                replicas.in_flight("a"),
                1,
                "whatever it did is still under way"
            );
        }
    }

    #[test]
    fn a_report_counts_for_a_while() {
        let lease = Lease::take(&a_seat(), at(0), false).unwrap();
        let queued = |now| lease.replica.load(now).queued_tokens;
        let later = at(1 << 40);
        for (tokens, wanted) in [(70, 70), (0, 0), (u64::MAX, u32::MAX.into())] {
            lease.report_queued_tokens(tokens, later);
            assert_eq!(queued(later), wanted);
            assert_eq!(queued(later + REPORT_COUNTS_FOR - at(1)), wanted);
            assert_eq!(queued(later + REPORT_COUNTS_FOR), 0);
        }
    }
}
