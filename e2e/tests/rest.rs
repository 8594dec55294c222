//! A model at rest: nobody asks, and no process of it is left; a herd comes, and it is started once.

mod common;

use chandler_e2e::process::{runs, wait_until};
use chandler_e2e::{Api, Chandler, PATIENCE, layout, take_turn};
use serde_json::json;
use std::sync::{Arc, Barrier};
use std::thread;
use tempfile::TempDir;

const HERD: usize = 20;

/// A manifest of the embeddings model that rests soon, in a folder of its own.
fn resting() -> (TempDir, String) {
    let source = layout::model(layout::EMBEDDING_MODEL).expect("the embeddings model");
    let spec = json!({
        "model": {"source": layout::file_source(&source)},
        "server": {"maxQueue": 2 * HERD},
        // What waits is no reason for a second replica, however slow this machine is.
        "autoscaling": {
            "minReplicas": 0, "maxReplicas": 2, "idleAfter": "2s", "targets": {"queueWaiting": 2 * HERD},
        },
    });
    common::manifest("embeddings", &spec)
}

fn ask(api: &Api) -> Result<(), String> {
    common::embed(api, "embeddings", "is anybody there?")
}

/// Waits until no process of a replica runs that was ever started, and gives how many were.
fn at_rest(chandler: &Chandler) -> usize {
    chandler
        .wait_replicas("embeddings", 0)
        .expect("every replica is told to have stopped");
    let pids = chandler.replica_pids();
    wait_until("the end of the processes", PATIENCE, || {
        !pids.iter().any(|pid| runs(*pid))
    })
    .expect("no process is left");
    pids.len()
}

#[test]
fn a_model_at_rest_is_started_once_for_a_herd() {
    let _turn = take_turn();
    let (_folder, manifest) = resting();
    let chandler = Chandler::up("127.0.0.1:0", &["-f", &manifest]).expect("chandler starts");
    let api = chandler.api().expect("the gateway listens");
    ask(&api).expect("the model answers");
    let started = at_rest(&chandler);

    let together = Arc::new(Barrier::new(HERD));
    let herd: Vec<_> = (0..HERD)
        .map(|_| {
            let (api, together) = (api.clone(), Arc::clone(&together));
            thread::spawn(move || {
                together.wait();
                ask(&api)
            })
        })
        .collect();
    let answers = herd
        .into_iter()
        .map(|asked| asked.join().expect("a client"));
    let failures: Vec<_> = answers.filter_map(Result::err).collect();
    assert!(failures.is_empty(), "of {HERD}: {failures:#?}");
    assert_eq!(chandler.replica_pids().len(), started + 1);

    assert_eq!(at_rest(&chandler), started + 1, "it rests again");
    chandler.stop().expect("a clean end");
}
