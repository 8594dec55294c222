//! What `fuzz/` needs of the gateway's insides, and nobody else.

use std::convert::Infallible;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::stream;
use http::{HeaderMap, Request, StatusCode};

use crate::call::Call;
use crate::config::GatewayConfig;
use crate::errors::GatewayError;
use crate::event_gate::EventGate;
use crate::http1::{Decoder, Framing, HeadReader, Malformed, Output, Piece};

/// A request that was let in.
#[derive(Debug)]
pub struct LetIn(Call);

impl LetIn {
    /// The model that it names.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.0.model
    }

    /// The headers that a replica gets.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in self.0.headers() {
            headers.append(name, value.clone());
        }
        headers
    }

    /// The body for a replica that calls the model so.
    #[must_use]
    pub fn body_for(&self, served_name: &str) -> Bytes {
        self.0.body_for(served_name)
    }
}

/// Reads a request whose body comes in these pieces; in one piece, its length is told ahead.
///
/// # Errors
/// What the caller would be told.
pub async fn read(
    headers: HeaderMap,
    mut pieces: Vec<Bytes>,
    body_limit: usize,
) -> Result<LetIn, GatewayError> {
    let config = GatewayConfig {
        body_limit,
        ..GatewayConfig::default()
    };
    let body = match pieces.len() {
        1 => Body::from(pieces.remove(0)),
        _ => Body::from_stream(stream::iter(pieces.into_iter().map(Ok::<_, Infallible>))),
    };
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.headers = headers;
    Call::read(parts, body, &config).await.map(LetIn)
}

/// The gate that events pass.
#[derive(Debug)]
pub struct Events(EventGate);

impl Events {
    /// A gate that no event passes that is longer than so many bytes.
    #[must_use]
    pub fn with_longest(longest: usize) -> Self {
        Self(EventGate::with_longest(longest))
    }

    /// The events that are whole with this piece.
    ///
    /// # Errors
    /// When an event is too long, in words.
    pub fn push(&mut self, piece: Bytes) -> Result<Bytes, String> {
        let whole = self.0.push(piece).map_err(|error| error.to_string())?;
        Ok(whole.unwrap_or_default())
    }

    /// What an orderly end lets through.
    pub fn finish(&mut self) -> Bytes {
        self.0.finish().unwrap_or_default()
    }

    /// Whether `data: [DONE]` has passed.
    #[must_use]
    pub fn done(&self) -> bool {
        self.0.done()
    }
}

/// Who writes the messages.
#[derive(Debug, Clone, Copy)]
pub enum Writer {
    /// A caller: they are requests.
    Caller,
    /// A replica: they are answers.
    Replica,
}

/// A message of HTTP/1.1 as it was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Of a request its method and target, of an answer its status.
    pub line: String,
    /// Its fields in their order.
    pub fields: HeaderMap,
    /// Its body, as long as it came.
    pub body: Vec<u8>,
}

impl Message {
    /// The message as the gateway would write it.
    #[must_use]
    pub fn written(&self, writer: Writer) -> Vec<u8> {
        let mut output = Output::default();
        let line = self.line.as_bytes();
        match writer {
            Writer::Caller => output.begin([line, b" HTTP/1.1"]),
            Writer::Replica => output.begin([b"HTTP/1.1 ", line, b" "]),
        }
        for (name, value) in &self.fields {
            output.field(name.as_str(), value.as_bytes());
        }
        output.end_with_length(self.body.len() as u64);
        output.data(Bytes::copy_from_slice(&self.body));
        output.into_bytes()
    }
}

/// What comes by a connection in these pieces and then ends: the messages that are whole, and why
/// no more can be read, in words; `None` at an orderly end.
pub fn messages<'a>(
    writer: Writer,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Message>, Option<String>) {
    let mut whole = Vec::new();
    let read = read_messages(writer, pieces.into_iter(), &mut whole);
    (whole, read.err().map(|error| error.to_string()))
}

fn read_messages<'a>(
    writer: Writer,
    mut pieces: impl Iterator<Item = &'a [u8]>,
    whole: &mut Vec<Message>,
) -> Result<(), Malformed> {
    let (mut reader, mut buffer) = (HeadReader::default(), BytesMut::new());
    loop {
        let Some((mut message, framing)) = head(writer, &mut reader, &mut buffer)? else {
            match pieces.next() {
                Some(piece) => buffer.extend_from_slice(piece),
                None if buffer.is_empty() => return Ok(()),
                None => return Err(Malformed::Short),
            }
            continue;
        };
        let mut body = Decoder::new(framing);
        loop {
            match body.next(&mut buffer)? {
                Piece::Data(data) => message.body.extend_from_slice(&data),
                Piece::End => break,
                Piece::More => match pieces.next() {
                    Some(piece) => buffer.extend_from_slice(piece),
                    None => body.end_of_input()?,
                },
            }
        }
        whole.push(message);
    }
}

fn head(
    writer: Writer,
    reader: &mut HeadReader,
    buffer: &mut BytesMut,
) -> Result<Option<(Message, Framing)>, Malformed> {
    let (line, fields, framing) = match writer {
        Writer::Caller => {
            let Some((head, said)) = reader.request(buffer)? else {
                return Ok(None);
            };
            let framing = Framing::of_request(head.version, &said)?;
            (
                format!("{} {}", head.method, head.uri),
                head.headers,
                framing,
            )
        }
        Writer::Replica => {
            let Some((head, said)) = reader.response(buffer)? else {
                return Ok(None);
            };
            let framing = Framing::of_response(head.status, &said)?;
            (
                StatusCode::as_str(&head.status).to_owned(),
                head.headers,
                framing,
            )
        }
    };
    let message = Message {
        line,
        fields,
        body: Vec::new(),
    };
    Ok(Some((message, framing)))
}
