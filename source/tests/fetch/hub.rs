//! What a hub may answer, and what is made of it.

use chandler_source::{Access, Cache, Hub, Source, SourceError, resolve};

use crate::Setup;
use crate::support::{FIRST_COMMIT, Fault, SOURCE, WEIGHTS};

#[track_caller]
fn assert_error(error: &SourceError, reason: &str, transient: bool, words: &str) {
    let message = error.to_string();
    assert_eq!(
        (error.reason(), error.is_transient()),
        (reason, transient),
        "{message}"
    );
    assert!(message.contains(words), "{message}");
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let setup = Setup::new().await;
    let error = setup
        .resolve_as("hf://acme/none", "main")
        .await
        .unwrap_err();
    assert_error(&error, "NotFound", false, "hf://acme/none");
    let error = setup.resolve_as(SOURCE, "v9").await.unwrap_err();
    assert_error(&error, "RevisionNotFound", false, "`v9`");
    let error = setup
        .resolve_as("hf://acme/tiny/x.gguf", "main")
        .await
        .unwrap_err();
    assert_error(&error, "FileNotFound", false, WEIGHTS);
    let mut lock = setup.resolve().await.unwrap();
    lock.commit = Some("3".repeat(40));
    let error = setup.fetch(&lock).await.unwrap_err();
    assert_error(&error, "NotFound", false, &"3".repeat(40));
}

#[tokio::test]
async fn a_revision_is_asked_for_as_it_is_written() {
    let setup = Setup::new().await;
    let error = setup.resolve_as(SOURCE, "refs/pr/1").await.unwrap_err();
    assert_error(&error, "RevisionNotFound", false, "refs/pr/1");
    let lock = setup.resolve_as(SOURCE, FIRST_COMMIT).await.unwrap();
    assert_eq!(lock, setup.resolve_as(SOURCE, "").await.unwrap());
    let listings = setup.hub.listings();
    for revision in ["../../x", "a b", "a//b", "x\n", ".hidden"] {
        let error = setup.resolve_as(SOURCE, revision).await.unwrap_err();
        assert_error(
            &error,
            "InvalidRevision",
            false,
            "a branch, a tag or a commit",
        );
    }
    assert_eq!(setup.hub.listings(), listings);
}

#[tokio::test]
async fn a_private_model_needs_its_token() {
    let mut setup = Setup::new().await;
    setup.hub.demand_token("right");
    for token in [None, Some("wrong".to_owned())] {
        setup.hub.hub.token = token;
        let listings = setup.hub.listings();
        let error = setup.resolve().await.unwrap_err();
        assert_error(&error, "Unauthorized", false, "HF_TOKEN");
        assert_eq!(setup.hub.listings(), listings + 1);
    }
    setup.hub.hub.token = Some("right".into());
    let lock = setup.resolve().await.unwrap();
    setup.assert_whole(&setup.fetch(&lock).await.unwrap());
}

#[tokio::test]
async fn a_gated_file_is_refused_with_advice() {
    let setup = Setup::new().await;
    setup.hub.spoil(WEIGHTS, [Fault::Status(403, 0)]);
    let lock = setup.resolve().await.unwrap();
    let error = setup.fetch(&lock).await.unwrap_err();
    assert_error(&error, "Unauthorized", false, "HF_TOKEN");
}

#[tokio::test]
async fn a_hub_in_passing_trouble_is_asked_again() {
    let setup = Setup::new().await;
    setup
        .hub
        .spoil("", [Fault::Status(503, 0), Fault::Status(429, 0)]);
    setup.hub.spoil(WEIGHTS, [Fault::Status(500, 0)]);
    let lock = setup.resolve().await.unwrap();
    setup.assert_whole(&setup.fetch(&lock).await.unwrap());
    assert_eq!(
        (setup.hub.listings(), setup.hub.requests(WEIGHTS).len()),
        (3, 2)
    );
}

#[tokio::test]
async fn a_hub_in_lasting_trouble_is_given_up_for_now() {
    let setup = Setup::new().await;
    setup.hub.spoil("", [Fault::Status(429, 3600)]);
    let error = setup.resolve().await.unwrap_err();
    assert_error(&error, "RateLimited", true, "acme/tiny");
    assert_eq!(setup.hub.listings(), 1);
    setup.hub.spoil("", [Fault::Status(502, 0); 20]);
    let error = setup.resolve().await.unwrap_err();
    assert_error(&error, "StoreFailed", true, "502");
    assert_eq!(setup.hub.listings(), 6);
}

#[tokio::test]
async fn a_hub_that_is_not_there_may_be_there_later() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let access = Access::from(Hub {
        endpoint: format!("http://{}", listener.local_addr().unwrap()),
        token: None,
    });
    drop(listener);
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::new(folder.path().to_path_buf());
    let source = Source::parse(SOURCE).unwrap();
    let error = resolve(&source, None, &access, &cache).await.unwrap_err();
    assert_error(&error, "Unreachable", true, "refused");
}

#[tokio::test]
async fn a_listing_that_leads_elsewhere_is_refused() {
    for path in ["../escape.json", "/etc/escape.json", "a\\b.json"] {
        let setup = Setup::new().await;
        setup.hub.add_file(path, "{}", false);
        let error = setup.resolve().await.unwrap_err();
        assert_error(
            &error,
            "UnsafePath",
            false,
            "not a path below a model's folder",
        );
        assert!(setup.hub.counts().is_empty());
    }
    let setup = Setup::new().await;
    setup.hub.move_main("not-a-commit", 1);
    let error = setup.resolve().await.unwrap_err();
    assert_error(&error, "InvalidResponse", false, "not a commit");
}

#[tokio::test]
async fn one_file_of_several_comes_with_what_describes_it() {
    let setup = Setup::new().await;
    setup.hub.add_file("tiny.Q4.gguf", vec![4; 1000], true);
    setup.hub.add_file("sub/tiny.Q8.gguf", vec![8; 1000], true);
    let source = "hf://acme/tiny/sub/tiny.Q8.gguf";
    let lock = setup.resolve_as(source, "main").await.unwrap();
    let paths: Vec<&str> = lock.files.iter().map(|file| file.path.as_str()).collect();
    let wanted = [
        "1_Pooling/config.json",
        "config.json",
        "sub/tiny.Q8.gguf",
        "tokenizer.json",
    ];
    assert_eq!(paths, wanted);
    let model = setup.fetch(&lock).await.unwrap();
    assert_eq!(std::fs::read(&model.files[2]).unwrap(), vec![8; 1000]);
    assert!(setup.hub.requests(WEIGHTS).is_empty());
}

#[tokio::test]
async fn an_empty_file_is_a_file() {
    let setup = Setup::new().await;
    setup.hub.add_file("merges.txt", "", false);
    let lock = setup.resolve().await.unwrap();
    let model = setup.fetch(&lock).await.unwrap();
    assert_eq!(std::fs::read(model.root.join("merges.txt")).unwrap(), b"");
}
