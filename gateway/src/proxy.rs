use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Request, response};
use tokio::time::Instant;

use crate::accounts::Admission;
use crate::attempt::{Answer, AnswerBody};
use crate::call::Call;
use crate::effort::{Answered, Effort, Found};
use crate::errors::GatewayError;
use crate::gateway::{Gateway, Inner};
use crate::headers;
use crate::held;
use crate::in_flight::Lease;
use crate::observe::{AccessRecord, Attempt};
use crate::stream::{self, Hold};

/// Answers a request to one of the API's model paths.
pub(crate) async fn proxy(gateway: &Gateway, request: Request<Body>) -> Response {
    let inner = gateway.inner();
    let access = AccessRecord::of(request.extensions());
    let (call, admission) = match let_in(inner, request).await {
        Ok(admitted) => admitted,
        Err(error) => {
            inner.metrics.refused(error.status());
            return error.into_response();
        }
    };
    access.model(&call.model);
    if let Some(holder) = admission.holder() {
        access.account(&holder.account.name);
    }
    let patience = call
        .stream
        .then(|| Instant::now() + inner.config.stream_patience);
    let mut effort = Effort::new(gateway.clone(), call, access, admission);
    let found = tokio::select! {
        found = effort.run(patience) => found,
        () = inner.ending.cancelled() => Err(GatewayError::ShuttingDown),
    };
    match found {
        Ok(Found::Answer(answered)) => respond(inner, effort, *answered),
        Ok(Found::StillWaiting) => held::respond(gateway.clone(), effort),
        Err(error) => {
            end(inner, &mut effort, &error);
            error.into_response()
        }
    }
}

/// The request, once its caller is known and may ask.
async fn let_in(inner: &Inner, request: Request<Body>) -> Result<(Call, Admission), GatewayError> {
    let (mut parts, body) = request.into_parts();
    let caller = inner.accounts.identify(&mut parts.headers)?;
    let mut call = Call::read(parts, body, &inner.config).await?;
    let Some(holder) = caller else {
        return Ok((call, Admission::default()));
    };
    let snapshot = inner.routes.load();
    let admission = inner.accounts.admit(holder, &mut call, &snapshot)?;
    Ok((call, admission))
}

/// Counts a request that the gateway answers itself.
pub(crate) fn end(inner: &Inner, effort: &mut Effort, error: &GatewayError) {
    effort.admission.unanswered();
    match effort.exchange.take() {
        Some(mut exchange) => exchange.ended(error.status()),
        None => inner.metrics.refused(error.status()),
    }
}

/// The replica's answer as the caller gets it.
fn respond(inner: &Inner, effort: Effort, answered: Answered) -> Response {
    let Answered {
        answer: Answer { mut parts, body },
        lease,
        attempt,
    } = answered;
    name_revision(&mut parts, &lease.revision);
    // The replica's word to the gateway, and of no matter to callers.
    parts.headers.remove(&headers::LOAD);
    effort.admission.tell(&mut parts.headers);
    let mut hold = hold(inner, effort, lease, attempt, parts.status);
    let body = match body {
        AnswerBody::Whole(body) => {
            hold.exchange.ended(parts.status);
            hold.admission.whole(parts.status, &body);
            Body::from(body)
        }
        AnswerBody::Events(first, source) => stream::events(first, source, hold),
        AnswerBody::Open(first, body) => stream::open(first, body, hold),
    };
    Response::from_parts(parts, body)
}

/// What the answer holds until its end.
pub(crate) fn hold(
    inner: &Inner,
    mut effort: Effort,
    lease: Lease,
    attempt: Attempt,
    status: http::StatusCode,
) -> Hold {
    let (deadline, timed_out) = (effort.deadline(), effort.timed_out());
    let exchange = effort.exchange.take();
    let mut exchange = exchange.unwrap_or_else(|| inner.metrics.exchange(&effort.call.model));
    exchange.answered_by(&lease.revision);
    Hold {
        lease,
        attempt,
        exchange,
        admission: effort.admission,
        status,
        deadline,
        timed_out,
        ending: inner.ending.clone(),
    }
}

fn name_revision(parts: &mut response::Parts, revision: &str) {
    if let Ok(revision) = HeaderValue::from_str(revision) {
        parts.headers.entry(&headers::REVISION).or_insert(revision);
    }
}
