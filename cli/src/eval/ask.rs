//! Asks the questions of a suite, several at a time.

use std::collections::{HashMap, HashSet};

use chandler_crds::names::api;
use chandler_evaluation::suite::Item;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::{Value, json};

use super::fault::Fault;
use super::question::{Wanted, request};
use super::server::Server;

/// Texts that are made vectors of by one request: few enough for every server.
pub(super) const BATCH: usize = 32;

/// How questions are asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    pub(super) wanted: Wanted,
    pub(super) seed: u64,
    /// Requests at one time.
    pub(super) parallel: usize,
}

/// What `read` finds in the answers to all items, in their order.
///
/// # Errors
/// One item has no answer, or not one that can be read; the others are given up.
pub(super) async fn ask_all<T>(
    server: &Server,
    items: &[Item],
    manner: Manner,
    read: impl Fn(&Item, &Value) -> Result<T, String>,
) -> Result<Vec<T>, Fault> {
    let read = &read;
    let asked = items.iter().map(|item| async move {
        let (path, body) = request(&server.model, &item.prompt, manner.wanted, manner.seed);
        let answer = server.ask(path, &body).await;
        let answer = answer
            .and_then(|answer| read(item, &answer).map_err(|problem| server.broken(&problem)));
        answer.map_err(|error| Fault::Item {
            item: item.id.clone(),
            role: server.role,
            error,
        })
    });
    in_order(asked, manner.parallel).await
}

/// A text that a vector is made of, and the item that it belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a> {
    pub(super) text: &'a str,
    pub(super) item: &'a str,
}

/// The vectors of all texts. Each is asked for once, however often it is there.
///
/// # Errors
/// Some have none; the others are given up.
pub(super) async fn embed<'a>(
    server: &Server,
    texts: impl Iterator<Item = Text<'a>>,
    parallel: usize,
) -> Result<HashMap<String, Vec<f32>>, Fault> {
    let mut seen = HashSet::new();
    let texts: Vec<_> = texts.filter(|text| seen.insert(text.text)).collect();
    let batches = texts.chunks(BATCH).map(|batch| async move {
        let input: Vec<_> = batch.iter().map(|text| text.text).collect();
        let body = json!({"model": server.model, "input": input, "encoding_format": "float"});
        let answer = server.ask(api::EMBEDDINGS, &body).await;
        let answer = answer.and_then(|answer| {
            let vectors = vectors(&answer, batch.len());
            vectors.ok_or_else(|| server.broken("not one vector for each text"))
        });
        let vectors = answer.map_err(|error| Fault::Texts {
            first: batch[0].item.to_owned(),
            last: batch[batch.len() - 1].item.to_owned(),
            error,
        })?;
        let named = input.into_iter().map(str::to_owned).zip(vectors);
        Ok::<_, Fault>(named.collect::<Vec<_>>())
    });
    let all = in_order(batches, parallel).await?;
    Ok(all.into_iter().flatten().collect())
}

/// One vector for each text, by its index.
fn vectors(answer: &Value, texts: usize) -> Option<Vec<Vec<f32>>> {
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

/// What comes of all, in their order, with so many under way at one time. The first fault ends all.
async fn in_order<T, W: Future<Output = Result<T, Fault>>>(
    work: impl Iterator<Item = W>,
    parallel: usize,
) -> Result<Vec<T>, Fault> {
    let numbered = work
        .enumerate()
        .map(|(index, one)| async move { one.await.map(|done| (index, done)) });
    // Not `buffered`, which tells a fault only once all before it are done.
    let done = stream::iter(numbered).buffer_unordered(parallel);
    let mut done: Vec<_> = done.try_collect().await?;
    done.sort_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, done)| done).collect())
}
