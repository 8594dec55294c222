//! `chandler explain`: why a model has the replicas that it has, from its status and its events.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::{Context, Result};
use chandler_crds::names::KIND;
use chandler_crds::status::{ReplicaCapacity, RevisionStatus, ScalingDecision};
use chandler_crds::{ModelDeployment, ModelDeploymentStatus};
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use kube::{Api, Client};

use crate::args::ModelArgs;
use crate::cluster::{connect, no_model, tell};

/// Events that are told, the last ones.
const EVENTS: usize = 10;

pub(crate) fn run(args: &ModelArgs) -> ExitCode {
    tell(explain(args))
}

async fn explain(args: &ModelArgs) -> Result<String> {
    let client = connect(&args.cluster).await?;
    let models: Api<ModelDeployment> = Api::namespaced(client.clone(), &args.namespace);
    let found = models.get_opt(&args.model).await;
    let Some(model) = found.context("the model could not be read")? else {
        return Err(no_model(args));
    };
    let events = events(client, args).await?;
    Ok(text(&model, &events))
}

/// The model's events, oldest first.
async fn events(client: Client, args: &ModelArgs) -> Result<Vec<Event>> {
    let events: Api<Event> = Api::namespaced(client, &args.namespace);
    let of_model = format!("regarding.kind={KIND},regarding.name={}", args.model);
    let found = events.list(&ListParams::default().fields(&of_model)).await;
    let mut events = found.context("the events could not be listed")?.items;
    events.sort_by_key(last_time);
    let old = events.len().saturating_sub(EVENTS);
    events.drain(..old);
    Ok(events)
}

/// When an event was last seen, as it is told.
fn last_time(event: &Event) -> String {
    let series = event
        .series
        .as_ref()
        .map(|series| &series.last_observed_time);
    let time = series.or(event.event_time.as_ref());
    time.map(|time| time.0.strftime("%FT%TZ").to_string())
        .unwrap_or_default()
}

fn text(model: &ModelDeployment, events: &[Event]) -> String {
    let nothing = ModelDeploymentStatus::default();
    let status = model.status.as_ref().unwrap_or(&nothing);
    let mut out = String::new();
    // A String takes all that is written to it.
    let _ = summary(&mut out, model, status);
    let _ = status
        .revisions
        .iter()
        .try_for_each(|revision| of_revision(&mut out, revision));
    let decisions = status.scaling.iter().flat_map(|scaling| &scaling.decisions);
    let _ = of_decisions(&mut out, decisions);
    let _ = of_events(&mut out, events);
    out
}

fn summary(
    out: &mut String,
    model: &ModelDeployment,
    status: &ModelDeploymentStatus,
) -> std::fmt::Result {
    let name = model.metadata.name.as_deref().unwrap_or_default();
    let ready = status.replica_summary.as_deref().unwrap_or("?");
    match &model.spec.autoscaling {
        Some(scaling) => writeln!(
            out,
            "{name}: {ready} replicas ready, {} to {} by its load",
            scaling.min_replicas.unwrap_or(1),
            scaling.max_replicas
        )?,
        None => writeln!(out, "{name}: {ready} replicas ready, a fixed count")?,
    }
    for why in &status.why {
        writeln!(out, "  {why}")?;
    }
    for condition in &status.conditions {
        writeln!(
            out,
            "  {} {}, {}: {}",
            condition.type_, condition.status, condition.reason, condition.message
        )?;
    }
    Ok(())
}

fn of_revision(out: &mut String, revision: &RevisionStatus) -> std::fmt::Result {
    if revision.startup.is_none() && revision.capacity.is_none() {
        return Ok(());
    }
    writeln!(out, "\nrevision {}", revision.name)?;
    if let Some(startup) = revision.startup {
        let seconds = startup.total().as_secs_f64();
        writeln!(out, "  a replica starts in about {seconds:.1}s")?;
    }
    if let Some(capacity) = &revision.capacity {
        of_capacity(out, capacity)?;
    }
    Ok(())
}

fn of_capacity(out: &mut String, capacity: &ReplicaCapacity) -> std::fmt::Result {
    let reached = match &capacity.reached_at {
        Some(at) => format!("more was too much at {}", at.0.strftime("%FT%TZ")),
        None => "it was never too much, so more may do".to_owned(),
    };
    writeln!(
        out,
        "  a replica reads {:.1} tokens a second or writes {:.1}, about {:.2} requests: {reached}",
        capacity.prefill_tokens_per_second,
        capacity.decode_tokens_per_second,
        capacity.requests_per_second
    )
}

fn of_decisions<'a>(
    out: &mut String,
    decisions: impl Iterator<Item = &'a ScalingDecision>,
) -> std::fmt::Result {
    writeln!(out, "\nthe last changes of the count")?;
    let mut none = true;
    for decision in decisions {
        none = false;
        let at = decision.at.0.strftime("%FT%TZ");
        let why = decision.why.join("; ");
        writeln!(out, "  {at}  {} → {}  {why}", decision.from, decision.to)?;
    }
    if none {
        writeln!(out, "  none so far")?;
    }
    Ok(())
}

fn of_events(out: &mut String, events: &[Event]) -> std::fmt::Result {
    if events.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nthe last events")?;
    for event in events {
        let reason = event.reason.as_deref().unwrap_or_default();
        let note = event.note.as_deref().unwrap_or_default();
        writeln!(out, "  {}  {reason}: {note}", last_time(event))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn all_that_bears_on_the_count_is_told() {
        let model = serde_json::from_value(json!({
            "apiVersion": "chandler.dev/v1alpha1", "kind": KIND,
            "metadata": {"name": "chat"},
            "spec": {"model": {"source": "file:///m"}, "autoscaling": {"maxReplicas": 4}},
            "status": {
                "replicaSummary": "2/2",
                "why": ["2 replicas follow the load"],
                "revisions": [{
                    "name": "abc", "phase": "Serving", "createdAt": "2026-01-01T00:00:00.000000Z",
                    "startup": {"loadMs": 1500, "firstAnswerMs": 500},
                    "capacity": {
                        "prefillTokensPerSecond": 800.0, "decodeTokensPerSecond": 40.0,
                        "requestsPerSecond": 1.5, "learnedAt": "2026-01-01T00:00:00.000000Z",
                        "reachedAt": "2026-01-01T00:05:00.000000Z",
                    },
                }],
                "scaling": {"decisions": [{
                    "at": "2026-01-01T00:05:02.000000Z", "from": 1, "to": 2,
                    "why": ["the load wants 2 replicas"],
                }]},
            },
        }));
        let model: ModelDeployment = model.expect("a model");
        let told = text(&model, &[]);
        assert_eq!(
            told,
            "chat: 2/2 replicas ready, 1 to 4 by its load\n  2 replicas follow the load\n\n\
             revision abc\n  a replica starts in about 2.0s\n  \
             a replica reads 800.0 tokens a second or writes 40.0, about 1.50 requests: more was too \
             much at 2026-01-01T00:05:00Z\n\n\
             the last changes of the count\n  \
             2026-01-01T00:05:02Z  1 → 2  the load wants 2 replicas\n"
        );
    }
}
