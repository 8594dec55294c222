//! `oci://`, against a registry.

use std::path::PathBuf;

use chandler_e2e::stores::Store;
use tempfile::TempDir;

use crate::proxy::Proxy;
use crate::setup::{
    MIB, SIZE, Setup, WANTED, WEIGHTS, assert_error, assert_whole, paths, sha256, weights,
    write_model,
};

const USER: (&str, &str) = ("reader", "very-hidden-password");

struct Service {
    setup: Setup,
    proxy: Proxy,
    store: Store,
    folder: TempDir,
}

impl Service {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        write_model(&one, 1);
        write_model(&two, 2);
        let blobs = folder.path().join("blobs");
        std::fs::create_dir(&blobs).unwrap();
        let seeds = [("acme/tiny:v1", one.as_path()), ("acme/tiny:v2", &two)];
        let store = Store::oci(&seeds, Some(USER), &blobs).unwrap();
        let proxy = Proxy::start(store.address()).await;
        let mut setup = Setup::new();
        let plain = format!("other.example:80, {}", proxy.address);
        setup.set("CHANDLER_OCI_PLAIN_HTTP", &plain);
        setup.credential("username", USER.0);
        setup.credential("password", USER.1);
        Self {
            setup,
            proxy,
            store,
            folder,
        }
    }

    fn source(&self) -> String {
        format!("oci://{}/acme/tiny:v1", self.proxy.address)
    }

    /// The file of the blob with the weights of `v1`.
    fn blob(&self) -> PathBuf {
        let name = sha256(&weights(1));
        self.folder.path().join("blobs/sha256").join(name)
    }

    /// Points the tag `v1` to what `v2` is.
    async fn move_tag(&self) {
        let client = reqwest::Client::new();
        let url = |tag| {
            format!(
                "http://{}/v2/acme/tiny/manifests/{tag}",
                self.store.address()
            )
        };
        let login = |request: reqwest::RequestBuilder| request.basic_auth(USER.0, Some(USER.1));
        let manifest = login(client.get(url("v2"))).send().await.unwrap();
        let bytes = manifest.error_for_status().unwrap().bytes().await.unwrap();
        let put = client.put(url("v1")).body(bytes);
        let put = put.header("content-type", "application/vnd.oci.image.manifest.v1+json");
        login(put).send().await.unwrap().error_for_status().unwrap();
    }
}

pub(crate) async fn an_artifact_is_locked_and_fetched() {
    let service = Service::start().await;
    let setup = &service.setup;
    let lock = setup.resolve(&service.source()).await.unwrap();
    assert_eq!(paths(&lock), WANTED);
    assert_eq!(lock.files[2].sha256, sha256(&weights(1)));
    let commit = lock.commit.clone().unwrap();
    assert_eq!((&commit[..7], commit.len()), ("sha256:", 71));
    // The manifest holds the digests: nothing else was read.
    assert!(service.proxy.passed() < MIB);
    assert_whole(&lock, &setup.fetch(&lock).await.unwrap());
    let passed = service.proxy.passed();
    assert_whole(&lock, &setup.fetch(&lock).await.unwrap());
    assert_eq!(service.proxy.passed(), passed);
    let by_digest = format!("oci://{}/acme/tiny@{commit}", service.proxy.address);
    let again = setup.resolve(&by_digest).await.unwrap();
    assert_eq!((again.files, again.commit), (lock.files, Some(commit)));
    let tag = format!("oci://{}/acme/tiny", service.proxy.address);
    let other = setup.resolve_at(&tag, Some("v2")).await.unwrap();
    assert_eq!(other.files[2].sha256, sha256(&weights(2)));
}

pub(crate) async fn wrong_credentials_are_told_without_them() {
    let service = Service::start().await;
    let setup = &service.setup;
    let lock = setup.resolve(&service.source()).await.unwrap();
    for password in ["another-hidden-password", ""] {
        setup.credential("password", password);
        if password.is_empty() {
            setup.credential("username", "");
        }
        for error in [
            setup.resolve(&service.source()).await.unwrap_err(),
            setup.fetch(&lock).await.unwrap_err(),
        ] {
            assert_error(&error, "Unauthorized", false, "`username` and `password`");
            assert!(!error.to_string().contains("hidden"), "{error}");
        }
    }
    let login = format!(
        r#"{{"auths": {{"{}": {{"username": "{}", "password": "{}"}}}}}}"#,
        service.proxy.address, USER.0, USER.1
    );
    setup.credential(".dockerconfigjson", &login);
    assert_eq!(setup.resolve(&service.source()).await.unwrap(), lock);
    setup.credential(".dockerconfigjson", "very-hidden");
    let error = setup.resolve(&service.source()).await.unwrap_err();
    assert_error(&error, "InvalidSetting", false, "docker login");
    assert!(!error.to_string().contains("hidden"), "{error}");
}

pub(crate) async fn what_is_not_there_is_named() {
    let service = Service::start().await;
    let (setup, address) = (&service.setup, &service.proxy.address);
    for name in ["acme/tiny:v9", "acme/none:v1"] {
        let error = setup.resolve(&format!("oci://{address}/{name}")).await;
        assert_error(&error.unwrap_err(), "NotFound", false, name);
    }
    let lock = setup.resolve(&service.source()).await.unwrap();
    std::fs::remove_file(service.blob()).unwrap();
    let error = setup.fetch(&lock).await.unwrap_err();
    assert_error(&error, "NotFound", false, WEIGHTS);
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let source = format!("oci://{}/acme/tiny:v1", dead.local_addr().unwrap());
    drop(dead);
    let error = setup.resolve(&source).await.unwrap_err();
    assert_error(&error, "Unreachable", true, "refused");
}

pub(crate) async fn a_lock_outlives_the_move_of_its_tag() {
    let service = Service::start().await;
    let (setup, source) = (&service.setup, service.source());
    let lock = setup.resolve(&source).await.unwrap();
    service.move_tag().await;
    assert_whole(&lock, &setup.fetch(&lock).await.unwrap());
    let moved = setup.resolve(&source).await.unwrap();
    assert_ne!(moved.commit, lock.commit);
    assert_eq!(moved.files[2].sha256, sha256(&weights(2)));
    let pinned = setup.resolve_at(&source, lock.commit.as_deref()).await;
    assert_eq!(pinned.unwrap(), lock);
}

pub(crate) async fn an_interrupted_download_is_resumed() {
    let service = Service::start().await;
    let (setup, proxy) = (&service.setup, &service.proxy);
    let lock = setup.resolve(&service.source()).await.unwrap();
    proxy.cut_after(3 * MIB);
    assert_whole(&lock, &setup.fetch(&lock).await.unwrap());
    assert!(proxy.passed() < SIZE + MIB, "{}", proxy.passed());
}

pub(crate) async fn other_bytes_than_were_locked_are_refused() {
    let service = Service::start().await;
    let setup = &service.setup;
    let lock = setup.resolve(&service.source()).await.unwrap();
    let mut other = weights(1);
    other[0] ^= 1;
    std::fs::write(service.blob(), &other).unwrap();
    let error = setup.fetch(&lock).await.unwrap_err();
    assert_error(&error, "HashMismatch", false, &sha256(&other));
}
