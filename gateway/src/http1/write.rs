use std::fmt::Write;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::header;
use tokio::io::AsyncWrite;

/// Data up to so many bytes is copied behind what precedes it, so that one write sends both; that
/// is cheaper than a second one.
const COALESCE: usize = 16 << 10;
/// The end of a body of chunks.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Bytes on their way out.
#[derive(Debug, Default)]
pub(crate) struct Output {
    first: BytesMut,
    /// What follows, if it is too long to be copied.
    then: Bytes,
}

impl Output {
    /// Begins with a message's first line, for fields to follow.
    pub(crate) fn begin<'a>(&mut self, parts: impl IntoIterator<Item = &'a [u8]>) {
        debug_assert!(self.then.is_empty());
        parts
            .into_iter()
            .for_each(|part| self.first.put_slice(part));
        self.first.put_slice(b"\r\n");
    }

    /// Room for a head and a body of so many bytes, as long as it is worth it.
    pub(crate) fn reserve(&mut self, head: usize, body: usize) {
        let body = if body <= COALESCE { body } else { 0 };
        self.first.reserve(head + body);
    }

    pub(crate) fn field(&mut self, name: &str, value: &[u8]) {
        let line = &mut self.first;
        line.reserve(name.len() + value.len() + 4);
        line.put_slice(name.as_bytes());
        line.put_slice(b": ");
        line.put_slice(value);
        line.put_slice(b"\r\n");
    }

    /// A time as seconds, to the millisecond.
    pub(crate) fn seconds_field(&mut self, name: &str, time: Duration) {
        let mut value = [b'0'; 32];
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let mut rest = millis;
        let mut begin = value.len();
        // At least one digit before the point, and three behind it.
        while rest > 0 || value.len() - begin < "0.000".len() {
            begin -= 1;
            if value.len() - begin == ".000".len() {
                value[begin] = b'.';
                continue;
            }
            value[begin] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        self.field(name, &value[begin..]);
    }

    /// Ends a head whose body has so many bytes.
    pub(crate) fn end_with_length(&mut self, length: u64) {
        let mut digits = itoa::Buffer::new();
        let length = digits.format(length).as_bytes();
        self.field(header::CONTENT_LENGTH.as_str(), length);
        self.end();
    }

    /// Ends a head.
    pub(crate) fn end(&mut self) {
        self.first.put_slice(b"\r\n");
    }

    /// Adds data. Nothing may be added any more after what is too long to be copied, until all is
    /// written; see [`is_full`](Self::is_full).
    pub(crate) fn data(&mut self, data: Bytes) {
        debug_assert!(self.then.is_empty());
        if data.len() <= COALESCE {
            self.first.put(data);
        } else {
            self.then = data;
        }
    }

    /// Adds data as a chunk of a body.
    pub(crate) fn chunk(&mut self, data: Bytes) {
        // A chunk without data would be the last.
        if data.is_empty() {
            return;
        }
        let _ = write!(self.first, "{:x}\r\n", data.len());
        if data.len() <= COALESCE {
            self.first.put(data);
            self.first.put_slice(b"\r\n");
        } else {
            let mut all = BytesMut::with_capacity(data.len() + 2);
            all.put(data);
            all.put_slice(b"\r\n");
            self.then = all.freeze();
        }
    }

    /// Ends a body of chunks.
    pub(crate) fn last_chunk(&mut self) {
        self.data(Bytes::from_static(LAST_CHUNK));
    }

    /// Bytes that are left.
    pub(crate) fn len(&self) -> usize {
        self.first.len() + self.then.len()
    }

    /// Whether what there is had better be written before more is added.
    pub(crate) fn is_full(&self) -> bool {
        self.first.len() >= COALESCE || !self.then.is_empty()
    }

    /// All that is left.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        [&self.first[..], &self.then].concat()
    }

    /// Writes until nothing is left; then it can be filled again.
    pub(crate) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.first.is_empty() {
            let written = ready!(Pin::new(&mut *stream).poll_write(cx, &self.first))?;
            self.first.advance(at_least_one(written)?);
        }
        while !self.then.is_empty() {
            let written = ready!(Pin::new(&mut *stream).poll_write(cx, &self.then))?;
            self.then.advance(at_least_one(written)?);
        }
        Poll::Ready(Ok(()))
    }
}

fn at_least_one(written: usize) -> io::Result<usize> {
    match written {
        0 => Err(io::ErrorKind::WriteZero.into()),
        written => Ok(written),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::future::poll_fn;

    use super::*;

    async fn written(mut output: Output) -> Vec<u8> {
        let mut all = Vec::new();
        poll_fn(|cx| output.poll_write(&mut all, cx)).await.unwrap();
        assert_eq!(output.len(), 0);
        all
    }

    #[tokio::test]
    async fn a_head_and_its_body() {
        let mut output = Output::default();
        output.begin([&b"HTTP/1.1 "[..], b"200 OK"]);
        output.field("etag", b"a\"b");
        output.end_with_length(4);
        output.data(Bytes::from_static(b"body"));
        let text = b"HTTP/1.1 200 OK\r\netag: a\"b\r\ncontent-length: 4\r\n\r\nbody";
        assert_eq!(written(output).await, text);
    }

    #[tokio::test]
    async fn times_are_seconds() {
        for (millis, text) in [
            (0, "0.000"),
            (7, "0.007"),
            (1_500, "1.500"),
            (600_000, "600.000"),
            (u64::MAX, "18446744073709551.615"),
        ] {
            let mut output = Output::default();
            output.seconds_field("a", Duration::from_millis(millis));
            assert_eq!(written(output).await, format!("a: {text}\r\n").as_bytes());
        }
    }

    #[tokio::test]
    async fn chunks_short_and_long() {
        for length in [31, COALESCE, COALESCE + 1] {
            let mut output = Output::default();
            output.chunk(Bytes::new());
            assert_eq!(output.len(), 0, "it would be the last one");
            output.chunk(vec![b'x'; length].into());
            assert_eq!(output.is_full(), length >= COALESCE);
            let mut all = written(output).await;
            let mut output = Output::default();
            output.last_chunk();
            all.extend(written(output).await);
            let text = format!("{length:x}\r\n{}\r\n0\r\n\r\n", "x".repeat(length));
            assert_eq!(all, text.as_bytes());
        }
    }
}
