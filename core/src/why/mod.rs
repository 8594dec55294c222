//! Why something is decided, as data with its numbers. Events, conditions, the terminal and the
//! tests all print these.

mod text;

use std::time::Duration;

use jiff::Timestamp;

use crate::scale::{Demand, Measured};
use crate::snapshot::Weights;

/// One reason.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // The variants' text below tells each one.
pub enum Why {
    Paused,
    Resolve {
        revision: String,
        source: String,
    },
    ResolveWaits {
        revision: String,
        attempts: u32,
        until: Timestamp,
    },
    HeldCount {
        replicas: u32,
        min: u32,
        max: u32,
    },
    /// The load wants more replicas.
    LoadWants {
        replicas: u32,
        /// Signals over their targets.
        over: Vec<Measured>,
        /// What is asked, if it is known what a replica can do.
        demand: Option<Demand>,
    },
    /// Fewer have done for a while.
    LoadLeaves {
        replicas: u32,
        lasted: Duration,
    },
    Follows {
        replicas: u32,
    },
    MayShrink {
        until: Timestamp,
    },
    MayGrow {
        until: Timestamp,
    },
    LoadUnknown {
        ready: u32,
    },
    Asleep,
    Woken {
        waiting: u64,
    },
    FallsAsleep {
        idle: Duration,
        idle_after: Duration,
    },
    Awake {
        idle_after: Duration,
    },
    IdleUnknown {
        /// Whether the gateways tell it.
        gateways: bool,
        /// Whether the replicas tell it.
        replicas: bool,
    },
    NothingWakes,
    /// A floor by the clock holds.
    Scheduled {
        replicas: u32,
        until: Timestamp,
    },
    /// A model at rest has a floor to come.
    ScheduleWakes {
        at: Timestamp,
    },
    Create {
        revision: String,
        replicas: u32,
    },
    ScaleTo {
        revision: String,
        from: u32,
        to: u32,
    },
    Mend {
        revision: String,
    },
    WaitReady {
        revision: String,
        ready: u32,
        needed: u32,
    },
    WaitRemoval {
        revision: String,
        others: usize,
    },
    Probe {
        revision: String,
    },
    ProbeWaits {
        revision: String,
        attempts: u32,
        until: Timestamp,
    },
    /// A revision's answers are asked for, and judged.
    Evaluate {
        revision: String,
        from: String,
    },
    EvaluateWaits {
        revision: String,
        attempts: u32,
        until: Timestamp,
    },
    /// A revision's answers did not show that they are good.
    AnswersOpen {
        revision: String,
        message: String,
    },
    ShiftTraffic {
        from: Weights,
        to: Weights,
    },
    /// A canary stays at its step.
    StepHolds {
        revision: String,
        weight: u32,
        until: Timestamp,
    },
    /// What a canary's traffic has not shown yet.
    TrafficOpen {
        revision: String,
        /// Fewest requests before a verdict.
        needed: u64,
        /// The checks that have not passed; `None` while nobody tells of requests.
        open: Option<Vec<&'static str>>,
    },
    /// Live prompts are asked of a new revision aside, and have yet to show that it answers alike.
    ShadowOpen {
        revision: String,
        percent: u32,
        /// Fewest prompts before a verdict.
        needed: u64,
    },
    /// Where the replicas of a new revision go.
    Planned {
        revision: String,
        message: String,
    },
    RolloutPaused {
        revision: String,
    },
    /// A rollout failed and is left as it is.
    RolloutHeld {
        revision: String,
        message: String,
    },
    /// A rollout failed and another revision serves instead.
    RolledBack {
        revision: String,
        to: String,
        message: String,
    },
    /// A revision takes over without steps, as it is told to.
    Promoted {
        revision: String,
    },
    /// A revision takes over without steps: callers know the two by different names.
    OtherName {
        revision: String,
        from: String,
    },
    /// A revision takes over without steps, since the one before does not serve.
    NothingToCompare {
        revision: String,
        from: String,
    },
    /// The revision that a canary is compared with has no ready replica just now.
    StableAway {
        revision: String,
    },
    Draining {
        revision: String,
        in_flight: Option<u64>,
        until: Timestamp,
    },
    RetireIdle {
        revision: String,
    },
    RetireOverdue {
        revision: String,
        in_flight: Option<u64>,
        deadline: Timestamp,
    },
    Settled {
        revision: String,
        ready: u32,
        replicas: u32,
    },
}

impl Why {
    /// Whether this is a reason for the count of replicas.
    #[must_use]
    pub fn tells_count(&self) -> bool {
        matches!(
            self,
            Self::LoadWants { .. }
                | Self::LoadLeaves { .. }
                | Self::Follows { .. }
                | Self::Woken { .. }
                | Self::FallsAsleep { .. }
                | Self::HeldCount { .. }
                | Self::Scheduled { .. }
        )
    }
}
