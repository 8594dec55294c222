use std::mem::MaybeUninit;

use bytes::{Buf, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    request, response,
};
use httparse::{Header, ParserConfig, Status};
use memchr::memchr_iter;

use super::{Malformed, Said};

/// Longest head that is read, bytes.
pub(crate) const MAX_HEAD: usize = 64 << 10;
/// Most fields of a head.
pub(crate) const MAX_FIELDS: usize = 100;
/// Fields that are added to a head on its way.
const SPARE_FIELDS: usize = 4;

/// Reads heads off the front of a buffer that grows. A look at a head that is not whole yet costs
/// only what has come since the last look, however small the pieces are.
#[derive(Debug, Default)]
pub(crate) struct HeadReader {
    seen: usize,
    /// Where the line begins that is not whole yet.
    line: usize,
}

impl HeadReader {
    /// The next request's head; `None` if it is not whole yet.
    ///
    /// # Errors
    /// No request can be read from here.
    pub(crate) fn request(
        &mut self,
        buffer: &mut BytesMut,
    ) -> Result<Option<(request::Parts, Said)>, Malformed> {
        // Older clients end a body with an empty line too many (RFC 9112, section 2.2).
        while buffer.starts_with(b"\r\n") {
            buffer.advance(2);
            *self = Self::default();
        }
        let Some(head) = self.split(buffer)? else {
            return Ok(None);
        };
        let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut parsed = httparse::Request::new(&mut []);
        let status = parsed.parse_with_uninit_headers(&head, &mut fields);
        all_of(&head, status)?;
        let mut parts = Request::new(()).into_parts().0;
        let method = parsed.method.unwrap_or_default();
        parts.method = Method::from_bytes(method.as_bytes()).or(Err(Malformed::Characters))?;
        let target = head.slice_ref(parsed.path.unwrap_or_default().as_bytes());
        parts.uri = Uri::from_maybe_shared(target).or(Err(Malformed::Characters))?;
        parts.version = version(parsed.version);
        let said;
        (parts.headers, said) = fields_of(&head, parsed.headers)?;
        Ok(Some((parts, said)))
    }

    /// The next answer's head; `None` if it is not whole yet.
    ///
    /// # Errors
    /// No answer can be read from here.
    pub(crate) fn response(
        &mut self,
        buffer: &mut BytesMut,
    ) -> Result<Option<(response::Parts, Said)>, Malformed> {
        let Some(head) = self.split(buffer)? else {
            return Ok(None);
        };
        let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let mut parsed = httparse::Response::new(&mut []);
        let config = ParserConfig::default();
        let status = config.parse_response_with_uninit_headers(&mut parsed, &head, &mut fields);
        all_of(&head, status)?;
        let mut parts = Response::new(()).into_parts().0;
        let code = parsed.code.unwrap_or_default();
        parts.status = StatusCode::from_u16(code).or(Err(Malformed::Characters))?;
        parts.version = version(parsed.version);
        let said;
        (parts.headers, said) = fields_of(&head, parsed.headers)?;
        Ok(Some((parts, said)))
    }

    /// Whether a head has begun.
    pub(crate) fn has_begun(&self) -> bool {
        self.seen > 0
    }

    /// Every line must end as it should: the parser takes one that ends without a carriage return
    /// for a line, and others don't.
    fn split(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, Malformed> {
        let mut end = None;
        for at in memchr_iter(b'\n', &buffer[self.seen..]) {
            let at = self.seen + at;
            if !buffer[..at].ends_with(b"\r") {
                return Err(Malformed::Characters);
            }
            // An empty line.
            if at - 1 == self.line {
                end = Some(at + 1);
                break;
            }
            self.line = at + 1;
        }
        if end.unwrap_or(buffer.len()) > MAX_HEAD {
            return Err(Malformed::HeadTooLong);
        }
        self.seen = buffer.len();
        Ok(end.map(|end| {
            *self = Self::default();
            buffer.split_to(end).freeze()
        }))
    }
}

fn all_of(head: &Bytes, parsed: httparse::Result<usize>) -> Result<(), Malformed> {
    match parsed {
        Ok(Status::Complete(length)) if length == head.len() => Ok(()),
        Ok(_) => Err(Malformed::Characters),
        Err(httparse::Error::TooManyHeaders) => Err(Malformed::TooManyFields),
        Err(error) => Err(error.into()),
    }
}

fn version(minor: Option<u8>) -> Version {
    match minor {
        Some(0) => Version::HTTP_10,
        _ => Version::HTTP_11,
    }
}

/// Their values are views of `head`.
fn fields_of(head: &Bytes, parsed: &[Header<'_>]) -> Result<(HeaderMap, Said), Malformed> {
    let mut fields = HeaderMap::with_capacity(parsed.len() + SPARE_FIELDS);
    let mut said = Said::default();
    for field in parsed {
        let name = HeaderName::from_bytes(field.name.as_bytes());
        let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value));
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(Malformed::Characters);
        };
        said.note(&name, &value);
        fields.append(name, value);
    }
    Ok((fields, said))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn request(text: &str) -> Result<Option<request::Parts>, Malformed> {
        let head = HeadReader::default().request(&mut BytesMut::from(text))?;
        Ok(head.map(|(parts, _)| parts))
    }

    #[test]
    fn a_head_that_comes_byte_by_byte_is_read_once_it_is_whole() {
        let text = "POST /v1/chat HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-a:  2 \r\n\r\nrest";
        let (mut reader, mut buffer) = (HeadReader::default(), BytesMut::new());
        let end = text.len() - "rest".len();
        for byte in &text.as_bytes()[..end - 1] {
            buffer.extend_from_slice(&[*byte]);
            assert!(reader.request(&mut buffer).unwrap().is_none());
            assert!(reader.has_begun());
        }
        buffer.extend_from_slice(&text.as_bytes()[end - 1..]);
        let (head, _) = reader.request(&mut buffer).unwrap().unwrap();
        assert!(!reader.has_begun());
        assert_eq!((head.method, head.uri.path()), (Method::POST, "/v1/chat"));
        assert_eq!(head.version, Version::HTTP_11);
        let values: Vec<_> = head
            .headers
            .get_all("x-a")
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect();
        assert_eq!((values, head.headers.len()), (vec!["1", "2"], 3));
        assert_eq!(buffer, "rest");
    }

    #[test]
    fn an_answer_is_read_and_the_next_one_behind_it() {
        let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 503 Busy now\r\nretry-after: 3\r\n\r\n";
        let (mut reader, mut buffer) = (HeadReader::default(), BytesMut::from(text));
        let (first, _) = reader.response(&mut buffer).unwrap().unwrap();
        assert_eq!(first.status, StatusCode::CONTINUE);
        let (second, _) = reader.response(&mut buffer).unwrap().unwrap();
        assert_eq!(
            (second.status.as_u16(), second.version),
            (503, Version::HTTP_10)
        );
        assert_eq!(second.headers["retry-after"], "3");
        assert!(reader.response(&mut buffer).unwrap().is_none());
    }

    #[test]
    fn empty_lines_before_a_request_are_no_part_of_it() {
        let text = "\r\n\r\nGET / HTTP/1.1\r\n\r\n";
        assert_eq!(request(text).unwrap().unwrap().uri, "/");
        let (mut reader, mut buffer) = (HeadReader::default(), BytesMut::new());
        for piece in ["\r", "\n\r", "\nGET / HTTP/1.1\r\n\r"] {
            buffer.extend_from_slice(piece.as_bytes());
            assert!(reader.request(&mut buffer).unwrap().is_none());
        }
        buffer.extend_from_slice(b"\n");
        assert_eq!(reader.request(&mut buffer).unwrap().unwrap().0.uri, "/");
    }

    #[test]
    fn what_can_be_read_differently_is_refused() {
        for text in [
            "GET / HTTP/1.1\nHost: a\n\nx: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\nx: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\0c\r\n\r\n",
            "GET / HTTP/1.1\r\nno colon\r\n\r\n",
            "GET /a b HTTP/1.1\r\n\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "G(T / HTTP/1.1\r\n\r\n",
            "nonsense\r\n\r\n",
        ] {
            assert!(request(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_head_has_bounds() {
        let long = format!("GET / HTTP/1.1\r\na: {}", "x".repeat(MAX_HEAD));
        assert_eq!(request(&long).unwrap_err(), Malformed::HeadTooLong);
        let with = |count| format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(count));
        assert_eq!(
            request(&with(MAX_FIELDS)).unwrap().unwrap().headers.len(),
            MAX_FIELDS
        );
        let many = request(&with(MAX_FIELDS + 1));
        assert_eq!(many.unwrap_err(), Malformed::TooManyFields);
    }
}
