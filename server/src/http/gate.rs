//! What every request of the API passes: whether it is welcome, how long it may take, and what its
//! answer and the log tell besides.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use chandler_crds::names::{headers, load};
use tracing::Instrument;

use super::{ApiError, App};
use crate::engine::{Deadline, Engine, EngineStats};
use crate::tasks::Served;

/// Longest name of a request or of a trace that is logged, bytes.
const LONGEST_NAME: usize = 128;

/// Lets API requests in while they are welcome, and counts them.
pub(super) async fn gate(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let arrived = Instant::now();
    let path = request.uri().path().to_owned();
    // Each line of the log that is written for the request has these.
    let span = tracing::info_span!(
        "request",
        request_id = name(request.headers(), headers::REQUEST_ID),
        traceparent = name(request.headers(), headers::TRACEPARENT),
    );
    async move {
        let answer = admit(&app, request, next).await;
        let mut response = answer.unwrap_or_else(IntoResponse::into_response);
        let fields = response.headers_mut();
        if let Some(revision) = &app.revision {
            fields.insert(headers::REVISION, revision.clone());
        }
        if let Some(load) = app.served.get().and_then(|s| told(s.engine().stats())) {
            fields.insert(HeaderName::from_static(headers::LOAD), load);
        }
        tracing::info!(
            path,
            status = response.status().as_u16(),
            seconds = arrived.elapsed().as_secs_f64(),
            "answered"
        );
        response
    }
    .instrument(span)
    .await
}

async fn admit(app: &App, mut request: Request, next: Next) -> Result<Response, ApiError> {
    let deadline = deadline(request.headers())?;
    let ticket = app.lifecycle.admit()?.until(deadline);
    if request.method() == Method::POST {
        check_memory(app)?;
    }
    request.extensions_mut().insert(Arc::new(ticket));
    Ok(next.run(request).await)
}

/// Refuses what would be computed while memory is low, before its body is read.
fn check_memory(app: &App) -> Result<(), ApiError> {
    let others = app.lifecycle.in_flight().saturating_sub(1);
    app.memory.check(others).map_err(|low| {
        app.metrics.memory_refusals.inc();
        let engine = app.served.get().map(Served::engine);
        ApiError::memory_low(low, engine.map(Engine::retry_after).unwrap_or_default())
    })
}

/// When the time is up that the request is given by its header.
fn deadline(fields: &HeaderMap) -> Result<Deadline, ApiError> {
    let Some(value) = fields.get(headers::REQUEST_TIMEOUT) else {
        return Ok(Deadline::NEVER);
    };
    let text = value.to_str().unwrap_or_default();
    match seconds(text) {
        Some(time) => Ok(Deadline::after(time)),
        None => {
            let message = format!(
                "the header {} is {value:?}; write seconds as a decimal number, such as 30 or 1.5",
                headers::REQUEST_TIMEOUT
            );
            Err(ApiError::bad_request(message).with_code("invalid_request_timeout"))
        }
    }
}

/// Seconds as a decimal number. More than can be counted is as much as can be.
fn seconds(text: &str) -> Option<Duration> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let seconds: f64 = text.parse().ok().filter(|_| plain)?;
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

/// The load in the text form of ORCA
/// (<https://github.com/kubernetes-sigs/gateway-api-inference-extension/tree/main/docs/proposals/004-endpoint-picker-protocol>).
fn told(stats: EngineStats) -> Option<HeaderValue> {
    let text = format!(
        "TEXT {}={}, {}={}",
        load::QUEUED_TOKENS,
        stats.waiting_tokens,
        load::RUNNING,
        stats.running
    );
    HeaderValue::try_from(text).ok()
}

/// The value of a header, if it is text of a length that can be logged.
fn name<'a>(fields: &'a HeaderMap, header: &str) -> Option<&'a str> {
    let text = fields.get(header)?.to_str().ok()?;
    (text.len() <= LONGEST_NAME).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_decimal_numbers() {
        let millis = |text| seconds(text).map(|time| time.as_millis());
        assert_eq!(millis("30"), Some(30_000));
        assert_eq!(millis("1.5"), Some(1500));
        assert_eq!(millis("0"), Some(0));
        assert_eq!(seconds(&"9".repeat(400)), Some(Duration::MAX));
        for text in [
            "", ".", "-1", "+1", "1e3", "inf", "NaN", "1,5", "1s", " 1", "1.2.3",
        ] {
            assert_eq!(millis(text), None, "{text:?}");
        }
    }
}
