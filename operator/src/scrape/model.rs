//! One model's replicas, and what they told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chandler_core::load::{FRESH, LoadSeen, Reading, Series, Trail};
use chandler_probe::least;

use super::glance::Settled;
use super::recorded::Silence;

/// Rounds that a replica is left out of at most. One that hangs costs a whole second each time.
const MOST_ROUNDS: u32 = 8;

/// A ready replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// The revision that it is of.
    pub revision: String,
    /// The pod's uid: no other ever has it.
    pub uid: String,
    /// The pod's name.
    pub pod: String,
    /// Where it tells its metrics.
    pub address: SocketAddr,
}

/// What a replica told.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told {
    pub(super) reading: Reading,
    pub(super) idle: Option<Duration>,
}

/// A model's replicas, each with what is known of it.
#[derive(Debug, Default)]
pub(super) struct Model {
    replicas: BTreeMap<String, Asked>,
    series: Series,
    /// What people were last told of why nothing is known; see [`super::Scraper::hear`].
    pub(super) untold: Option<String>,
    /// What the last turn left, if no other has begun since.
    pub(super) settled: Option<Arc<Settled>>,
    /// To be looked at then, whether there is news or not.
    pub(super) again: Option<Duration>,
}

#[derive(Debug)]
struct Asked {
    replica: Replica,
    /// Questions in a row that came to nothing.
    misses: u32,
    /// Rounds that it is still left out of.
    left_out: u32,
    /// What it told last, but for its load.
    told: Option<Last>,
    /// The last scrape of it that is known, by the clock of the server that has it; in milliseconds.
    scraped: i64,
    /// Why the server has nothing of use.
    silence: Option<Silence>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    at: Duration,
    /// For how long that is true.
    lasts: Duration,
    /// How long it had had no request.
    idle: Option<Duration>,
}

impl Model {
    /// Puts these in the place of those that were asked before. A turn is about to see what they
    /// told.
    pub(super) fn set(&mut self, replicas: Vec<Replica>, now: Duration) {
        let mut before = std::mem::take(&mut self.replicas);
        for replica in replicas {
            let known = before.remove(&replica.uid);
            let known = known.filter(|known| known.replica == replica);
            let asked = known.unwrap_or_else(|| Asked::new(replica));
            self.replicas.insert(asked.replica.uid.clone(), asked);
        }
        let there: BTreeSet<&str> = self.replicas.keys().map(String::as_str).collect();
        self.series.keep(&there, now);
        self.series.looked(now);
    }

    /// Those whose turn it is to be asked in a round. One that did not answer time and again is
    /// asked more seldom.
    pub(super) fn due(&mut self) -> Vec<Replica> {
        let mut due = Vec::new();
        for asked in self.replicas.values_mut() {
            if asked.left_out == 0 {
                due.push(asked.replica.clone());
            }
            asked.left_out = asked.left_out.saturating_sub(1);
        }
        due
    }

    /// Notes what became of a question; gives how often in a row it has come to nothing by now.
    pub(super) fn note(&mut self, replica: &Replica, told: Option<Told>, now: Duration) -> u32 {
        let Some(asked) = self.replicas.get_mut(&replica.uid) else {
            return 0;
        };
        let Some(Told { reading, idle }) = told else {
            asked.misses = asked.misses.saturating_add(1);
            let exponent = asked.misses.saturating_sub(1).min(u32::BITS - 1);
            asked.left_out = (1 << exponent).min(MOST_ROUNDS) - 1;
            return asked.misses;
        };
        asked.misses = 0;
        asked.told = Some(Last {
            at: now,
            lasts: FRESH,
            idle,
        });
        let Replica { revision, uid, .. } = replica;
        self.series.note(revision, uid, reading, now);
        0
    }

    /// The replicas, each with the last scrape of it that is known.
    pub(super) fn known_until(&self) -> impl Iterator<Item = (&Replica, i64)> {
        let all = self.replicas.values();
        all.map(|asked| (&asked.replica, asked.scraped))
    }

    /// Notes what a replica told at a scrape, `shown` by the server's clock and `at` by ours; it is
    /// true for less than `lasts`.
    pub(super) fn record(
        &mut self,
        replica: &Replica,
        told: Told,
        (shown, at): (i64, Duration),
        lasts: Duration,
    ) {
        let Some(asked) = self.replicas.get_mut(&replica.uid) else {
            return;
        };
        asked.scraped = shown;
        if asked.told.is_some_and(|last| last.at >= at) {
            return;
        }
        let Told { reading, idle } = told;
        asked.told = Some(Last { at, lasts, idle });
        let Replica { revision, uid, .. } = replica;
        self.series.note_lasting(revision, uid, reading, at, lasts);
    }

    /// Notes why the server has nothing of a replica; gives it if that is news to people.
    pub(super) fn hush(&mut self, replica: &Replica, silence: Option<Silence>) -> Option<Silence> {
        let asked = self.replicas.get_mut(&replica.uid)?;
        let before = std::mem::replace(&mut asked.silence, silence);
        silence.filter(|_| before != silence)
    }

    /// Times of scrapes from before do not compare with those to come.
    pub(super) fn begin_anew(&mut self) {
        for asked in self.replicas.values_mut() {
            asked.scraped = i64::MIN;
        }
    }

    /// Why the server tells nothing of any replica; `None` if it does, or there is none.
    pub(super) fn silence(&self, now: Duration) -> Option<Silence> {
        if self.replicas.values().any(|asked| asked.is_fresh(now)) {
            return None;
        }
        let all = self.replicas.values();
        all.map(|asked| asked.silence.unwrap_or(Silence::Old)).min()
    }

    pub(super) fn look_due(&self, now: Duration) -> Option<Duration> {
        self.series.look_due(now)
    }

    pub(super) fn looked(&mut self, now: Duration) {
        self.series.looked(now);
    }

    pub(super) fn load(&self, revision: &str, now: Duration) -> Option<LoadSeen> {
        self.series.load(revision, now)
    }

    pub(super) fn trail(&self, now: Duration) -> Trail {
        self.series.trail(now)
    }

    /// How long none of a revision's replicas has had a request; `None` unless each told lately.
    pub(super) fn idle(&self, revision: &str, now: Duration) -> Option<Duration> {
        let asked = self.replicas.values();
        let asked = asked.filter(|asked| asked.replica.revision == revision);
        least(asked.map(|asked| asked.told.filter(|_| asked.is_fresh(now))?.idle))
    }

    /// How many replicas told lately, and how many did not.
    pub(super) fn counts(&self, now: Duration) -> (usize, usize) {
        let all = self.replicas.values();
        let fresh = all.filter(|asked| asked.is_fresh(now)).count();
        (fresh, self.replicas.len() - fresh)
    }
}

impl Asked {
    fn new(replica: Replica) -> Self {
        Self {
            replica,
            misses: 0,
            left_out: 0,
            told: None,
            scraped: i64::MIN,
            silence: Some(Silence::New),
        }
    }

    fn is_fresh(&self, now: Duration) -> bool {
        self.told
            .is_some_and(|last| now.saturating_sub(last.at) < last.lasts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn replica(uid: &str) -> Replica {
        Replica {
            revision: "r".to_owned(),
            uid: uid.to_owned(),
            pod: format!("pod-{uid}"),
            address: ([127, 0, 0, 1], 1).into(),
        }
    }

    fn told(running: u32, idle: Option<u64>) -> Option<Told> {
        let reading = Reading {
            running: f64::from(running),
            ..Reading::default()
        };
        let idle = idle.map(Duration::from_secs);
        Some(Told { reading, idle })
    }

    #[test]
    fn a_turn_that_sees_what_was_told_is_a_look() {
        let mut model = Model::default();
        let one = replica("a");
        model.set(vec![one.clone()], at(10));
        model.note(&one, told(1, None), at(12));
        assert_eq!(model.look_due(at(12)), Some(at(12)));
        model.set(vec![one.clone()], at(12));
        model.note(&one, told(1, None), at(13));
        assert_eq!(model.look_due(at(13)), None);
        assert_eq!(model.look_due(at(14)), Some(at(14)));
    }

    #[test]
    fn who_is_silent_is_asked_more_seldom_until_it_tells() {
        let mut model = Model::default();
        let one = replica("a");
        model.set(vec![one.clone()], at(0));
        let mut asked = Vec::new();
        for round in 0..32 {
            if !model.due().is_empty() {
                asked.push(round);
                model.note(&one, None, at(round));
            }
        }
        assert_eq!(asked, [0, 1, 3, 7, 15, 23, 31]);
        model.note(&one, told(0, None), at(32));
        // A turn that finds the same replicas changes nothing.
        model.note(&one, None, at(33));
        model.set(vec![one.clone()], at(33));
        assert_eq!(model.due(), [one]);
    }

    #[test]
    fn rest_is_known_if_each_told_of_it_lately() {
        let mut model = Model::default();
        let (one, two) = (replica("a"), replica("b"));
        assert_eq!(model.idle("r", at(0)), None, "nobody is there");
        model.set(vec![one.clone(), two.clone()], at(0));
        model.note(&one, told(0, Some(9)), at(1));
        assert_eq!(model.idle("r", at(1)), None);
        assert_eq!(model.counts(at(1)), (1, 1));
        model.note(&two, told(0, Some(7)), at(2));
        assert_eq!(model.idle("r", at(2)), Some(at(7)));
        assert_eq!(model.idle("other", at(2)), None);
        assert_eq!(model.idle("r", at(5)), None, "one told long ago");
        model.note(&one, told(0, None), at(5));
        assert_eq!(model.idle("r", at(5)), None, "one does not know");
    }
}
