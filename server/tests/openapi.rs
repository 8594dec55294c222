//! The OpenAPI document by the word of others: whether it is one, and whether the server does what it says.

mod tiny;

use std::fs;
use std::path::Path;
use std::process::Command;

use chandler_e2e::{Server, layout};
use tempfile::TempDir;

/// Runs a program of the environment that checks documents, in `folder`.
fn run(folder: &Path, program: &str, arguments: &[&str]) {
    let python = layout::openapi_python().expect("the checkers' Python");
    let output = Command::new(python.with_file_name(program))
        .args(arguments)
        .current_dir(folder)
        // The server is on this machine, whatever way leads elsewhere.
        .env("NO_PROXY", "127.0.0.1")
        .output()
        .expect("it runs");
    let told = String::from_utf8_lossy(&output.stdout);
    let failed = String::from_utf8_lossy(&output.stderr);
    println!("{told}{failed}");
    assert!(output.status.success(), "{program} is not content");
}

/// Checks the document of a server that serves `source`, and the server by its document.
fn check(source: &Path) {
    let server = Server::start(&layout::file_source(source), "m", 1).expect("a server");
    let folder = TempDir::new().expect("a folder");
    let document = server.api().get("/openapi.json").expect("an answer");
    assert_eq!(document.status, 200);
    let file = "openapi.json";
    fs::write(folder.path().join(file), &document.text).expect("a file");
    run(folder.path(), "openapi-spec-validator", &[file]);
    let settings = layout::root().join("e2e/openapi/schemathesis.toml");
    let settings = settings.to_str().expect("a path of text");
    let url = format!("{}/openapi.json", server.api().base());
    let arguments = ["--config-file", settings, "run", &url];
    run(folder.path(), "schemathesis", &arguments);
    // It has lived through all of it.
    server.stop().expect("a clean end");
}

#[test]
fn a_model_that_writes_text_does_what_its_document_says() {
    let folder = TempDir::new().expect("a folder");
    tiny::write(folder.path(), &[(tiny::GGUF, tiny::llama().bytes())]);
    check(&folder.path().join(tiny::GGUF));
}

#[test]
fn a_classifier_does_what_its_document_says() {
    let folder = TempDir::new().expect("a folder");
    tiny::write(folder.path(), &tiny::classifier());
    check(folder.path());
}

#[test]
fn an_embedding_model_does_what_its_document_says() {
    let folder = TempDir::new().expect("a folder");
    tiny::write(folder.path(), &tiny::bert());
    check(folder.path());
}
