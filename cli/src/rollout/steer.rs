//! What a person asks of a rollout, as fields of the spec.

use anyhow::{Context, Result, bail};
use chandler_crds::status::{RolloutPhase, RolloutStatus};
use serde_json::{Map, Value};

use super::model::{Model, steer};
use crate::args::ModelArgs;

/// Fields of `spec.rollout`.
const PROMOTE: &str = "promote";
const ABORT: &str = "abort";
const PAUSED: &str = "paused";
const ATTEMPT: &str = "attempt";

type Fields = Map<String, Value>;

pub(super) async fn promote(args: &ModelArgs) -> Result<String> {
    let (model, rollout) = current(args).await?;
    if rollout.phase == RolloutPhase::Completed {
        bail!("revision {} has all the traffic already", rollout.revision);
    }
    name(model, rollout.revision, (PROMOTE, ABORT)).await
}

pub(super) async fn abort(args: &ModelArgs) -> Result<String> {
    let (model, rollout) = current(args).await?;
    let revision = rollout.revision;
    match rollout.phase {
        RolloutPhase::Completed => bail!(
            "revision {revision} has all the traffic already: `chandler rollout undo` goes back"
        ),
        RolloutPhase::RolledBack => bail!("revision {revision} was taken back already"),
        _ if rollout.from.is_none() => {
            bail!("revision {revision} takes over from none, so there is nothing to go back to")
        }
        _ => name(model, revision, (ABORT, PROMOTE)).await,
    }
}

pub(super) async fn pause(args: &ModelArgs) -> Result<String> {
    let model = Model::read(args).await?;
    model.change(|spec| steer(spec, hold)).await?;
    Ok(told(PAUSED, "true"))
}

pub(super) async fn resume(args: &ModelArgs) -> Result<String> {
    let model = Model::read(args).await?;
    model.change(|spec| steer(spec, let_go)).await?;
    Ok("the rollout goes on; in a manifest: without spec.rollout.paused\n".to_owned())
}

pub(super) async fn retry(args: &ModelArgs) -> Result<String> {
    let (model, rollout) = current(args).await?;
    if !matches!(rollout.phase, RolloutPhase::RolledBack | RolloutPhase::Held) {
        bail!(
            "the rollout of revision {} has not failed: it is {:?}",
            rollout.revision,
            rollout.phase
        );
    }
    let before = model.known.spec.rollout.as_ref();
    let next = before.and_then(|it| it.attempt).unwrap_or(0) + 1;
    model
        .change(|spec| steer(spec, |fields| try_again(fields, &rollout.revision, next)))
        .await?;
    Ok(told(ATTEMPT, &next.to_string()))
}

/// The model and how its last rollout goes.
async fn current(args: &ModelArgs) -> Result<(Model, RolloutStatus)> {
    let model = Model::read(args).await?;
    let rollout = model.status().rollout;
    let rollout = rollout.context("no rollout has begun: the operator has not told of one")?;
    Ok((model, rollout))
}

/// Names the revision in one field; the other must not name it as well.
async fn name(model: Model, revision: String, (field, other): (&str, &str)) -> Result<String> {
    let named = revision.clone();
    model
        .change(|spec| steer(spec, |fields| put_name(fields, field, other, named)))
        .await?;
    Ok(told(field, &revision))
}

fn put_name(fields: &mut Fields, field: &str, other: &str, revision: String) {
    if fields.get(other).and_then(Value::as_str) == Some(&revision) {
        fields.remove(other);
    }
    fields.insert(field.to_owned(), Value::String(revision));
}

fn hold(fields: &mut Fields) {
    fields.insert(PAUSED.to_owned(), Value::Bool(true));
}

fn let_go(fields: &mut Fields) {
    fields.remove(PAUSED);
}

fn try_again(fields: &mut Fields, revision: &str, attempt: i32) {
    if fields.get(ABORT).and_then(Value::as_str) == Some(revision) {
        fields.remove(ABORT);
    }
    fields.insert(ATTEMPT.to_owned(), Value::from(attempt));
}

fn told(field: &str, value: &str) -> String {
    format!("done; in a manifest: spec.rollout.{field}: {value}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn changed(mut spec: Value, change: impl FnOnce(&mut Fields)) -> Value {
        steer(spec.as_object_mut().expect("fields"), change);
        spec
    }

    #[test]
    fn a_field_is_written_and_no_other_is_touched() {
        let spec = json!({"replicas": 2, "rollout": {"steps": [], "new": 1}});
        let promoted = changed(spec.clone(), |it| put_name(it, PROMOTE, ABORT, "r".into()));
        let rollout = json!({"steps": [], "new": 1, "promote": "r"});
        assert_eq!(promoted, json!({"replicas": 2, "rollout": rollout}));
        let paused = changed(json!({}), hold);
        assert_eq!(paused, json!({"rollout": {"paused": true}}));
        assert_eq!(changed(paused, let_go), json!({"rollout": {}}));
    }

    #[test]
    fn a_revision_is_not_to_be_promoted_and_taken_back() {
        let spec = json!({"rollout": {"abort": "r"}});
        let promoted = changed(spec.clone(), |it| put_name(it, PROMOTE, ABORT, "r".into()));
        assert_eq!(promoted, json!({"rollout": {"promote": "r"}}));
        let other = changed(spec.clone(), |it| put_name(it, PROMOTE, ABORT, "s".into()));
        assert_eq!(other, json!({"rollout": {"promote": "s", "abort": "r"}}));
        let again = changed(spec, |it| try_again(it, "r", 3));
        assert_eq!(again, json!({"rollout": {"attempt": 3}}));
    }
}
