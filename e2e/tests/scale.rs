//! Load that rises starts processes, load that falls ends them again, and every request is answered
//! meanwhile.

mod common;

use chandler_e2e::{Api, Chandler, layout, take_turn};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use tempfile::TempDir;

const MODEL: &str = "embeddings";
/// Callers who ask again as soon as they are answered.
const MANY: usize = 6;

/// A manifest of the embeddings model that grows to two replicas, in a folder of its own.
fn growing() -> (TempDir, String) {
    let source = layout::model(layout::EMBEDDING_MODEL).expect("the embeddings model");
    let spec = json!({
        "model": {"source": layout::file_source(&source)},
        "autoscaling": {
            "maxReplicas": 2,
            "targets": {"concurrency": 2},
            "behavior": {"scaleDown": {"stabilization": "5s"}},
        },
    });
    common::manifest(MODEL, &spec)
}

fn ask(api: &Api) -> Result<(), String> {
    common::embed(api, MODEL, "how many of you are there by now?")
}

/// Callers who ask until they are told to stop.
struct Callers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<(), String>>>,
}

impl Callers {
    fn start(api: &Api, count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let call = || {
            let (api, stop) = (api.clone(), Arc::clone(&stop));
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    ask(&api)?;
                }
                Ok(())
            })
        };
        let threads = (0..count).map(|_| call()).collect();
        Self { stop, threads }
    }

    /// Who was not answered.
    fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        let callers = self.threads.into_iter();
        let ends = callers.map(|caller| caller.join().expect("a caller"));
        ends.filter_map(Result::err).collect()
    }
}

#[test]
fn replicas_follow_the_load_up_and_down() {
    let _turn = take_turn();
    let (_folder, manifest) = growing();
    let chandler = Chandler::up("127.0.0.1:0", &["-f", &manifest]).expect("chandler starts");
    let api = chandler.api().expect("the gateway listens");
    ask(&api).expect("the model answers");
    assert_eq!(chandler.replica_pids().len(), 1);

    let callers = Callers::start(&api, MANY);
    chandler.wait_replicas(MODEL, 2).expect("a second replica");
    assert_eq!(callers.stop(), Vec::<String>::new());

    let caller = Callers::start(&api, 1);
    chandler
        .wait_replicas(MODEL, 1)
        .expect("one replica is left");
    assert_eq!(caller.stop(), Vec::<String>::new());
    chandler.stop().expect("a clean end");
}
