use bytes::{Buf, Bytes, BytesMut};
use httparse::{Status, parse_chunk_size};
use memchr::memchr;

use super::{Framing, Malformed};

/// Longest line of a chunk's size, and longest trailer, bytes.
const MAX_LINE: usize = 4 << 10;
/// Most bytes of all trailers.
const MAX_TRAILERS: usize = 16 << 10;

/// Reads one body off the front of a buffer that grows.
#[derive(Debug)]
pub(crate) struct Decoder(State);

#[derive(Debug)]
enum State {
    /// So many bytes are to come.
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    Done,
}

/// What comes next in a body of chunks.
#[derive(Debug)]
enum Chunked {
    Size,
    /// So many bytes of a chunk.
    Data(u64),
    /// The end of the line after them.
    DataEnd,
    /// Trailers, of which so many bytes have come.
    Trailers(usize),
}

/// What a buffer holds of a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Never empty.
    Data(Bytes),
    /// Nothing until more has been read.
    More,
    /// The body is complete; what follows is no part of it.
    End,
}

impl Decoder {
    pub(crate) fn new(framing: Framing) -> Self {
        Self(match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Chunked::Size),
            Framing::UntilClose => State::UntilClose,
        })
    }

    /// Whether the body is known to be complete.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.0, State::Done)
    }

    /// Bytes that are still to come, as far as that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        match self.0 {
            State::Length(left) => Some(left),
            State::Done => Some(0),
            State::Chunked(_) | State::UntilClose => None,
        }
    }

    /// The next piece.
    ///
    /// # Errors
    /// A chunk is malformed.
    pub(crate) fn next(&mut self, buffer: &mut BytesMut) -> Result<Piece, Malformed> {
        let piece = match &mut self.0 {
            State::Done => return Ok(Piece::End),
            State::Chunked(chunked) => chunked.next(buffer)?,
            _ if buffer.is_empty() => Piece::More,
            State::UntilClose => Piece::Data(buffer.split().freeze()),
            State::Length(left) => {
                let data = take(buffer, left);
                if *left == 0 {
                    self.0 = State::Done;
                }
                Piece::Data(data)
            }
        };
        if piece == Piece::End {
            self.0 = State::Done;
        }
        Ok(piece)
    }

    /// The connection has ended, and nothing more comes.
    ///
    /// # Errors
    /// The body is not complete.
    pub(crate) fn end_of_input(&mut self) -> Result<(), Malformed> {
        match self.0 {
            State::UntilClose | State::Done => {
                self.0 = State::Done;
                Ok(())
            }
            State::Length(_) | State::Chunked(_) => Err(Malformed::Short),
        }
    }
}

impl Chunked {
    fn next(&mut self, buffer: &mut BytesMut) -> Result<Piece, Malformed> {
        loop {
            match self {
                // The parser takes a line without a digit for a 0.
                Self::Size
                    if buffer
                        .first()
                        .is_some_and(|digit| !digit.is_ascii_hexdigit()) =>
                {
                    return Err(Malformed::Chunk);
                }
                Self::Size => match parse_chunk_size(buffer) {
                    Ok(Status::Complete((line, size))) if line <= MAX_LINE => {
                        buffer.advance(line);
                        *self = match size {
                            0 => Self::Trailers(0),
                            size => Self::Data(size),
                        };
                    }
                    Ok(Status::Partial) if buffer.len() <= MAX_LINE => return Ok(Piece::More),
                    Ok(_) | Err(_) => return Err(Malformed::Chunk),
                },
                Self::Data(_) if buffer.is_empty() => return Ok(Piece::More),
                Self::Data(left) => {
                    let data = take(buffer, left);
                    if *left == 0 {
                        *self = Self::DataEnd;
                    }
                    return Ok(Piece::Data(data));
                }
                Self::DataEnd if buffer.len() < 2 => return Ok(Piece::More),
                Self::DataEnd => {
                    if !buffer.starts_with(b"\r\n") {
                        return Err(Malformed::Chunk);
                    }
                    buffer.advance(2);
                    *self = Self::Size;
                }
                Self::Trailers(seen) => return trailers(buffer, seen),
            }
        }
    }
}

/// At most `left` bytes, by which `left` becomes less.
fn take(buffer: &mut BytesMut, left: &mut u64) -> Bytes {
    let most = usize::try_from(*left).unwrap_or(usize::MAX);
    let data = buffer.split_to(buffer.len().min(most)).freeze();
    *left -= data.len() as u64;
    data
}

/// Trailers are thrown away: nothing that the gateway passes on needs them.
fn trailers(buffer: &mut BytesMut, seen: &mut usize) -> Result<Piece, Malformed> {
    while let Some(end) = memchr(b'\n', buffer) {
        let line = buffer.split_to(end + 1);
        *seen += line.len();
        if !line.ends_with(b"\r\n") || line.len() > MAX_LINE || *seen > MAX_TRAILERS {
            return Err(Malformed::Chunk);
        }
        if line.len() == 2 {
            return Ok(Piece::End);
        }
    }
    match buffer.len() {
        0..=MAX_LINE => Ok(Piece::More),
        _ => Err(Malformed::Chunk),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The body and what is left behind it, read in pieces of so many bytes.
    fn read(framing: Framing, text: &str, size: usize) -> Result<(String, String), Malformed> {
        let (mut decoder, mut buffer) = (Decoder::new(framing), BytesMut::new());
        let (mut body, mut pieces) = (Vec::new(), text.as_bytes().chunks(size));
        loop {
            match decoder.next(&mut buffer)? {
                Piece::Data(data) => body.extend_from_slice(&data),
                Piece::End => break,
                Piece::More => match pieces.next() {
                    Some(piece) => buffer.extend_from_slice(piece),
                    None => {
                        decoder.end_of_input()?;
                        break;
                    }
                },
            }
        }
        assert!(decoder.is_done());
        let rest = pieces.flatten().copied();
        let rest: Vec<u8> = buffer.iter().copied().chain(rest).collect();
        Ok((
            String::from_utf8(body).unwrap(),
            String::from_utf8(rest).unwrap(),
        ))
    }

    #[test]
    fn bodies_are_read_in_pieces_of_any_size() {
        let chunks = "4\r\nWiki\r\n5;a=b\r\npedia\r\n0\r\nX: y\r\n\r\nrest";
        for size in 1..=chunks.len() {
            let got = |framing, text| read(framing, text, size).unwrap();
            let text = |body: &str, rest: &str| (body.to_owned(), rest.to_owned());
            assert_eq!(got(Framing::Chunked, chunks), text("Wikipedia", "rest"));
            assert_eq!(got(Framing::Length(4), "bodyrest"), text("body", "rest"));
            assert_eq!(got(Framing::Length(0), "rest"), text("", "rest"));
            assert_eq!(got(Framing::UntilClose, "all of it"), text("all of it", ""));
        }
    }

    #[test]
    fn a_body_that_ends_too_soon_is_not_complete() {
        for (framing, text) in [
            (Framing::Length(5), "body"),
            (Framing::Chunked, ""),
            (Framing::Chunked, "4\r\nWi"),
            (Framing::Chunked, "4\r\nWiki\r\n"),
            (Framing::Chunked, "4\r\nWiki\r\n0\r\n"),
            (Framing::Chunked, "4\r\nWiki\r\n0\r\nX: y\r\n"),
        ] {
            assert_eq!(read(framing, text, 3), Err(Malformed::Short), "{text:?}");
        }
    }

    #[test]
    fn chunks_that_can_be_read_differently_are_refused() {
        for text in [
            "4\r\nWikiX\r\n0\r\n\r\n",
            "4\r\nWiki\n0\r\n\r\n",
            "g\r\n",
            "-1\r\n",
            "11111111111111111\r\n",
            "\r\n",
            "0\r\nX: y\n\r\n",
        ] {
            assert_eq!(
                read(Framing::Chunked, text, 64),
                Err(Malformed::Chunk),
                "{text:?}"
            );
        }
    }

    #[test]
    fn what_is_thrown_away_has_bounds() {
        let size = format!("4;{}", "a".repeat(MAX_LINE + 1));
        let line = format!("0\r\n{}", "a".repeat(MAX_LINE + 1));
        let lines = format!("0\r\n{}", "a: b\r\n".repeat(MAX_TRAILERS / 6 + 1));
        for text in [size, line, lines] {
            assert_eq!(read(Framing::Chunked, &text, 64), Err(Malformed::Chunk));
        }
    }
}
