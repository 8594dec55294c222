//! How far a rollout is.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use chandler_crds::status::{AnalysisStatus, AnswersStatus, RolloutPhase, RolloutStatus};
use chandler_crds::{ModelDeployment, ModelDeploymentStatus};
use jiff::Timestamp;
use kube::Api;
use kube_runtime::wait::await_condition;

use super::args::StatusArgs;
use super::history;
use super::model::Model;
use crate::cluster::connect;
use crate::columns;

/// Prints how far it is, at each change if it is to be watched; fails if the rollout did.
pub(super) async fn run(args: &StatusArgs) -> Result<ExitCode> {
    let client = connect(&args.model.cluster).await?;
    let model = Model::read_by(client.clone(), &args.model).await?;
    let mut told = text(&model.known);
    print!("{told}");
    let mut last = model.known;
    let models: Api<ModelDeployment> = Api::namespaced(client, &args.model.namespace);
    while args.watch && outcome(&last).is_none() {
        let before = told.clone();
        let changed =
            move |seen: Option<&ModelDeployment>| seen.is_none_or(|it| text(it) != before);
        let seen = await_condition(models.clone(), &args.model.model, changed).await;
        let Some(seen) = seen.context("the model could not be watched")? else {
            bail!("the model is gone");
        };
        told = text(&seen);
        println!("\n{}", told.trim_end());
        last = seen;
    }
    Ok(match outcome(&last) {
        Some(false) => ExitCode::FAILURE,
        Some(true) | None => ExitCode::SUCCESS,
    })
}

/// Whether the rollout of what the spec asks for went well; `None` if it is not over.
fn outcome(model: &ModelDeployment) -> Option<bool> {
    let status = model.status.as_ref()?;
    let is_current = status.observed_generation == model.metadata.generation;
    let rollout = status.rollout.as_ref().filter(|_| is_current)?;
    match rollout.phase {
        RolloutPhase::Completed => Some(true),
        RolloutPhase::RolledBack | RolloutPhase::Held => Some(false),
        RolloutPhase::Progressing | RolloutPhase::Paused => None,
    }
}

fn text(model: &ModelDeployment) -> String {
    let nothing = ModelDeploymentStatus::default();
    let status = model.status.as_ref().unwrap_or(&nothing);
    let head = status.rollout.as_ref().map_or_else(
        || "no rollout has begun\n".to_owned(),
        |rollout| of_rollout(rollout, status),
    );
    format!("{head}{}", history::text(&status.revisions, newest(status)))
}

/// The moment that ages are told of: that of the last change, so that a text is another only if
/// something has changed.
fn newest(status: &ModelDeploymentStatus) -> Timestamp {
    let rollout = status.rollout.iter().flat_map(|rollout| {
        let held = rollout.held_since.as_ref();
        let end = rollout.end.as_ref().map(|end| &end.at);
        [Some(&rollout.step_began_at), held, end]
            .into_iter()
            .flatten()
    });
    let created = status.revisions.iter().map(|revision| &revision.created_at);
    let all = rollout.chain(created).map(|time| time.0);
    all.max().unwrap_or(Timestamp::UNIX_EPOCH)
}

fn of_rollout(rollout: &RolloutStatus, status: &ModelDeploymentStatus) -> String {
    let from = rollout.from.as_ref();
    let from = from.map(|from| format!(" from {from}")).unwrap_or_default();
    let head = format!(
        "{:?}: {} of revision {}{from}, step {} of {}\n",
        rollout.phase, rollout.strategy, rollout.revision, rollout.step, rollout.steps
    );
    let plan = rollout.plan.as_ref();
    let plan = plan.map(|plan| format!("  {}\n", plan.message));
    let plan = plan.unwrap_or_default();
    let answers = rollout.answers.as_ref().map(of_answers).unwrap_or_default();
    let traffic = rollout.analysis.as_ref().map(of_traffic);
    let end = rollout.end.as_ref().map(|end| &end.message);
    let whys = status.why.iter().filter(|_| end.is_none()).chain(end);
    let whys: String = whys.map(|why| format!("  {why}\n")).collect();
    format!("{head}{plan}{whys}{answers}{}", traffic.unwrap_or_default())
}

/// What its answers were found to be.
fn of_answers(answers: &AnswersStatus) -> String {
    let head = ["EVALUATION", "METRIC", "VERDICT", "NEW", "OLD", "QUESTIONS"].map(str::to_owned);
    let rows = answers.evaluations.iter().map(|found| {
        vec![
            found.name.clone(),
            found.metric.to_string(),
            format!("{:?}", found.verdict),
            found.canary.to_string(),
            found.stable.to_string(),
            found.items.to_string(),
        ]
    });
    let rows: Vec<_> = [head.to_vec()].into_iter().chain(rows).collect();
    format!("answers:\n{}", columns::text(&rows))
}

/// What the traffic of the last step that ended was found to be.
fn of_traffic(analysis: &AnalysisStatus) -> String {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |it| it.to_string());
    let head = ["CHECK", "VERDICT", "NEW", "OLD", "LIMIT"].map(str::to_owned);
    let rows = analysis.checks.iter().map(|check| {
        let verdict = format!("{:?}", check.verdict);
        let [new, old] = [check.canary, check.stable].map(number);
        vec![
            check.name.clone(),
            verdict,
            new,
            old,
            check.limit.to_string(),
        ]
    });
    let rows: Vec<_> = [head.to_vec()].into_iter().chain(rows).collect();
    let (requests, table) = (analysis.requests, columns::text(&rows));
    match analysis.step {
        0 => format!("{requests} live prompts that were asked aside:\n{table}"),
        step => format!("traffic of step {step}, over {requests} requests:\n{table}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn model(rollout: &Value, generation: i64) -> ModelDeployment {
        let model = json!({
            "apiVersion": "chandler.dev/v1alpha1", "kind": "ModelDeployment",
            "metadata": {"name": "chat", "generation": 2},
            "spec": {"model": {"source": "file:///m"}},
            "status": {
                "observedGeneration": generation, "why": ["revision b is watched"],
                "rollout": rollout,
            },
        });
        serde_json::from_value(model).expect("a model")
    }

    fn rollout(phase: &str, end: Option<&str>) -> Value {
        let at = "2026-01-01T00:00:00.000000Z";
        json!({
            "revision": "b", "from": "a", "strategy": "canary", "phase": phase, "step": 1,
            "steps": 3, "stepBeganAt": at, "beganAt": at, "policy": "x",
            "end": end.map(|message| json!({"at": at, "reason": "R", "message": message})),
        })
    }

    #[test]
    fn a_rollout_is_over_when_this_generation_says_so() {
        let over = |phase, generation| outcome(&model(&rollout(phase, None), generation));
        assert_eq!(over("Completed", 2), Some(true));
        assert_eq!(over("RolledBack", 2), Some(false));
        assert_eq!(over("Held", 2), Some(false));
        assert_eq!(over("Progressing", 2), None);
        assert_eq!(over("Paused", 2), None);
        assert_eq!(over("Completed", 1), None, "of the spec before");
    }

    #[test]
    fn what_goes_on_is_told_or_how_it_ended() {
        let told = text(&model(&rollout("Progressing", None), 2));
        let head =
            "Progressing: canary of revision b from a, step 1 of 3\n  revision b is watched\n";
        assert!(told.starts_with(head), "{told}");
        let told = text(&model(&rollout("RolledBack", Some("too slow")), 2));
        let head = "RolledBack: canary of revision b from a, step 1 of 3\n  too slow\n";
        assert!(told.starts_with(head), "{told}");
        assert!(text(&model(&Value::Null, 2)).starts_with("no rollout has begun"));
    }

    #[test]
    fn what_its_answers_were_is_told() {
        let mut failed = rollout("RolledBack", Some("worse"));
        failed["answers"] = json!({"at": "2026-01-01T00:00:00.000000Z", "evaluations": [{
            "name": "facts", "metric": "contains", "verdict": "Failed", "items": 40,
            "canary": 0.4, "stable": 0.9, "digest": "0123456789ab",
        }]});
        let told = text(&model(&failed, 2));
        let table = "answers:\n\
                     EVALUATION  METRIC    VERDICT  NEW  OLD  QUESTIONS\n\
                     facts       contains  Failed   0.4  0.9  40\n";
        assert!(told.contains(table), "{told}");
    }

    #[test]
    fn what_its_traffic_was_is_told() {
        let mut failed = rollout("RolledBack", Some("too slow"));
        failed["analysis"] = json!({
            "step": 1, "at": "2026-01-01T00:00:00.000000Z", "requests": 64,
            "checks": [
                {"name": "errorRate", "verdict": "Passed", "canary": 0.0, "stable": 0.01, "limit": 0.05},
                {"name": "latencyP95", "verdict": "Failed", "canary": 1.5, "limit": 1.2},
            ],
        });
        let told = text(&model(&failed, 2));
        let table = "traffic of step 1, over 64 requests:\n\
                     CHECK       VERDICT  NEW  OLD   LIMIT\n\
                     errorRate   Passed   0    0.01  0.05\n\
                     latencyP95  Failed   1.5  -     1.2\n";
        assert!(told.contains(table), "{told}");
    }
}
