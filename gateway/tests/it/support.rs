use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use chandler_gateway::{Endpoint, Gateway, GatewayConfig, ModelRoute, RevisionRoute, RouteTable};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What a test waits for comes in milliseconds; this only ends a test that would hang.
const HANG: Duration = Duration::from_secs(60);

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let ended = tokio::time::timeout(HANG, future).await;
    ended.unwrap_or_else(|_| panic!("never came: {what}"))
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let polled = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    soon(what, polled).await;
}

/// A served gateway.
pub(crate) struct Door {
    pub(crate) gateway: Gateway,
    pub(crate) addr: SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) served: JoinHandle<std::io::Result<()>>,
    client: Client,
}

/// A caller at one address.
pub(crate) struct Client {
    pub(crate) addr: SocketAddr,
    client: HttpClient<HttpConnector, Full<Bytes>>,
}

impl Client {
    pub(crate) fn of(addr: SocketAddr) -> Self {
        let client = HttpClient::builder(TokioExecutor::new()).build_http();
        Self { addr, client }
    }

    /// The answer's head.
    pub(crate) async fn begin(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Response<Incoming> {
        self.begin_with(method, path, body, &[]).await
    }

    /// The same, with headers.
    pub(crate) async fn begin_with(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
        headers: &[(&str, &str)],
    ) -> Response<Incoming> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.addr))
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        self.request(request).await
    }

    pub(crate) async fn request(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let response = soon("an answer's head", self.client.request(request)).await;
        response.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        read(self.begin(Method::GET, path, "").await).await
    }
}

/// An answer read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// (type, param, code) of the error, which must have a message.
    pub(crate) fn error(&self) -> (String, Value, String) {
        assert_eq!(self.header("content-type"), Some("application/json"));
        let error = self.json()["error"].clone();
        assert!(!error["message"].as_str().unwrap().is_empty());
        let text = |key: &str| error[key].as_str().unwrap().to_owned();
        (text("type"), error["param"].clone(), text("code"))
    }

    pub(crate) fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap().to_owned()
    }
}

pub(crate) fn config() -> GatewayConfig {
    GatewayConfig {
        wait_for_replica: HANG,
        ..GatewayConfig::default()
    }
}

impl Door {
    pub(crate) async fn open(config: GatewayConfig) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let gateway = Gateway::new(config).unwrap();
        let stop = CancellationToken::new();
        let shutdown = stop.clone().cancelled_owned();
        let served = tokio::spawn(chandler_gateway::serve(listener, gateway.clone(), shutdown));
        Self {
            gateway,
            addr,
            stop,
            served,
            client: Client::of(addr),
        }
    }

    /// A gateway before one model, `chat`, of one revision, `r1`.
    pub(crate) async fn before(endpoints: &[Endpoint]) -> Self {
        let door = Self::open(config()).await;
        door.gateway.publish(chat(endpoints));
        door
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Answer {
        read(self.begin(method, path, body).await).await
    }

    /// The answer's head.
    pub(crate) async fn begin(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Response<Incoming> {
        self.client.begin(method, path, body).await
    }

    pub(crate) async fn request(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        self.client.request(request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, "").await
    }

    pub(crate) async fn chat(&self) -> Answer {
        self.ask("chat").await
    }

    pub(crate) async fn ask(&self, model: &str) -> Answer {
        let body = json!({ "model": model }).to_string();
        self.send(Method::POST, "/v1/chat/completions", body).await
    }

    /// Asks `chat` with headers.
    pub(crate) async fn chat_with(&self, headers: &[(&str, &str)]) -> Answer {
        let body = json!({ "model": "chat" }).to_string();
        let path = "/v1/chat/completions";
        read(
            self.client
                .begin_with(Method::POST, path, body, headers)
                .await,
        )
        .await
    }

    pub(crate) async fn begin_chat(&self) -> Response<Incoming> {
        let body = json!({ "model": "chat", "stream": true }).to_string();
        self.begin(Method::POST, "/v1/chat/completions", body).await
    }

    pub(crate) async fn idle(&self, endpoint: &Endpoint) {
        until("an idle endpoint", || {
            self.gateway.in_flight(&endpoint.id) == 0
        })
        .await;
    }

    /// Waits until /metrics has this very line.
    pub(crate) async fn metric(&self, line: &str) {
        let polled = async { while !self.has_metric(line).await {} };
        soon(line, polled).await;
    }

    /// Whether /metrics has this very line.
    pub(crate) async fn has_metric(&self, line: &str) -> bool {
        let metrics = self.get("/metrics").await;
        metrics.text().lines().any(|got| got == line)
    }
}

pub(crate) async fn read(response: Response<Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = soon("an answer's end", body.collect()).await.unwrap();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: body.to_bytes(),
    }
}

/// The next piece of a streamed body.
pub(crate) async fn piece(body: &mut Incoming) -> Option<String> {
    let frame = soon("a frame", body.frame()).await?;
    let data = frame.unwrap().into_data().unwrap();
    Some(String::from_utf8(data.to_vec()).unwrap())
}

pub(crate) fn chat(endpoints: &[Endpoint]) -> RouteTable {
    table(&[("chat", &[("r1", 100, endpoints)])])
}

/// (revision, weight, endpoints)
pub(crate) type Revision<'a> = (&'a str, u32, &'a [Endpoint]);

pub(crate) fn table(models: &[(&str, &[Revision<'_>])]) -> RouteTable {
    let route = |name: &str, revisions: &[Revision<'_>]| ModelRoute {
        key: format!("default/{name}"),
        served_name: name.to_owned(),
        created: 1_700_000_000,
        revisions: revisions
            .iter()
            .map(|&(revision, weight, endpoints)| RevisionRoute {
                revision: revision.into(),
                weight,
                endpoints: endpoints.to_vec(),
            })
            .collect(),
        ..ModelRoute::default()
    };
    let models = models.iter();
    RouteTable {
        models: models
            .map(|(name, revisions)| ((*name).to_owned(), route(name, revisions)))
            .collect::<BTreeMap<_, _>>(),
    }
}
