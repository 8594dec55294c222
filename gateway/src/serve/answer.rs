use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use chandler_crds::names::headers as names;
use http::{HeaderName, StatusCode, Version, header, response};
use http_body::Body as _;
use tokio::io::{AsyncRead, AsyncWrite};

use super::date::date;
use super::line::{Line, LineError, Shared};
use crate::http1::{Malformed, Output, has_body};
use crate::observe::AccessRecord;

/// How an answer goes to its caller.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    /// Of the request.
    pub(super) version: Version,
    /// The request was a HEAD.
    pub(super) bodiless: bool,
    /// Whether another request may follow.
    pub(super) keeps_open: bool,
}

/// What is left of a connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerEnd {
    KeepOpen,
    Close,
}

/// How the caller knows the end of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    None,
    /// So many bytes are to come.
    Length(u64),
    Chunked,
    UntilClose,
}

impl Answer {
    /// Sends all of `response`, and tells `record` what became of it.
    ///
    /// # Errors
    /// The caller has gone, or the body broke off, by which the connection has to.
    pub(super) async fn send<S: AsyncRead + AsyncWrite + Unpin>(
        self,
        line: &Shared<S>,
        response: Response,
        record: &AccessRecord,
    ) -> Result<AnswerEnd, LineError> {
        let (parts, body) = response.into_parts();
        let framing = self.framing(&parts, &body);
        let keeps_open = self.keeps_open && framing != Framing::UntilClose;
        self.head(&mut line.lock().output, &parts, framing, keeps_open, record);
        let mut sending = Sending {
            body,
            framing,
            record,
            ended: framing == Framing::None,
        };
        poll_fn(|cx| sending.poll(&mut line.lock(), cx)).await?;
        record.completed();
        Ok(match keeps_open {
            true => AnswerEnd::KeepOpen,
            false => AnswerEnd::Close,
        })
    }

    fn framing(self, parts: &response::Parts, body: &Body) -> Framing {
        let told = parts.headers.get(header::CONTENT_LENGTH);
        let told = told.and_then(|length| length.to_str().ok()?.parse().ok());
        match body.size_hint().exact().or(told) {
            _ if self.bodiless || !has_body(parts.status) => Framing::None,
            Some(length) => Framing::Length(length),
            None if self.version == Version::HTTP_10 => Framing::UntilClose,
            None => Framing::Chunked,
        }
    }

    fn head(
        self,
        output: &mut Output,
        parts: &response::Parts,
        framing: Framing,
        keeps_open: bool,
        record: &AccessRecord,
    ) {
        output.begin([
            b"HTTP/1.1 ",
            parts.status.as_str().as_bytes(),
            b" ",
            reason(parts.status),
        ]);
        for (name, value) in &parts.headers {
            let of_a_head = self.bodiless && name == header::CONTENT_LENGTH;
            if !is_set_here(name) || of_a_head {
                output.field(name.as_str(), value.as_bytes());
            }
        }
        output.field(names::REQUEST_ID, record.id().as_bytes());
        if !parts.headers.contains_key(header::DATE) {
            output.field(header::DATE.as_str(), &date(SystemTime::now()));
        }
        match (keeps_open, self.version) {
            (false, _) => output.field(header::CONNECTION.as_str(), b"close"),
            (true, Version::HTTP_10) => output.field(header::CONNECTION.as_str(), b"keep-alive"),
            (true, _) => {}
        }
        match framing {
            Framing::Length(length) => return output.end_with_length(length),
            Framing::Chunked => output.field(header::TRANSFER_ENCODING.as_str(), b"chunked"),
            Framing::None | Framing::UntilClose => {}
        }
        output.end();
    }
}

fn reason(status: StatusCode) -> &'static [u8] {
    status.canonical_reason().unwrap_or_default().as_bytes()
}

fn is_set_here(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection" | "content-length" | "transfer-encoding" | names::REQUEST_ID
    )
}

/// A body on its way.
struct Sending<'a> {
    body: Body,
    framing: Framing,
    record: &'a AccessRecord,
    ended: bool,
}

impl Sending<'_> {
    /// Ready when all has been written. What is there at one time is written at one time, and
    /// nothing waits for more.
    fn poll<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        line: &mut Line<S>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), LineError>> {
        loop {
            if self.ended || line.output.is_full() {
                ready!(line.poll_flush(cx))?;
            }
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.add(&mut line.output, data)?;
                    }
                }
                Poll::Ready(Some(Err(_))) => {
                    self.record.broke();
                    // What is whole of it is sent nevertheless.
                    let _ = line.poll_flush(cx);
                    return Poll::Ready(Err(Malformed::Short.into()));
                }
                Poll::Ready(None) => self.end(&mut line.output)?,
                Poll::Pending => {
                    ready!(line.poll_flush(cx))?;
                    return line.poll_gone(cx).map(|()| Err(LineError::Gone));
                }
            }
        }
    }

    fn add(&mut self, output: &mut Output, data: Bytes) -> Result<(), Malformed> {
        self.record.sent(data.len());
        match &mut self.framing {
            Framing::Chunked => output.chunk(data),
            Framing::UntilClose => output.data(data),
            Framing::None => {}
            Framing::Length(left) => {
                let rest = left.checked_sub(data.len() as u64);
                // More than was told would be taken for the next answer.
                *left = rest.ok_or(Malformed::Length("the replica sends more than it told"))?;
                output.data(data);
                if *left == 0 {
                    self.ended = true;
                }
            }
        }
        Ok(())
    }

    fn end(&mut self, output: &mut Output) -> Result<(), Malformed> {
        self.ended = true;
        match self.framing {
            Framing::Length(1..) => {
                self.record.broke();
                return Err(Malformed::Short);
            }
            Framing::Chunked => output.last_chunk(),
            Framing::None | Framing::Length(0) | Framing::UntilClose => {}
        }
        Ok(())
    }
}
