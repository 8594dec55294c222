//! On one machine too a new model goes live only if its answers are good.

use chandler_e2e::{Api, Chandler, PATIENCE, layout, nonsense, take_turn};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const MODEL: &str = "chat";
const QUESTIONS: [&str; 3] = [
    "What is the capital of France?",
    "Name the days of the week.",
    "How many legs does a spider have?",
];

fn manifest(file: &Path) -> Value {
    let suite = json!({"name": "facts"});
    let facts =
        json!({"name": "facts", "suiteRef": suite, "metric": "contains", "maxRegression": 0.1});
    json!({
        "apiVersion": "chandler.dev/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": MODEL},
        "spec": {
            "model": {"source": layout::file_source(file), "maxModelLen": 1024},
            "rollout": {"evaluation": [facts]},
            "replicas": 1,
        },
    })
}

/// Replaces the file in one step, as editors do.
fn save(path: &Path, documents: &[&Value]) {
    let documents: Vec<_> = documents.iter().map(ToString::to_string).collect();
    let draft = path.with_extension("draft");
    fs::write(&draft, documents.join("\n---\n")).expect("a draft");
    fs::rename(&draft, path).expect("saved");
}

fn answer(api: &Api, question: &str) -> String {
    let messages = json!([{"role": "user", "content": question}]);
    let body = json!({"model": MODEL, "messages": messages, "max_tokens": 12, "temperature": 0});
    let reply = api.post("/v1/chat/completions", &body).expect("a reply");
    assert_eq!(reply.status, 200, "{}", reply.text);
    let told = reply.json();
    let text = told["choices"][0]["message"]["content"].as_str();
    text.expect("a text").trim().to_owned()
}

/// A suite whose references begin what the model answers now.
fn suite(api: &Api) -> Value {
    let item = |question: &&str| {
        let messages = json!([{"role": "user", "content": question}]);
        json!({"messages": messages, "references": answer(api, question)}).to_string()
    };
    let lines: Vec<String> = QUESTIONS.iter().map(item).collect();
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "facts"},
        "data": {"suite.jsonl": lines.join("\n")},
    })
}

fn damaged(folder: &Path) -> PathBuf {
    let good = layout::model(layout::CHAT_MODEL).expect("the chat model");
    let mut file = fs::read(good).expect("read");
    nonsense::spoil(&mut file).expect("damaged");
    let path = folder.join("damaged.gguf");
    fs::write(&path, file).expect("written");
    path
}

#[test]
fn damaged_weights_are_told_by_their_answers_alone() {
    let _turn = take_turn();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.yaml");
    let good = layout::model(layout::CHAT_MODEL).expect("the chat model");
    let good = manifest(&good);
    save(&path, &[&good]);
    let arguments = ["-f", &path.display().to_string()];
    let chandler = Chandler::up("127.0.0.1:0", &arguments).expect("chandler starts");
    let replicas = chandler.wait_replicas(MODEL, 1).expect("a replica");
    let first = replicas[0].1.revision.clone();
    let api = chandler.api().expect("the gateway");
    let before = answer(&api, QUESTIONS[0]);

    // Without the suite there is no verdict.
    save(&path, &[&manifest(&damaged(folder.path()))]);
    let output = chandler.output();
    output
        .wait_line("SuiteMissing", PATIENCE)
        .expect("the missing suite is told");
    let suite = suite(&api);
    save(&path, &[&manifest(&damaged(folder.path())), &suite]);
    output
        .wait_line("EvaluationFailed", PATIENCE)
        .expect("the verdict is told");
    assert_eq!(answer(&api, QUESTIONS[0]), before);

    let mut other = good.clone();
    other["spec"]["server"] = json!({"maxQueue": 32});
    save(&path, &[&other, &suite]);
    chandler
        .wait_gone(&first)
        .expect("the old revision is gone");
    assert_eq!(answer(&api, QUESTIONS[0]), before);
    chandler.stop().expect("a clean end");
}

/// Asks on while `happening` lasts: of a revision that takes over nothing is shown without callers.
fn asking(api: &Api, expected: &str, happening: impl FnOnce()) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                assert_eq!(answer(api, QUESTIONS[0]), expected);
            }
        });
        let _ends = Ends(&done);
        happening();
    });
}

/// Says so at its end, be it a good one or not.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn live_prompts_asked_aside_tell_of_damaged_weights() {
    let _turn = take_turn();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.yaml");
    let shadow = json!({"shadow": {"percent": 100, "maxDifferent": 0.3, "minPrompts": 8}});
    let manifest = |file: &Path| {
        let mut manifest = manifest(file);
        manifest["spec"]["rollout"] = shadow.clone();
        manifest
    };
    let good = manifest(&layout::model(layout::CHAT_MODEL).expect("the chat model"));
    save(&path, &[&good]);
    let arguments = ["-f", &path.display().to_string()];
    let chandler = Chandler::up("127.0.0.1:0", &arguments).expect("chandler starts");
    let replicas = chandler.wait_replicas(MODEL, 1).expect("a replica");
    let first = replicas[0].1.revision.clone();
    let api = chandler.api().expect("the gateway");
    let before = answer(&api, QUESTIONS[0]);

    save(&path, &[&manifest(&damaged(folder.path()))]);
    asking(&api, &before, || {
        let told = chandler.output().wait_line("ShadowFailed", PATIENCE);
        told.expect("the verdict is told");
    });
    let mut other = good.clone();
    other["spec"]["server"] = json!({"maxQueue": 32});
    save(&path, &[&other]);
    asking(&api, &before, || {
        chandler
            .wait_gone(&first)
            .expect("the old revision is gone");
    });
    chandler.stop().expect("a clean end");
}
