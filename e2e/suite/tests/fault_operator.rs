//! The operator ends at each boundary between its actions: nothing is lost and nothing is done
//! twice to harm.

use anyhow::Result;
use chandler_e2e_suite::{Served, Space, in_space, kubectl, operator};

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

/// Ends the operator at a boundary of what `change` sets off, lets it live again, and sees
/// that the model comes to rest without a request lost.
async fn die_at(
    served: &Served,
    boundary: &str,
    change: impl AsyncFnOnce() -> Result<()>,
) -> Result<()> {
    println!("{boundary}");
    operator::set_failpoint(Some(boundary))?;
    let load = served.load();
    change().await?;
    let ended = operator::wait_failpoint(&served.space.client).await;
    operator::set_failpoint(None)?;
    ended?;
    served.wait_ready().await?;
    load.stop().await.assert_all_answered();
    Ok(())
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn the_operator_dies_at_every_boundary_of_a_rollout() {
    in_space("boundaries", async |space: Space| {
        let served = Served::new(&space, 1).await?;
        for (boundary, queue) in BOUNDARIES.into_iter().zip(200..) {
            let change = async || served.change(queue).await.map(drop);
            die_at(&served, boundary, change).await?;
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn the_operator_dies_as_it_scales_and_as_it_mends() {
    in_space("scaling", async |space: Space| {
        let served = Served::new(&space, 1).await?;
        let namespace = space.name.as_str();
        for (boundary, count) in [("before:Scale", "2"), ("after:Scale", "1")] {
            let count = format!("--replicas={count}");
            let scale = ["scale", "-n", namespace, "mdl", Served::NAME, &count];
            die_at(&served, boundary, async || kubectl(&scale).map(drop)).await?;
        }
        for boundary in ["before:Mend", "after:Mend"] {
            let edit = [
                "delete",
                "service",
                "-n",
                namespace,
                "-l",
                "chandler.dev/revision",
            ];
            die_at(&served, boundary, async || kubectl(&edit).map(drop)).await?;
        }
        Ok(())
    })
    .await;
}
