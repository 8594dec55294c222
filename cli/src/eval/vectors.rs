//! The vectors of texts.

use std::collections::{HashMap, HashSet};

use chandler_crds::names::api;
use serde_json::{Value, json};

use super::ask::in_order;
use super::fault::Fault;
use super::server::Server;
use crate::openai::ServerError;

/// Texts that are made vectors of by one request: few enough for every server.
pub(super) const BATCH: usize = 32;

/// A text that a vector is made of, and the item that it belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a> {
    pub(super) text: &'a str,
    pub(super) item: &'a str,
}

type Vector = Vec<f32>;

/// The vectors of all texts. Each is asked for once, however often it is there.
///
/// # Errors
/// Some have none; the others are given up.
pub(super) async fn embed<'a>(
    server: &Server,
    texts: impl Iterator<Item = Text<'a>>,
    parallel: usize,
) -> Result<HashMap<String, Vector>, Fault> {
    let mut seen = HashSet::new();
    let texts: Vec<_> = texts.filter(|text| seen.insert(text.text)).collect();
    let batches = texts.chunks(BATCH).map(|batch| async move {
        let vectors = of_batch(server, batch).await;
        let vectors = vectors.map_err(|error| Fault::Texts {
            first: batch[0].item.to_owned(),
            last: batch[batch.len() - 1].item.to_owned(),
            error,
        })?;
        let texts = batch.iter().map(|text| text.text.to_owned());
        Ok::<_, Fault>(texts.zip(vectors).collect::<Vec<_>>())
    });
    let all = in_order(batches, parallel).await?;
    Ok(all.into_iter().flatten().collect())
}

async fn of_batch(server: &Server, batch: &[Text<'_>]) -> Result<Vec<Vector>, ServerError> {
    let texts: Vec<_> = batch.iter().map(|text| text.text).collect();
    let refused = match of_inputs(server, &json!(texts), batch.len()).await {
        Err(error @ ServerError::Refused { .. }) => error,
        answered => return answered,
    };
    // One of them may be longer than the model takes.
    let mut vectors = Vec::new();
    for text in texts {
        let Some(input) = beginning(server, text).await else {
            return Err(refused);
        };
        vectors.append(&mut of_inputs(server, &json!([input]), 1).await?);
    }
    Ok(vectors)
}

async fn of_inputs(
    server: &Server,
    input: &Value,
    count: usize,
) -> Result<Vec<Vector>, ServerError> {
    let body = json!({"model": server.model, "input": input, "encoding_format": "float"});
    let answer = server.ask(api::EMBEDDINGS, &body).await?;
    let vectors = vectors(&answer, count);
    vectors.ok_or_else(|| server.broken("not one vector for each text"))
}

/// A text, or as much of its beginning as the model takes, as tokens; `None` if the server does not tell them. As
/// sentence-transformers does it, what ends every text is kept.
async fn beginning(server: &Server, text: &str) -> Option<Value> {
    let body = json!({"model": server.model, "prompt": text});
    let told = server.ask(api::TOKENIZE, &body).await.ok()?;
    let tokens = told["tokens"].as_array()?;
    let most = usize::try_from(told["max_model_len"].as_u64()?).ok()?;
    if tokens.len() <= most {
        return Some(json!(text));
    }
    let (last, others) = tokens.split_last()?;
    let kept = others.get(..most.checked_sub(1)?)?.iter();
    Some(kept.chain([last]).cloned().collect())
}

/// One vector for each text, by its index.
fn vectors(answer: &Value, texts: usize) -> Option<Vec<Vector>> {
    let told = answer["data"].as_array().filter(|it| it.len() == texts)?;
    let mut vectors = vec![None; texts];
    for one in told {
        let index = usize::try_from(one["index"].as_u64()?).ok()?;
        let numbers = one["embedding"].as_array()?.iter();
        let numbers: Option<Vec<_>> = numbers
            .map(|it| it.as_f64().map(|number| number as f32))
            .collect();
        *vectors.get_mut(index)? = Some(numbers?);
    }
    vectors.into_iter().collect()
}
