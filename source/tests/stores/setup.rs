//! A model as a folder, and what is asked of the crate under test.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use chandler_crds::ModelLock;
use chandler_source::{Access, Cache, ModelDir, Source, SourceError, fetch, resolve};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

pub(crate) const WEIGHTS: &str = "model.safetensors";
pub(crate) const MIB: u64 = 1 << 20;
/// Bytes of the weights.
pub(crate) const SIZE: u64 = 5 * MIB;
/// The files that make up the model, in a lock's order.
pub(crate) const WANTED: &[&str] = &[
    "1_Pooling/config.json",
    "config.json",
    WEIGHTS,
    "tokenizer.json",
];

/// Writes a small model into `folder`, with weights that follow from `seed`.
pub(crate) fn write_model(folder: &Path, seed: u8) {
    let write = |path: &str, bytes: &[u8]| {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    write("1_Pooling/config.json", b"{\"mean\": true}");
    write("README.md", b"# tiny");
    write("config.json", b"{}");
    write("tokenizer.json", &[b' '; 20_000]);
    write(WEIGHTS, &weights(seed));
}

/// Pseudo-random bytes.
pub(crate) fn weights(seed: u8) -> Vec<u8> {
    let mut state = u64::from(seed);
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    (0..SIZE).map(|_| next()).collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
}

/// An environment and an empty cache.
pub(crate) struct Setup {
    folder: TempDir,
    environment: BTreeMap<String, String>,
}

impl Setup {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("credentials")).unwrap();
        let credentials = folder.path().join("credentials").display().to_string();
        let environment = BTreeMap::from([("CHANDLER_CREDENTIALS".to_owned(), credentials)]);
        Self {
            folder,
            environment,
        }
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    pub(crate) fn credential(&self, key: &str, value: &str) {
        std::fs::write(self.folder.path().join("credentials").join(key), value).unwrap();
    }

    pub(crate) fn cache_folder(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// Another machine: nothing is in its cache.
    pub(crate) fn forget(&self) {
        std::fs::remove_dir_all(self.cache_folder()).unwrap();
    }

    fn access(&self) -> Access {
        Access::from_lookup(|name| self.environment.get(name).cloned())
    }

    fn cache(&self) -> Cache {
        Cache::new(self.cache_folder())
    }

    pub(crate) async fn resolve(&self, source: &str) -> Result<ModelLock, SourceError> {
        self.resolve_at(source, None).await
    }

    pub(crate) async fn resolve_at(
        &self,
        source: &str,
        revision: Option<&str>,
    ) -> Result<ModelLock, SourceError> {
        let source = Source::parse(source).unwrap();
        resolve(&source, revision, &self.access(), &self.cache()).await
    }

    pub(crate) async fn fetch(&self, lock: &ModelLock) -> Result<ModelDir, SourceError> {
        let source = Source::parse(&lock.source).unwrap();
        fetch(lock, &source, &self.access(), &self.cache(), &|_| ()).await
    }
}

pub(crate) fn paths(lock: &ModelLock) -> Vec<&str> {
    lock.files.iter().map(|file| file.path.as_str()).collect()
}

/// Asserts that each file is the one that was locked.
#[track_caller]
pub(crate) fn assert_whole(lock: &ModelLock, model: &ModelDir) {
    for (file, path) in lock.files.iter().zip(&model.files) {
        assert_eq!(path, &model.root.join(&file.path));
        let found = std::fs::read(path).unwrap();
        assert_eq!(
            (found.len() as u64, sha256(&found)),
            (file.size, file.sha256.clone())
        );
    }
}

#[track_caller]
pub(crate) fn assert_error(error: &SourceError, reason: &str, transient: bool, words: &str) {
    let message = error.to_string();
    let told = (error.reason(), error.is_transient());
    assert_eq!(told, (reason, transient), "{message}");
    assert!(message.contains(words), "{message}");
}
