//! Editing the manifest while it runs: the change is followed, and no request is lost.

use chandler_e2e::{Api, Chandler, PATIENCE, layout, take_turn};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

fn manifest() -> Value {
    let source = layout::model(layout::EMBEDDING_MODEL).expect("the embeddings model");
    json!({
        "apiVersion": "chandler.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "embeddings"},
        "spec": {
            "model": {"source": layout::file_source(&source)},
            "server": {"maxQueue": 64},
            "replicas": 1,
        },
    })
}

/// Replaces the file in one step, as editors do.
fn save(path: &Path, manifest: &Value) {
    let draft = path.with_extension("draft");
    fs::write(&draft, manifest.to_string()).expect("a draft");
    fs::rename(&draft, path).expect("saved");
}

/// What a client saw that never stopped asking.
#[derive(Debug, Default)]
struct Seen {
    by_revision: BTreeMap<String, usize>,
    failures: Vec<String>,
}

/// A client that asks one request after another until it is dropped.
struct Steady {
    seen: Arc<(Mutex<Seen>, Condvar)>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Steady {
    fn start(api: Api) -> Self {
        let seen = Arc::new((Mutex::new(Seen::default()), Condvar::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, ended) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) {
                let answer = ask(&api);
                let mut seen = shared.0.lock().expect("seen");
                match answer {
                    Ok(revision) => *seen.by_revision.entry(revision).or_default() += 1,
                    Err(failure) => seen.failures.push(failure),
                }
                drop(seen);
                shared.1.notify_all();
            }
        });
        Self {
            seen,
            stop,
            thread: Some(thread),
        }
    }

    /// Waits until something is true of what was seen.
    fn wait(&self, what: &str, condition: impl Fn(&Seen) -> bool) {
        let seen = self.seen.0.lock().expect("seen");
        let waited = self
            .seen
            .1
            .wait_timeout_while(seen, PATIENCE, |seen| !condition(seen));
        let (seen, timeout) = waited.expect("seen");
        assert!(!timeout.timed_out(), "waited in vain for {what}: {seen:?}");
    }

    /// Waits for `count` more answers.
    fn wait_more(&self, count: usize) {
        let answers = |seen: &Seen| seen.by_revision.values().sum::<usize>();
        let before = answers(&self.seen.0.lock().expect("seen"));
        self.wait("more answers", |seen| answers(seen) >= before + count);
    }

    fn failures(&self) -> Vec<String> {
        self.seen.0.lock().expect("seen").failures.clone()
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn ask(api: &Api) -> Result<String, String> {
    let body = json!({"model": "embeddings", "input": "no request may be lost"});
    let reply = api
        .post("/v1/embeddings", &body)
        .map_err(|error| format!("{error:#}"))?;
    match (reply.status, reply.revision) {
        (200, Some(revision)) => Ok(revision),
        (status, _) => Err(format!("status {status}: {}", reply.text)),
    }
}

fn start(manifest: &Value) -> (tempfile::TempDir, PathBuf, Chandler) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.yaml");
    save(&path, manifest);
    let arguments = ["-f", &path.display().to_string()];
    let chandler = Chandler::up("127.0.0.1:0", &arguments).expect("chandler starts");
    chandler.wait_replicas("embeddings", 1).expect("a replica");
    (folder, path, chandler)
}

#[test]
fn edits_are_followed_without_a_lost_request() {
    let _turn = take_turn();
    let mut manifest = manifest();
    let (_folder, path, chandler) = start(&manifest);
    let clients: Vec<_> = (0..3)
        .map(|_| Steady::start(chandler.api().expect("the gateway")))
        .collect();

    manifest["spec"]["replicas"] = json!(2);
    save(&path, &manifest);
    let scaled = chandler
        .wait_replicas("embeddings", 2)
        .expect("two replicas");
    let old = scaled[0].1.revision.clone();
    assert_eq!(scaled[1].1.revision, old, "a new count is no new revision");

    manifest["spec"]["server"]["maxQueue"] = json!(32);
    save(&path, &manifest);
    for client in &clients {
        client.wait("an answer of a new revision", |seen| {
            seen.by_revision.keys().any(|revision| *revision != old)
        });
    }
    chandler.wait_gone(&old).expect("the old revision is gone");
    let ready = chandler
        .wait_replicas("embeddings", 2)
        .expect("two new replicas");
    assert!(ready.iter().all(|(_, replica)| replica.revision != old));
    clients.iter().for_each(|client| client.wait_more(20));

    let failures: Vec<_> = clients.iter().flat_map(Steady::failures).collect();
    assert!(failures.is_empty(), "requests were lost: {failures:#?}");
    drop(clients);
    chandler.stop().expect("a clean end");
}

#[test]
fn a_canary_takes_over_once_its_traffic_was_good() {
    let _turn = take_turn();
    let mut manifest = manifest();
    manifest["spec"]["rollout"] = json!({
        "steps": [{"weight": 50, "hold": "1s"}],
        "analysis": {"maxErrorRate": 0.2},
    });
    let (_folder, path, chandler) = start(&manifest);
    let api = chandler.api().expect("the gateway");
    let replicas = chandler.replicas();
    let old = replicas
        .values()
        .next()
        .expect("a replica")
        .revision
        .clone();
    manifest["spec"]["server"]["maxQueue"] = json!(32);
    save(&path, &manifest);
    // Nobody asks, so nothing is shown.
    let shared = || {
        api.get("/tallies")
            .is_ok_and(|told| told.text.contains(&old))
    };
    chandler_e2e::process::wait_until("shared traffic", PATIENCE, shared).expect("a canary");
    let client = Steady::start(chandler.api().expect("the gateway"));
    chandler.wait_gone(&old).expect("the old revision is gone");
    let failures = client.failures();
    assert!(failures.is_empty(), "requests were lost: {failures:#?}");
    drop(client);
    chandler.stop().expect("a clean end");
}

#[test]
fn a_broken_edit_keeps_the_old_one_serving() {
    let _turn = take_turn();
    let mut manifest = manifest();
    let (_folder, path, chandler) = start(&manifest);
    let before = chandler.replicas();
    let client = Steady::start(chandler.api().expect("the gateway"));

    manifest["spec"]["server"]["maxQeueu"] = json!(32);
    save(&path, &manifest);
    chandler
        .output()
        .wait_line("maxQeueu", PATIENCE)
        .expect("the mistake is told");
    client.wait_more(20);
    fs::write(&path, "{ not: [yaml").expect("written");
    client.wait_more(20);
    assert_eq!(chandler.replicas(), before);

    let server = manifest["spec"]["server"]
        .as_object_mut()
        .expect("an object");
    server.remove("maxQeueu");
    manifest["spec"]["replicas"] = json!(2);
    save(&path, &manifest);
    chandler
        .wait_replicas("embeddings", 2)
        .expect("the mended manifest is followed");
    let failures = client.failures();
    assert!(failures.is_empty(), "requests were lost: {failures:#?}");
    drop(client);
    chandler.stop().expect("a clean end");
}

#[test]
fn a_new_served_name_replaces_the_old_one() {
    let _turn = take_turn();
    let mut manifest = manifest();
    let (_folder, path, chandler) = start(&manifest);
    let api = chandler.api().expect("the gateway");
    manifest["spec"]["model"]["servedName"] = json!("renamed");
    save(&path, &manifest);
    let body = |model: &str| json!({"model": model, "input": "x"});
    chandler_e2e::process::wait_until("the new name", PATIENCE, || {
        api.post("/v1/embeddings", &body("renamed"))
            .is_ok_and(|reply| reply.status == 200)
    })
    .expect("the new name answers");
    chandler_e2e::process::wait_until("the old name's end", PATIENCE, || {
        api.post("/v1/embeddings", &body("embeddings"))
            .is_ok_and(|reply| reply.status == 404)
    })
    .expect("the old name is unknown");
    chandler.stop().expect("a clean end");
}
