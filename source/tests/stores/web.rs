//! `https://`, against a server whose certificate the system's authorities vouch for.

use crate::setup::{
    MIB, SIZE, Setup, WANTED, WEIGHTS, assert_error, assert_whole, paths, sha256, weights,
};
use crate::web_server::WebServer;

const FILE: &str = "m/tiny.gguf";

async fn start() -> (Setup, WebServer, String) {
    let server = WebServer::start().await;
    server.put(FILE, weights(1));
    let source = server.url(FILE);
    (Setup::new(), server, source)
}

pub(crate) async fn one_file_is_locked_and_fetched() {
    let (setup, server, source) = start().await;
    let lock = setup.resolve(&source).await.unwrap();
    assert_eq!((paths(&lock), &lock.commit), (vec!["tiny.gguf"], &None));
    assert_eq!(lock.files[0].sha256, sha256(&weights(1)));
    let passed = server.proxy.passed();
    assert_whole(&lock, &setup.fetch(&lock).await.unwrap());
    assert_eq!(server.proxy.passed(), passed);
    setup.forget();
    assert_whole(&lock, &setup.fetch(&lock).await.unwrap());
    let pin = format!("sha256:{}", lock.files[0].sha256);
    assert_eq!(setup.resolve_at(&source, Some(&pin)).await.unwrap(), lock);
}

pub(crate) async fn safetensors_come_with_what_lies_beside_them() {
    let (setup, server, _) = start().await;
    server.put("m/config.json", "{}");
    server.put("m/1_Pooling/config.json", "{}");
    server.put("m/README.md", "# tiny");
    server.put(&format!("m/{WEIGHTS}"), weights(1));
    let source = server.url(&format!("m/{WEIGHTS}"));
    let error = setup.resolve(&source).await.unwrap_err();
    assert_error(&error, "NotFound", false, "/m/tokenizer.json");
    server.put("m/tokenizer.json", "{}");
    let lock = setup.resolve(&source).await.unwrap();
    assert_eq!(paths(&lock), WANTED);
    setup.forget();
    assert_whole(&lock, &setup.fetch(&lock).await.unwrap());
}

pub(crate) async fn wrong_credentials_are_told_without_them() {
    let (setup, server, source) = start().await;
    server.demand("Bearer hidden-token");
    let error = setup.resolve(&source).await.unwrap_err();
    assert_error(&error, "Unauthorized", false, "`token`");
    setup.credential("token", "hidden-mistake");
    let error = setup.resolve(&source).await.unwrap_err();
    assert_error(&error, "Unauthorized", false, "`token`");
    assert!(!error.to_string().contains("hidden"), "{error}");
    setup.credential("token", "hidden-token\n");
    let lock = setup.resolve(&source).await.unwrap();
    setup.forget();
    setup.credential("token", "");
    // base64 of `u:p`
    server.demand("Basic dTpw");
    let error = setup.fetch(&lock).await.unwrap_err();
    assert_error(&error, "Unauthorized", false, "`username` and `password`");
    setup.credential("username", "u");
    setup.credential("password", "p");
    assert_whole(&lock, &setup.fetch(&lock).await.unwrap());
}

pub(crate) async fn what_is_not_there_is_named() {
    let (setup, server, _) = start().await;
    let missing = server.url("m/none.gguf");
    let error = setup.resolve(&missing).await.unwrap_err();
    assert_error(&error, "NotFound", false, &missing);
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let source = format!("https://{}/m.gguf", dead.local_addr().unwrap());
    drop(dead);
    let error = setup.resolve(&source).await.unwrap_err();
    assert_error(&error, "Unreachable", true, "refused");
}

pub(crate) async fn an_interrupted_download_is_resumed() {
    let (setup, server, source) = start().await;
    let lock = setup.resolve(&source).await.unwrap();
    setup.forget();
    let before = server.proxy.passed();
    server.proxy.cut_after(3 * MIB);
    assert_whole(&lock, &setup.fetch(&lock).await.unwrap());
    let passed = server.proxy.passed() - before;
    assert!(passed < SIZE + MIB, "{passed}");
}

pub(crate) async fn a_file_without_a_version_is_read_from_the_start() {
    let (setup, server, source) = start().await;
    server.tell_no_versions();
    server.proxy.cut_and_hold_after(3 * MIB);
    let replace = async {
        server.proxy.until_cut().await;
        server.put(FILE, weights(2));
        server.proxy.let_pass();
    };
    let (lock, ()) = tokio::join!(setup.resolve(&source), replace);
    // All that came before the cut was of another version, for all that anybody knows.
    assert_eq!(lock.unwrap().files[0].sha256, sha256(&weights(2)));
}

pub(crate) async fn a_file_replaced_since_it_was_locked_is_refused() {
    let (setup, server, source) = start().await;
    let lock = setup.resolve(&source).await.unwrap();
    server.put(FILE, weights(2));
    assert_whole(&lock, &setup.fetch(&lock).await.unwrap());
    setup.forget();
    let error = setup.fetch(&lock).await.unwrap_err();
    assert_error(&error, "HashMismatch", false, &sha256(&weights(2)));
    server.put(FILE, "short");
    let error = setup.fetch(&lock).await.unwrap_err();
    assert_error(&error, "SizeMismatch", false, "5 bytes");
}

pub(crate) async fn a_file_replaced_while_it_is_read_is_no_mixture() {
    for ignores_conditions in [false, true] {
        let (setup, server, source) = start().await;
        if ignores_conditions {
            server.ignore_conditions();
        }
        let lock = setup.resolve(&source).await.unwrap();
        setup.forget();
        server.proxy.cut_and_hold_after(3 * MIB);
        let replace = async {
            server.proxy.until_cut().await;
            server.put(FILE, weights(2));
            server.proxy.let_pass();
        };
        let (fetched, ()) = tokio::join!(setup.fetch(&lock), replace);
        assert_error(&fetched.unwrap_err(), "Changed", true, FILE);
        let error = setup.fetch(&lock).await.unwrap_err();
        assert_error(&error, "HashMismatch", false, &sha256(&weights(2)));
    }
}

pub(crate) async fn an_unknown_authority_is_not_trusted() {
    let server = WebServer::start_with(false).await;
    server.put(FILE, weights(1));
    let error = Setup::new().resolve(&server.url(FILE)).await.unwrap_err();
    assert_error(&error, "Unreachable", true, "invalid peer certificate");
}
