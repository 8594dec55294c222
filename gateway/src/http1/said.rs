#[cfg(test)]
use http::HeaderMap;
use http::{HeaderName, HeaderValue, Version};

use super::Malformed;

/// What a head's fields say of its message and of its connection. Noted as they are read, since to
/// look each of them up again would cost as much as to read them.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Said {
    length: Length,
    coding: Coding,
    closes: bool,
    keeps_alive: bool,
    /// Whether there may be a field that is of this one connection, besides the three that say
    /// how the message is delimited and whether the connection stays.
    pub(crate) speaks_of_hop: bool,
    /// Whether the caller waits to be told to send its body.
    pub(crate) expects: bool,
    /// Bytes of the fields as they are written.
    pub(crate) size: usize,
}

#[derive(Debug, Clone, Copy, Default)]
enum Length {
    #[default]
    Untold,
    Told(u64),
    Unclear(&'static str),
}

#[derive(Debug, Clone, Copy, Default)]
enum Coding {
    #[default]
    None,
    Chunked,
    Unclear,
}

impl Said {
    /// Of all these fields.
    #[cfg(test)]
    pub(crate) fn by(fields: &HeaderMap) -> Self {
        let mut said = Self::default();
        fields
            .iter()
            .for_each(|(name, value)| said.note(name, value));
        said
    }

    /// Takes down what one more field says.
    pub(super) fn note(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.size += name.as_str().len() + value.len() + ": \r\n".len();
        match name.as_str() {
            "content-length" => self.length = self.length.and(value),
            "transfer-encoding" => self.coding = self.coding.and(value),
            "connection" => self.connection(value),
            "expect" => self.expects = true,
            other => self.speaks_of_hop |= is_hop_by_hop(other),
        }
    }

    fn connection(&mut self, value: &HeaderValue) {
        for token in value.as_bytes().split(|byte| *byte == b',') {
            let token = token.trim_ascii();
            self.closes |= token.eq_ignore_ascii_case(b"close");
            let keeps_alive = token.eq_ignore_ascii_case(b"keep-alive");
            self.keeps_alive |= keeps_alive;
            // It names another field, be it one called `close`.
            self.speaks_of_hop |= !keeps_alive;
        }
    }

    /// Whether the connection is meant to be used again after the message.
    pub(crate) fn keeps_open(&self, version: Version) -> bool {
        match version {
            Version::HTTP_10 => self.keeps_alive && !self.closes,
            _ => !self.closes,
        }
    }

    /// Bytes of the body, if they are told.
    pub(super) fn length(&self) -> Result<Option<u64>, Malformed> {
        match self.length {
            Length::Untold => Ok(None),
            Length::Told(length) => Ok(Some(length)),
            Length::Unclear(why) => Err(Malformed::Length(why)),
        }
    }

    /// Whether the body comes in chunks. No coding but this one is ever asked for.
    pub(super) fn is_chunked(&self) -> Result<bool, Malformed> {
        match self.coding {
            Coding::None => Ok(false),
            Coding::Chunked => Ok(true),
            Coding::Unclear => Err(Malformed::Length(
                "a transfer-encoding other than `chunked`",
            )),
        }
    }
}

impl Length {
    fn and(self, value: &HeaderValue) -> Self {
        match (self, decimal(value)) {
            (Self::Unclear(why), _) => Self::Unclear(why),
            (_, None) => Self::Unclear("content-length is no number"),
            (Self::Told(before), Some(length)) if before != length => {
                Self::Unclear("several values of content-length")
            }
            (_, Some(length)) => Self::Told(length),
        }
    }
}

impl Coding {
    fn and(self, value: &HeaderValue) -> Self {
        let is_chunked = value.as_bytes().eq_ignore_ascii_case(b"chunked");
        match self {
            Self::None if is_chunked => Self::Chunked,
            _ => Self::Unclear,
        }
    }
}

/// Whether a header speaks of one connection and must not be passed on (RFC 9110, section 7.6.1).
pub(crate) fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Digits alone: `parse` would take a sign too.
fn decimal(value: &HeaderValue) -> Option<u64> {
    let text = value.to_str().ok()?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    #[test]
    fn connections_that_stay_open() {
        let (old, new) = (Version::HTTP_10, Version::HTTP_11);
        for (version, value, open) in [
            (new, "", true),
            (new, "x-a, Close", false),
            (new, "keep-alive", true),
            (old, "", false),
            (old, "Keep-Alive", true),
            (old, "keep-alive, close", false),
        ] {
            let value = HeaderValue::from_static(value);
            let said = Said::by(&HeaderMap::from_iter([(header::CONNECTION, value)]));
            assert_eq!(said.keeps_open(version), open, "{version:?} {said:?}");
        }
    }

    #[test]
    fn fields_of_the_hop_are_told_of() {
        for (name, value, told) in [
            ("content-length", "1", false),
            ("transfer-encoding", "chunked", false),
            ("connection", "Keep-Alive", false),
            ("connection", "close", true),
            ("connection", "keep-alive, x-hop", true),
            ("keep-alive", "timeout=5", true),
            ("trailer", "x", true),
            ("upgrade", "h2c", true),
            ("etag", "x", false),
        ] {
            let name = HeaderName::from_static(name);
            let fields = HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
            let said = Said::by(&fields);
            assert_eq!(said.speaks_of_hop, told, "{fields:?}");
        }
    }
}
