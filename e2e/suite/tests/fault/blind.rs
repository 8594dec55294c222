//! The operator is cut off from what replicas measure. What it is not told lets no replica go, and
//! once it is told again the count follows the load as before.

use anyhow::{Result, ensure};
use chandler_crds::ModelDeployment;
use chandler_e2e_suite::operator::{self, Outside};
use chandler_e2e_suite::{Fault, Follows, Load, Space, alone_in_space, decisions, ready_count};
use k8s_openapi::api::core::v1::Pod;

/// A model's name, and how many of its two replicas can't be asked.
const CUT: [(&str, usize); 3] = [("whole", 2), ("half", 1), ("none", 0)];

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn replicas_that_do_not_tell_their_load_stay() {
    alone_in_space("blind", async |space| {
        let operators = Outside::of_installed(&space.client).await?;
        let away = operator::none_installed(&space.client).await?;
        let running = operators.start(None)?;
        cut_off(&space).await?;
        running.stop().await?;
        away.end()
    })
    .await;
}

/// The model whose replicas can be asked shrinks: so the others would have had the time.
async fn cut_off(space: &Space) -> Result<()> {
    let models = &of_each_kind(space).await?;
    let loads = models.each_ref().map(|model| model.load(Follows::MANY));
    for model in models {
        model.wait_count(2).await?;
    }
    let cut = Fault::scrapes_cut(&cut_pods(models).await?)?;
    let [whole, half, none] = models;
    whole
        .wait_blind("no ready replica has told its load")
        .await?;
    answered(loads).await;
    let loads = models.each_ref().map(|model| model.load(1));
    none.wait_count(1).await?;
    for model in [whole, half] {
        let held = model.until("held", is_held).await?;
        ensure!(
            ready_count(&held) == Some(2),
            "it shrank: {:?}",
            held.status
        );
        ensure!(decisions(&held)? == [(1, 2)], "{:?}", decisions(&held));
    }
    cut.end()?;

    for model in [whole, half] {
        let fallen = model.wait_count(1).await?;
        let told = decisions(&fallen)?;
        ensure!(told == [(1, 2), (2, 1)], "{told:?}");
        model.wait_follows().await?;
    }
    answered(loads).await;
    Ok(())
}

async fn of_each_kind(space: &Space) -> Result<[Follows; 3]> {
    let [whole, half, none] = CUT.map(|(name, _)| Follows::new(space, name, Follows::UP_TO_TWO));
    Ok([whole.await?, half.await?, none.await?])
}

async fn cut_pods(models: &[Follows; 3]) -> Result<Vec<Pod>> {
    let mut pods = Vec::new();
    for (model, (name, count)) in models.iter().zip(CUT) {
        let own = model.pods().await?;
        ensure!(own.len() == 2, "{name} has {} pods", own.len());
        pods.extend(own.into_iter().take(count));
    }
    Ok(pods)
}

async fn answered(loads: [Load; 3]) {
    for load in loads {
        load.stop().await.assert_all_answered();
    }
}

fn is_held(model: &ModelDeployment) -> bool {
    let why = model.status.iter().flat_map(|status| &status.why);
    let held = "the count is held: not all of 2 ready replicas have told their load";
    why.into_iter().any(|why| why.starts_with(held))
}
