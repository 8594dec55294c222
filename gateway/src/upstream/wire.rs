use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use http_body::Body as _;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::Service;

use crate::connector::connector;

/// One connection to a replica, used by one request at a time and driven by it.
#[derive(Debug)]
pub(crate) struct Wire {
    sender: SendRequest<Full<Bytes>>,
    driver: Driver,
}

/// Reads and writes a connection; `None` once it is over. It has to be dropped then: a request
/// handed over after the replica closed the connection waits inside of it, and whoever waits for
/// the answer learns by that drop that none will come.
type Driver = Option<Connection<TokioIo<TcpStream>, Full<Bytes>>>;

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
    /// No request can be sent by the connection.
    #[error("{0}")]
    Http(#[from] hyper::Error),
    /// The address is none.
    #[error("{0}")]
    Address(#[from] http::Error),
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
        let (sender, driver) = http1::handshake(stream).await?;
        let driver = Some(driver);
        Ok(Wire { sender, driver })
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
    /// Sends a request; gives the answer's head.
    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> hyper::Result<Response<Incoming>> {
        let mut answer = pin!(self.sender.send_request(request));
        let driver = &mut self.driver;
        poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(answer);
            }
            drive(driver, cx);
            answer.as_mut().poll(cx)
        })
        .await
    }

    /// The next bytes of the answer's body; `None` at its orderly end.
    pub(super) fn poll_data(
        &mut self,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Bytes>>> {
        let mut driven = false;
        loop {
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => return Poll::Ready(Some(Ok(data))),
                    // Trailers of a hop end at the hop.
                    Err(_) => continue,
                },
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending if driven => return Poll::Pending,
                Poll::Pending => {
                    drive(&mut self.driver, cx);
                    driven = true;
                }
            }
        }
    }

    /// Whether another request can be sent by this connection, as far as anybody can know.
    pub(super) fn is_open(&mut self) -> bool {
        // Nobody is to be woken: whoever takes the connection from the pool polls it anew.
        let mut cx = Context::from_waker(Waker::noop());
        drive(&mut self.driver, &mut cx);
        self.driver.is_some() && self.sender.is_ready()
    }
}

/// Reads and writes what can be read and written now. An error ends the connection, and whoever
/// waits for its answer or body is told of it there.
fn drive(driver: &mut Driver, cx: &mut Context<'_>) {
    if let Some(connection) = driver
        && Pin::new(connection).poll(cx).is_ready()
    {
        *driver = None;
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

    /// A connection that rests after an answer without a body, and the replica's end of it.
    async fn rested(opener: &Opener, listener: &TcpListener) -> (Wire, TcpStream) {
        let addr = listener.local_addr().unwrap();
        let mut wire = opener.open(addr).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let answering = async {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
        };
        let (answer, ()) = tokio::join!(wire.send(Request::default()), answering);
        assert_eq!(answer.unwrap().status(), 200);
        assert!(wire.is_open());
        (wire, stream)
    }

    #[tokio::test]
    async fn a_request_on_a_connection_that_the_replica_closes_meanwhile_fails_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let opener = Opener::new(HANG);
        let (mut wire, stream) = rested(&opener, &listener).await;
        drop(stream);
        // Once another connection is up, that end is known here too.
        let _other = rested(&opener, &listener).await;
        let sent = timeout(HANG, wire.send(Request::default())).await;
        assert!(sent.expect("no hang").unwrap_err().is_canceled());
        assert!(!wire.is_open());
    }
}
