//! Tells people what was done: one Event for each action that ended, and for each change of
//! whether a model is ready or stalled. A model at rest is told nothing of.

use chandler_core::cycle::Turn;
use chandler_core::decide::Action;
use chandler_core::world::Outcome;
use chandler_crds::conditions::{ConditionType, Truth};
use chandler_crds::names::EVENT_REPORTER;
use chandler_crds::{ModelDeployment, ModelDeploymentStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Client, Resource};
use kube_runtime::events::{Event, EventType, Recorder, Reporter};

/// Longest note that the API server takes, bytes.
const NOTE_LIMIT: usize = 1024;
/// Longest reason, bytes.
const REASON_LIMIT: usize = 128;

/// Tells of every model. Of equal events within minutes, only the count grows.
#[derive(Clone)]
pub struct Teller(Recorder);

impl std::fmt::Debug for Teller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Teller").finish_non_exhaustive()
    }
}

impl Teller {
    /// Tells in the name of this process.
    #[must_use]
    pub fn new(client: Client, me: &str) -> Self {
        let reporter = Reporter {
            controller: EVENT_REPORTER.to_owned(),
            instance: Some(me.to_owned()),
        };
        Self(Recorder::new(client, reporter))
    }

    /// An event that can't be told is lost: it must not hold up what it tells of.
    pub(crate) async fn tell(&self, object: &ModelDeployment, events: &[Event]) {
        let reference = object.object_ref(&());
        for event in events {
            if let Err(error) = self.0.publish(event, &reference).await {
                tracing::warn!(%error, reason = event.reason, "could not write an event");
            }
        }
    }
}

/// Of each action that was done or failed.
#[must_use]
pub fn of_actions(turn: &Turn) -> Vec<Event> {
    let tried = turn.decision.actions.iter().zip(&turn.outcomes);
    tried
        .filter_map(|(action, outcome)| of_action(action, outcome))
        .collect()
}

fn of_action(action: &Action, outcome: &Outcome) -> Option<Event> {
    let name = action.name();
    match outcome {
        Outcome::Done | Outcome::Resolved(_) | Outcome::Answered(_) | Outcome::Evaluated(_) => {
            Some(event(EventType::Normal, name, name, &done(action, outcome)))
        }
        Outcome::Failed(failure) => {
            let note = match action.revision() {
                Some(revision) => format!("revision {revision}: {}", failure.message),
                None => failure.message.clone(),
            };
            Some(event(EventType::Warning, name, &failure.reason, &note))
        }
        Outcome::Pending { .. } | Outcome::Skipped => None,
    }
}

/// What was done, in a sentence.
fn done(action: &Action, outcome: &Outcome) -> String {
    match (action, outcome) {
        (
            Action::Resolve {
                revision, source, ..
            },
            Outcome::Resolved(lock),
        ) => format!(
            "{source} is {} files, {} bytes; locked for revision {revision}",
            lock.files.len(),
            lock.total_size()
        ),
        (
            Action::Resolve {
                revision, source, ..
            },
            _,
        ) => {
            format!("resolved {source} for revision {revision}")
        }
        (
            Action::EnsureRevision {
                revision, replicas, ..
            },
            _,
        ) => {
            format!("made revision {revision} with {replicas} replicas")
        }
        (Action::Scale { revision, from, to }, _) => {
            format!("scaled revision {revision} from {from} to {to} replicas")
        }
        (Action::Mend { revision, .. }, _) => {
            format!("made revision {revision} again what someone else had changed")
        }
        (Action::Probe { revision }, _) => format!("revision {revision} has answered"),
        (Action::Evaluate { revision, .. }, _) => {
            format!("judged the answers of revision {revision}")
        }
        (Action::SetTraffic { to, .. }, _) if to.is_empty() => "took all traffic away".to_owned(),
        (Action::SetTraffic { to, .. }, _) => {
            let shares = to
                .iter()
                .map(|(name, weight)| format!("{weight} % to revision {name}"));
            format!("sends {}", shares.collect::<Vec<_>>().join(", "))
        }
        (Action::Retire { revision }, _) => format!("removed revision {revision}"),
    }
}

/// Of whether the model became ready or stalled, or is so no more.
#[must_use]
pub fn of_changes(
    before: Option<&ModelDeploymentStatus>,
    after: &ModelDeploymentStatus,
) -> Vec<Event> {
    let told = [
        (ConditionType::Ready, EventType::Normal, EventType::Warning),
        (
            ConditionType::Stalled,
            EventType::Warning,
            EventType::Normal,
        ),
    ];
    let change = |(kind, becomes, ceases): (ConditionType, EventType, EventType)| {
        let was = holds(before.and_then(|before| find(before, kind)));
        let now = find(after, kind)?;
        let is = holds(Some(now));
        let type_ = if is { becomes } else { ceases };
        (was != is).then(|| event(type_, kind.as_str(), &now.reason, &now.message))
    };
    told.into_iter().filter_map(change).collect()
}

fn find(status: &ModelDeploymentStatus, kind: ConditionType) -> Option<&Condition> {
    let mut conditions = status.conditions.iter();
    conditions.find(|condition| condition.type_ == kind.as_str())
}

/// What is not told yet does not hold: a new model is told of once it is ready.
fn holds(condition: Option<&Condition>) -> bool {
    condition.is_some_and(|condition| condition.status == Truth::True.as_str())
}

fn event(type_: EventType, action: &str, reason: &str, note: &str) -> Event {
    Event {
        type_,
        reason: at_most(reason, REASON_LIMIT).to_owned(),
        note: Some(at_most(note, NOTE_LIMIT).to_owned()),
        action: action.to_owned(),
        secondary: None,
    }
}

/// The beginning of a text, whole characters only.
fn at_most(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use chandler_core::decide::Decision;
    use chandler_core::world::Failure;
    use serde_json::json;

    fn status(ready: &str, stalled: &str) -> ModelDeploymentStatus {
        let condition = |kind: &str, status: &str| {
            json!({
                "type": kind, "status": status, "reason": format!("{kind}Reason"), "message": "why",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            })
        };
        let conditions = [condition("Ready", ready), condition("Stalled", stalled)];
        serde_json::from_value(json!({"conditions": conditions})).expect("a status")
    }

    /// `action/reason/type` of each.
    fn short(events: &[Event]) -> Vec<String> {
        let one = |event: &Event| format!("{}/{}/{:?}", event.action, event.reason, event.type_);
        events.iter().map(one).collect()
    }

    #[test]
    fn changes_are_told_and_rest_is_not() {
        let new = of_changes(None, &status("False", "False"));
        assert_eq!(
            short(&new),
            Vec::<String>::new(),
            "not ready yet is no news"
        );
        let starting = status("False", "False");
        let unknown = status("Unknown", "False");
        assert!(of_changes(Some(&starting), &unknown).is_empty());
        let ready = status("True", "False");
        let became = of_changes(Some(&starting), &ready);
        assert_eq!(short(&became), ["Ready/ReadyReason/Normal"]);
        assert_eq!(became[0].note.as_deref(), Some("why"));
        assert!(of_changes(Some(&ready), &ready).is_empty());
        let broken = of_changes(Some(&ready), &status("False", "True"));
        let expected = ["Ready/ReadyReason/Warning", "Stalled/StalledReason/Warning"];
        assert_eq!(short(&broken), expected);
        let mended = of_changes(Some(&status("False", "True")), &starting);
        assert_eq!(short(&mended), ["Stalled/StalledReason/Normal"]);
    }

    #[test]
    fn only_what_ended_is_told_of() {
        let probe = |name: &str| Action::Probe {
            revision: name.to_owned(),
        };
        let failure = Failure {
            reason: "ProbeFailed".to_owned(),
            message: "€".repeat(1000),
            transient: true,
        };
        let turn = Turn {
            status: ModelDeploymentStatus::default(),
            seen: None,
            decision: Decision {
                actions: ["a", "b", "c", "d"].map(probe).to_vec(),
                ..Decision::default()
            },
            outcomes: vec![
                Outcome::Done,
                Outcome::Pending { blocked: None },
                Outcome::Failed(failure),
                Outcome::Skipped,
            ],
            wake_at: None,
        };
        let events = of_actions(&turn);
        assert_eq!(
            short(&events),
            ["Probe/Probe/Normal", "Probe/ProbeFailed/Warning"]
        );
        assert_eq!(events[0].note.as_deref(), Some("revision a has answered"));
        let long = events[1].note.as_deref().expect("a note");
        assert!(
            long.len() <= NOTE_LIMIT && long.len() > NOTE_LIMIT - 3,
            "{}",
            long.len()
        );
    }
}
