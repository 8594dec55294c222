//! The gateways of a simulated world: requests that come to the model's door, and what is told of
//! them.

use std::str::FromStr;
use std::time::Duration;

use chandler_core::snapshot::GatewaysSeen;
use jiff::Timestamp;

use crate::clock::START;

/// What there is of gateways, and how they are to callers and to whoever looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Door {
    /// None that anyone knows of.
    #[default]
    None,
    /// Some, of which nothing is heard.
    Silent,
    /// Some that answer everyone, for want of a key.
    Open,
    /// Some that ask for keys.
    Keyed,
}

impl FromStr for Door {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "none" => Ok(Self::None),
            "silent" => Ok(Self::Silent),
            "open" => Ok(Self::Open),
            "keyed" => Ok(Self::Keyed),
            _ => Err(()),
        }
    }
}

/// The gateways, all together.
#[derive(Clone, Debug)]
pub(crate) struct Gateways {
    pub(crate) door: Door,
    /// How long each request that waits for a replica will take.
    waiting: Vec<Duration>,
    /// When the last request ends that a replica took.
    busy_until: Timestamp,
}

impl Default for Gateways {
    fn default() -> Self {
        Self {
            door: Door::None,
            waiting: Vec::new(),
            busy_until: START,
        }
    }
}

impl Gateways {
    pub(crate) fn seen(&self, now: Timestamp) -> Option<GatewaysSeen> {
        let open = match self.door {
            Door::None => return None,
            Door::Silent => return Some(GatewaysSeen::default()),
            Door::Open => true,
            Door::Keyed => false,
        };
        Some(GatewaysSeen {
            waiting: self.waiting.len() as u64,
            idle: Some(self.idle(now)),
            open: Some(open),
        })
    }

    /// How long no request has come, whether that is told or not.
    pub(crate) fn idle(&self, now: Timestamp) -> Duration {
        if self.waiting.is_empty() {
            since(self.busy_until, now)
        } else {
            Duration::ZERO
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn arrive(&mut self, count: usize, length: Duration) {
        self.waiting.extend(std::iter::repeat_n(length, count));
    }

    /// All who wait go to a replica now; gives when each ends.
    pub(crate) fn send(&mut self, end: impl Fn(Duration) -> Timestamp) -> Vec<Timestamp> {
        let ends: Vec<Timestamp> = self.waiting.drain(..).map(end).collect();
        self.busy_until = ends.iter().copied().fold(self.busy_until, Timestamp::max);
        ends
    }
}

/// Zero if it is still to come.
pub(crate) fn since(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(at)).unwrap_or_default()
}
