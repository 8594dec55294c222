//! A model hub of our own with a few repositories, whose answers can be spoilt.

mod http;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Files by their path below the repository's root.
pub type Files = BTreeMap<String, Vec<u8>>;

/// What goes wrong with the answers for a file, until [`Hub::mend`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The last byte is another.
    Corrupt,
    /// The answer pauses before this byte of the file until it is mended.
    Hold(usize),
    /// The connection ends before this byte of the file. Happens once.
    Cut(usize),
}

/// A request that reached the hub.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// The path asked for, without the query.
    pub path: String,
    /// The first byte of the range asked for; 0 without one.
    pub first_byte: usize,
}

#[derive(Debug)]
struct HubFile {
    bytes: Arc<Vec<u8>>,
    /// The file as a listing shows it.
    entry: Value,
}

#[derive(Debug, Default)]
struct Repository {
    main: String,
    commits: BTreeMap<String, BTreeMap<String, HubFile>>,
    /// Whoever asks must bear it.
    token: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    repositories: BTreeMap<String, Repository>,
    /// By repository and path.
    faults: BTreeMap<(String, String), Fault>,
    requests: Vec<Request>,
    closed: bool,
}

/// What the connections share.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// A file of a commit of a repository, as a path asks for it.
#[derive(Clone, Copy, Debug)]
struct Asked<'a> {
    repository: &'a str,
    commit: &'a str,
    path: &'a str,
}

/// A running hub; it ends when dropped.
#[derive(Debug)]
pub struct Hub {
    address: SocketAddr,
    /// The one that is meant where none is named.
    repository: String,
    shared: Arc<Shared>,
}

impl Hub {
    /// A hub with `repository`, such as `org/name`, on a free port of loopback. It has no commit
    /// before the first [`Hub::push`].
    ///
    /// # Errors
    /// When there is no port.
    pub fn start(repository: &str) -> Result<Self> {
        Self::start_at("127.0.0.1:0", repository)
    }

    /// The same at an address of the caller's choice.
    ///
    /// # Errors
    /// When the address can't be had.
    pub fn start_at(address: &str, repository: &str) -> Result<Self> {
        let listener = TcpListener::bind(address)
            .with_context(|| format!("a hub can't listen on {address}"))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.lock().closed {
                    return;
                }
                let shared = Arc::clone(&serving);
                if let Ok(stream) = stream {
                    // A client that hangs up is no matter of the hub's.
                    thread::spawn(move || http::answer(&stream, &shared));
                }
            }
        });
        let repository = repository.to_owned();
        Ok(Self {
            address,
            repository,
            shared,
        })
    }

    /// Its address, as `HF_ENDPOINT` takes it.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Moves `main` to a new commit, 40 hex digits, of these files. Weights are listed as
    /// large-file storage lists them, by SHA-256; all others by their Git blob.
    pub fn push(&self, commit: &str, files: Files) {
        self.push_to(&self.repository, commit, files);
    }

    /// The same for another repository, which comes to be by it.
    pub fn push_to(&self, repository: &str, commit: &str, files: Files) {
        let files = files.into_iter().map(|(path, bytes)| {
            let entry = entry(&path, &bytes);
            let bytes = Arc::new(bytes);
            (path, HubFile { bytes, entry })
        });
        let files = files.collect();
        let mut state = self.shared.lock();
        let repository = state.repositories.entry(repository.to_owned());
        let repository = repository.or_default();
        repository.commits.insert(commit.to_owned(), files);
        commit.clone_into(&mut repository.main);
    }

    /// Answers for a repository only to those who bear this token.
    pub fn gate(&self, repository: &str, token: &str) {
        let mut state = self.shared.lock();
        let repository = state.repositories.entry(repository.to_owned());
        repository.or_default().token = Some(token.to_owned());
    }

    /// Spoils the answers for the file at `path`.
    pub fn spoil(&self, path: &str, fault: Fault) {
        self.spoil_in(&self.repository, path, fault);
    }

    /// The same in another repository.
    pub fn spoil_in(&self, repository: &str, path: &str, fault: Fault) {
        let place = (repository.to_owned(), path.to_owned());
        self.shared.lock().faults.insert(place, fault);
    }

    /// Ends what was wrong with the file at `path`.
    pub fn mend(&self, path: &str) {
        let place = (self.repository.clone(), path.to_owned());
        self.shared.lock().faults.remove(&place);
        self.shared.changed.notify_all();
    }

    /// Every request so far, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }

    /// The requests so far for the file at `path`, of whatever commit.
    #[must_use]
    pub fn requests_for(&self, path: &str) -> Vec<Request> {
        let end = format!("/{path}");
        let mut requests = self.requests();
        requests.retain(|request| request.path.ends_with(&end));
        requests
    }

    /// The commits that files were asked of.
    #[must_use]
    pub fn commits_asked(&self) -> BTreeSet<String> {
        let requests = self.requests();
        let files = requests.iter().filter_map(|it| Asked::parse(&it.path));
        files.map(|asked| asked.commit.to_owned()).collect()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
        // The listener looks whether it is closed once somebody comes.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a repository is there for one who bears `token`.
    fn admits(&self, repository: &str, token: Option<&str>) -> bool {
        let state = self.lock();
        let wanted = state.repositories.get(repository);
        wanted.is_none_or(|it| it.token.is_none() || it.token.as_deref() == token)
    }

    /// The listing of a commit or of `main`.
    fn listing(&self, repository: &str, revision: &str) -> Option<Value> {
        let state = self.lock();
        let repository = state.repositories.get(repository)?;
        let commit = match revision {
            "main" => &repository.main,
            other => other,
        };
        let files = repository.commits.get(commit)?.values();
        let siblings: Vec<_> = files.map(|file| &file.entry).collect();
        Some(json!({"sha": commit, "siblings": siblings}))
    }

    /// A file's content, and what shall go wrong with it.
    fn file(&self, asked: Asked<'_>) -> Option<(Arc<Vec<u8>>, Option<Fault>)> {
        let mut state = self.lock();
        let commits = &state.repositories.get(asked.repository)?.commits;
        let bytes = Arc::clone(&commits.get(asked.commit)?.get(asked.path)?.bytes);
        let place = (asked.repository.to_owned(), asked.path.to_owned());
        let fault = state.faults.get(&place).copied();
        if matches!(fault, Some(Fault::Cut(_))) {
            state.faults.remove(&place);
        }
        Some((bytes, fault))
    }

    fn wait_mended(&self, asked: Asked<'_>) {
        let place = (asked.repository.to_owned(), asked.path.to_owned());
        let held = |state: &mut State| {
            !state.closed && matches!(state.faults.get(&place), Some(Fault::Hold(_)))
        };
        let waited = self.changed.wait_while(self.lock(), held);
        drop(waited);
    }
}

impl<'a> Asked<'a> {
    fn parse(path: &'a str) -> Option<Self> {
        let (repository, rest) = path.strip_prefix('/')?.split_once("/resolve/")?;
        let (commit, path) = rest.split_once('/')?;
        Some(Self {
            repository,
            commit,
            path,
        })
    }
}

fn entry(path: &str, bytes: &[u8]) -> Value {
    let mut entry = json!({"rfilename": path, "size": bytes.len(), "blobId": git_blob(bytes)});
    if [".safetensors", ".gguf"]
        .iter()
        .any(|end| path.ends_with(end))
    {
        entry["lfs"] = json!({"sha256": sha256(bytes), "size": bytes.len()});
    }
    entry
}

/// SHA-256 in lower-case hex.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

fn git_blob(bytes: &[u8]) -> String {
    let mut sha1 = Sha1::new();
    sha1.update(format!("blob {}\0", bytes.len()));
    sha1.update(bytes);
    format!("{:x}", sha1.finalize())
}

/// The files below `folder`, to be pushed.
///
/// # Errors
/// When one can't be read.
pub fn files_below(folder: &Path) -> Result<Files> {
    let mut files = Files::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for found in fs::read_dir(&next).with_context(|| next.display().to_string())? {
            let path = found?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
            let relative = path.strip_prefix(folder)?.display().to_string();
            files.insert(relative, bytes);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests;
