use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use axum::BoxError;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{Request, response};
use http_body::Body as HttpBody;
use tokio::time::Instant;

use crate::accounts::Admission;
use crate::alarm::Alarm;
use crate::attempt::{Answer, AnswerBody};
use crate::call::Call;
use crate::compare::Measure;
use crate::effort::{Answered, Effort, Found};
use crate::errors::GatewayError;
use crate::form::Form;
use crate::gateway::{Gateway, Inner};
use crate::headers;
use crate::held;
use crate::in_flight::Lease;
use crate::metrics::Exchange;
use crate::observe::{AccessRecord, Attempt};
use crate::stream::{self, Hold};

/// Answers a request to one of the API's model paths. The caller's task listens for the signal that
/// ends what is in flight (see [`Ear`](crate::signal::Ear)), and the `alarm` is its own.
pub(crate) async fn proxy<B>(
    gateway: &Gateway,
    request: Request<B>,
    access: AccessRecord,
    alarm: &mut Alarm,
) -> Response
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    let inner = gateway.inner();
    let form = Form::of(request.uri().path());
    let (call, admission) = match let_in(inner, request).await {
        Ok(admitted) => admitted,
        Err(error) => {
            inner.metrics.refused(error.status());
            return form.tell(error);
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
    let found = {
        let mut run = pin!(effort.run(patience, alarm));
        poll_fn(|cx| match inner.ending.is_given() {
            true => Poll::Ready(Err(GatewayError::ShuttingDown)),
            false => run.as_mut().poll(cx),
        })
        .await
    };
    match found {
        Ok(Found::Answer(answered)) => respond(inner, effort, answered),
        Ok(Found::StillWaiting) => held::respond(gateway.clone(), effort),
        Err(error) => {
            end(inner, &mut effort, &error);
            form.tell(error)
        }
    }
}

/// The request, once its caller is known and may ask.
async fn let_in<B>(inner: &Inner, request: Request<B>) -> Result<(Call, Admission), GatewayError>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
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
fn respond(inner: &Inner, mut effort: Effort, answered: Answered) -> Response {
    let Answered {
        answer,
        lease,
        attempt,
    } = answered;
    let Answer {
        mut parts, body, ..
    } = *answer;
    name_revision(&mut parts, &lease);
    if let Some(aside) = &lease.aside
        && parts.status.is_success()
    {
        aside.consider(effort.gateway(), &effort.call);
    }
    // The replica's word to the gateway, and of no matter to callers.
    parts.headers.remove(&headers::LOAD);
    effort.admission.tell(&mut parts.headers);
    let body = match body {
        AnswerBody::Whole(body) => {
            exchange(inner, &mut effort, &lease).ended(parts.status);
            let mut measure = Measure::of(&lease, attempt.began(), Instant::now);
            measure.complete(parts.status, Instant::now);
            effort.admission.whole(parts.status, &body);
            Body::from(body)
        }
        AnswerBody::Events(first, source) => {
            let hold = hold(inner, effort, lease, attempt, parts.status);
            stream::events(first, source, hold)
        }
        AnswerBody::Open(first, body) => {
            let hold = hold(inner, effort, lease, attempt, parts.status);
            stream::open(first, body, hold)
        }
    };
    Response::from_parts(parts, body)
}

/// The request in the metrics, answered by the replica of `lease`.
fn exchange(inner: &Inner, effort: &mut Effort, lease: &Lease) -> Exchange {
    let exchange = effort.exchange.take();
    let mut exchange = exchange.unwrap_or_else(|| inner.metrics.exchange(&effort.call.model));
    exchange.answered_by(&lease.revision);
    exchange
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
    Hold {
        exchange: exchange(inner, &mut effort, &lease),
        measure: Measure::of(&lease, attempt.began(), Instant::now),
        lease,
        attempt,
        admission: effort.admission,
        status,
        deadline,
        timed_out,
        ending: inner.ending.clone(),
    }
}

fn name_revision(parts: &mut response::Parts, lease: &Lease) {
    let revision = parts.headers.entry(&headers::REVISION);
    revision.or_insert_with(|| lease.revision_header.clone());
}
