//! Models on this machine.

use std::path::Path;
use std::process::Command;

use chandler_crds::ModelLock;
use chandler_source::{Access, Cache, Hub, ModelDir, Source, SourceError};
use tempfile::TempDir;

use crate::Told;
use crate::support::sha256;

fn model() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, bytes: &[u8]| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    write("model.safetensors", &vec![7; 3 << 20]);
    write("config.json", b"{}");
    write("1_Pooling/config.json", b"{\"a\": 1}");
    write("1_Pooling.txt", b"sorts between the folder and its file");
    write("with space.txt", b"x");
    write(".git/HEAD", b"hidden");
    write("1_Pooling/.hidden", b"hidden");
    folder
}

fn url(path: &Path) -> String {
    url::Url::from_file_path(path).unwrap().into()
}

fn unused() -> (Access, Cache) {
    let access = Access::from(Hub {
        endpoint: "http://127.0.0.1:9".into(),
        token: None,
    });
    (access, Cache::new("/nonexistent/cache".into()))
}

async fn resolve(path: &Path, revision: Option<&str>) -> Result<ModelLock, SourceError> {
    let (access, cache) = unused();
    let source = Source::parse(&url(path)).unwrap();
    chandler_source::resolve(&source, revision, &access, &cache).await
}

async fn fetch(lock: &ModelLock, told: &Told) -> Result<ModelDir, SourceError> {
    let (access, cache) = unused();
    let source = Source::parse(&lock.source).unwrap();
    let hear = |progress| told.hear(progress);
    chandler_source::fetch(lock, &source, &access, &cache, &hear).await
}

#[tokio::test]
async fn a_folder_is_locked_and_used_in_place() {
    let folder = model();
    let lock = resolve(folder.path(), Some("main")).await.unwrap();
    let paths: Vec<&str> = lock.files.iter().map(|file| file.path.as_str()).collect();
    let wanted = [
        "1_Pooling.txt",
        "1_Pooling/config.json",
        "config.json",
        "model.safetensors",
        "with space.txt",
    ];
    assert_eq!((paths, &lock.commit), (wanted.to_vec(), &None));
    let told = Told::default();
    let model = fetch(&lock, &told).await.unwrap();
    assert_eq!(model.root, folder.path());
    for (file, path) in lock.files.iter().zip(&model.files) {
        let found = std::fs::read(path).unwrap();
        assert_eq!(
            (sha256(&found), path),
            (file.sha256.clone(), &folder.path().join(&file.path))
        );
    }
    let end = *told.all().last().unwrap();
    assert_eq!(
        (end.bytes_done, end.bytes_total),
        (lock.total_size(), lock.total_size())
    );
}

#[tokio::test]
async fn a_file_is_locked_and_used_in_place() {
    let folder = model();
    let path = folder.path().join("model.safetensors");
    let pin = format!("sha256:{}", sha256(&std::fs::read(&path).unwrap()));
    let lock = resolve(&path, Some(&pin)).await.unwrap();
    assert_eq!(lock.files.len(), 1);
    let model = fetch(&lock, &Told::default()).await.unwrap();
    assert_eq!(
        (model.root.as_path(), model.files),
        (folder.path(), vec![path])
    );
}

#[tokio::test]
async fn a_folder_is_pinned_by_what_the_documented_command_prints() {
    let folder = model();
    let command = "find -L * -type f -not -path '*/.*' | LC_ALL=C sort \
                   | xargs -d '\\n' sha256sum | sha256sum";
    let output = Command::new("sh")
        .args(["-c", command])
        .current_dir(folder.path())
        .output();
    let printed = String::from_utf8(output.unwrap().stdout).unwrap();
    let pin = format!("sha256:{}", &printed[..64]);
    resolve(folder.path(), Some(&pin)).await.unwrap();
    std::fs::write(folder.path().join("config.json"), "{ }").unwrap();
    let error = resolve(folder.path(), Some(&pin)).await.unwrap_err();
    assert_eq!(error.reason(), "HashMismatch");
    assert!(error.to_string().contains(&pin[7..]), "{error}");
}

#[tokio::test]
async fn a_wrong_pin_is_told_with_the_right_one() {
    let folder = model();
    let path = folder.path().join("model.safetensors");
    let wrong = "0".repeat(64);
    let error = resolve(&path, Some(&format!("sha256:{wrong}")))
        .await
        .unwrap_err();
    assert_eq!(
        (error.reason(), error.is_transient()),
        ("HashMismatch", false)
    );
    let right = sha256(&std::fs::read(&path).unwrap());
    let message = error.to_string();
    assert!(
        message.contains(&wrong) && message.contains(&right),
        "{message}"
    );
}

#[tokio::test]
async fn other_revisions_are_refused_with_advice() {
    let folder = model();
    for revision in ["v1", "sha256:", "sha256:abc", "SHA256:00", "Main"] {
        let error = resolve(folder.path(), Some(revision)).await.unwrap_err();
        assert_eq!(error.reason(), "InvalidRevision");
        assert!(error.to_string().contains("`sha256:`"), "{error}");
    }
    let plain = resolve(folder.path(), None).await.unwrap();
    assert_eq!(plain, resolve(folder.path(), Some("")).await.unwrap());
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.gguf");
    let error = resolve(&missing, None).await.unwrap_err();
    assert_eq!(error.reason(), "NotFound");
    assert!(error.to_string().contains("missing.gguf"), "{error}");
    let error = resolve(folder.path(), None).await.unwrap_err();
    assert_eq!(error.reason(), "NotFound");
    assert!(error.to_string().contains("empty folder"), "{error}");
    let error = resolve(Path::new("/dev/null"), None).await.unwrap_err();
    assert!(
        error.to_string().contains("neither a file nor a folder"),
        "{error}"
    );
}

#[tokio::test]
async fn links_are_followed_but_not_in_circles() {
    let folder = model();
    let linked = tempfile::tempdir().unwrap();
    let link = |to: &Path, name: &str| {
        std::os::unix::fs::symlink(to, linked.path().join(name)).unwrap();
    };
    link(
        &folder.path().join("model.safetensors"),
        "model.safetensors",
    );
    let lock = resolve(linked.path(), None).await.unwrap();
    assert_eq!(lock.files[0].size, 3 << 20);
    link(Path::new("/nonexistent"), "lost.json");
    let error = resolve(linked.path(), None).await.unwrap_err();
    assert!(error.to_string().contains("lost.json"), "{error}");
    std::fs::remove_file(linked.path().join("lost.json")).unwrap();
    link(linked.path(), "circle");
    let error = resolve(linked.path(), None).await.unwrap_err();
    assert!(error.to_string().contains("folders deep"), "{error}");
}

#[tokio::test]
async fn what_changed_since_it_was_locked_is_refused() {
    let folder = model();
    let lock = resolve(folder.path(), None).await.unwrap();
    let path = folder.path().join("model.safetensors");
    let reason = async || fetch(&lock, &Told::default()).await.unwrap_err().reason();
    std::fs::write(&path, vec![8; 3 << 20]).unwrap();
    assert_eq!(reason().await, "HashMismatch");
    std::fs::write(&path, vec![7; 1 << 20]).unwrap();
    assert_eq!(reason().await, "SizeMismatch");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(reason().await, "NotFound");
    std::fs::write(&path, vec![7; 3 << 20]).unwrap();
    std::fs::write(folder.path().join("added.json"), "{}").unwrap();
    fetch(&lock, &Told::default()).await.unwrap();
}
