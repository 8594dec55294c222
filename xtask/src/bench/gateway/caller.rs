//! One kept-alive connection of a client, with at most one request on it.

use super::message::{self, Body, Head};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

/// A connection, and what has come of the answer on it.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) stream: TcpStream,
    read: Vec<u8>,
    head: Option<Head>,
    /// When the request was due that is on the way; `None` when none is.
    pub(super) due: Option<Instant>,
}

/// An answer that is whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answered {
    pub(super) status: u16,
    /// Whether the connection is of no more use.
    pub(super) closes: bool,
}

impl Caller {
    pub(super) fn connect(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            read: Vec::new(),
            head: None,
            due: None,
        })
    }

    /// Sends a request that was due at a time. It is short: the kernel takes all of it at once.
    pub(super) fn send(&mut self, request: &[u8], due: Instant) -> io::Result<()> {
        self.due = Some(due);
        self.stream.write_all(request)
    }

    /// Reads what has come, by way of `piece`. `body` is given the body, in pieces as the server cut
    /// them.
    pub(super) fn receive(
        &mut self,
        piece: &mut [u8],
        mut body: impl FnMut(&[u8]),
    ) -> io::Result<Option<Answered>> {
        self.fill(piece)?;
        let Some(head) = self.head.or_else(|| message::head(&self.read)) else {
            return Ok(None);
        };
        if self.head.is_none() {
            self.head = Some(head);
            self.read.drain(..head.length);
        }
        let whole = match head.body {
            Body::Sized(length) => self.take_sized(length, &mut body),
            Body::Chunked => self.take_chunks(&mut body),
        };
        if !whole {
            return Ok(None);
        }
        self.head = None;
        self.due = None;
        Ok(Some(Answered {
            status: head.status,
            closes: head.closes,
        }))
    }

    fn fill(&mut self, piece: &mut [u8]) -> io::Result<()> {
        match self.stream.read(piece) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                self.read.extend_from_slice(&piece[..read]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn take_sized(&mut self, length: usize, body: &mut impl FnMut(&[u8])) -> bool {
        if self.read.len() < length {
            return false;
        }
        body(&self.read[..length]);
        self.read.drain(..length);
        true
    }

    fn take_chunks(&mut self, body: &mut impl FnMut(&[u8])) -> bool {
        let mut taken = 0;
        let mut ended = false;
        while !ended && let Some((data, next)) = message::chunk(&self.read[taken..]) {
            ended = data.is_empty();
            body(&self.read[taken..][data]);
            taken += next;
        }
        self.read.drain(..taken);
        ended
    }
}
