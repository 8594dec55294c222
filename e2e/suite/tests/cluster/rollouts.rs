//! A new revision goes live by steps, and back at once where it is no good, and callers notice
//! neither.

use anyhow::{Context, Result, ensure};
use chandler_crds::ModelDeployment;
use chandler_crds::conditions::ConditionType;
use chandler_crds::status::{
    CheckVerdict, RevisionPhase, RevisionStatus, RolloutPhase, RolloutStatus,
};
use chandler_e2e_suite::{
    EMBEDDINGS, Load, Space, Tally, chandler, eventually, gone, in_space, is, until,
};
use k8s_openapi::api::apps::v1::Deployment;

/// Callers at once.
const CALLERS: usize = 2;

/// Where the images of a server with a fault are, and their tag.
const FAULTY: (&str, &str) = ("ghcr.io/chandler-dev/chandler", env!("CARGO_PKG_VERSION"));

/// A model under load whose revisions differ by the length of their queue.
struct Rolling {
    space: Space,
    load: Load,
    /// The first revision.
    first: String,
}

fn spec(served: &str, queue: u32, rollout: &str) -> String {
    format!(
        "{{model: {{source: {EMBEDDINGS}, servedName: {served}}}, replicas: 2, \
         server: {{drainSeconds: 5, maxQueue: {queue}}}, rollout: {{{rollout}}}}}"
    )
}

impl Rolling {
    async fn start(space: &Space, rollout: &str) -> Result<Self> {
        let served = space.name.clone();
        space.apply_model("m", &spec(&served, 100, rollout)).await?;
        let model = space.wait_ready("m").await?;
        let gateway = space.gateway().await?;
        eventually("known", async || gateway.embed(&served).await.ok()).await?;
        Ok(Self {
            space: space.clone(),
            load: Load::start(&gateway, &served, CALLERS),
            first: rollout_of(&model).context("a rollout")?.revision.clone(),
        })
    }

    async fn apply(&self, queue: u32, rollout: &str) -> Result<ModelDeployment> {
        let spec = spec(&self.space.name, queue, rollout);
        self.space.apply_model("m", &spec).await
    }

    /// Asks for a server with a fault instead.
    async fn apply_faulty(&self, fault: &str, rollout: &str) -> Result<ModelDeployment> {
        let (name, tag) = FAULTY;
        let spec = format!(
            "{{model: {{source: {EMBEDDINGS}, servedName: {}}}, replicas: 2, \
             server: {{drainSeconds: 5, image: '{name}-{fault}:{tag}'}}, rollout: {{{rollout}}}}}",
            self.space.name
        );
        self.space.apply_model("m", &spec).await
    }

    /// Waits until the rollout of what the spec asks for is as `holds` says.
    async fn until(
        &self,
        what: &str,
        holds: impl Fn(&RolloutStatus) -> bool,
    ) -> Result<ModelDeployment> {
        let is_so = |model: &ModelDeployment| {
            let told = model.status.as_ref().and_then(|it| it.observed_generation);
            told == model.metadata.generation && rollout_of(model).is_some_and(&holds)
        };
        until(&self.space.models(), "m", what, is_so).await
    }

    /// Waits until the rollout is at a step and its weight holds.
    async fn until_step(&self, step: i32) -> Result<ModelDeployment> {
        let what = format!("at step {step}");
        self.until(&what, |it| it.step == step && it.held_since.is_some())
            .await
    }

    async fn until_phase(&self, phase: RolloutPhase) -> Result<ModelDeployment> {
        self.until(&format!("{phase:?}"), |it| it.phase == phase)
            .await
    }

    async fn gone(&self, revision: &str) -> Result<()> {
        let deployments = self.space.api::<Deployment>();
        gone(&deployments, &format!("m-{revision}")).await
    }

    async fn stop(self) -> Tally {
        let tally = self.load.stop().await;
        tally.assert_all_answered();
        tally
    }
}

fn rollout_of(model: &ModelDeployment) -> Option<&RolloutStatus> {
    model.status.as_ref()?.rollout.as_ref()
}

fn revision<'a>(model: &'a ModelDeployment, name: &str) -> Result<&'a RevisionStatus> {
    let revisions = model.status.iter().flat_map(|status| &status.revisions);
    let mut found = revisions.filter(|revision| revision.name == name);
    found.next().with_context(|| format!("no revision {name}"))
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_good_canary_gets_all_the_traffic_by_steps() {
    in_space("canary", async |space| {
        let steps = "steps: [{weight: 30, hold: 5s}, {weight: 60, hold: 5s}], \
                     analysis: {maxErrorRate: 0.1, maxLatencyP95Ratio: 3}";
        let rolling = Rolling::start(&space, steps).await?;
        rolling.apply(101, steps).await?;
        let model = rolling.until_step(1).await?;
        let new = rollout_of(&model).context("a rollout")?.revision.clone();
        let weights = [&rolling.first, &new].map(|name| Ok(revision(&model, name)?.weight));
        let weights = weights.into_iter().collect::<Result<Vec<_>>>()?;
        ensure!(weights == [70, 30], "{weights:?}");
        ensure!(
            !is(&model, ConditionType::Ready),
            "it has a part of the traffic"
        );
        rolling.until_step(2).await?;
        rolling.until_phase(RolloutPhase::Completed).await?;
        rolling.gone(&rolling.first).await?;
        space.wait_ready("m").await?;
        let told = chandler(&["rollout", "status", "m", "-n", &space.name])?;
        ensure!(told.contains("Completed: canary"), "{told}");
        let model = space.wait_ready("m").await?;
        let verdicts = verdicts(&model);
        ensure!(
            verdicts.iter().all(|it| it.1 == CheckVerdict::Passed) && verdicts.len() == 2,
            "{verdicts:?}"
        );
        let first = rolling.first.clone();
        let tally = rolling.stop().await;
        ensure!(tally.revisions.contains(&first) && tally.revisions.contains(&new));
        Ok(())
    })
    .await;
}

/// A canary with a fault is taken back because a check of its traffic fails, and no caller notices.
async fn is_taken_back(space: Space, fault: &str, check: &str) -> Result<()> {
    let rollout = "steps: [{weight: 40, hold: 1h}], progressDeadline: 10m, \
                   analysis: {maxErrorRate: 0.05, maxLatencyP95Ratio: 2}";
    let rolling = Rolling::start(&space, rollout).await?;
    rolling.apply_faulty(fault, rollout).await?;
    let model = rolling.until_phase(RolloutPhase::RolledBack).await?;
    let told = rollout_of(&model).context("a rollout")?;
    let end = told.end.as_ref().context("an end")?;
    ensure!(end.reason == "AnalysisFailed", "{end:?}");
    let found = verdicts(&model);
    let failed = (check.to_owned(), CheckVerdict::Failed);
    ensure!(found.contains(&failed), "{found:?}");
    rolling.gone(&told.revision).await?;
    let answered = rolling.stop().await;
    ensure!(answered.revisions.contains(&told.revision), "it had none");
    Ok(())
}

/// What the checks of the last step's traffic came to.
fn verdicts(model: &ModelDeployment) -> Vec<(String, CheckVerdict)> {
    let analysis = rollout_of(model).and_then(|it| it.analysis.as_ref());
    let checks = analysis.into_iter().flat_map(|it| &it.checks);
    checks.map(|it| (it.name.clone(), it.verdict)).collect()
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_canary_that_is_slower_is_taken_back() {
    in_space("slower", async |space| {
        is_taken_back(space, "slow", "latencyP95").await
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_canary_that_loses_requests_is_taken_back() {
    in_space("loses", async |space| {
        is_taken_back(space, "errs", "errorRate").await
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn one_that_never_gets_ready_gives_way_until_it_is_tried_again() {
    in_space("neverready", async |space| {
        let rollout = "strategy: canary, progressDeadline: 10s";
        let rolling = Rolling::start(&space, rollout).await?;
        let broken = format!(
            "{{model: {{source: {EMBEDDINGS}, servedName: {}}}, replicas: 2, \
             server: {{image: 'registry.invalid/none:1'}}, rollout: {{{rollout}}}}}",
            space.name
        );
        space.apply_model("m", &broken).await?;
        let model = rolling.until_phase(RolloutPhase::RolledBack).await?;
        let failed = rollout_of(&model).context("a rollout")?.revision.clone();
        ensure!(is(&model, ConditionType::Stalled), "a person must know");
        let told = revision(&model, &failed)?.rejected.clone();
        let told = told.context("why it was taken back")?;
        ensure!(told.message.contains("Image"), "{told:?}");
        rolling.gone(&failed).await?;
        // It stays so until someone says otherwise.
        chandler(&["rollout", "retry", "m", "-n", &space.name])?;
        let again = |it: &RolloutStatus| it.phase == RolloutPhase::Progressing;
        rolling.until("tried again", again).await?;
        rolling.until_phase(RolloutPhase::RolledBack).await?;
        let tally = rolling.stop().await;
        ensure!(tally.revisions.len() == 1, "{:?} answered", tally.revisions);
        Ok(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn half_way_it_is_held_and_taken_back_by_hand_or_by_the_spec() {
    in_space("halfway", async |space| {
        let steps = "steps: [{weight: 50, hold: 1h}]";
        let rolling = Rolling::start(&space, steps).await?;
        let command = |what: &str| chandler(&["rollout", what, "m", "-n", &space.name]);
        rolling.apply(101, steps).await?;
        let model = rolling.until_step(1).await?;
        let second = rollout_of(&model).context("a rollout")?.revision.clone();
        command("pause")?;
        rolling.until_phase(RolloutPhase::Paused).await?;
        command("resume")?;
        rolling.until_step(1).await?;
        command("abort")?;
        let model = rolling.until_phase(RolloutPhase::RolledBack).await?;
        ensure!(revision(&model, &second)?.rejected.is_some());
        rolling.gone(&second).await?;

        // Another one, and the spec of before at half of its traffic.
        rolling.apply(102, steps).await?;
        let model = rolling.until_step(1).await?;
        let third = rollout_of(&model).context("a rollout")?.revision.clone();
        rolling.apply(100, steps).await?;
        rolling.gone(&third).await?;
        let model = space.wait_ready("m").await?;
        let back = rollout_of(&model).context("a rollout")?.revision.clone();
        ensure!(back == rolling.first, "{back} is not {}", rolling.first);
        rolling.stop().await;
        Ok(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn an_undone_rollout_brings_back_the_same_files() {
    in_space("undo", async |space| {
        let steps = "steps: [{weight: 50, hold: 1h}]";
        let rolling = Rolling::start(&space, steps).await?;
        let before = space.wait_ready("m").await?;
        let lock = revision(&before, &rolling.first)?.lock.clone();
        ensure!(lock.is_some(), "no lock");
        rolling.apply(101, steps).await?;
        rolling.until_step(1).await?;
        chandler(&["rollout", "promote", "m", "-n", &space.name])?;
        rolling.until_phase(RolloutPhase::Completed).await?;
        let retired = |model: &ModelDeployment| {
            let first = revision(model, &rolling.first);
            first.is_ok_and(|it| it.phase == RevisionPhase::Retired)
        };
        until(&space.models(), "m", "rid of the first", retired).await?;
        let told = chandler(&["rollout", "history", "m", "-n", &space.name])?;
        ensure!(told.contains("Retired"), "{told}");

        chandler(&["rollout", "undo", "m", "-n", &space.name])?;
        rolling.until_step(1).await?;
        chandler(&["rollout", "promote", "m", "-n", &space.name])?;
        let completed = |it: &RolloutStatus| {
            it.phase == RolloutPhase::Completed && it.revision == rolling.first
        };
        let model = rolling.until("back", completed).await?;
        let again = &revision(&model, &rolling.first)?.lock;
        ensure!(*again == lock, "{again:?} is not {lock:?}");
        rolling.stop().await;
        Ok(())
    })
    .await;
}
