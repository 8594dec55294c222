//! What the operator of a simulated world has of its replicas' load: each second it asks those that
//! its last turn saw ready, as the operator of a cluster does. One that does not answer is asked again
//! the next second; in a cluster, more and more seldom.

use std::collections::BTreeSet;
use std::time::Duration;

use chandler_core::load::{LoadSeen, Reading, Series, Trail};
use jiff::Timestamp;

use crate::clock::{START, after};

/// Between two rounds.
const PERIOD: Duration = Duration::from_secs(1);
/// Moments are told as the time since then: a [`Series`] has no time before its clock's beginning.
const BEFORE: Duration = Duration::from_secs(3600);

/// Whose answers get lost on their way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Silent {
    /// Nobody's.
    #[default]
    None,
    /// Everyone's.
    All,
    /// Those of these replicas.
    Of(BTreeSet<String>),
}

/// What a process has: nothing of it outlives the process.
#[derive(Debug, Default)]
pub(crate) struct Scrapes {
    series: Series,
    /// Revision and name of each replica that is asked.
    asked: BTreeSet<(String, String)>,
    /// The next round; `None` while nobody is asked.
    next: Option<Timestamp>,
    /// Whether requests waited at the gateways in the last round.
    waited: bool,
    /// Whether a round found that someone should look.
    look: bool,
}

impl Scrapes {
    /// When the next round is.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.next
    }

    /// A turn is about to see what was told. These are asked from now on.
    pub(crate) fn register(&mut self, ready: BTreeSet<(String, String)>, now: Timestamp) {
        self.asked = ready;
        self.next.get_or_insert_with(|| after(now, PERIOD));
        let there = self.asked.iter().map(|(_, name)| name.as_str());
        self.series.keep(&there.collect(), since_before(now));
        self.series.looked(since_before(now));
    }

    /// A round: each replica tells, or `None`; so many requests wait at the gateways.
    pub(crate) fn round(
        &mut self,
        tell: impl Fn(&str) -> Option<Reading>,
        waiting: u64,
        now: Timestamp,
    ) {
        let at = since_before(now);
        for (revision, name) in &self.asked {
            if let Some(reading) = tell(name) {
                self.series.note(revision, name, reading, at);
            }
        }
        if self.series.look_due(at).is_some() {
            self.series.looked(at);
            self.look = true;
        }
        let waits = waiting > 0;
        self.look |= waits && !self.waited;
        self.waited = waits;
        self.next = Some(after(now, PERIOD));
    }

    /// Whether someone should look, as this is asked for the first time.
    pub(crate) fn take_look(&mut self) -> bool {
        std::mem::take(&mut self.look)
    }

    pub(crate) fn load(&self, revision: &str, now: Timestamp) -> Option<LoadSeen> {
        self.series.load(revision, since_before(now))
    }

    pub(crate) fn trail(&self, now: Timestamp) -> Trail {
        self.series.trail(since_before(now))
    }
}

fn since_before(now: Timestamp) -> Duration {
    BEFORE + Duration::try_from(now.duration_since(START)).unwrap_or_default()
}
