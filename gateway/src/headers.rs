use chandler_crds::names::headers as names;
use http::{HeaderMap, HeaderName, header};

use crate::http1::is_hop_by_hop;

pub(crate) static REQUEST_ID: HeaderName = HeaderName::from_static(names::REQUEST_ID);
pub(crate) static REVISION: HeaderName = HeaderName::from_static(names::REVISION);
pub(crate) static SESSION: HeaderName = HeaderName::from_static(names::SESSION);
pub(crate) static REQUEST_TIMEOUT: HeaderName = HeaderName::from_static(names::REQUEST_TIMEOUT);
pub(crate) static CALLER: HeaderName = HeaderName::from_static(names::CALLER);
pub(crate) static LOAD: HeaderName = HeaderName::from_static(names::LOAD);
pub(crate) static TRACEPARENT: HeaderName = HeaderName::from_static(names::TRACEPARENT);
pub(crate) static TRACESTATE: HeaderName = HeaderName::from_static(names::TRACESTATE);

/// Whether a header is set anew for the connection to the replica, or honoured here already.
fn is_set_anew(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "host"
            | "content-length"
            // The body is here.
            | "expect"
            // A compressed answer could not be watched for the end of an event.
            | "accept-encoding"
            | names::REQUEST_TIMEOUT
            | names::TRACEPARENT
            | names::REQUEST_ID
    )
}

/// Whether a caller's header is passed on as it is.
pub(crate) fn goes_to_replica(name: &HeaderName) -> bool {
    !is_hop_by_hop(name.as_str()) && !is_set_anew(name)
}

/// A replica's headers as the caller gets them, but for those that each answer has of its own
/// connection and its own body: [`serve`](crate::serve) writes none of these.
pub(crate) fn for_caller(headers: &mut HeaderMap) {
    remove_named(headers);
    let of_serve = [header::CONNECTION, header::TRANSFER_ENCODING];
    let goes = |name: &&HeaderName| is_hop_by_hop(name.as_str()) && !of_serve.contains(name);
    let found: Vec<HeaderName> = headers.keys().filter(goes).cloned().collect();
    for name in found {
        headers.remove(name);
    }
}

/// Removes what is said by `Connection` to be of the one connection that the message came by.
pub(crate) fn remove_named(headers: &mut HeaderMap) {
    let mut named = Vec::new();
    for value in headers.get_all(header::CONNECTION) {
        let tokens = value.as_bytes().split(|byte| *byte == b',');
        for token in tokens.map(<[u8]>::trim_ascii) {
            // That one is never passed on.
            if token != b"keep-alive" {
                named.extend(HeaderName::from_bytes(token));
            }
        }
    }
    for name in named {
        headers.remove(name);
    }
}

/// What an answer's content type means for how it is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Held back until it is whole.
    Json,
    /// Passed on event by event.
    Events,
    /// Passed on as it comes.
    Other,
}

pub(crate) fn kind(headers: &HeaderMap) -> Kind {
    let value = headers.get(header::CONTENT_TYPE);
    let media_type = value.and_then(|value| value.as_bytes().split(|byte| *byte == b';').next());
    let is = |wanted: &str| {
        media_type.is_some_and(|given| given.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()))
    };
    if is("application/json") {
        Kind::Json
    } else if is("text/event-stream") {
        Kind::Events
    } else {
        Kind::Other
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|&(name, value)| {
            let value = http::HeaderValue::from_static(value);
            (HeaderName::from_static(name), value)
        });
        pairs.collect()
    }

    #[test]
    fn a_replica_gets_the_end_to_end_headers_alone() {
        let mut got = headers(&[
            ("authorization", "Bearer k"),
            ("content-type", "application/json"),
            ("x-request-id", "7"),
            ("connection", "keep-alive, X-Secret-Hop"),
            ("x-secret-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("host", "door:8080"),
            ("content-length", "12"),
            ("expect", "100-continue"),
            ("accept-encoding", "gzip"),
        ]);
        remove_named(&mut got);
        let kept: Vec<_> = got.keys().filter(|name| goes_to_replica(name)).collect();
        assert_eq!(kept, ["authorization", "content-type"]);
    }

    #[test]
    fn a_caller_gets_the_end_to_end_headers_alone() {
        let mut got = headers(&[
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("close", "1"),
            ("keep-alive", "timeout=5"),
            ("trailer", "x"),
            ("etag", "x"),
        ]);
        for_caller(&mut got);
        let kept: Vec<_> = got.keys().collect();
        assert_eq!(kept, ["connection", "etag"]);
    }

    #[test]
    fn a_connection_header_of_garbage_is_harmless() {
        let mut got = headers(&[("connection", "close,, @, :, a b"), ("etag", "x")]);
        remove_named(&mut got);
        assert_eq!(got.len(), 2);
    }

    #[test]
    fn kinds_of_content() {
        let of = |value| kind(&headers(&[("content-type", value)]));
        assert_eq!(of("application/json"), Kind::Json);
        assert_eq!(of("Application/JSON; charset=utf-8"), Kind::Json);
        assert_eq!(of("text/event-stream;charset=utf-8"), Kind::Events);
        assert_eq!(of("audio/mpeg"), Kind::Other);
        assert_eq!(kind(&HeaderMap::new()), Kind::Other);
    }
}
