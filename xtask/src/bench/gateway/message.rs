//! As much of HTTP/1.1 as the generator and the upstream need: where a message ends.

use std::ops::Range;

/// What a head tells of itself and of the body behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Of an answer; 0 of a request.
    pub(super) status: u16,
    /// Bytes, the blank line included.
    pub(super) length: usize,
    pub(super) body: Body,
    /// Whether the sender closes the connection behind it.
    pub(super) closes: bool,
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    Sized(usize),
    Chunked,
}

/// The head that `bytes` begin with; `None` while it isn't whole.
pub(super) fn head(bytes: &[u8]) -> Option<Head> {
    let length = find(bytes, b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..length]).unwrap_or_default();
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3));
    let mut head = Head {
        status: status.and_then(|status| status.parse().ok()).unwrap_or(0),
        length,
        body: Body::Sized(0),
        closes: false,
    };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            head.body = Body::Sized(value.parse().unwrap_or(0));
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            head.body = Body::Chunked;
        } else if name.eq_ignore_ascii_case("connection") {
            head.closes = value.eq_ignore_ascii_case("close");
        }
    }
    Some(head)
}

/// The chunk that `bytes` begin with: where its data is, which is empty in the last one, and where
/// the next one begins. `None` while it isn't whole.
pub(super) fn chunk(bytes: &[u8]) -> Option<(Range<usize>, usize)> {
    let line = find(bytes, b"\r\n")?;
    let digits = std::str::from_utf8(&bytes[..line]).unwrap_or_default();
    let digits = digits.split(';').next().unwrap_or_default().trim();
    let start = line + 2;
    let end = start.checked_add(usize::from_str_radix(digits, 16).ok()?)?;
    let next = end.checked_add(2)?;
    (next <= bytes.len()).then_some((start..end, next))
}

/// Where `wanted`, which isn't empty, first begins.
pub(super) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|byte| *byte == wanted[0]) {
        if bytes[from + at..].starts_with(wanted) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_tells_where_its_body_ends() {
        let text =
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 12\r\nConnection: Close\r\n\r\nx";
        let wanted = Head {
            status: 503,
            length: text.len() - 1,
            body: Body::Sized(12),
            closes: true,
        };
        assert_eq!(head(text), Some(wanted));
        assert_eq!(head(&text[..text.len() - 2]), None);
        let request = head(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n");
        let request = request.expect("a head");
        assert_eq!((request.status, request.body), (0, Body::Chunked));
    }

    #[test]
    fn chunks_are_taken_one_by_one() {
        let text = b"5;x=y\r\nhello\r\n0\r\n\r\n";
        let (data, next) = chunk(text).expect("a chunk");
        assert_eq!((&text[data], next), (&b"hello"[..], 14));
        assert_eq!(chunk(&text[14..]), Some((3..3, 5)));
        for end in 0..14 {
            assert_eq!(chunk(&text[..end]), None, "{end}");
        }
        assert_eq!(chunk(b"ffffffffffffffff\r\n"), None);
    }
}
