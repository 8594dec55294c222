//! A model hub on loopback that can be told to misbehave.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use chandler_source::{Access, Hub};
use futures::stream;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

pub(crate) const SOURCE: &str = "hf://acme/tiny";
pub(crate) const WEIGHTS: &str = "model.safetensors";
pub(crate) const FIRST_COMMIT: &str = "1111111111111111111111111111111111111111";
const CHUNK: usize = 64 << 10;

/// What goes wrong with one answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The connection ends after so many bytes of the body.
    Cut(usize),
    /// The body stops after so many bytes until [`TestHub::release`].
    Hold(usize),
    /// One byte of the body is another.
    Corrupt,
    /// The body is one byte longer than the file, of unannounced length.
    TooLong,
    /// The body, and its announced length, is one byte short.
    TooShort,
    /// The status, with `Retry-After` in seconds.
    Status(u16, u32),
}

/// One request for a file.
#[derive(Clone, Debug)]
pub(crate) struct FileRequest {
    pub(crate) path: String,
    pub(crate) range: Option<String>,
    /// Bytes handed to the connection.
    pub(crate) served: Arc<AtomicU64>,
}

#[derive(Clone)]
struct TestFile {
    bytes: Bytes,
    lfs: bool,
}

struct Inner {
    main: String,
    commits: HashMap<String, BTreeMap<String, TestFile>>,
    token: Option<String>,
    faults: HashMap<String, VecDeque<Fault>>,
    requests: Vec<FileRequest>,
    listings: usize,
}

struct Shared {
    inner: Mutex<Inner>,
    ignores_ranges: AtomicBool,
    gate: watch::Sender<bool>,
}

pub(crate) struct TestHub {
    pub(crate) hub: Hub,
    shared: Arc<Shared>,
}

impl TestHub {
    /// A hub with the repository `acme/tiny`: its `main` is [`FIRST_COMMIT`].
    pub(crate) async fn start() -> Self {
        let shared = Arc::new(Shared {
            inner: Mutex::new(Inner {
                main: FIRST_COMMIT.into(),
                commits: HashMap::from([(FIRST_COMMIT.into(), model_files(1))]),
                token: None,
                faults: HashMap::new(),
                requests: Vec::new(),
                listings: 0,
            }),
            ignores_ranges: AtomicBool::new(false),
            gate: watch::Sender::new(false),
        });
        let routes = Router::new()
            .route("/api/models/acme/tiny", get(model))
            .route("/api/models/acme/tiny/revision/{revision}", get(listing))
            .route("/acme/tiny/resolve/{commit}/{*path}", get(file))
            .with_state(Arc::clone(&shared));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let hub = Hub {
            endpoint,
            token: None,
        };
        Self { hub, shared }
    }

    pub(crate) fn access(&self) -> Access {
        Access::from(self.hub.clone())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.shared.inner.lock().unwrap()
    }

    /// Moves `main` to a new commit whose weights are of another `seed`.
    pub(crate) fn move_main(&self, commit: &str, seed: u8) {
        let mut inner = self.inner();
        inner.main = commit.to_owned();
        inner.commits.insert(commit.to_owned(), model_files(seed));
    }

    /// Adds a file to the commit of `main`.
    pub(crate) fn add_file(&self, path: &str, bytes: impl Into<Bytes>, lfs: bool) {
        let mut inner = self.inner();
        let main = inner.main.clone();
        let bytes = bytes.into();
        let files = inner.commits.get_mut(&main).unwrap();
        files.insert(path.to_owned(), TestFile { bytes, lfs });
    }

    pub(crate) fn demand_token(&self, token: &str) {
        self.inner().token = Some(token.to_owned());
    }

    pub(crate) fn ignore_ranges(&self) {
        self.shared.ignores_ranges.store(true, Ordering::SeqCst);
    }

    /// Spoils the next answers for `path`, one each; `""` stands for the listing.
    pub(crate) fn spoil(&self, path: &str, faults: impl IntoIterator<Item = Fault>) {
        let mut inner = self.inner();
        inner
            .faults
            .entry(path.to_owned())
            .or_default()
            .extend(faults);
    }

    /// Lets the answers go on that [`Fault::Hold`] stopped.
    pub(crate) fn release(&self) {
        self.shared.gate.send_replace(true);
    }

    pub(crate) fn listings(&self) -> usize {
        self.inner().listings
    }

    /// The requests for one file so far.
    pub(crate) fn requests(&self, path: &str) -> Vec<FileRequest> {
        let inner = self.inner();
        let mut requests = inner.requests.clone();
        requests.retain(|request| request.path == path);
        requests
    }

    /// How often each file was asked for.
    pub(crate) fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for request in &self.inner().requests {
            *counts.entry(request.path.clone()).or_default() += 1;
        }
        counts
    }

    /// A file's content at the commit of `main`.
    pub(crate) fn content(&self, path: &str) -> Bytes {
        let inner = self.inner();
        inner.commits[&inner.main][path].bytes.clone()
    }
}

/// A small embedding model, its weights of five pseudo-random megabytes.
fn model_files(seed: u8) -> BTreeMap<String, TestFile> {
    let mut state = u64::from(seed);
    let weights: Vec<u8> = (0..5 << 20)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        })
        .collect();
    let file = |path: &str, bytes: Vec<u8>, lfs| {
        let bytes = Bytes::from(bytes);
        (path.to_owned(), TestFile { bytes, lfs })
    };
    BTreeMap::from([
        file(
            "1_Pooling/config.json",
            b"{\"mean\":true}\n".to_vec(),
            false,
        ),
        file("README.md", b"# tiny\n".to_vec(), false),
        file(
            "config.json",
            format!("{{\"seed\":{seed}}}").into_bytes(),
            false,
        ),
        file("onnx/model.onnx", vec![1; 100], true),
        file(WEIGHTS, weights, true),
        file("tokenizer.json", vec![b' '; 20_000], true),
    ])
}

pub(crate) fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes))
}

fn git_blob(bytes: &[u8]) -> String {
    let mut sha1 = Sha1::new();
    sha1.update(format!("blob {}\0", bytes.len()));
    sha1.update(bytes);
    hex(sha1.finalize())
}

fn refusal(inner: &Inner, headers: &HeaderMap) -> Option<Response> {
    let token = inner.token.as_ref()?;
    let given = headers.get(header::AUTHORIZATION);
    let right = given.is_some_and(|given| *given == format!("Bearer {token}"));
    (!right).then(|| StatusCode::UNAUTHORIZED.into_response())
}

fn status(code: u16, retry_after: u32) -> Response {
    let code = StatusCode::from_u16(code).unwrap();
    (code, [(header::RETRY_AFTER, retry_after.to_string())]).into_response()
}

async fn model(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let inner = shared.inner.lock().unwrap();
    refusal(&inner, &headers).unwrap_or_else(|| "{}".into_response())
}

async fn listing(
    State(shared): State<Arc<Shared>>,
    Path(revision): Path<String>,
    headers: HeaderMap,
) -> Response {
    let mut inner = shared.inner.lock().unwrap();
    inner.listings += 1;
    if let Some(refusal) = refusal(&inner, &headers) {
        return refusal;
    }
    let fault = inner.faults.get_mut("").and_then(VecDeque::pop_front);
    if let Some(Fault::Status(code, retry_after)) = fault {
        return status(code, retry_after);
    }
    let commit = match revision.as_str() {
        "main" => inner.main.clone(),
        _ => revision,
    };
    let Some(files) = inner.commits.get(&commit) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let siblings: Vec<serde_json::Value> = files
        .iter()
        .map(|(path, file)| {
            let mut entry = serde_json::json!({
                "rfilename": path,
                "size": file.bytes.len(),
                "blobId": git_blob(&file.bytes),
            });
            if file.lfs {
                let sha256 = sha256(&file.bytes);
                entry["lfs"] = serde_json::json!({"sha256": sha256, "size": file.bytes.len()});
            }
            entry
        })
        .collect();
    axum::Json(serde_json::json!({"sha": commit, "siblings": siblings})).into_response()
}

async fn file(
    State(shared): State<Arc<Shared>>,
    Path((commit, path)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let range = headers.get(header::RANGE);
    let range = range.map(|range| range.to_str().unwrap().to_owned());
    let served = Arc::new(AtomicU64::new(0));
    let (bytes, fault) = {
        let mut inner = shared.inner.lock().unwrap();
        inner.requests.push(FileRequest {
            path: path.clone(),
            range: range.clone(),
            served: Arc::clone(&served),
        });
        if let Some(refusal) = refusal(&inner, &headers) {
            return refusal;
        }
        let fault = inner.faults.get_mut(&path).and_then(VecDeque::pop_front);
        match inner
            .commits
            .get(&commit)
            .and_then(|files| files.get(&path))
        {
            Some(file) => (file.bytes.clone(), fault),
            None => return StatusCode::NOT_FOUND.into_response(),
        }
    };
    if let Some(Fault::Status(code, retry_after)) = fault {
        return status(code, retry_after);
    }
    let range = range.filter(|_| !shared.ignores_ranges.load(Ordering::SeqCst));
    answer(&shared, bytes, range, fault, served)
}

fn answer(
    shared: &Shared,
    mut bytes: Bytes,
    range: Option<String>,
    fault: Option<Fault>,
    served: Arc<AtomicU64>,
) -> Response {
    let mut response = Response::builder();
    if let Some(range) = range {
        let from = range
            .strip_prefix("bytes=")
            .unwrap()
            .strip_suffix('-')
            .unwrap();
        let from: usize = from.parse().unwrap();
        let total = bytes.len();
        let content_range = format!("bytes {from}-{}/{total}", total - 1);
        bytes = bytes.slice(from..);
        response = response
            .status(StatusCode::PARTIAL_CONTENT)
            .header(header::CONTENT_RANGE, content_range);
    }
    match fault {
        Some(Fault::Corrupt) => {
            let mut other = bytes.to_vec();
            other[0] ^= 1;
            bytes = other.into();
        }
        Some(Fault::TooLong) => bytes = [&bytes[..], b"x"].concat().into(),
        Some(Fault::TooShort) => bytes = bytes.slice(1..),
        _ => {}
    }
    if !matches!(fault, Some(Fault::TooLong)) {
        response = response.header(header::CONTENT_LENGTH, bytes.len());
    }
    let body = body(bytes, fault, shared.gate.subscribe(), served);
    response.body(body).unwrap()
}

fn body(
    bytes: Bytes,
    fault: Option<Fault>,
    gate: watch::Receiver<bool>,
    served: Arc<AtomicU64>,
) -> Body {
    let stop = match fault {
        Some(Fault::Cut(at) | Fault::Hold(at)) => at,
        _ => usize::MAX,
    };
    Body::from_stream(stream::unfold((0, gate), move |(at, mut gate)| {
        let bytes = bytes.clone();
        let served = Arc::clone(&served);
        async move {
            if at >= stop {
                if matches!(fault, Some(Fault::Cut(_))) {
                    let error = std::io::Error::other("cut");
                    return Some((Err(error), (at, gate)));
                }
                gate.wait_for(|open| *open).await.unwrap();
            }
            let mut end = bytes.len().min(at + CHUNK);
            if at < stop {
                end = end.min(stop);
            }
            let chunk = bytes.slice(at..end);
            served.fetch_add(chunk.len() as u64, Ordering::SeqCst);
            (!chunk.is_empty()).then_some((Ok(chunk), (end, gate)))
        }
    }))
}
