//! What happened, as text that stays the same where nothing that matters changed: revisions by
//! number, times as offsets, and no turn that tells nothing new.

use std::fmt::Write as _;

use chandler_core::decide::Action;
use chandler_core::snapshot::Weights;
use chandler_core::world::{Failure, Outcome};
use chandler_crds::status::{EvaluationStatus, RolloutStatus};

use crate::Simulation;
use crate::clock::{offset, relative};
use crate::simulation::{Entry, Event};

#[derive(Debug, Default)]
pub(super) struct Printer {
    out: String,
    /// Revisions in the order they came up.
    names: Vec<String>,
    /// The reasons that were told last.
    last: Vec<String>,
}

impl Printer {
    pub(super) fn finish(self) -> String {
        self.out
    }

    /// Gives a revision its number, unless it has one.
    pub(super) fn meet(&mut self, revision: &str) {
        if !revision.is_empty() && !self.names.iter().any(|name| name == revision) {
            self.names.push(revision.to_owned());
        }
    }

    /// The revision of a number, from 1.
    pub(super) fn name(&self, number: usize) -> Option<&str> {
        self.names.get(number.checked_sub(1)?).map(String::as_str)
    }

    pub(super) fn command(&mut self, text: &str) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        self.line(&format!("> {text}"));
    }

    pub(super) fn refused(&mut self, refusal: &str) {
        self.line(&format!("  refused: {refusal}"));
    }

    pub(super) fn entry(&mut self, entry: &Entry) {
        let at = offset(entry.at);
        match &entry.event {
            Event::Turn { why, done } => {
                if !done.is_empty() || *why != self.last {
                    self.turn(&at, why, done);
                }
                self.last.clone_from(why);
            }
            Event::Died { until, done } => {
                self.turn(&at, &[], done);
                self.line(&format!(
                    "{at:>9}  the operator died and starts again at {until}"
                ));
            }
            Event::Blind(failure) => {
                self.line(&format!("{at:>9}  not observed: {}", tell(failure)));
            }
            Event::Lost(lost) => self.line(&format!(
                "{at:>9}  {} requests ended with revision {}",
                lost.requests, lost.revision
            )),
            Event::Harm(harm) => self.line(&format!("{at:>9}  HARM: {harm}")),
            Event::Gone => self.line(&format!("{at:>9}  nothing is left of the model")),
        }
    }

    fn turn(&mut self, at: &str, why: &[String], done: &[(Action, Outcome)]) {
        for why in why {
            self.line(&format!("{at:>9}  why  {why}"));
        }
        for (action, outcome) in done {
            let (action, outcome) = (action_text(action), outcome_text(outcome));
            self.line(&format!("{at:>9}  do   {action}: {outcome}"));
        }
    }

    /// Conditions and revisions.
    pub(super) fn status(&mut self, simulation: &Simulation) {
        let status = simulation.status();
        for condition in &status.conditions {
            let since = offset(condition.last_transition_time.0);
            self.line(&format!(
                "  {:<17} {:<7} since {since}, {}: {}",
                condition.type_, condition.status, condition.reason, condition.message
            ));
        }
        self.rollout(status.rollout.as_ref());
        if !status.revisions.is_empty() {
            self.line("  revision  phase      weight  ready  in flight  failure");
        }
        for revision in &status.revisions {
            let ready = format!("{}/{}", revision.ready_replicas, revision.replicas);
            let failure = revision.failure.as_ref().map_or_else(
                || "-".to_owned(),
                |failure| format!("{} ×{}", failure.reason, failure.attempts),
            );
            let name = self.relabel(&revision.name);
            self.line(&format!(
                "  {name:<9} {:<10} {:>6}  {ready:>5}  {:>9}  {failure}",
                format!("{:?}", revision.phase),
                revision.weight,
                simulation.world.in_flight(&revision.name),
            ));
        }
        self.gateways(simulation);
        self.load(simulation);
    }

    fn rollout(&mut self, rollout: Option<&RolloutStatus>) {
        let Some(rollout) = rollout else {
            return;
        };
        let from = rollout.from.as_deref().unwrap_or("none");
        let end = rollout
            .end
            .as_ref()
            .map(|end| format!(" since {}, {}", offset(end.at.0), end.reason));
        self.line(&format!(
            "  {:?}: {} from {from} to {}, step {} of {}{}",
            rollout.phase,
            rollout.strategy,
            rollout.revision,
            rollout.step,
            rollout.steps,
            end.unwrap_or_default()
        ));
        if let Some(plan) = &rollout.plan {
            self.line(&format!("  {}", plan.message));
        }
        if let Some(answers) = &rollout.answers {
            let found = answers.evaluations.iter().map(evaluated);
            self.line(&format!(
                "  answers: {}",
                found.collect::<Vec<_>>().join(", ")
            ));
        }
        if let Some(analysis) = &rollout.analysis {
            let checks = analysis.checks.iter();
            let checks = checks.map(|check| format!("{} {:?}", check.name, check.verdict));
            let checks: Vec<String> = checks.collect();
            self.line(&format!(
                "  traffic at step {}: {}",
                analysis.step,
                checks.join(", ")
            ));
        }
    }

    /// What there is of gateways and of who waits there.
    fn gateways(&mut self, simulation: &Simulation) {
        if let Some(waiting) = simulation.world.waiting() {
            self.line(&format!("  {waiting} requests wait at the gateways"));
        }
    }

    fn load(&mut self, simulation: &Simulation) {
        if let Some((in_flight, failed)) = simulation.world.served() {
            self.line(&format!(
                "  {in_flight} requests are in flight at replicas, {failed} failed"
            ));
        }
    }

    fn line(&mut self, text: &str) {
        let text = relative(&self.relabel(text));
        // A String takes all that is written to it.
        let _ = writeln!(self.out, "{text}");
    }

    fn relabel(&self, text: &str) -> String {
        let numbered = self.names.iter().zip(1..);
        numbered.fold(text.to_owned(), |text, (name, number)| {
            text.replace(name.as_str(), &format!("r{number}"))
        })
    }
}

fn action_text(action: &Action) -> String {
    match action {
        Action::Resolve { revision, .. } => format!("resolve {revision}"),
        Action::EnsureRevision {
            revision, replicas, ..
        } => format!("create {revision} with {replicas} replicas"),
        Action::Scale { revision, from, to } => format!("scale {revision} from {from} to {to}"),
        Action::Mend { revision, .. } => format!("mend {revision}"),
        Action::Probe { revision } => format!("probe {revision}"),
        Action::Evaluate { revision, from, .. } => format!("evaluate {revision} beside {from}"),
        Action::SetTraffic { to, .. } => format!("traffic {}", spread(to)),
        Action::Retire { revision } => format!("retire {revision}"),
    }
}

fn spread(weights: &Weights) -> String {
    let parts = weights
        .iter()
        .map(|(name, weight)| format!("{name}={weight}"));
    let all = parts.collect::<Vec<_>>().join(" ");
    if all.is_empty() {
        "none".to_owned()
    } else {
        all
    }
}

fn outcome_text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done | Outcome::Answered(_) => "done".to_owned(),
        Outcome::Pending { blocked: None } => "under way".to_owned(),
        Outcome::Pending {
            blocked: Some(failure),
        } => format!("under way, held up: {failure}"),
        Outcome::Resolved(lock) => format!("resolved to {} files", lock.files.len()),
        Outcome::Evaluated(found) => {
            let found = found.iter().map(evaluated);
            found.collect::<Vec<_>>().join(", ")
        }
        Outcome::Failed(failure) => tell(failure),
        Outcome::Skipped => "skipped".to_owned(),
    }
}

fn evaluated(found: &EvaluationStatus) -> String {
    format!("{} {:?}", found.name, found.verdict)
}

fn tell(failure: &Failure) -> String {
    let kind = if failure.transient {
        ""
    } else {
        ", permanently"
    };
    format!("failed{kind}: {failure}")
}
