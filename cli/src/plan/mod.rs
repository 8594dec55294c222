//! `chandler plan`: what applying a manifest to a cluster would do. Only reads.

mod live;
mod text;

use std::process::ExitCode;

use anyhow::{Context, Result, anyhow};
use chandler_core::memory::Memory;
use chandler_core::outlook::{Outlook, outlook, resolved};
use chandler_core::rollout::asks_for_room;
use chandler_core::validate::{Validated, validate};
use chandler_crds::ModelDeployment;
use chandler_operator::world::room_for;
use jiff::Timestamp;
use kube::{Api, Client};

use crate::args::PlanArgs;
use crate::cluster::{connect, tell};
use crate::manifest;

pub(crate) fn run(args: &PlanArgs) -> ExitCode {
    tell(plan(args))
}

async fn plan(args: &PlanArgs) -> Result<String> {
    let manifests = manifest::read(&args.filename, &[]).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        anyhow!(faults.join("\nerror: "))
    })?;
    let client = connect(&args.cluster).await?;
    let mut told = Vec::new();
    for object in &manifests.objects {
        told.push(of_one(&client, args, object).await?);
    }
    Ok(told.join("\n"))
}

async fn of_one(client: &Client, args: &PlanArgs, object: &ModelDeployment) -> Result<String> {
    let mut object = object.clone();
    let namespace = object
        .metadata
        .namespace
        .get_or_insert_with(|| args.namespace.clone());
    let models: Api<ModelDeployment> = Api::namespaced(client.clone(), namespace);
    let name = object.metadata.name.clone().unwrap_or_default();
    let found = models.get_opt(&name).await;
    let found = found.with_context(|| format!("{name} could not be read"))?;
    let status = found.as_ref().and_then(|found| found.status.as_ref());
    let object = live::taken(object, status);
    let spec = validate(&object).map_err(|invalid| {
        let told: Vec<String> = invalid.iter().map(ToString::to_string).collect();
        anyhow!("{name}: {}", told.join("; "))
    })?;
    let ahead = look(client, &object, &spec, &Memory::from_status(status)).await?;
    let before = found.as_ref().map(|found| &found.spec);
    Ok(text::of(&text::Told {
        object: &object,
        before,
        spec: &spec,
        ahead: &ahead,
    }))
}

async fn look(
    client: &Client,
    object: &ModelDeployment,
    spec: &Validated,
    memory: &Memory,
) -> Result<Outlook> {
    let now = Timestamp::now();
    let memory = resolved(spec, memory, now);
    let mut seen = live::snapshot(object.status.as_ref());
    if asks_for_room(spec, &memory) {
        let room = room_for(client.clone(), object, spec).await;
        seen.room = room.context("the room could not be looked at")?;
    }
    Ok(outlook(spec, &seen, &memory, now))
}
