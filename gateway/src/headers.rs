use http::{HeaderMap, HeaderName, header};

/// Headers that speak of one connection and must not be passed on (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Set anew for the connection to the replica, or honoured here already.
const NOT_FOR_UPSTREAM: [HeaderName; 4] = [
    header::HOST,
    header::CONTENT_LENGTH,
    // The body is here.
    header::EXPECT,
    // A compressed answer could not be watched for the end of an event.
    header::ACCEPT_ENCODING,
];

/// The caller's headers as a replica gets them.
pub(crate) fn for_upstream(mut headers: HeaderMap) -> HeaderMap {
    remove_hop_by_hop(&mut headers);
    remove(&mut headers, &NOT_FOR_UPSTREAM);
    headers
}

/// Removes what was said of the one connection that the message came by.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .collect();
        remove(headers, &named);
    }
    remove(headers, &HOP_BY_HOP);
}

/// Nearly always none of `names` is there, and to compare is far cheaper than to look up.
fn remove(headers: &mut HeaderMap, names: &[HeaderName]) {
    if headers.keys().any(|name| names.contains(name)) {
        for name in names {
            headers.remove(name);
        }
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
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(|value| value.trim().to_ascii_lowercase());
    match media_type.as_deref() {
        Some("application/json") => Kind::Json,
        Some("text/event-stream") => Kind::Events,
        _ => Kind::Other,
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
        let sent = for_upstream(headers(&[
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
        ]));
        let kept = headers(&[
            ("authorization", "Bearer k"),
            ("content-type", "application/json"),
            ("x-request-id", "7"),
        ]);
        assert_eq!(sent, kept);
    }

    #[test]
    fn a_connection_header_of_garbage_is_harmless() {
        let mut got = headers(&[("connection", "close,, @, :, a b"), ("etag", "x")]);
        remove_hop_by_hop(&mut got);
        assert_eq!(got, headers(&[("etag", "x")]));
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
