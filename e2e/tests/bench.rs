//! What a running replica can do is measured, and the simulation takes what was found.

mod common;

use chandler_e2e::{Server, layout, take_turn};
use serde_json::{Value, json};
use std::fmt::Write;
use std::fs;
use std::process::{Command, Output};
use tempfile::TempDir;

const MODEL: &str = "measured";
/// Compute threads of the replica.
const THREADS: usize = 1;

fn chandler(arguments: &[&str]) -> Output {
    let program = layout::binary("chandler").expect("the program");
    let run = Command::new(program).args(arguments).output();
    run.expect("it runs")
}

/// What it wrote, if it did what it was told.
fn said(arguments: &[&str]) -> String {
    let output = chandler(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("text")
}

fn told(arguments: &[&str]) -> Value {
    serde_json::from_str(&said(arguments)).expect("JSON")
}

/// What it complained of.
fn refused(arguments: &[&str]) -> String {
    let output = chandler(arguments);
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).expect("text")
}

fn server(model: &str) -> Server {
    server_with(model, &[])
}

fn server_with(model: &str, more: &[&str]) -> Server {
    let path = layout::model(model).expect("the model");
    let source = layout::file_source(&path);
    Server::start_with(&source, MODEL, THREADS, more).expect("it starts")
}

/// A folder for files, and the path of one in it.
fn file(name: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name).display().to_string();
    (folder, path)
}

/// Thirty requests in three seconds.
fn trace(path: &str) {
    let mut text = "TIMESTAMP,ContextTokens,GeneratedTokens\n".to_owned();
    for index in 0..30 {
        let (second, tenth) = (index / 10, index % 10);
        let _ = writeln!(text, "2024-05-10 00:00:0{second}.{tenth},{},1", 8 + index);
    }
    fs::write(path, text).expect("the trace is written");
}

#[test]
fn what_is_measured_of_vectors_is_simulated_and_replayed() {
    let _turn = take_turn();
    let server = server(layout::EMBEDDING_MODEL);
    let url = server.api().base();
    let (_models, model) = file("replica.yaml");
    let short = [
        "--step",
        "500ms",
        "--max-callers",
        "4",
        "--prompt-tokens",
        "24",
    ];
    let bench = ["bench", url, "--json", "-o", &model];
    let report = told(&[&bench[..], &short].concat());
    assert_eq!(report["task"], "embedding");
    let steps = report["measured"]["steps"].as_array().expect("steps");
    let failed = steps.iter().filter(|step| step["failed"] != json!({}));
    assert_eq!(failed.count(), 0, "{report}");

    let (_traces, requests) = file("trace.csv");
    trace(&requests);
    let spec = json!({
        "model": {"source": "hf://org/name"},
        "autoscaling": {"minReplicas": 1, "maxReplicas": 4},
    });
    let (_folder, manifest) = common::manifest(MODEL, &spec);
    let simulate = ["simulate", "-f", &manifest, "--trace", &requests];
    let table = said(&[&simulate[..], &["--replica-model", &model]].concat());
    assert!(table.contains("chandler"), "{table}");

    let replay = ["bench", url, "--json", "--trace", &requests];
    let report = told(&[&replay[..], &["--replica-model", &model]].concat());
    let replay = &report["replay"];
    assert_eq!(replay["requests"], 30, "{report}");
    assert_eq!(replay["failed"], json!({}), "{report}");
    for side in ["measured", "simulated", "ratio"] {
        assert!(replay[side]["p95"].as_f64() > Some(0.0), "{report}");
    }
    server.stop().expect("a clean end");
}

#[test]
fn a_replica_that_writes_one_answer_at_a_time_is_told_as_such() {
    let _turn = take_turn();
    let server = server_with(layout::CHAT_MODEL, &["--max-batch", "1"]);
    let short = ["--step", "2s", "--max-callers", "2"];
    let tokens = ["--prompt-tokens", "32", "--generated-tokens", "4"];
    let given = ["--start-seconds", "5,7", "--drain-seconds", "30"];
    let bench = ["bench", server.api().base(), "--json"];
    let report = told(&[&bench[..], &short, &tokens, &given].concat());
    let model = &report["measured"]["replicaModel"];
    assert_eq!(report["task"], "text");
    assert_eq!(model["maxBatch"], 1, "{report}");
    assert_eq!(model["startSeconds"], json!([5.0, 7.0]), "{report}");
    assert_eq!(model["drainSeconds"], 30.0, "{report}");
    server.stop().expect("a clean end");
}

#[test]
fn what_can_not_be_measured_says_what_to_do() {
    let _turn = take_turn();
    let server = server(layout::EMBEDDING_MODEL);
    let url = server.api().base();
    let unknown = refused(&["bench", url, "--model", "other"]);
    assert!(
        unknown.contains("`other` is not served; these are: measured"),
        "{unknown}"
    );
    let (_folder, missing) = file("missing.csv");
    let nothing = refused(&["bench", url, "--trace", &missing]);
    assert!(nothing.contains("give the path of a file"), "{nothing}");
    server.stop().expect("a clean end");
    let gone = refused(&["bench", "http://127.0.0.1:1"]);
    assert!(gone.contains("is the server running"), "{gone}");
}
