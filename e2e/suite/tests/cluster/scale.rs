//! Load that rises brings replicas, load that falls takes them away again, to none where that is
//! allowed, and every request is answered meanwhile.

use anyhow::{Context, Result, ensure};
use chandler_crds::ModelDeployment;
use chandler_crds::conditions::ConditionType;
use chandler_e2e_suite::{
    Follows, Space, chandler, condition, decisions, in_space, ready_count, scaling,
};

/// From rest to as many as the load of [`Follows::MANY`] callers wants.
const TO_REST: &str = "{minReplicas: 0, maxReplicas: 3, idleAfter: 15s, targets: {concurrency: 2}, \
                       behavior: {scaleDown: {stabilization: 10s}}}";

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn a_model_at_rest_grows_shrinks_and_rests_again() {
    in_space("torest", async |space| {
        let model = Follows::new(&space, "m", TO_REST).await?;
        model.until("asleep", rests).await?;

        let load = model.load(Follows::MANY);
        let many = |model: &ModelDeployment| ready_count(model).is_some_and(|count| count >= 2);
        model.until("of two replicas or more", many).await?;
        load.stop().await.assert_all_answered();

        let load = model.load(1);
        model.wait_count(1).await?;
        load.stop().await.assert_all_answered();
        model.until("asleep again", rests).await?;

        let load = model.load(1);
        let woken = model.wait_count(1).await?;
        load.stop().await.assert_all_answered();
        rose_and_fell(&woken)?;
        reasons_have_numbers(&woken)?;
        is_explained(&space, &woken)
    })
    .await;
}

fn rests(model: &ModelDeployment) -> bool {
    let ready = condition(model, ConditionType::Ready);
    let rests = ready.is_some_and(|it| it.status == "True" && it.reason == "ScaledToZero");
    rests && ready_count(model) == Some(0)
}

/// To rest, awake, to the most that the load wanted and never back on the way, down to rest in the
/// same manner, and awake.
fn rose_and_fell(model: &ModelDeployment) -> Result<()> {
    let told = decisions(model)?;
    let is_chain = told.windows(2).all(|pair| pair[0].1 == pair[1].0);
    ensure!(is_chain, "a change is missing: {told:?}");
    let [(1, 0), (0, 1), changes @ .., (1, 0), (0, 1)] = told.as_slice() else {
        anyhow::bail!("it did not rest twice and wake twice: {told:?}");
    };
    let rises = changes.iter().take_while(|(from, to)| from < to).count();
    let (up, down) = changes.split_at(rises);
    let falls = down.iter().all(|(from, to)| from > to);
    ensure!(!up.is_empty() && falls, "it went back on the way: {told:?}");
    Ok(())
}

fn reasons_have_numbers(model: &ModelDeployment) -> Result<()> {
    for decision in &scaling(model)?.decisions {
        let wanted = match (decision.from, decision.to) {
            (0, _) => "requests wait at the gateways",
            (_, 0) => "no request for 1",
            (from, to) if from < to => "concurrency is ",
            _ => "would have done for 10s",
        };
        let why = decision.why.join("; ");
        ensure!(why.contains(wanted), "no {wanted:?} in {decision:?}");
    }
    Ok(())
}

/// `chandler explain` tells each change with its reasons.
fn is_explained(space: &Space, model: &ModelDeployment) -> Result<()> {
    let told = chandler(&["explain", "m", "-n", &space.name])?;
    println!("{told}");
    let first = told.lines().next().context("nothing is told")?;
    ensure!(
        first == "m: 1/1 replicas ready, 0 to 3 by its load",
        "{first}"
    );
    for decision in &scaling(model)?.decisions {
        let (from, to, why) = (decision.from, decision.to, decision.why.join("; "));
        let at = decision.at.0.strftime("%FT%TZ");
        let line = format!("  {at}  {from} → {to}  {why}");
        ensure!(told.lines().any(|it| it == line), "no {line:?} in\n{told}");
    }
    Ok(())
}
