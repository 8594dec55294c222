//! One model's replicas, and what they told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use chandler_core::load::{FRESH, LoadSeen, Reading, Series, Trail};
use chandler_probe::least;

/// Rounds that a replica is left out of at most. One that hangs costs a whole second each time.
const MOST_ROUNDS: u32 = 8;

/// A ready replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// The revision that it is of.
    pub revision: String,
    /// The pod's uid: no other ever has it.
    pub uid: String,
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
}

#[derive(Debug)]
struct Asked {
    replica: Replica,
    /// Questions in a row that came to nothing.
    misses: u32,
    /// Rounds that it is still left out of.
    left_out: u32,
    /// When it told last, and how long it had had no request.
    told: Option<(Duration, Option<Duration>)>,
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
        asked.told = Some((now, idle));
        let Replica { revision, uid, .. } = replica;
        self.series.note(revision, uid, reading, now);
        0
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
        least(asked.map(|asked| asked.told.filter(|(at, _)| is_fresh(*at, now))?.1))
    }

    /// How many replicas told lately, and how many did not.
    pub(super) fn counts(&self, now: Duration) -> (usize, usize) {
        let told = self.replicas.values().filter_map(|asked| asked.told);
        let fresh = told.filter(|(at, _)| is_fresh(*at, now)).count();
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
        }
    }
}

fn is_fresh(at: Duration, now: Duration) -> bool {
    now.saturating_sub(at) < FRESH
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
