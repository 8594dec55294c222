use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::uri::{Authority, Scheme};
use http::{Uri, response};
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::net::TcpStream;
use tower::Service;

use crate::connector::connector;
use crate::http1::{Decoder, Framing, HeadReader, Malformed, Output, Piece, Said, poll_read};

/// One connection to a replica, used by one request at a time.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    input: BytesMut,
    /// Of the answer's body.
    decoder: Decoder,
    /// Whether another request may follow, once the answer is complete.
    keeps_open: bool,
}

/// Opens connections.
#[derive(Debug, Clone)]
pub(crate) struct Opener {
    connector: HttpConnector,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    /// Nobody takes connections at the address.
    #[error("{0}")]
    Connect(Box<dyn std::error::Error + Send + Sync>),
    /// The address is none.
    #[error("{0}")]
    Address(#[from] http::Error),
}

/// Why there is no answer, or not all of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// The connection was closed before a byte of the request left.
    #[error("the connection had ended")]
    NeverSent,
    #[error("the connection broke")]
    Broke(#[from] io::Error),
    #[error("the connection was closed")]
    Closed,
    #[error("what it sent is malformed")]
    Malformed(#[from] Malformed),
    #[error("it wants another protocol, which it was not asked for")]
    Upgrade,
}

impl Opener {
    pub(crate) fn new(connect_timeout: Duration) -> Self {
        Self {
            connector: connector(Some(connect_timeout)),
        }
    }

    pub(super) async fn open(&self, addr: SocketAddr) -> Result<Wire, OpenError> {
        let mut connector = self.connector.clone();
        let stream = connector.call(address(addr)?).await;
        let stream = stream.map_err(|error| OpenError::Connect(error.into()))?;
        Ok(Wire {
            stream: stream.into_inner(),
            input: BytesMut::new(),
            decoder: Decoder::new(Framing::Length(0)),
            keeps_open: true,
        })
    }
}

fn address(addr: SocketAddr) -> Result<Uri, http::Error> {
    let authority: Authority = addr.to_string().parse()?;
    Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(authority)
        .path_and_query("/")
        .build()
}

impl Wire {
    /// Sends a request; gives the answer's head, which may come before all of the request is sent.
    pub(super) async fn send(
        &mut self,
        mut request: Output,
    ) -> Result<(response::Parts, Said), WireError> {
        let mut sending = Sending::Nothing;
        let mut reader = HeadReader::default();
        poll_fn(|cx| {
            sending.poll(&mut request, &mut self.stream, cx);
            if let Sending::NeverBegun = sending {
                return Poll::Ready(Err(WireError::NeverSent));
            }
            let head = ready!(self.poll_head(&mut reader, cx))?;
            // A replica that did not want all of the request may still be reading it.
            self.keeps_open &= matches!(sending, Sending::Done);
            Poll::Ready(Ok(head))
        })
        .await
    }

    fn poll_head(
        &mut self,
        reader: &mut HeadReader,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(response::Parts, Said), WireError>> {
        loop {
            if let Some((head, said)) = reader.response(&mut self.input)? {
                match head.status.as_u16() {
                    101 => return Poll::Ready(Err(WireError::Upgrade)),
                    100..200 => continue,
                    _ => {}
                }
                self.keeps_open = said.keeps_open(head.version);
                self.decoder = Decoder::new(Framing::of_response(head.status, &said)?);
                return Poll::Ready(Ok((head, said)));
            }
            if ready!(self.poll_read(cx))? == 0 {
                return Poll::Ready(Err(WireError::Closed));
            }
        }
    }

    /// The next bytes of the answer's body; `None` at its orderly end.
    pub(super) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, WireError>>> {
        loop {
            match self.decoder.next(&mut self.input) {
                Ok(Piece::Data(data)) => return Poll::Ready(Some(Ok(data))),
                Ok(Piece::End) => return Poll::Ready(None),
                Ok(Piece::More) => {}
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
            match ready!(self.poll_read(cx)) {
                Ok(0) => {
                    self.keeps_open = false;
                    if let Err(error) = self.decoder.end_of_input() {
                        return Poll::Ready(Some(Err(error.into())));
                    }
                }
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        poll_read(&mut self.stream, &mut self.input, cx)
    }

    /// Whether another request can be sent by this connection, as far as anybody can know. A
    /// replica that says something unasked says that it closes.
    pub(super) fn is_open(&self) -> bool {
        let quiet = |error: io::Error| error.kind() == io::ErrorKind::WouldBlock;
        self.keeps_open
            && self.decoder.is_done()
            && self.input.is_empty()
            && self.stream.try_read(&mut [0]).is_err_and(quiet)
    }
}

/// How far a request was sent.
#[derive(Debug)]
enum Sending {
    Nothing,
    Some,
    Done,
    /// The replica takes no more of it, and may have said why.
    Refused,
    /// The connection was over before.
    NeverBegun,
}

impl Sending {
    fn poll(&mut self, request: &mut Output, stream: &mut TcpStream, cx: &mut Context<'_>) {
        if matches!(self, Self::Done | Self::Refused | Self::NeverBegun) {
            return;
        }
        let before = request.len();
        let written = request.poll_write(stream, cx);
        let begun = matches!(self, Self::Some) || request.len() < before;
        *self = match written {
            Poll::Ready(Ok(())) => Self::Done,
            Poll::Ready(Err(_)) if begun => Self::Refused,
            Poll::Ready(Err(_)) => Self::NeverBegun,
            Poll::Pending if begun => Self::Some,
            Poll::Pending => Self::Nothing,
        };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    const HANG: Duration = Duration::from_secs(60);

    struct Pair {
        wire: Wire,
        replica: TcpStream,
    }

    impl Pair {
        async fn open() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let opener = Opener::new(HANG);
            let addr = listener.local_addr().unwrap();
            let (wire, accepted) = tokio::join!(opener.open(addr), listener.accept());
            let (wire, (replica, _)) = (wire.unwrap(), accepted.unwrap());
            Self { wire, replica }
        }

        /// Sends a request of so many bytes, of which the replica reads one and answers.
        async fn exchange(&mut self, bytes: usize, answer: &str) -> Result<String, WireError> {
            let replies = async {
                self.replica.read_u8().await.unwrap();
                self.replica.write_all(answer.as_bytes()).await.unwrap();
            };
            let sent = timeout(HANG, self.wire.send(request(bytes)));
            let (head, ()) = tokio::join!(sent, replies);
            head.expect("no hang")?;
            let mut body = Vec::new();
            while let Some(data) = poll_fn(|cx| self.wire.poll_data(cx)).await {
                body.extend_from_slice(&data?);
            }
            Ok(String::from_utf8(body).unwrap())
        }
    }

    fn request(bytes: usize) -> Output {
        let mut request = Output::default();
        request.data(vec![b'x'; bytes].into());
        request
    }

    #[tokio::test]
    async fn a_connection_is_used_again_only_if_both_sides_know_where_it_stands() {
        for (answer, body, open) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", "ok", true),
            ("HTTP/1.1 204 No Content\r\n\r\n", "", true),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
                "",
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
                "ok",
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP",
                "ok",
                false,
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
                "ok",
                false,
            ),
            (
                "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
                "ok",
                false,
            ),
        ] {
            let mut pair = Pair::open().await;
            assert_eq!(pair.exchange(1, answer).await.unwrap(), body, "{answer:?}");
            assert_eq!(pair.wire.is_open(), open, "{answer:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_before_all_of_the_request_is_sent_is_an_answer() {
        let mut pair = Pair::open().await;
        let answer = "HTTP/1.1 413 Too Long\r\ncontent-length: 2\r\n\r\nno";
        assert_eq!(pair.exchange(64 << 20, answer).await.unwrap(), "no");
        assert!(!pair.wire.is_open());
    }

    #[tokio::test]
    async fn malformed_answers_are_refused() {
        for answer in [
            "nonsense\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nno chunk\r\n",
        ] {
            let got = Pair::open().await.exchange(1, answer).await;
            assert!(matches!(got, Err(WireError::Malformed(_))), "{answer:?}");
        }
        let upgrade = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
        let got = Pair::open().await.exchange(1, upgrade).await;
        assert!(matches!(got, Err(WireError::Upgrade)));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_no_whole_one() {
        for (head, whole) in [("content-length: 5\r\n", false), ("", true)] {
            let Pair {
                mut wire,
                mut replica,
            } = Pair::open().await;
            let answer = format!("HTTP/1.1 200 OK\r\n{head}\r\nbody");
            replica.write_all(answer.as_bytes()).await.unwrap();
            wire.send(request(1)).await.unwrap();
            replica.read_u8().await.unwrap();
            drop(replica);
            let data = poll_fn(|cx| wire.poll_data(cx)).await;
            assert_eq!(data.unwrap().unwrap(), "body");
            let end = poll_fn(|cx| wire.poll_data(cx)).await;
            assert_eq!(end.is_none(), whole);
            assert!(!wire.is_open());
        }
    }

    #[tokio::test]
    async fn a_connection_that_the_replica_closed_is_known_to_be_over() {
        let mut pair = Pair::open().await;
        let answer = "HTTP/1.1 204 No Content\r\n\r\n";
        pair.exchange(1, answer).await.unwrap();
        let Pair { mut wire, replica } = pair;
        drop(replica);
        // Once another connection is up, that end is known here too.
        Pair::open().await.exchange(1, answer).await.unwrap();
        assert!(!wire.is_open());
        let sent = timeout(HANG, wire.send(request(1))).await.expect("no hang");
        assert!(matches!(sent, Err(WireError::Closed | WireError::Broke(_))));
    }
}
