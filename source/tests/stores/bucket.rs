//! `s3://`, against a service that checks signatures.

use chandler_e2e::stores::Store;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Key;
use object_store::{ObjectStoreExt as _, PutPayload};
use tempfile::TempDir;

use crate::proxy::Proxy;
use crate::setup::{
    MIB, SIZE, Setup, WANTED, WEIGHTS, assert_error, assert_whole, paths, sha256, weights,
    write_model,
};

const KEY: (&str, &str) = ("AKIATEST", "very-hidden-secret");
const SOURCE: &str = "s3://models/tiny";

struct Service {
    setup: Setup,
    proxy: Proxy,
    store: Store,
    _folder: TempDir,
}

impl Service {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_model(&folder.path().join("tiny"), 1);
        write_model(&folder.path().join("tiny-other"), 2);
        let store = Store::s3(&[("models", folder.path())], Some(KEY)).unwrap();
        let proxy = Proxy::start(store.address()).await;
        let mut setup = Setup::new();
        setup.set("AWS_ENDPOINT_URL", &format!("http://{}", proxy.address));
        setup.set("AWS_ALLOW_HTTP", "true");
        setup.credential("AWS_ACCESS_KEY_ID", KEY.0);
        setup.credential("AWS_SECRET_ACCESS_KEY", KEY.1);
        Self {
            setup,
            proxy,
            store,
            _folder: folder,
        }
    }

    /// A client that does not go through the proxy.
    fn client(&self) -> AmazonS3 {
        AmazonS3Builder::new()
            .with_bucket_name("models")
            .with_region("us-east-1")
            .with_endpoint(format!("http://{}", self.store.address()))
            .with_allow_http(true)
            .with_access_key_id(KEY.0)
            .with_secret_access_key(KEY.1)
            .build()
            .unwrap()
    }

    async fn replace_weights(&self, bytes: Vec<u8>) {
        let key = Key::from(format!("tiny/{WEIGHTS}"));
        let put = self.client().put(&key, PutPayload::from(bytes)).await;
        put.unwrap();
    }
}

pub(crate) async fn a_model_is_locked_and_fetched() {
    let service = Service::start().await;
    let setup = &service.setup;
    let lock = setup.resolve(SOURCE).await.unwrap();
    assert_eq!((paths(&lock), &lock.commit), (WANTED.to_vec(), &None));
    assert_eq!(lock.files[2].sha256, sha256(&weights(1)));
    // Resolving has brought the files, so neither fetching nor resolving again reads them.
    let passed = service.proxy.passed();
    let model = setup.fetch(&lock).await.unwrap();
    assert_whole(&lock, &model);
    assert_eq!(service.proxy.passed(), passed);
    assert_eq!(setup.resolve(SOURCE).await.unwrap(), lock);
    assert!(service.proxy.passed() < passed + MIB);
    setup.forget();
    assert_whole(&lock, &setup.fetch(&lock).await.unwrap());
    let file = format!("{SOURCE}/{WEIGHTS}");
    let one = setup.resolve(&file).await.unwrap();
    assert_eq!(one.files, lock.files);
    assert_whole(&one, &setup.fetch(&one).await.unwrap());
}

pub(crate) async fn wrong_credentials_are_told_without_them() {
    let service = Service::start().await;
    let setup = &service.setup;
    let lock = setup.resolve(SOURCE).await.unwrap();
    setup.forget();
    let wrong = "another-hidden-secret";
    setup.credential("AWS_SECRET_ACCESS_KEY", wrong);
    for error in [
        setup.resolve(SOURCE).await.unwrap_err(),
        setup.fetch(&lock).await.unwrap_err(),
    ] {
        assert_error(&error, "Unauthorized", false, "AWS_SECRET_ACCESS_KEY");
        let message = error.to_string();
        assert!(
            !message.contains(wrong) && !message.contains(KEY.0),
            "{message}"
        );
    }
    // Without keys it is asked as a public bucket is.
    setup.credential("AWS_SECRET_ACCESS_KEY", "");
    setup.credential("AWS_ACCESS_KEY_ID", "");
    let error = setup.resolve(SOURCE).await.unwrap_err();
    assert_error(&error, "Unauthorized", false, "AWS_ACCESS_KEY_ID");
    setup.credential("AWS_ACCESS_KEY_ID", KEY.0);
    let error = setup.resolve(SOURCE).await.unwrap_err();
    assert_error(&error, "InvalidSetting", false, "AWS_SECRET_ACCESS_KEY");
}

pub(crate) async fn what_is_not_there_is_named() {
    let mut service = Service::start().await;
    let setup = &service.setup;
    let error = setup.resolve("s3://nobody/tiny").await.unwrap_err();
    assert_error(&error, "NotFound", false, "NoSuchBucket");
    let error = setup.resolve("s3://models/tin").await.unwrap_err();
    assert_error(&error, "NotFound", false, "s3://models/tin");
    let error = setup.resolve("s3://models/tiny/x.gguf").await.unwrap_err();
    assert_error(&error, "FileNotFound", false, WEIGHTS);
    let mut lock = setup.resolve(SOURCE).await.unwrap();
    lock.files[0].path = "gone.json".into();
    lock.files[0].sha256 = "0".repeat(64);
    let error = setup.fetch(&lock).await.unwrap_err();
    assert_error(&error, "NotFound", false, "s3://models/tiny/gone.json");
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", dead.local_addr().unwrap());
    drop(dead);
    service.setup.set("AWS_ENDPOINT_URL", &endpoint);
    let error = service.setup.resolve(SOURCE).await.unwrap_err();
    assert_error(&error, "Unreachable", true, "refused");
}

pub(crate) async fn a_pin_holds() {
    let service = Service::start().await;
    let setup = &service.setup;
    let lock = setup.resolve(SOURCE).await.unwrap();
    let lines = lock.files.iter();
    let listing: String = lines
        .map(|f| format!("{}  {}\n", f.sha256, f.path))
        .collect();
    let pin = format!("sha256:{}", sha256(listing.as_bytes()));
    assert_eq!(setup.resolve_at(SOURCE, Some(&pin)).await.unwrap(), lock);
    service.replace_weights(weights(3)).await;
    let error = setup.resolve_at(SOURCE, Some(&pin)).await.unwrap_err();
    assert_error(&error, "HashMismatch", false, &pin[7..]);
}

pub(crate) async fn an_interrupted_download_is_resumed() {
    let service = Service::start().await;
    let (setup, proxy) = (&service.setup, &service.proxy);
    proxy.cut_after(3 * MIB);
    let lock = setup.resolve(SOURCE).await.unwrap();
    assert_eq!(lock.files[2].sha256, sha256(&weights(1)));
    assert!(proxy.passed() < SIZE + MIB, "{}", proxy.passed());
    setup.forget();
    let before = proxy.passed();
    proxy.cut_after(3 * MIB);
    assert_whole(&lock, &setup.fetch(&lock).await.unwrap());
    let passed = proxy.passed() - before;
    assert!(passed < SIZE + MIB, "{passed}");
}

pub(crate) async fn an_object_replaced_since_it_was_locked_is_refused() {
    let service = Service::start().await;
    let setup = &service.setup;
    let lock = setup.resolve(SOURCE).await.unwrap();
    service.replace_weights(weights(3)).await;
    // Where it is cached, what was locked is served.
    assert_whole(&lock, &setup.fetch(&lock).await.unwrap());
    setup.forget();
    let error = setup.fetch(&lock).await.unwrap_err();
    assert_error(&error, "HashMismatch", false, &sha256(&weights(3)));
    service.replace_weights(vec![0; 100]).await;
    let error = setup.fetch(&lock).await.unwrap_err();
    assert_error(&error, "SizeMismatch", false, "100 bytes");
}

pub(crate) async fn an_object_replaced_while_it_is_read_is_no_mixture() {
    let service = Service::start().await;
    let (setup, proxy) = (&service.setup, &service.proxy);
    proxy.cut_and_hold_after(3 * MIB);
    let replace = async {
        proxy.until_cut().await;
        service.replace_weights(weights(3)).await;
        proxy.let_pass();
    };
    let (resolved, ()) = tokio::join!(setup.resolve(SOURCE), replace);
    assert_error(&resolved.unwrap_err(), "Changed", true, WEIGHTS);
    let lock = setup.resolve(SOURCE).await.unwrap();
    assert_eq!(lock.files[2].sha256, sha256(&weights(3)));
}

pub(crate) async fn an_endpoint_without_tls_must_be_allowed() {
    let mut service = Service::start().await;
    service.setup.set("AWS_ALLOW_HTTP", "false");
    let error = service.setup.resolve(SOURCE).await.unwrap_err();
    assert_error(&error, "InvalidSetting", false, "AWS_ALLOW_HTTP=true");
    assert_eq!(service.proxy.passed(), 0);
}
