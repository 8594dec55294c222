//! Asks the questions of a suite, several at a time.

use chandler_evaluation::suite::Item;
use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::Value;

use super::fault::Fault;
use super::question::{Wanted, request};
use super::server::Server;

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

/// What comes of all, in their order, with so many under way at one time. The first fault ends all.
pub(super) async fn in_order<T, W: Future<Output = Result<T, Fault>>>(
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
