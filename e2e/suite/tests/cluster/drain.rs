//! A revision that has no traffic any more ends what it has, and goes then.

use anyhow::{Context, Result, ensure};
use chandler_crds::ModelDeployment;
use chandler_crds::status::{RevisionPhase, RevisionStatus};
use chandler_e2e_suite::{CHAT, eventually, gone, in_space, until};
use k8s_openapi::api::apps::v1::Deployment;

/// Tokens of an answer that is still being written when another revision has the traffic.
const LONG: u32 = 900;

fn revision<'a>(model: &'a ModelDeployment, name: &str) -> Option<&'a RevisionStatus> {
    let mut revisions = model.status.iter().flat_map(|status| &status.revisions);
    revisions.find(|revision| revision.name == name)
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_long_answer_is_counted_and_keeps_its_revision() {
    in_space("drain", async |space| {
        let served = space.name.clone();
        // Longer than any test waits: the revision goes because it has nothing left to do.
        let spec = |queue: u32| {
            format!(
                "{{model: {{source: '{CHAT}', servedName: {served}}}, replicas: 1, \
                 server: {{drainSeconds: 3600, maxQueue: {queue}}}, rollout: {{strategy: blueGreen}}}}"
            )
        };
        space.apply_model("m", &spec(100)).await?;
        let model = space.wait_ready("m").await?;
        let status = model.status.as_ref().context("a status")?;
        let first = status.current_revision.clone().context("a revision")?;
        let gateway = space.gateway().await?;
        eventually("known", async || gateway.write(&served, 1).await.ok()).await?;
        let (door, name) = (gateway.clone(), served.clone());
        let long = tokio::spawn(async move { door.write(&name, LONG).await });

        space.apply_model("m", &spec(101)).await?;
        let counted = |model: &ModelDeployment| {
            let old = revision(model, &first);
            old.is_some_and(|it| it.phase == RevisionPhase::Draining && it.in_flight == Some(1))
        };
        until(&space.models(), "m", "counts what the old revision has", counted).await?;
        let answer: Result<_> = long.await?;
        let answer = answer.context("the long answer")?;
        ensure!(answer.revision == first, "{answer:?}");
        gone(&space.api::<Deployment>(), &format!("m-{first}")).await?;
        space.wait_ready("m").await.map(drop)
    })
    .await;
}
