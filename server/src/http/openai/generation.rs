//! The way of generated text to the client: in one piece, or as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::http::{HeaderName, HeaderValue};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::future::try_join_all;
use futures::stream::{BoxStream, SelectAll, Stream, StreamExt, select_all, unfold};
use serde_json::Value;

use super::calls::Telling;
use super::shape::Shape;
use super::tools::Calling;
use crate::engine::{
    EngineError, Event, EventStream, FinishReason, GenerateRequest, Refused, Usage, Written,
};
use crate::http::ApiError;
use crate::lifecycle::Ticket;
use crate::tasks::TextTask;

/// Tells proxies to pass each event on at once.
const UNBUFFERED: (HeaderName, HeaderValue) = (
    HeaderName::from_static("x-accel-buffering"),
    HeaderValue::from_static("no"),
);

/// The sequences of one request, one a choice.
pub(super) struct Generation {
    pub(super) shape: Shape,
    pub(super) sequences: Vec<EventStream>,
    /// Choices for each prompt, which follow each other.
    pub(super) n: usize,
    /// How calls of tools are found in them, where there are tools.
    pub(super) calling: Option<Calling>,
    pub(super) include_usage: bool,
    pub(super) ticket: Arc<Ticket>,
}

/// Queues `n` sequences for one prompt. All or nothing: when one is refused, those before it are
/// cancelled.
///
/// # Errors
/// When one is refused.
pub(super) fn answers(
    task: &TextTask,
    n: usize,
    request: GenerateRequest,
) -> Result<Vec<EventStream>, Refused> {
    let requests = vec![request; n].into_iter().enumerate();
    let submit = |(number, request): (usize, GenerateRequest)| {
        task.submit(GenerateRequest {
            sampling: request.sampling.of_answer(number),
            ..request
        })
    };
    requests.map(submit).collect()
}

impl Generation {
    pub(super) async fn answer(self, stream: bool) -> Result<Response, ApiError> {
        if stream {
            self.streamed().await
        } else {
            self.whole().await
        }
    }

    async fn whole(self) -> Result<Response, ApiError> {
        let all = try_join_all(self.sequences.into_iter().map(collect));
        let answers = tokio::select! {
            answers = all => answers?,
            ending = self.ticket.ended() => return Err(ending.into()),
        };
        let mut used = Used::new(self.n);
        let mut choices = Vec::with_capacity(answers.len());
        for (index, (written, reason, usage)) in answers.into_iter().enumerate() {
            used.add(index, usage);
            choices.push(Telling::new(self.calling).whole(written, reason));
        }
        Ok(Json(self.shape.whole(choices, used.total)).into_response())
    }

    async fn streamed(self) -> Result<Response, ApiError> {
        let choices = self.sequences.len();
        let mut source = Source {
            choices,
            open: choices,
            used: Used::new(self.n),
            events: select_all(self.sequences.into_iter().enumerate().map(numbered)),
            ticket: self.ticket,
        };
        // The response's head waits for the first event: until then a failure can still be
        // told by its status, and a proxy can still ask another server.
        let first = source.next().await?;
        let tellings = (0..choices).map(|_| Telling::new(self.calling)).collect();
        let chunks = chunks(self.shape, tellings, source, first, self.include_usage);
        let sse = Sse::new(chunks).keep_alive(KeepAlive::default());
        Ok(([UNBUFFERED], sse).into_response())
    }
}

/// A step of one choice, by its index.
enum Piece {
    Text(usize, Written),
    End(usize, FinishReason),
}

/// The events of all choices, until all have ended.
struct Source {
    choices: usize,
    open: usize,
    used: Used,
    events: SelectAll<BoxStream<'static, (usize, Event)>>,
    ticket: Arc<Ticket>,
}

impl Source {
    /// The next step of any choice.
    async fn next(&mut self) -> Result<Piece, ApiError> {
        let next = tokio::select! {
            // An event that is there goes out even when time is up.
            biased;
            next = self.events.next() => next,
            ending = self.ticket.ended() => return Err(ending.into()),
        };
        match next {
            Some((index, Event::Text(more))) => Ok(Piece::Text(index, more)),
            Some((index, Event::Finished { reason, usage })) => {
                self.open -= 1;
                self.used.add(index, usage);
                Ok(Piece::End(index, reason))
            }
            Some((_, Event::Failed(error))) => Err(error.into()),
            None => Err(EngineError::Gone.into()),
        }
    }
}

fn numbered((index, sequence): (usize, EventStream)) -> BoxStream<'static, (usize, Event)> {
    let next = move |state: Option<EventStream>| async move {
        let mut sequence = state?;
        let event = sequence.next().await;
        let goes_on = matches!(event, Event::Text(_));
        Some(((index, event), goes_on.then_some(sequence)))
    };
    unfold(Some(sequence), next).boxed()
}

fn chunks(
    shape: Shape,
    mut tellings: Vec<Telling>,
    mut source: Source,
    first: Piece,
    include_usage: bool,
) -> impl Stream<Item = Result<SseEvent, Infallible>> {
    async_stream::stream! {
        let write = |chunk: Value| Ok(data(chunk, include_usage));
        let mut next = Ok(first);
        for chunk in (0..source.choices).filter_map(|index| shape.opening(index)) {
            yield write(chunk);
        }
        loop {
            match next {
                Ok(piece) => {
                    for chunk in told(piece, &mut tellings, &shape) {
                        yield write(chunk);
                    }
                }
                Err(error) => {
                    yield Ok(broken(&error));
                    break;
                }
            }
            if source.open == 0 {
                if include_usage {
                    yield write(shape.usage(source.used.total));
                }
                break;
            }
            next = source.next().await;
        }
        yield Ok(SseEvent::default().data("[DONE]"));
    }
}

/// The chunks of a step of one choice.
fn told(piece: Piece, tellings: &mut [Telling], shape: &Shape) -> Vec<Value> {
    match piece {
        Piece::Text(index, more) => tellings[index].more(shape, index, more),
        Piece::End(index, reason) => tellings[index].end(shape, index, reason),
    }
}

fn broken(error: &ApiError) -> SseEvent {
    SseEvent::default()
        .event("error")
        .data(error.body().to_string())
}

/// With usage asked for, every chunk has the field, and only the last one a value.
fn data(mut chunk: Value, include_usage: bool) -> SseEvent {
    if include_usage && chunk.get("usage").is_none() {
        chunk["usage"] = Value::Null;
    }
    SseEvent::default().data(chunk.to_string())
}

async fn collect(mut sequence: EventStream) -> Result<(Written, FinishReason, Usage), ApiError> {
    let mut written = Written::default();
    loop {
        match sequence.next().await {
            Event::Text(more) => {
                written.text.push_str(&more.text);
                written.logprobs.extend(more.logprobs);
            }
            Event::Finished { reason, usage } => return Ok((written, reason, usage)),
            Event::Failed(error) => return Err(error.into()),
        }
    }
}

/// What a request took.
struct Used {
    total: Usage,
    /// Choices for each prompt.
    n: usize,
}

impl Used {
    fn new(n: usize) -> Self {
        Self {
            total: Usage::default(),
            n: n.max(1),
        }
    }

    /// Adds what a choice took. A prompt counts once, whatever number of answers it gets.
    fn add(&mut self, index: usize, more: Usage) {
        if index.is_multiple_of(self.n) {
            self.total.prompt_tokens += more.prompt_tokens;
        }
        self.total.completion_tokens += more.completion_tokens;
    }
}
