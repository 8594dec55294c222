use http::{StatusCode, Version};

use super::{Malformed, Said};

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
    pub(crate) fn of_request(version: Version, said: &Said) -> Result<Self, Malformed> {
        match (said.is_chunked()?, said.length()?) {
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
    pub(crate) fn of_response(status: StatusCode, said: &Said) -> Result<Self, Malformed> {
        if !has_body(status) {
            return Ok(Self::Length(0));
        }
        match (said.is_chunked()?, said.length()?) {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::*;

    const OK: StatusCode = StatusCode::OK;
    const NEW: Version = Version::HTTP_11;

    fn fields(pairs: &[(&'static str, &'static str)]) -> Said {
        let mut fields = HeaderMap::new();
        for &(name, value) in pairs {
            let value = HeaderValue::from_static(value);
            fields.append(HeaderName::from_static(name), value);
        }
        Said::by(&fields)
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
}
