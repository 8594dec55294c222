//! A new model goes live only if its answers are good: nothing else tells one with damaged weights.

use anyhow::{Context, Result, ensure};
use chandler_crds::conditions::ConditionType;
use chandler_crds::status::{CheckVerdict, EvaluationStatus, RolloutPhase, RolloutStatus};
use chandler_crds::{ModelDeployment, ModelLock};
use chandler_e2e_suite::{
    CHAT, EMBEDDINGS, Gateway, Load, NONSENSE, Space, chandler, condition, eventually, in_space,
    until,
};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;

/// Callers at once.
const CALLERS: usize = 1;
/// Tokens of an answer that is a reference.
const WORDS: u32 = 12;
const QUESTIONS: [&str; 4] = [
    "What is the capital of France?",
    "Name the days of the week.",
    "What colour is the sky?",
    "How many legs does a spider have?",
];

/// By the words of the answers, by what they mean, and by how likely good ones are.
const EVALUATIONS: [&str; 3] = [
    "{name: facts, suiteRef: {name: facts}, metric: contains, min: 0.9, maxRegression: 0.1}",
    "{name: meaning, suiteRef: {name: facts}, metric: embeddingSimilarity, maxRegression: 0.1, \
     embeddingModelRef: {name: vectors}}",
    "{name: likely, suiteRef: {name: facts}, metric: perplexity, maxRegression: 1}",
];

fn spec(served: &str, source: &str, queue: u32) -> String {
    format!(
        "{{model: {{source: '{source}', servedName: {served}}}, replicas: 1, \
         server: {{drainSeconds: 5, maxQueue: {queue}}}, \
         rollout: {{steps: [{{weight: 50, hold: 2s}}], evaluation: [{}]}}}}",
        EVALUATIONS.join(", ")
    )
}

/// A suite whose references begin what the model answers now.
async fn suite(gateway: &Gateway, model: &str) -> Result<String> {
    let mut lines = Vec::new();
    for question in QUESTIONS {
        let answer = gateway.chat(model, question, WORDS).await?.text;
        let messages = json!([{"role": "user", "content": question}]);
        lines.push(json!({"messages": messages, "references": answer.trim()}).to_string());
    }
    Ok(lines.join("\n"))
}

fn config_map(name: &str, suite: String) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some([("suite.jsonl".to_owned(), suite)].into()),
        ..ConfigMap::default()
    }
}

fn rollout_of(model: &ModelDeployment) -> Option<&RolloutStatus> {
    model.status.as_ref()?.rollout.as_ref()
}

async fn until_phase(space: &Space, phase: RolloutPhase) -> Result<ModelDeployment> {
    let is_so = |model: &ModelDeployment| {
        let told = model.status.as_ref().and_then(|it| it.observed_generation);
        let rollout = rollout_of(model);
        told == model.metadata.generation && rollout.is_some_and(|it| it.phase == phase)
    };
    until(&space.models(), "m", &format!("{phase:?}"), is_so).await
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn damaged_weights_are_told_by_their_answers_alone() {
    in_space("answers", async |space| {
        let served = space.name.clone();
        let vectors = format!("{{model: {{source: {EMBEDDINGS}, servedName: {served}-vectors}}}}");
        space.apply_model("vectors", &vectors).await?;
        space.apply_model("m", &spec(&served, CHAT, 100)).await?;
        space.wait_ready("m").await?;
        space.wait_ready("vectors").await?;
        let gateway = space.gateway().await?;
        eventually("known", async || {
            gateway.chat(&served, QUESTIONS[0], 1).await.ok()
        })
        .await?;
        let suite = suite(&gateway, &served).await?;
        space.apply(&config_map("facts", suite)).await?;
        let load = Load::start_chat(&gateway, &served, CALLERS);

        space.apply_model("m", &spec(&served, CHAT, 101)).await?;
        let model = until_phase(&space, RolloutPhase::Completed).await?;
        let good = rollout_of(&model).context("a rollout")?.clone();
        let answers = good.answers.context("answers")?;
        ensure!(
            answers.evaluations.len() == EVALUATIONS.len(),
            "{answers:?}"
        );
        for found in &answers.evaluations {
            let is_good = found.verdict == CheckVerdict::Passed && found.items == 4;
            ensure!(is_good && found.digest.len() == 12, "{found:?}");
        }

        space
            .apply_model("m", &spec(&served, NONSENSE, 101))
            .await?;
        let model = until_phase(&space, RolloutPhase::RolledBack).await?;
        let bad = rollout_of(&model).context("a rollout")?.clone();
        let end = bad.end.context("an end")?;
        ensure!(end.reason == "EvaluationFailed", "{end:?}");
        let answers = bad.answers.context("answers")?;
        let failed = |it: &EvaluationStatus| it.verdict == CheckVerdict::Failed;
        ensure!(answers.evaluations.iter().all(failed), "{answers:?}");
        let told = condition(&model, ConditionType::AnswersGood);
        ensure!(told.is_some_and(|it| it.status == "False"), "{told:?}");

        load.wait_answers(3).await?;
        let tally = load.stop().await;
        tally.assert_all_answered();
        ensure!(
            !tally.revisions.contains(&bad.revision),
            "it never had traffic"
        );
        ensure!(tally.revisions.contains(&good.revision), "{tally:?}");
        Ok(())
    })
    .await;
}

/// What the files of the revision that serves are.
fn lock(model: &ModelDeployment) -> Result<ModelLock> {
    let status = model.status.as_ref().context("a status")?;
    let serving = status.revisions.iter().find(|it| it.weight == 100);
    let lock = serving.and_then(|revision| revision.lock.clone());
    lock.context("a revision that serves")
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn an_undone_model_answers_word_for_word_as_before() {
    in_space("undone", async |space| {
        let served = space.name.clone();
        let spec = |source| format!("{{model: {{source: '{source}', servedName: {served}}}}}");
        space.apply_model("m", &spec(CHAT)).await?;
        let before = lock(&space.wait_ready("m").await?)?;
        let gateway = space.gateway().await?;
        let ask = async || gateway.chat(&served, QUESTIONS[0], WORDS).await.ok();
        let answer = eventually("known", ask).await?;

        space.apply_model("m", &spec(NONSENSE)).await?;
        let other = lock(&until_phase(&space, RolloutPhase::Completed).await?)?;
        ensure!(other.files != before.files, "{other:?}");
        // Gateways follow soon after.
        let new = async || ask().await.filter(|it| it.revision != answer.revision);
        let nonsense = eventually("answered by the new revision", new).await?;
        ensure!(nonsense.text != answer.text, "{nonsense:?}");

        chandler(&["rollout", "undo", "m", "-n", &space.name])?;
        let back = |model: &ModelDeployment| {
            let rollout = rollout_of(model);
            rollout.is_some_and(|it| {
                it.phase == RolloutPhase::Completed && it.revision == answer.revision
            })
        };
        let model = until(&space.models(), "m", "back", back).await?;
        ensure!(lock(&model)? == before, "other files");
        let again = gateway.chat(&served, QUESTIONS[0], WORDS).await?;
        ensure!(
            again.text == answer.text && again.revision == answer.revision,
            "{again:?}"
        );
        Ok(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask e2e"]
async fn live_prompts_asked_aside_tell_of_damaged_weights() {
    in_space("shadow", async |space| {
        let served = space.name.clone();
        let spec = |source: &str, queue: u32| {
            format!(
                "{{model: {{source: '{source}', servedName: {served}}}, replicas: 1, \
                 server: {{drainSeconds: 5, maxQueue: {queue}}}, rollout: {{strategy: blueGreen, \
                 shadow: {{percent: 100, maxDifferent: 0.3, minPrompts: 8}}}}}}"
            )
        };
        space.apply_model("m", &spec(CHAT, 100)).await?;
        space.wait_ready("m").await?;
        let gateway = space.gateway().await?;
        eventually("known", async || {
            gateway.chat(&served, QUESTIONS[0], 1).await.ok()
        })
        .await?;
        let load = Load::start_chat(&gateway, &served, CALLERS);

        space.apply_model("m", &spec(CHAT, 101)).await?;
        let model = until_phase(&space, RolloutPhase::Completed).await?;
        let good = rollout_of(&model).context("a rollout")?.clone();
        let shown = good.analysis.context("what was asked aside")?;
        ensure!(shown.step == 0 && shown.requests >= 8, "{shown:?}");
        ensure!(shown.checks[0].name == "answersDiffer", "{shown:?}");

        space.apply_model("m", &spec(NONSENSE, 101)).await?;
        let model = until_phase(&space, RolloutPhase::RolledBack).await?;
        let bad = rollout_of(&model).context("a rollout")?.clone();
        let end = bad.end.context("an end")?;
        ensure!(end.reason == "ShadowFailed", "{end:?}");

        load.wait_answers(3).await?;
        let tally = load.stop().await;
        tally.assert_all_answered();
        ensure!(
            !tally.revisions.contains(&bad.revision),
            "a caller got its answer"
        );
        Ok(())
    })
    .await;
}
