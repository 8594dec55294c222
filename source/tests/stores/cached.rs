//! A cache that is mounted read-only, as a server's is after its init container has filled it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use chandler_crds::ModelLock;
use chandler_e2e::stores::Store;
use chandler_source::{Access, Cache, Source, SourceError, fetch};

use crate::setup::{Setup, WEIGHTS, sha256, weights, write_model};

pub(crate) const CHILD: &str = "--fetch-from-cache";

/// Mounts the folder `$1` read-only over itself, for itself alone, and runs the rest.
const READ_ONLY: &str =
    "mount --bind \"$1\" \"$1\" && mount -o remount,bind,ro \"$1\" && shift && exec \"$@\"";

/// Fetches with a cache and without any store, and prints the digest of the weights.
pub(crate) async fn child(lock: String, cache: String) {
    let lock: ModelLock = serde_json::from_str(&lock).unwrap();
    let source = Source::parse(&lock.source).unwrap();
    let access = Access::from_lookup(|_| None);
    let cache = Cache::new(cache.into());
    let fetched: Result<_, SourceError> = fetch(&lock, &source, &access, &cache, &|_| ()).await;
    match fetched {
        Ok(model) => println!(
            "{}",
            sha256(&std::fs::read(model.root.join(WEIGHTS)).unwrap())
        ),
        Err(error) => println!("{}: {error}", error.reason()),
    }
}

fn fetch_read_only(lock: &ModelLock, cache: &Path) -> String {
    let output: Output = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-ec", READ_ONLY, "sh"])
        .arg(cache)
        .arg(std::env::current_exe().unwrap())
        .args([CHILD, &serde_json::to_string(lock).unwrap()])
        .arg(cache)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let hint = "a mount of its own needs `unshare`, and user namespaces allowed";
    assert!(output.status.success(), "{hint}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

async fn filled() -> (Setup, ModelLock) {
    let folder = tempfile::tempdir().unwrap();
    write_model(folder.path(), 1);
    let store = Store::s3(&[("models", folder.path())], None).unwrap();
    let mut setup = Setup::new();
    setup.set("AWS_ENDPOINT_URL", &format!("http://{}", store.address()));
    setup.set("AWS_ALLOW_HTTP", "true");
    let lock = setup.resolve("s3://models").await.unwrap();
    setup.fetch(&lock).await.unwrap();
    (setup, lock)
}

pub(crate) async fn a_whole_model_is_read_from_a_read_only_cache() {
    let (setup, lock) = filled().await;
    let cache = setup.cache_folder();
    assert_eq!(fetch_read_only(&lock, &cache).trim(), sha256(&weights(1)));
    let blob = cache.join("blobs/sha256").join(&lock.files[2].sha256);
    let mut damaged = weights(1);
    damaged[9] ^= 1;
    std::fs::write(&blob, damaged).unwrap();
    let told = fetch_read_only(&lock, &cache);
    assert!(
        told.starts_with("HashMismatch: ") && told.contains("cached copy"),
        "{told}"
    );
    std::fs::remove_file(&blob).unwrap();
    let told = fetch_read_only(&lock, &cache);
    assert!(told.starts_with("ReadOnly: "), "{told}");
}

pub(crate) async fn everybody_may_read_the_cache() {
    let (setup, lock) = filled().await;
    for file in &lock.files {
        let blob = setup.cache_folder().join("blobs/sha256").join(&file.sha256);
        let mode = blob.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644, "{}", blob.display());
    }
}
