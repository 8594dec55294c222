//! Models of a hub: fetched once, verified, resumed, and locked to their commit.

use chandler_e2e::hub::{Fault, Files, Hub, files_below, sha256};
use chandler_e2e::process::wait_until;
use chandler_e2e::{Chandler, PATIENCE, layout, take_turn};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const SOURCE: &str = "hf://org/tiny";
const MODEL: &str = "tiny";
const WEIGHTS: &str = "model.safetensors";
const FIRST: &str = "1111111111111111111111111111111111111111";
const SECOND: &str = "2222222222222222222222222222222222222222";
/// Where downloads are held or cut, by far beyond all small files together.
const MIDWAY: usize = 40_000_000;

fn model_files() -> Files {
    let folder = layout::model(layout::EMBEDDING_MODEL).expect("the embeddings model");
    files_below(&folder).expect("its files")
}

fn start_hub() -> Hub {
    let hub = Hub::start("org/tiny").expect("a hub");
    hub.push(FIRST, model_files());
    hub
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn up(hub: &Hub, cache: &Path, what: &[&str]) -> Chandler {
    let cache = cache.display().to_string();
    let arguments = [&["--cache", &cache], what].concat();
    let environment = [
        ("HF_ENDPOINT", hub.endpoint()),
        // A proxy of this machine must not come between.
        ("NO_PROXY", "127.0.0.1".to_owned()),
    ];
    Chandler::up_with("127.0.0.1:0", &arguments, &environment).expect("chandler starts")
}

fn embed(chandler: &Chandler) -> Vec<f64> {
    let api = chandler.api().expect("the gateway");
    let body = json!({"model": MODEL, "input": "ships are unloaded at the quay"});
    let reply = api.post("/v1/embeddings", &body).expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.text);
    let answer = reply.json();
    let numbers = answer["data"][0]["embedding"].as_array();
    let numbers = numbers.expect("an embedding").iter();
    let embedding: Vec<f64> = numbers.filter_map(Value::as_f64).collect();
    let norm = embedding.iter().map(|x| x * x).sum::<f64>().sqrt();
    assert_eq!(embedding.len(), 384);
    assert!((norm - 1.0).abs() < 1e-3, "its norm is {norm}");
    embedding
}

/// Waits until `replicas` replicas told that they download, and one of them that it has most of
/// what the hub gives out up to [`MIDWAY`].
fn wait_download(chandler: &Chandler, replicas: usize) {
    let loads = |events: &[Value]| {
        let is_load = |event: &&Value| event["event"] == "load" && event["phase"] == "downloading";
        let loads: Vec<_> = events.iter().filter(is_load).cloned().collect();
        let names: BTreeSet<_> = loads.iter().map(|load| load["replica"].as_str()).collect();
        let bytes = |load: &Value, name: &str| load[name].as_u64().unwrap_or(0);
        let part = |load: &Value| {
            let done = bytes(load, "bytesDone");
            done > MIDWAY as u64 / 2 && done < bytes(load, "bytesTotal")
        };
        (names.len() == replicas && loads.iter().any(part)).then_some(())
    };
    let output = chandler.output();
    let waited = output.wait_events("progress of the download", PATIENCE, loads);
    waited.expect("progress is told");
}

/// Kills the only replica and waits until another process is ready in its place.
fn kill_and_wait(chandler: &Chandler) {
    let (name, _) = chandler
        .wait_replicas(MODEL, 1)
        .expect("a replica")
        .remove(0);
    let killed = chandler.kill_replica(&name).expect("killed");
    wait_until("the replica to come back", PATIENCE, || {
        let replicas = chandler.replicas();
        let replica = &replicas[&name];
        replica.is_ready() && replica.pid != Some(killed)
    })
    .unwrap_or_else(|error| panic!("{error}:\n{}", chandler.output().text()));
}

#[test]
fn two_replicas_share_one_download() {
    let _turn = take_turn();
    let (hub, folder) = (start_hub(), folder());
    let manifest = json!({
        "apiVersion": "chandler.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": MODEL},
        "spec": {"model": {"source": SOURCE}, "replicas": 2},
    });
    let path = folder.path().join("model.yaml");
    fs::write(&path, manifest.to_string()).expect("the manifest is written");
    hub.spoil(WEIGHTS, Fault::Hold(MIDWAY));
    let path = path.display().to_string();
    let chandler = up(&hub, &folder.path().join("cache"), &["-f", &path]);
    wait_download(&chandler, 2);
    hub.mend(WEIGHTS);
    chandler.wait_replicas(MODEL, 2).expect("two replicas");
    chandler.wait_ready(MODEL).expect("the model is ready");
    embed(&chandler);
    assert_eq!(chandler.replica_pids().len(), 2);

    let mut counts = BTreeMap::new();
    for request in hub.requests() {
        *counts.entry(request).or_insert(0) += 1;
    }
    assert!(counts.values().all(|count| *count == 1), "{counts:#?}");
    assert_eq!(hub.requests_for(WEIGHTS).len(), 1);
    assert_eq!(hub.requests_for("tokenizer.json").len(), 1);
    assert_eq!(hub.requests_for("README.md").len(), 0);
    chandler.stop().expect("a clean end");
}

#[test]
fn corrupted_weights_are_told_and_replaced_once_the_hub_is_mended() {
    let _turn = take_turn();
    let (hub, cache) = (start_hub(), folder());
    let mut weights = model_files().remove(WEIGHTS).expect("the weights");
    let expected = sha256(&weights);
    *weights.last_mut().expect("bytes") ^= 1;
    let actual = sha256(&weights);
    hub.spoil(WEIGHTS, Fault::Corrupt);
    let chandler = up(&hub, cache.path(), &[SOURCE]);
    let settled = |event: &Value| event["ready"] == true || event["stalled"] == true;
    let event = chandler
        .wait_model(MODEL, "ready or stalled", settled)
        .expect("the corruption is told");
    assert_eq!(event["ready"], false, "{event}");
    assert_eq!(event["reason"], "HashMismatch", "{event}");
    let message = event["message"].as_str().unwrap_or_default();
    for word in [WEIGHTS, &expected, &actual] {
        assert!(message.contains(word), "{word} is missing in {message:?}");
    }

    hub.mend(WEIGHTS);
    let ready = chandler.wait_model(MODEL, "ready", |event| event["ready"] == true);
    ready.expect("it gets ready by itself");
    embed(&chandler);
    chandler.stop().expect("a clean end");
}

#[test]
fn a_download_that_is_cut_is_resumed() {
    let _turn = take_turn();
    let (hub, cache) = (start_hub(), folder());
    hub.spoil(WEIGHTS, Fault::Cut(MIDWAY));
    let chandler = up(&hub, cache.path(), &[SOURCE]);
    chandler.wait_ready(MODEL).expect("the model is ready");
    embed(&chandler);
    let requests = hub.requests_for(WEIGHTS);
    let starts: Vec<_> = requests.iter().map(|request| request.first_byte).collect();
    assert_eq!((starts.len(), starts[0]), (2, 0), "{starts:?}");
    assert!((1..=MIDWAY).contains(&starts[1]), "{starts:?}");
    assert_eq!(chandler.replica_pids().len(), 1, "the server was restarted");
    chandler.stop().expect("a clean end");
}

#[test]
fn a_replica_comes_back_with_the_locked_commit() {
    let _turn = take_turn();
    let (hub, cache) = (start_hub(), folder());
    let cache = cache.path().join("cache");
    let chandler = up(&hub, &cache, &[SOURCE]);
    chandler.wait_ready(MODEL).expect("the model is ready");
    let before = embed(&chandler);
    let requests = hub.requests();

    let mut files = model_files();
    let weights = files.get_mut(WEIGHTS).expect("the weights");
    *weights.last_mut().expect("bytes") ^= 1;
    let config = files.get_mut("config.json").expect("the configuration");
    config.push(b'\n');
    hub.push(SECOND, files);
    kill_and_wait(&chandler);
    assert_eq!(hub.requests(), requests, "all it needs was in the cache");
    assert_eq!(embed(&chandler), before);

    fs::remove_dir_all(&cache).expect("the cache is emptied");
    kill_and_wait(&chandler);
    assert_eq!(hub.requests_for(WEIGHTS).len(), 2);
    assert_eq!(hub.requests_for("config.json").len(), 4);
    assert_eq!(hub.commits_asked(), BTreeSet::from([FIRST.to_owned()]));
    assert_eq!(embed(&chandler), before);
    chandler.stop().expect("a clean end");
}
