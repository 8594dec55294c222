//! How likely a revision finds good answers that it is given.

use chandler_crds::names::api;
use chandler_evaluation::suite::{Item, Prompt};
use serde_json::{Value, json};

use super::ask::in_order;
use super::fault::Fault;
use super::server::Server;
use crate::openai::ServerError;

/// The natural logarithms of the probabilities of the tokens of each item's references, all of an item's together.
///
/// # Errors
/// Those of one item are not told; the others are given up.
pub(super) async fn logprobs(
    server: &Server,
    items: &[Item],
    parallel: usize,
) -> Result<Vec<Vec<f64>>, Fault> {
    let asked = items.iter().map(|item| async move {
        of_item(server, item).await.map_err(|error| Fault::Item {
            item: item.id.clone(),
            role: server.role,
            error,
        })
    });
    in_order(asked, parallel).await
}

async fn of_item(server: &Server, item: &Item) -> Result<Vec<f64>, ServerError> {
    let prompt = tokens(server, question(&item.prompt)).await?;
    let mut all = Vec::new();
    for reference in &item.references {
        let reference = json!({"prompt": reference, "add_special_tokens": false});
        let reference = tokens(server, reference).await?;
        let told = told(server, &prompt, &reference).await?;
        all.extend(told);
    }
    Ok(all)
}

/// What becomes the tokens that a reference follows.
fn question(prompt: &Prompt) -> Value {
    match prompt {
        Prompt::Messages(messages) => json!({"messages": messages, "add_generation_prompt": true}),
        Prompt::Input(input) => json!({"prompt": input}),
    }
}

/// The tokens of question and reference are told apart by their ids: in one text, one might be of both.
async fn tokens(server: &Server, mut body: Value) -> Result<Vec<Value>, ServerError> {
    body["model"] = json!(server.model);
    let answer = server.ask(api::TOKENIZE, &body).await?;
    let tokens = answer["tokens"].as_array().cloned();
    tokens.ok_or_else(|| server.broken("no `tokens`"))
}

async fn told(
    server: &Server,
    prompt: &[Value],
    reference: &[Value],
) -> Result<Vec<f64>, ServerError> {
    let text = [prompt, reference].concat();
    let body = json!({
        "model": server.model, "prompt": text,
        "max_tokens": 0, "echo": true, "logprobs": 0,
    });
    let answer = server.ask(api::COMPLETIONS, &body).await?;
    let told = answer["choices"][0]["logprobs"]["token_logprobs"].as_array();
    let told = told.filter(|told| told.len() == prompt.len() + reference.len());
    let told = told.ok_or_else(|| {
        server.broken("no `logprobs` of a prompt: not every server tells them with `echo`")
    })?;
    let told = told[prompt.len()..].iter().map(Value::as_f64);
    let told: Option<Vec<f64>> = told.collect();
    told.ok_or_else(|| {
        server.broken(
            "no probability of the first token: a question without tokens tells nothing of it",
        )
    })
}
