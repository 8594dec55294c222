//! A stream whose model is still waking, or too busy, when the caller has waited a while: its answer
//! begins, and comments tell that the request is alive until a replica answers.

use std::convert::Infallible;
use std::pin::Pin;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};
use http::{HeaderMap, StatusCode, header};
use tokio::time::Instant;

use crate::alarm::Alarm;
use crate::attempt::AnswerBody;
use crate::effort::{Answered, Effort, Found};
use crate::errors::GatewayError;
use crate::gateway::Gateway;
use crate::proxy;
use crate::stream::{DONE, EventStream, Hold, error_event};

/// Ignored by every client (WHATWG, "Server-sent events", lines that begin with a colon).
const HEARTBEAT: &[u8] = b": waiting for a replica\n\n";

/// An answer of status 200 that begins with a comment, goes on with one now and then, and then
/// with what the replica says.
pub(crate) fn respond(gateway: Gateway, effort: Effort) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    let mut rates = HeaderMap::new();
    effort.admission.tell(&mut rates);
    let waiting = State::Waiting(Box::new(Waiting { gateway, effort }));
    let first = stream::once(async { Bytes::from_static(HEARTBEAT) });
    let events = first.chain(stream::unfold(waiting, State::next));
    let body = Body::from_stream(events.map(Ok::<_, Infallible>));
    (StatusCode::OK, headers, rates, body).into_response()
}

enum State {
    Waiting(Box<Waiting>),
    /// A replica answers.
    Streaming(Pin<Box<dyn Stream<Item = Bytes> + Send>>),
    Over,
}

struct Waiting {
    gateway: Gateway,
    effort: Effort,
}

impl State {
    async fn next(self) -> Option<(Bytes, Self)> {
        match self {
            Self::Over => None,
            Self::Streaming(mut events) => {
                let events_now = events.next().await?;
                Some((events_now, Self::Streaming(events)))
            }
            Self::Waiting(waiting) => waiting.next().await,
        }
    }
}

impl Waiting {
    async fn next(mut self: Box<Self>) -> Option<(Bytes, State)> {
        let inner = self.gateway.inner();
        let heartbeat = Instant::now() + inner.config.heartbeat;
        let mut alarm = Alarm::after(inner.config.heartbeat);
        let found = tokio::select! {
            found = self.effort.run(Some(heartbeat), &mut alarm) => found,
            () = inner.ending.given() => Err(GatewayError::ShuttingDown),
        };
        match found {
            Ok(Found::StillWaiting) => {
                let heartbeat = Bytes::from_static(HEARTBEAT);
                Some((heartbeat, State::Waiting(self)))
            }
            Ok(Found::Answer(answered)) => {
                let Answered {
                    answer,
                    lease,
                    attempt,
                } = answered;
                let Self { gateway, effort } = *self;
                let status = answer.parts.status;
                let hold = proxy::hold(gateway.inner(), effort, lease, attempt, status);
                answer_events(answer.body, hold).await
            }
            Err(error) => {
                let Self {
                    gateway,
                    mut effort,
                } = *self;
                proxy::end(gateway.inner(), &mut effort, &error);
                Some((error_event(&error), State::Over))
            }
        }
    }
}

/// The answer as events, whatever the replica made of it.
async fn answer_events(body: AnswerBody, mut hold: Hold) -> Option<(Bytes, State)> {
    let whole = match body {
        AnswerBody::Events(first, source) => {
            let mut events = Box::pin(EventStream::new(first, source, hold).events());
            let first = events.next().await?;
            return Some((first, State::Streaming(events)));
        }
        AnswerBody::Whole(body) => body,
        AnswerBody::Open(..) => {
            hold.exchange.ended(StatusCode::BAD_GATEWAY);
            hold.measure.cut();
            return Some((error_event(&GatewayError::NoEvents), State::Over));
        }
    };
    hold.exchange.ended(hold.status);
    hold.measure.complete(hold.status, Instant::now);
    // An error of the replica's, or the answer of one that does not stream: JSON either way.
    let mut event = BytesMut::from(&b"data: "[..]);
    let is_line_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
    event.extend(whole.iter().filter(|byte| !is_line_end(byte)));
    event.extend_from_slice(b"\n\n");
    event.extend_from_slice(DONE);
    Some((event.freeze(), State::Over))
}
