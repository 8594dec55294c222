//! A model without `autoscaling` is scaled by Kubernetes' own autoscaler, through `/scale`.

use anyhow::{Context, Result, ensure};
use chandler_crds::ModelDeployment;
use chandler_crds::names::{FIELD_MANAGER, GROUP, KIND, VERSION};
use chandler_e2e_suite::{EMBEDDINGS, Space, eventually, in_space, kubectl, ready_count, until};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::Value;

use crate::external::External;

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_horizontal_pod_autoscaler_moves_the_count() {
    in_space("hpa", async |space| {
        let external = External::start(&space).await?;
        let served = &space.name;
        let spec = format!(
            "{{model: {{source: {EMBEDDINGS}, servedName: {served}}}, replicas: 1, \
             server: {{drainSeconds: 5}}}}"
        );
        space.apply_model("m", &spec).await?;
        space.wait_ready("m").await?;
        external.set(1);
        space.apply(&autoscaler()?).await?;
        for count in [3, 1] {
            external.set(count);
            let count = i32::try_from(count)?;
            let wanted = |it: &HorizontalPodAutoscaler| wants(it, count);
            let scaler = until(&space.api(), "m", "of another count", wanted).await?;
            is_able(&scaler)?;
            let has = |model: &ModelDeployment| ready_count(model) == Some(count);
            let model = until(&space.models(), "m", "scaled", has).await?;
            ensure!(model.spec.replicas == Some(count), "{:?}", model.spec);
            written_by_it_alone(&model)?;
        }
        told_of_both(&space).await
    })
    .await;
}

/// One replica for each that the metric counts.
fn autoscaler() -> Result<HorizontalPodAutoscaler> {
    let metric = External::METRIC;
    let text = format!(
        "{{metadata: {{name: m}}, spec: {{minReplicas: 1, maxReplicas: 4, \
         scaleTargetRef: {{apiVersion: {GROUP}/{VERSION}, kind: {KIND}, name: m}}, \
         behavior: {{scaleDown: {{stabilizationWindowSeconds: 0}}}}, \
         metrics: [{{type: External, external: {{metric: {{name: {metric}}}, \
         target: {{type: AverageValue, averageValue: '1'}}}}}}]}}}}"
    );
    Ok(serde_yaml::from_str(&text)?)
}

/// Whether it has asked for so many replicas and finds that they are there.
fn wants(scaler: &HorizontalPodAutoscaler, count: i32) -> bool {
    let status = scaler.status.as_ref();
    status.is_some_and(|it| it.desired_replicas == count && it.current_replicas == Some(count))
}

fn is_able(scaler: &HorizontalPodAutoscaler) -> Result<()> {
    let status = scaler.status.as_ref().context("a status")?;
    for kind in ["AbleToScale", "ScalingActive"] {
        let mut all = status.conditions.iter().flatten();
        let told = all.find(|it| it.type_ == kind && it.status == "True");
        ensure!(
            told.is_some(),
            "{kind} is not true: {:#?}",
            status.conditions
        );
    }
    Ok(())
}

/// The count is its word, and nobody's else: we never write a spec.
fn written_by_it_alone(model: &ModelDeployment) -> Result<()> {
    let entries = model.metadata.managed_fields.iter().flatten();
    let of_count: Vec<&ManagedFieldsEntry> = entries
        .clone()
        .filter(|it| has_field(it, "/f:spec/f:replicas"))
        .collect();
    let managers: Vec<_> = of_count.iter().map(|it| it.manager.as_deref()).collect();
    ensure!(
        managers == [Some("kube-controller-manager")],
        "the count was written by {managers:?}"
    );
    let mut own = entries.filter(|it| it.manager.as_deref() == Some(FIELD_MANAGER));
    ensure!(own.all(|it| !has_field(it, "/f:spec")), "we wrote a spec");
    Ok(())
}

fn has_field(entry: &ManagedFieldsEntry, pointer: &str) -> bool {
    let fields: Option<&Value> = entry.fields_v1.as_ref().map(|it| &it.0);
    fields.is_some_and(|fields| fields.pointer(pointer).is_some())
}

async fn told_of_both(space: &Space) -> Result<()> {
    eventually("told of both changes", async || {
        let events = ["get", "events", "-n", &space.name, "--field-selector"];
        let rescaled = "reason=SuccessfulRescale";
        let told = kubectl(&[&events[..], &[rescaled]].concat()).ok()?;
        let both = told.contains("New size: 3") && told.contains("New size: 1");
        both.then_some(())
    })
    .await
}
