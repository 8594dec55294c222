//! Bad input of every kind: a clear error each time, and nothing else is lost.

use chandler_e2e::{Api, Chandler, PATIENCE, Reply, layout, take_turn};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A manifest of the embeddings model; `change` alters it.
fn manifest(change: impl FnOnce(&mut Value)) -> String {
    let source = layout::model(layout::EMBEDDING_MODEL).expect("the embeddings model");
    let mut manifest = json!({
        "apiVersion": "chandler.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "embeddings"},
        "spec": {"model": {"source": layout::file_source(&source)}, "replicas": 1},
    });
    change(&mut manifest);
    manifest.to_string()
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).expect("the manifest is written");
    path.display().to_string()
}

/// Starts `chandler up` and expects it to end with an error that says each of `words`.
fn ends_saying(listen: &str, arguments: &[&str], words: &[&str]) {
    let mut chandler = Chandler::up(listen, arguments).expect("chandler starts");
    let status = chandler
        .process()
        .wait(PATIENCE)
        .expect("it ends by itself");
    assert!(!status.success(), "it took {arguments:?}");
    let error = chandler
        .output()
        .wait_line("error: ", PATIENCE)
        .expect("an error");
    for word in words {
        assert!(error.contains(word), "{word:?} is missing in {error:?}");
    }
    assert_eq!(
        chandler.replica_pids(),
        [] as [u32; 0],
        "it started replicas all the same"
    );
    no_panic(&chandler);
}

/// Runs one manifest and expects the model to stall for `reason`, with each of `words`.
fn stalls_saying(text: &str, reason: &str, words: &[&str]) {
    let folder = folder();
    let path = write(folder.path(), "model.yaml", text);
    let mut chandler = Chandler::up("127.0.0.1:0", &["-f", &path]).expect("chandler starts");
    let event = chandler
        .wait_stalled("embeddings")
        .expect("the failure is told");
    assert_eq!(event["reason"], reason, "{event}");
    let message = event["message"].as_str().unwrap_or_default();
    for word in words {
        assert!(message.contains(word), "{word:?} is missing in {message:?}");
    }
    let status = chandler.terminate().expect("it ends");
    assert!(status.success(), "{status}");
    no_panic(&chandler);
}

fn no_panic(chandler: &Chandler) {
    let text = chandler.output().text();
    assert!(!text.contains("panicked"), "it panicked:\n{text}");
}

#[test]
fn an_unknown_field_is_named() {
    let _turn = take_turn();
    let folder = folder();
    let text = manifest(|manifest| manifest["spec"]["replicsa"] = json!(2));
    let path = write(folder.path(), "typo.yaml", &text);
    ends_saying(
        "127.0.0.1:0",
        &["-f", &path],
        &["spec.replicsa", "unknown field", "typo.yaml"],
    );
}

#[test]
fn replicas_and_autoscaling_exclude_each_other() {
    let _turn = take_turn();
    let folder = folder();
    let text = manifest(|manifest| {
        manifest["spec"]["autoscaling"] = json!({"minReplicas": 1, "maxReplicas": 2});
    });
    let path = write(folder.path(), "both.yaml", &text);
    ends_saying(
        "127.0.0.1:0",
        &["-f", &path],
        &["replicas", "autoscaling", "not both", "both.yaml"],
    );
}

#[test]
fn a_missing_manifest_is_named() {
    let _turn = take_turn();
    ends_saying(
        "127.0.0.1:0",
        &["-f", "absent/nothing.yaml"],
        &["absent/nothing.yaml"],
    );
}

#[test]
fn a_name_given_twice_is_refused() {
    let _turn = take_turn();
    let folder = folder();
    let first = write(folder.path(), "first.yaml", &manifest(|_| {}));
    let second = write(folder.path(), "second.yaml", &manifest(|_| {}));
    ends_saying(
        "127.0.0.1:0",
        &["-f", &first, "-f", &second],
        &["`embeddings`", "first.yaml", "second.yaml", "metadata.name"],
    );
}

#[test]
fn a_served_name_given_twice_is_refused() {
    let _turn = take_turn();
    let folder = folder();
    let first = write(folder.path(), "first.yaml", &manifest(|_| {}));
    let text = manifest(|manifest| {
        manifest["metadata"]["name"] = json!("other");
        manifest["spec"]["model"]["servedName"] = json!("embeddings");
    });
    let second = write(folder.path(), "second.yaml", &text);
    ends_saying(
        "127.0.0.1:0",
        &["-f", &first, "-f", &second],
        &["`embeddings`", "second.yaml", "spec.model.servedName"],
    );
}

#[test]
fn a_port_in_use_is_named() {
    let _turn = take_turn();
    let folder = folder();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let path = write(folder.path(), "model.yaml", &manifest(|_| {}));
    ends_saying(&address, &["-f", &path], &[&address, "in use"]);
}

#[test]
fn a_missing_model_is_named() {
    let _turn = take_turn();
    let text = manifest(|manifest| {
        manifest["spec"]["model"]["source"] = json!("file:///nowhere/absent-model");
    });
    stalls_saying(&text, "NotFound", &["/nowhere/absent-model"]);
}

#[test]
fn a_truncated_gguf_is_called_truncated() {
    let _turn = take_turn();
    let whole = layout::model(layout::CHAT_MODEL).expect("the chat model");
    let folder = folder();
    let path = folder.path().join("cut.gguf");
    let mut head = File::open(whole).expect("the model").take(20_000_000);
    let mut cut = File::create(&path).expect("a file");
    std::io::copy(&mut head, &mut cut).expect("copied");
    let text = manifest(|manifest| {
        manifest["spec"]["model"]["source"] = json!(layout::file_source(&path));
    });
    stalls_saying(
        &text,
        "WeightsTruncated",
        &["cut.gguf", "truncated", "20000000"],
    );
}

#[test]
fn a_wrong_hash_is_told_with_both_hashes() {
    let _turn = take_turn();
    let wrong = "ab".repeat(32);
    let source = layout::model(layout::CHAT_MODEL).expect("the chat model");
    let text = manifest(|manifest| {
        manifest["spec"]["model"]["source"] = json!(layout::file_source(&source));
        manifest["spec"]["model"]["revision"] = json!(format!("sha256:{wrong}"));
    });
    let right = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
    stalls_saying(&text, "HashMismatch", &[&wrong, right]);
}

/// Expects an OpenAI-shaped error.
fn refused(reply: &Reply, status: u16, code: Option<&str>) {
    assert_eq!(reply.status, status, "{}", reply.text);
    let error = reply.json()["error"].clone();
    assert_eq!(error["type"], "invalid_request_error", "{}", reply.text);
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|text| !text.is_empty()),
        "{}",
        reply.text
    );
    if let Some(code) = code {
        assert_eq!(error["code"], code, "{}", reply.text);
    }
}

fn embed(api: &Api, model: &str, input: &Value) -> Reply {
    let body = json!({"model": model, "input": input});
    api.post("/v1/embeddings", &body).expect("an answer")
}

#[test]
fn bad_requests_are_refused_and_good_ones_go_on() {
    let _turn = take_turn();
    let folder = folder();
    let path = write(folder.path(), "model.yaml", &manifest(|_| {}));
    let chandler = Chandler::up("127.0.0.1:0", &["-f", &path]).expect("chandler starts");
    let api = chandler.api().expect("the gateway listens");
    chandler.wait_ready("embeddings").expect("the model loads");

    let too_long = json!("word ".repeat(600));
    refused(
        &embed(&api, "embeddings", &too_long),
        400,
        Some("context_length_exceeded"),
    );
    refused(
        &embed(&api, "nobody", &json!("x")),
        404,
        Some("model_not_found"),
    );
    refused(
        &embed(&api, "embeddings", &json!({"not": "text"})),
        400,
        None,
    );
    for broken in [
        &b"{\"model\": \"embeddings\", "[..],
        b"",
        b"[]",
        b"\xff\xfe",
        b"null",
    ] {
        refused(
            &api.post_bytes("/v1/embeddings", broken).expect("an answer"),
            400,
            None,
        );
    }
    let depth = "[".repeat(100_000);
    let nested = format!("{{\"model\":\"embeddings\",\"input\":{depth}");
    refused(
        &api.post_bytes("/v1/embeddings", nested.as_bytes())
            .expect("an answer"),
        400,
        None,
    );
    let huge = json!("x".repeat(10_000_000));
    refused(
        &embed(&api, "embeddings", &huge),
        413,
        Some("request_too_large"),
    );
    refused(&api.get("/v1/nothing").expect("an answer"), 404, None);
    let wrong_method = api.get("/v1/embeddings").expect("an answer");
    refused(&wrong_method, 405, None);

    assert_eq!(embed(&api, "embeddings", &json!("x")).status, 200);
    assert_eq!(
        chandler.replica_pids().len(),
        1,
        "the replica was restarted"
    );
    chandler.stop().expect("a clean end");
}
