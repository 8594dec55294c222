use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chandler_gateway::Endpoint;
use futures::StreamExt;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

/// A replica of the test's making.
pub(crate) struct Upstream {
    pub(crate) endpoint: Endpoint,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Upstream {
    /// One that answers each request with `handler`.
    pub(crate) async fn new<F, R>(
        handler: impl Fn(Request) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = R> + Send + 'static,
        R: IntoResponse,
    {
        let (listener, endpoint) = bind().await;
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = requests.clone();
        let router = Router::new().fallback(move |request: Request| {
            counted.fetch_add(1, Ordering::SeqCst);
            handler(request)
        });
        Self {
            endpoint,
            requests,
            task: tokio::spawn(accept(listener, router)),
        }
    }

    /// One that answers `{"from": NAME}`.
    pub(crate) async fn named(name: &'static str) -> Self {
        Self::new(move |_| async move { axum::Json(serde_json::json!({ "from": name })) }).await
    }

    /// One that reads a request, writes `answer`, and closes the connection, as a process does
    /// that is killed.
    pub(crate) async fn dying(answer: &'static str) -> Self {
        let (listener, endpoint) = bind().await;
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = requests.clone();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                read_request(&mut stream).await;
                counted.fetch_add(1, Ordering::SeqCst);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self {
            endpoint,
            requests,
            task,
        }
    }

    /// The endpoints of a revision that has no other.
    pub(crate) fn alone(&self) -> &[Endpoint] {
        std::slice::from_ref(&self.endpoint)
    }

    /// Requests seen.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Closes the listener and every connection at once.
    pub(crate) async fn kill(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn bind() -> (TcpListener, Endpoint) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = endpoint(listener.local_addr().unwrap());
    (listener, endpoint)
}

fn endpoint(addr: SocketAddr) -> Endpoint {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    Endpoint {
        id: format!("up-{}", NEXT.fetch_add(1, Ordering::SeqCst)),
        addr,
    }
}

/// An endpoint that nobody listens at. It keeps its port bound, or another test's upstream could
/// be given it and answer.
pub(crate) struct Nobody {
    pub(crate) endpoint: Endpoint,
    _socket: TcpSocket,
}

impl Nobody {
    pub(crate) fn alone(&self) -> &[Endpoint] {
        std::slice::from_ref(&self.endpoint)
    }
}

pub(crate) fn nobody() -> Nobody {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let endpoint = endpoint(socket.local_addr().unwrap());
    Nobody {
        endpoint,
        _socket: socket,
    }
}

pub(crate) async fn accept(listener: TcpListener, router: Router) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let service = TowerToHyperService::new(router.clone());
        connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// Reads one request with a `Content-Length`.
async fn read_request(stream: &mut TcpStream) {
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).to_lowercase();
            let length = head.split("content-length: ").nth(1).unwrap();
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            if read.len() >= end + 4 + length {
                return;
            }
        }
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0);
    }
}

/// Cancels its token when dropped: how a test learns that a request or a body is gone.
#[derive(Default)]
pub(crate) struct Guard(pub(crate) CancellationToken);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// An answer of `content_type` whose pieces come from a channel; ends when the sender is dropped.
pub(crate) fn from_channel(
    content_type: &'static str,
    pieces: mpsc::UnboundedReceiver<&'static str>,
    guard: Guard,
) -> Response {
    let pieces = futures::stream::unfold((pieces, guard), |(mut pieces, guard)| async {
        let piece = pieces.recv().await?;
        Some((piece, (pieces, guard)))
    });
    let body = Body::from_stream(pieces.map(|piece| Ok::<_, Infallible>(Bytes::from(piece))));
    ([("content-type", content_type)], body).into_response()
}

/// What a test sends to each caller of [`one_event_each`].
pub(crate) type Streams = mpsc::UnboundedReceiver<mpsc::UnboundedSender<&'static str>>;

/// A replica that sends one event to each caller and then nothing, until its sender is told.
pub(crate) async fn one_event_each() -> (Upstream, Streams) {
    let (streams, opened) = mpsc::unbounded_channel();
    let upstream = Upstream::new(move |_| {
        let (pieces, receiver) = mpsc::unbounded_channel();
        pieces.send("data: 1\n\n").unwrap();
        streams.send(pieces).unwrap();
        let response = from_channel("text/event-stream", receiver, Guard::default());
        async move { response }
    })
    .await;
    (upstream, opened)
}
