//! What a world looks like at one moment, in the terms that decisions are made in.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::analysis::TrialSeen;
use crate::load::{LoadSeen, Trail};

/// Traffic weights by revision, in percent. Revisions that are absent have none.
pub type Weights = BTreeMap<String, u32>;

/// One model in one world at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Every revision that the world has replicas for, or could have.
    pub revisions: BTreeMap<String, RevisionSeen>,
    /// How traffic is spread now.
    pub weights: Weights,
    /// What the gateways tell of the model; `None` in a world that knows of none.
    pub gateways: Option<GatewaysSeen>,
    /// What was asked of the model lately, as its replicas measured it; empty if that is not known.
    pub trail: Trail,
    /// What the comparison of a canary's traffic has come to; `None` while nothing is compared.
    pub trial: Option<TrialSeen>,
    /// Why nobody tells what the replicas measure, for people; `None` if it is told, or why not is
    /// not known. No number in it moves by itself: status holds it.
    pub untold: Option<String>,
    /// What room there is for more replicas of the wanted revision; `None` if that is not known, or
    /// not [asked for](crate::rollout::asks_for_room).
    pub room: Option<RoomSeen>,
}

/// What room there is for more replicas of one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomSeen {
    /// How many more find a place, at most as many as were asked about.
    pub replicas: u32,
    /// What keeps one more from finding one, for people; `None` if nothing does.
    pub short_of: Option<String>,
}

/// What the gateways tell of a model, all together. One that does not answer tells nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewaysSeen {
    /// Requests that wait for a first replica, at those that told.
    pub waiting: u64,
    /// How long none of them has had a request for the model; `None` unless every one told.
    pub idle: Option<Duration>,
    /// Whether one of them answers everyone, for want of any API key; `None` if none told.
    pub open: Option<bool>,
}

/// What is seen of one revision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RevisionSeen {
    /// Replicas that were asked for.
    pub desired: u32,
    /// Replicas that are ready for requests.
    pub ready: u32,
    /// Requests being worked on by all its replicas; `None` where that can't be told.
    pub in_flight: Option<u64>,
    /// How long none of its ready replicas has had a request; `None` unless every one told.
    pub idle: Option<Duration>,
    /// What its ready replicas measure; `None` if none of them told lately.
    pub load: Option<LoadSeen>,
    /// Whether someone else changed or removed part of what it is made of.
    pub drifted: bool,
    /// The failure that keeps a replica from being ready, if there is one.
    pub failure: Option<FailureSeen>,
}

/// A replica's failure, as the world sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureSeen {
    /// A word for programs, such as `WeightsTruncated`.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// Failures in a row.
    pub attempts: u32,
    /// When the last one was.
    pub at: Timestamp,
    /// Whether trying again can help without a change by a person.
    pub transient: bool,
}

impl Snapshot {
    /// Replicas ready for requests that have traffic.
    #[must_use]
    pub fn serving(&self) -> u32 {
        self.bearing(None)
    }

    /// Ready replicas of all revisions with traffic, leaving one out of the account.
    #[must_use]
    pub fn bearing(&self, without: Option<&str>) -> u32 {
        self.counted(without).fold(0, u32::saturating_add)
    }

    /// Ready replicas of the revision with traffic that has most of them, leaving one out of the
    /// account.
    #[must_use]
    pub fn strongest(&self, without: Option<&str>) -> u32 {
        self.counted(without).max().unwrap_or(0)
    }

    fn counted(&self, without: Option<&str>) -> impl Iterator<Item = u32> {
        let weighted = self.weights.iter().filter(|(_, weight)| **weight > 0);
        let counted = weighted.filter(move |(name, _)| without != Some(name.as_str()));
        counted.map(|(name, _)| self.ready(name))
    }

    /// Ready replicas of a revision, 0 if it is not there.
    #[must_use]
    pub fn ready(&self, revision: &str) -> u32 {
        self.revisions.get(revision).map_or(0, |seen| seen.ready)
    }

    /// How long nobody has asked anything of a revision: neither gateways nor replicas know of all
    /// requests, so the least counts; `None` unless all told.
    #[must_use]
    pub fn idle(&self, revision: &str) -> Option<Duration> {
        let gateways = self.gateways.as_ref()?.idle?;
        Some(gateways.min(self.revisions.get(revision)?.idle?))
    }

    /// Weight of a revision, 0 if it has none.
    #[must_use]
    pub fn weight(&self, revision: &str) -> u32 {
        self.weights.get(revision).copied().unwrap_or(0)
    }
}
