//! The operator that leads is killed while the load rises. Who takes over knows what was decided, and
//! lets no replica go that the load needs.

use anyhow::{Result, ensure};
use chandler_crds::ModelDeployment;
use chandler_e2e_suite::operator::kill_leader;
use chandler_e2e_suite::{Follows, alone_in_space, decisions, fewest_wanted, scaling};

/// Requests that are answered before the first death: few enough that nobody has followed them by then.
const FIRST: usize = 8;
/// Requests that are answered after the last death.
const SOME: usize = 50;

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn whoever_takes_over_in_a_burst_lets_no_replica_go() {
    alone_in_space("takeover", async |space| {
        let model = Follows::new(&space, "m", Follows::UP_TO_TWO).await?;
        let load = model.load(Follows::MANY);
        load.wait_answers(FIRST).await?;
        let told = decisions(&model.get().await?)?;
        ensure!(told.is_empty(), "the load was followed already: {told:?}");
        kill_leader(&space.client).await?;
        let before = model.until("asked for two replicas", wants_two).await?;
        let told = decisions(&before)?;
        ensure!(told == [(1, 2)], "{told:?}");
        let fewest = fewest_wanted(&space, async {
            kill_leader(&space.client).await?;
            model.wait_count(2).await?;
            model.wait_follows().await?;
            load.wait_answers(SOME).await
        });
        let fewest = fewest.await?;
        ensure!(fewest == 2, "for a while {fewest} replicas were wanted");
        load.stop().await.assert_all_answered();
        is_remembered(&before, &model.get().await?)?;

        let load = model.load(1);
        let fallen = model.wait_count(1).await?;
        load.stop().await.assert_all_answered();
        let told = decisions(&fallen)?;
        ensure!(told == [(1, 2), (2, 1)], "{told:?}");
        Ok(())
    })
    .await;
}

fn wants_two(model: &ModelDeployment) -> bool {
    let status = model.status.as_ref();
    status.is_some_and(|it| it.replicas == Some(2))
}

fn is_remembered(before: &ModelDeployment, after: &ModelDeployment) -> Result<()> {
    let (old, new) = (scaling(before)?, scaling(after)?);
    ensure!(
        old.decisions == new.decisions,
        "what was decided is not what it was: {old:?}, {new:?}"
    );
    Ok(())
}
