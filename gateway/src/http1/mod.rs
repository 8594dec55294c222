//! HTTP/1.1 as bytes (RFC 9112): heads, and where messages end. Knows no socket and no time.
//!
//! Characters are judged by `httparse` and `http`. What stands here decides where a message ends,
//! and is strict about it: a message that two readers could split differently is refused, since
//! the second reader is a replica behind this one (RFC 9112, section 11.2, request smuggling).

mod body;
mod framing;
mod head;
mod read;
mod said;
mod write;

pub(crate) use body::{Decoder, Piece};
pub(crate) use framing::{Framing, has_body};
pub(crate) use head::{HeadReader, MAX_FIELDS, MAX_HEAD};
pub(crate) use read::poll_read;
pub(crate) use said::{Said, is_hop_by_hop};
pub(crate) use write::Output;

/// Why a message can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// The limit is [`MAX_HEAD`].
    #[error("its head is longer than {MAX_HEAD} bytes")]
    HeadTooLong,
    /// The limit is [`MAX_FIELDS`].
    #[error("its head has more than {MAX_FIELDS} fields")]
    TooManyFields,
    #[error("its first line or a field is malformed: {0}")]
    Head(#[from] httparse::Error),
    #[error("its first line or a field has characters that may not stand there")]
    Characters,
    #[error("its length is told in a way that can be read differently: {0}")]
    Length(&'static str),
    #[error("a chunk of its body is malformed")]
    Chunk,
    #[error("it ends before it is complete")]
    Short,
}
