use http::{HeaderMap, HeaderValue, StatusCode, Version, header};

use super::Malformed;

/// How the end of a body is known (RFC 9112, section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// It has so many bytes.
    Length(u64),
    /// Its last chunk says so.
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

impl Framing {
    /// Of a request's body.
    ///
    /// # Errors
    /// Its end can't be known for sure.
    pub(crate) fn of_request(version: Version, fields: &HeaderMap) -> Result<Self, Malformed> {
        let length = length(fields)?;
        match (is_chunked(fields)?, length) {
            (false, length) => Ok(Self::Length(length.unwrap_or(0))),
            (true, Some(_)) => Err(Malformed::Length("by content-length and transfer-encoding")),
            (true, None) if version == Version::HTTP_10 => {
                Err(Malformed::Length("chunks in HTTP/1.0"))
            }
            (true, None) => Ok(Self::Chunked),
        }
    }

    /// Of the body of an answer to a POST.
    ///
    /// # Errors
    /// Its end can't be known for sure.
    pub(crate) fn of_response(status: StatusCode, fields: &HeaderMap) -> Result<Self, Malformed> {
        if !has_body(status) {
            return Ok(Self::Length(0));
        }
        let length = length(fields)?;
        match (is_chunked(fields)?, length) {
            (true, Some(_)) => Err(Malformed::Length("by content-length and transfer-encoding")),
            (true, None) => Ok(Self::Chunked),
            (false, Some(length)) => Ok(Self::Length(length)),
            (false, None) => Ok(Self::UntilClose),
        }
    }
}

/// Whether an answer of this status may have a body.
pub(crate) fn has_body(status: StatusCode) -> bool {
    let none = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED];
    !status.is_informational() && !none.contains(&status)
}

/// Whether the connection is meant to be used again after the message with this head.
pub(crate) fn keeps_open(version: Version, fields: &HeaderMap) -> bool {
    let says = |wanted: &str| {
        let values = fields.get_all(header::CONNECTION).iter();
        let mut tokens = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()))
    };
    match version {
        Version::HTTP_10 => says("keep-alive") && !says("close"),
        _ => !says("close"),
    }
}

fn length(fields: &HeaderMap) -> Result<Option<u64>, Malformed> {
    let mut values = fields.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = values.next() else {
        return Ok(None);
    };
    if values.any(|other| other != first) {
        return Err(Malformed::Length("several values of content-length"));
    }
    decimal(first).map(Some)
}

/// Digits alone: `parse` would take a sign too.
fn decimal(value: &HeaderValue) -> Result<u64, Malformed> {
    let text = value.to_str().unwrap_or_default();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|_| digits);
    number.ok_or(Malformed::Length("content-length is no number"))
}

/// No coding but this one is ever asked for.
fn is_chunked(fields: &HeaderMap) -> Result<bool, Malformed> {
    let mut values = fields.get_all(header::TRANSFER_ENCODING).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(false),
        (Some(one), None) if one.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(true),
        _ => Err(Malformed::Length(
            "a transfer-encoding other than `chunked`",
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http::HeaderName;

    use super::*;

    const OK: StatusCode = StatusCode::OK;
    const NEW: Version = Version::HTTP_11;

    fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for &(name, value) in pairs {
            let value = HeaderValue::from_static(value);
            fields.append(HeaderName::from_static(name), value);
        }
        fields
    }

    #[test]
    fn ends_that_are_clear() {
        for (pairs, request, response) in [
            (vec![], Framing::Length(0), Framing::UntilClose),
            (
                vec![("content-length", "12")],
                Framing::Length(12),
                Framing::Length(12),
            ),
            (
                vec![("content-length", "12"), ("content-length", "12")],
                Framing::Length(12),
                Framing::Length(12),
            ),
            (
                vec![("transfer-encoding", "Chunked")],
                Framing::Chunked,
                Framing::Chunked,
            ),
        ] {
            let fields = fields(&pairs);
            assert_eq!(Framing::of_request(NEW, &fields).unwrap(), request);
            assert_eq!(Framing::of_response(OK, &fields).unwrap(), response);
        }
        let none = StatusCode::NO_CONTENT;
        let fields = fields(&[("content-length", "12")]);
        assert_eq!(
            Framing::of_response(none, &fields).unwrap(),
            Framing::Length(0)
        );
    }

    #[test]
    fn ends_that_are_not_clear_are_refused() {
        for pairs in [
            [("content-length", "12"), ("content-length", "13")],
            [("content-length", "12"), ("transfer-encoding", "chunked")],
            [("content-length", "+12"), ("x", "")],
            [("content-length", "12, 12"), ("x", "")],
            [("content-length", ""), ("x", "")],
            [("content-length", "99999999999999999999"), ("x", "")],
            [("transfer-encoding", "gzip, chunked"), ("x", "")],
            [
                ("transfer-encoding", "chunked"),
                ("transfer-encoding", "chunked"),
            ],
            [("transfer-encoding", "xchunked"), ("x", "")],
        ] {
            let fields = fields(&pairs);
            assert!(Framing::of_request(NEW, &fields).is_err(), "{pairs:?}");
            assert!(Framing::of_response(OK, &fields).is_err(), "{pairs:?}");
        }
        let chunked = fields(&[("transfer-encoding", "chunked")]);
        assert!(Framing::of_request(Version::HTTP_10, &chunked).is_err());
    }

    #[test]
    fn connections_that_stay_open() {
        let old = Version::HTTP_10;
        for (version, value, open) in [
            (NEW, "", true),
            (NEW, "x-a, Close", false),
            (NEW, "keep-alive", true),
            (old, "", false),
            (old, "Keep-Alive", true),
            (old, "keep-alive, close", false),
        ] {
            let fields = fields(&[("connection", value)]);
            assert_eq!(keeps_open(version, &fields), open, "{version:?} {value}");
        }
    }
}
