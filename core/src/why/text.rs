//! Reasons as sentences.

use std::fmt;
use std::time::Duration;

use jiff::SignedDuration;

use super::Why;
use crate::scale::{Demand, Measured};
use crate::snapshot::Weights;

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Paused => f.write_str("paused: nothing is changed"),
            Self::Resolve { revision, source } => {
                write!(f, "resolve {source} for revision {revision}")
            }
            Self::ResolveWaits {
                revision,
                attempts,
                until,
            } => write!(
                f,
                "resolving revision {revision} failed {attempts} times; again at {until}"
            ),
            Self::HeldCount { replicas, min, max } => write!(
                f,
                "{replicas} replicas held, of {min} to {max}, until the revision has its traffic"
            ),
            Self::LoadWants {
                replicas,
                over,
                demand,
            } => write!(
                f,
                "the load wants {replicas} replicas: {}",
                grounds(over, *demand)
            ),
            Self::LoadLeaves { replicas, lasted } => write!(
                f,
                "{replicas} replicas would have done for {}",
                length(*lasted)
            ),
            Self::Follows { replicas } => {
                write!(f, "{replicas} replicas follow the load")
            }
            Self::MayShrink { until } => write!(
                f,
                "fewer replicas would do; they go at {until} if that stays so"
            ),
            Self::MayGrow { until } => write!(
                f,
                "more replicas would be needed; they come at {until} if that stays so"
            ),
            Self::LoadUnknown { ready: 0 } => {
                f.write_str("the count is held: no replica is ready to tell its load")
            }
            Self::LoadUnknown { ready } => write!(
                f,
                "the count is held: not all of {ready} ready replicas have told their load for long enough"
            ),
            // Status holds these texts, and each write of it is looked at by another turn: what is
            // told while nothing happens has no number that moves by itself.
            Self::Asleep => f.write_str("asleep until a request waits at a gateway"),
            Self::Woken { waiting } => write!(f, "woken: {waiting} requests wait at the gateways"),
            Self::FallsAsleep { idle, idle_after } => write!(
                f,
                "falls asleep: no request for {}, of {}",
                length(Duration::from_secs(idle.as_secs())),
                length(*idle_after)
            ),
            Self::Awake { idle_after } => {
                write!(
                    f,
                    "awake until no request has come for {}",
                    length(*idle_after)
                )
            }
            Self::IdleUnknown { gateways, replicas } => write!(
                f,
                "kept awake: {} not told how long no request has come",
                silent(*gateways, *replicas)
            ),
            Self::NothingWakes => f.write_str("kept awake: no gateway is known that could wake it"),
            Self::Scheduled { replicas, until } => write!(
                f,
                "the schedule keeps at least {replicas} replicas until {until}"
            ),
            Self::ScheduleWakes { at } => write!(f, "the schedule wakes it at {at}"),
            Self::Create { revision, replicas } => {
                write!(f, "create revision {revision} with {replicas} replicas")
            }
            Self::ScaleTo { revision, from, to } => {
                write!(f, "scale revision {revision} from {from} to {to} replicas")
            }
            Self::Mend { revision } => {
                write!(
                    f,
                    "mend revision {revision}: someone changed what it is made of"
                )
            }
            Self::WaitReady {
                revision,
                ready,
                needed,
            } => write!(
                f,
                "revision {revision} has {ready} of {needed} replicas ready"
            ),
            Self::WaitRemoval { revision, others } => {
                write!(f, "revision {revision} waits until {others} older are gone")
            }
            Self::Probe { revision } => write!(f, "ask revision {revision} for its first answer"),
            Self::ProbeWaits {
                revision,
                attempts,
                until,
            } => write!(
                f,
                "revision {revision} left {attempts} probes unanswered; again at {until}"
            ),
            Self::Evaluate { revision, from } => write!(
                f,
                "the answers of revision {revision} are judged beside those of revision {from}"
            ),
            Self::EvaluateWaits {
                revision,
                attempts,
                until,
            } => write!(
                f,
                "the answers of revision {revision} could not be judged, tried {attempts} times; again at {until}"
            ),
            Self::AnswersOpen { revision, message } => write!(
                f,
                "the answers of revision {revision} have yet to show that they are good: {message}"
            ),
            Self::ShiftTraffic { from, to } => {
                write!(f, "traffic from {} to {}", spread(from), spread(to))
            }
            Self::StepHolds {
                revision,
                weight,
                until,
            } => write!(
                f,
                "revision {revision} is watched at {weight} % of the traffic until {until}"
            ),
            Self::TrafficOpen {
                revision,
                needed,
                open: Some(open),
            } => write!(
                f,
                "the traffic of revision {revision}, at least {needed} requests, has yet to show: {}",
                open.join(", ")
            ),
            Self::TrafficOpen {
                revision,
                open: None,
                ..
            } => write!(f, "no gateway tells of the traffic of revision {revision}"),
            Self::ShadowOpen {
                revision,
                percent,
                needed,
            } => write!(
                f,
                "{percent} % of the live prompts are asked of revision {revision} aside, until at least {needed} show that it answers alike"
            ),
            Self::Planned { revision, message } => {
                write!(f, "how revision {revision} comes: {message}")
            }
            Self::RolloutPaused { revision } => {
                write!(f, "the rollout of revision {revision} is paused")
            }
            Self::RolloutHeld { revision, message } => write!(
                f,
                "the rollout of revision {revision} waits for a person: {message}"
            ),
            Self::RolledBack {
                revision,
                to,
                message,
            } => write!(
                f,
                "revision {to} serves instead of revision {revision}: {message}"
            ),
            Self::Promoted { revision } => {
                write!(f, "revision {revision} is promoted: it takes over at once")
            }
            Self::OtherName { revision, from } => write!(
                f,
                "revision {revision} is called otherwise than revision {from}: it takes over at once"
            ),
            Self::NothingToCompare { revision, from } => write!(
                f,
                "revision {from} does not serve: revision {revision} takes over at once"
            ),
            Self::StableAway { revision } => write!(
                f,
                "revision {revision} has no ready replica: the rollout waits for it"
            ),
            Self::Draining {
                revision,
                in_flight,
                until,
            } => write!(
                f,
                "revision {revision} drains {} in flight until {until}",
                count(*in_flight)
            ),
            Self::RetireIdle { revision } => {
                write!(f, "retire revision {revision}: nothing in flight")
            }
            Self::RetireOverdue {
                revision,
                in_flight,
                deadline,
            } => write!(
                f,
                "retire revision {revision} with {} in flight: its drain deadline was {deadline}",
                count(*in_flight)
            ),
            Self::Settled {
                revision,
                replicas: 0,
                ..
            } => write!(f, "revision {revision} rests without replicas"),
            Self::Settled {
                revision,
                ready,
                replicas,
            } => write!(
                f,
                "revision {revision} serves with {ready} of {replicas} replicas"
            ),
        }
    }
}

fn count(in_flight: Option<u64>) -> String {
    in_flight.map_or_else(
        || "an unknown number".to_owned(),
        |number| number.to_string(),
    )
}

/// Such as `5m` or `1m 30s`.
fn length(duration: Duration) -> String {
    SignedDuration::try_from(duration)
        .map_or_else(|_| format!("{duration:?}"), |length| format!("{length:#}"))
}

fn grounds(over: &[Measured], demand: Option<Demand>) -> String {
    let signals = over.iter().map(ToString::to_string);
    let demand = demand.map(|Demand { now, ahead, .. }| {
        format!("it keeps {now:.1} busy and may keep {ahead:.1} busy until one more is ready")
    });
    signals.chain(demand).collect::<Vec<_>>().join(", ")
}

fn silent(gateways: bool, replicas: bool) -> &'static str {
    match (gateways, replicas) {
        (false, false) => "the gateways and the replicas have",
        (false, true) => "the gateways have",
        (true, _) => "the replicas have",
    }
}

fn spread(weights: &Weights) -> String {
    if weights.is_empty() {
        return "none".to_owned();
    }
    let parts: Vec<String> = weights
        .iter()
        .map(|(name, weight)| format!("{name}={weight}"))
        .collect();
    parts.join(" ")
}
