//! What a new revision's answers are worth: judged beside those of the one that it takes over from, before it has
//! any traffic.

use chandler_crds::k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use chandler_crds::spec::Evaluation;
use chandler_crds::status::{AnswersStatus, CheckVerdict, EvaluationStatus};
use jiff::Timestamp;

use super::memory::RolloutMemory;
use super::progress;
use crate::decide::{self, Action, Decision};
use crate::memory::Memory;
use crate::retry;
use crate::snapshot::Snapshot;
use crate::validate::Validated;
use crate::why::Why;

/// Whether the revision may have traffic as far as its answers go: none are asked for, there is nothing that they
/// could be compared with, a person promotes it, it has had all the traffic before, or all passed.
pub(super) fn are_good(spec: &Validated, seen: &Snapshot, memory: &Memory) -> bool {
    let is_asked = !spec.rollout.evaluations.is_empty() && have_to_be(spec, seen, memory);
    !is_asked || worst(spec, memory) == Some(CheckVerdict::Passed)
}

/// Whether its answers could be compared with another's, and have to be if that is asked for.
pub(super) fn have_to_be(spec: &Validated, seen: &Snapshot, memory: &Memory) -> bool {
    let is_promoted = spec.rollout.promote.as_ref() == Some(&spec.revision);
    let has_rival = rival(spec, seen, memory).is_some();
    let is_through = progress::of(spec, memory).is_some_and(RolloutMemory::is_complete);
    has_rival && !is_promoted && !is_through
}

/// Whose answers those of the revision are compared with. One that has no replica just now is waited for: that it
/// crashed proves nothing of its successor. One that rests without replicas is not.
pub(super) fn rival<'a>(spec: &Validated, seen: &Snapshot, memory: &'a Memory) -> Option<&'a str> {
    let rival = progress::rival(spec, seen, memory)?;
    let there = seen.revisions.get(rival);
    there
        .is_some_and(|there| there.desired > 0)
        .then_some(rival)
}

/// Asks for the answers and has them judged, where that is still to be done.
pub(super) fn judged(
    spec: &Validated,
    seen: &Snapshot,
    now: Timestamp,
    decision: &mut Decision,
) -> bool {
    let memory = &decision.memory;
    if are_good(spec, seen, memory) {
        return true;
    }
    if worst(spec, memory).is_some() {
        let (revision, message) = (spec.revision.clone(), missing(spec, memory));
        decision.why.push(Why::AnswersOpen { revision, message });
        return false;
    }
    let Some(from) = rival(spec, seen, memory).map(str::to_owned) else {
        return true;
    };
    if seen.ready(&from) == 0 {
        decision.why.push(Why::StableAway { revision: from });
    } else if seen.ready(&spec.revision) > 0 {
        ask(spec, from, now, decision);
    }
    false
}

fn ask(spec: &Validated, from: String, now: Timestamp, decision: &mut Decision) {
    let revision = spec.revision.clone();
    if let Some(until) = decide::backoff_until(&retry::RESOLVE, &revision, decision, now) {
        let attempts = decide::failures(&revision, decision);
        decision.wake(until);
        decision.why.push(Why::EvaluateWaits {
            revision,
            attempts,
            until,
        });
        return;
    }
    let why = Why::Evaluate {
        revision: revision.clone(),
        from: from.clone(),
    };
    let evaluations = spec.rollout.evaluations.clone();
    let action = Action::Evaluate {
        revision,
        from,
        evaluations,
    };
    decision.act(action, why);
}

/// Notes what the answers of a revision came to.
pub(crate) fn note(
    rollout: &mut RolloutMemory,
    revision: &str,
    found: &[EvaluationStatus],
    now: Timestamp,
) {
    if rollout.revision == revision && rollout.is_open() {
        rollout.answers = Some(AnswersStatus {
            at: MicroTime(now),
            evaluations: found.to_vec(),
        });
    }
}

/// The worst of what the evaluations came to; `None` before all of them were made.
pub(crate) fn worst(spec: &Validated, memory: &Memory) -> Option<CheckVerdict> {
    let answers = progress::of(spec, memory)?.answers.as_ref()?;
    let verdict = |asked: &Evaluation| {
        let mut found = answers.evaluations.iter();
        found.find(|it| it.name == asked.name).map(|it| it.verdict)
    };
    let verdicts: Option<Vec<_>> = spec.rollout.evaluations.iter().map(verdict).collect();
    let verdicts = verdicts?;
    let has = |verdict| verdicts.contains(&verdict);
    Some(if has(CheckVerdict::Failed) {
        CheckVerdict::Failed
    } else if has(CheckVerdict::Inconclusive) {
        CheckVerdict::Inconclusive
    } else {
        CheckVerdict::Passed
    })
}

/// Why the rollout fails because of the answers, if it does.
pub(super) fn failure(spec: &Validated, memory: &Memory) -> Option<String> {
    let has_failed = worst(spec, memory) == Some(CheckVerdict::Failed);
    let told = || tell(spec, memory, &[CheckVerdict::Failed]);
    has_failed.then(|| format!("answers of revision {}: {}", spec.revision, told()))
}

/// What the answers of a revision that is late still had to show.
pub(super) fn missing(spec: &Validated, memory: &Memory) -> String {
    match worst(spec, memory) {
        None => "its answers were not judged".to_owned(),
        Some(_) => tell(spec, memory, &[CheckVerdict::Inconclusive]),
    }
}

/// What the evaluations that came to one of these found, for people.
pub(crate) fn tell(spec: &Validated, memory: &Memory, verdicts: &[CheckVerdict]) -> String {
    let answers = progress::of(spec, memory).and_then(|it| it.answers.as_ref());
    let found = answers.into_iter().flat_map(|it| &it.evaluations);
    let found = found.filter(|it| verdicts.contains(&it.verdict));
    let told: Vec<String> = found.map(|it| told(spec, it)).collect();
    told.join("; ")
}

fn told(spec: &Validated, found: &EvaluationStatus) -> String {
    let EvaluationStatus {
        name,
        items,
        canary,
        stable,
        ..
    } = found;
    let metric = found.metric.as_str();
    let mut told = format!("{name}: {metric} is {canary}, and was {stable}, on {items} questions");
    if let (Some(low), Some(high)) = (found.low, found.high) {
        told += &format!(" (difference {low} to {high})");
    }
    let mut asked = spec.rollout.evaluations.iter();
    let asked = asked.find(|asked| asked.name == *name);
    if let Some(min) = asked.and_then(|asked| asked.min) {
        told += &format!("; {min} or better passes");
    }
    if let Some(most) = asked.and_then(|asked| asked.max_regression) {
        told += &format!("; it may be worse by {most}");
    }
    told
}
