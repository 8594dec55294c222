//! The operator ends at each boundary between its actions: nothing is lost and nothing is done
//! twice to harm.

use anyhow::{Result, ensure};
use chandler_crds::names::labels;
use chandler_e2e_suite::operator::{self, Outside};
use chandler_e2e_suite::{Load, Served, alone_in_space, kubectl};

/// The boundaries that every change of a revision passes, in their order.
const BOUNDARIES: [&str; 12] = [
    "before:Resolve",
    "after:Resolve",
    "before:EnsureRevision",
    "after:EnsureRevision",
    "before:Probe",
    "after:Probe",
    "before:SetTraffic",
    "after:SetTraffic",
    "before:Retire",
    "after:Retire",
    "before:PublishStatus",
    "after:PublishStatus",
];

/// A model under load, looked after by an operator that can be made to die.
struct Stage {
    served: Served,
    operators: Outside,
    load: Load,
}

impl Stage {
    /// Ends the operator at a boundary of what `change` sets off, lets it live again, and sees
    /// that the model comes to rest.
    async fn die_at(
        &self,
        boundary: &str,
        change: impl AsyncFnOnce(&Served) -> Result<()>,
    ) -> Result<()> {
        let before = self.load.answered();
        let doomed = self.operators.start(Some(boundary))?;
        change(&self.served).await?;
        doomed.wait_failpoint().await?;
        let again = self.operators.start(None)?;
        self.served.wait_current().await?;
        again.stop().await?;
        let answered = self.load.answered() - before;
        println!("{boundary}: {answered} requests answered");
        ensure!(answered > 0, "nobody was answered meanwhile");
        Ok(())
    }
}

/// Runs `deaths` on such a stage; afterwards the installed operators are back.
async fn on_stage(name: &str, deaths: impl AsyncFnOnce(&Stage) -> Result<()>) {
    alone_in_space(name, async |space| {
        let served = Served::new(&space, 1).await?;
        let operators = Outside::of_installed(&space.client).await?;
        let away = operator::none_installed(&space.client).await?;
        let load = served.load();
        let stage = Stage {
            served,
            operators,
            load,
        };
        deaths(&stage).await?;
        away.end()?;
        stage.served.wait_settled().await?;
        stage.load.stop().await.assert_all_answered();
        Ok(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn the_operator_dies_at_every_boundary_of_a_rollout() {
    on_stage("boundaries", async |stage| {
        for (boundary, queue) in BOUNDARIES.into_iter().zip(200..) {
            let change = async |served: &Served| served.change(queue).await.map(drop);
            stage.die_at(boundary, change).await?;
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn the_operator_dies_at_the_steps_of_a_canary() {
    on_stage("steps", async |stage| {
        let boundaries = [
            "before:SetTraffic",
            "after:SetTraffic",
            "before:PublishStatus",
            "after:PublishStatus",
        ];
        for (boundary, queue) in boundaries.into_iter().zip(300..) {
            let steps = "steps: [{weight: 30, hold: 1s}, {weight: 60, hold: 1s}]";
            let change = async |served: &Served| served.change_by(queue, steps).await.map(drop);
            stage.die_at(boundary, change).await?;
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn the_operator_dies_as_it_scales_and_as_it_mends() {
    on_stage("scaling", async |stage| {
        for (boundary, count) in [("before:Scale", 2), ("after:Scale", 1)] {
            let scale = async |served: &Served| served.scale(count);
            stage.die_at(boundary, scale).await?;
        }
        for boundary in ["before:Mend", "after:Mend"] {
            let delete = async |served: &Served| {
                let namespace = served.space.name.as_str();
                let revisions = labels::REVISION;
                kubectl(&["delete", "service", "-n", namespace, "-l", revisions]).map(drop)
            };
            stage.die_at(boundary, delete).await?;
        }
        Ok(())
    })
    .await;
}
