//! Resolving and fetching, against a hub on loopback and against folders.

#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod download;
mod hub;
mod local;

use std::path::Path;
use std::sync::Mutex;

use chandler_crds::ModelLock;
use chandler_source::{Cache, ModelDir, Progress, Source, SourceError, fetch, resolve};
use support::{SOURCE, TestHub, WEIGHTS, sha256};
use tempfile::TempDir;

/// A hub, and an empty cache.
struct Setup {
    hub: TestHub,
    folder: TempDir,
    cache: Cache,
}

impl Setup {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().to_path_buf());
        let hub = TestHub::start().await;
        Self { hub, folder, cache }
    }

    async fn resolve_as(&self, source: &str, revision: &str) -> Result<ModelLock, SourceError> {
        let source = Source::parse(source).unwrap();
        resolve(&source, Some(revision), &self.hub.access(), &self.cache).await
    }

    async fn resolve(&self) -> Result<ModelLock, SourceError> {
        self.resolve_as(SOURCE, "main").await
    }

    async fn fetch(&self, lock: &ModelLock) -> Result<ModelDir, SourceError> {
        self.fetch_with(lock, &|_| ()).await
    }

    async fn fetch_with(
        &self,
        lock: &ModelLock,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<ModelDir, SourceError> {
        let source = Source::parse(&lock.source).unwrap();
        fetch(lock, &source, &self.hub.access(), &self.cache, progress).await
    }

    /// Asserts that the model's weights on disk are the hub's.
    fn assert_whole(&self, model: &ModelDir) {
        let found = std::fs::read(model.root.join(WEIGHTS)).unwrap();
        assert_eq!(sha256(&found), sha256(&self.hub.content(WEIGHTS)));
    }

    /// The weights' place in the cache, or that of their unfinished download.
    fn blob(&self, suffix: &str) -> std::path::PathBuf {
        let name = format!("{}{suffix}", sha256(&self.hub.content(WEIGHTS)));
        self.folder.path().join("blobs/sha256").join(name)
    }
}

fn size(path: &Path) -> u64 {
    path.metadata().map_or(0, |data| data.len())
}

/// Gathers what a fetch tells.
#[derive(Default)]
struct Told(Mutex<Vec<Progress>>);

impl Told {
    fn hear(&self, progress: Progress) {
        self.0.lock().unwrap().push(progress);
    }

    fn all(&self) -> Vec<Progress> {
        self.0.lock().unwrap().clone()
    }
}
