//! Answers of running servers are judged, and the exit status tells what came of it.

use chandler_e2e::{Server, layout, take_turn};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

const MODEL: &str = "judged";
/// Compute threads of a server.
const THREADS: usize = 1;

/// What became of an evaluation.
struct Told {
    status: Option<i32>,
    out: String,
    errors: String,
}

/// Runs `chandler eval` with a suite on its standard input.
fn eval(suite: &[Value], arguments: &[&str]) -> Told {
    let program = layout::binary("chandler").expect("the program");
    let mut child = Command::new(program)
        .args(["eval", "--suite", "-", "--max-tokens", "8"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let lines: Vec<_> = suite.iter().map(Value::to_string).collect();
    let mut stdin = child.stdin.take().expect("a pipe");
    // One that refuses its arguments has gone before it reads.
    let _ = stdin.write_all(lines.join("\n").as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Told {
        status: output.status.code(),
        out: text(output.stdout),
        errors: text(output.stderr),
    }
}

/// The status and the report.
fn report(suite: &[Value], arguments: &[&str]) -> (Option<i32>, Value) {
    let told = eval(suite, &[arguments, &["--format", "json"]].concat());
    let last = told.out.lines().last();
    let json = last.and_then(|line| serde_json::from_str(line).ok());
    let json = json.unwrap_or_else(|| panic!("{}{}", told.out, told.errors));
    (told.status, json)
}

fn server(model: &str) -> Server {
    let path = layout::model(model).expect("the model");
    Server::start(&layout::file_source(&path), MODEL, THREADS).expect("it starts")
}

fn questions() -> [Value; 3] {
    let capital = json!([{"role": "user", "content": "What is the capital of France?"}]);
    [
        json!({"id": "capital", "messages": capital, "references": "Paris"}),
        json!({"id": "sky", "input": "The sky is", "references": "no such answer"}),
        json!({"id": "days", "input": "Monday, Tuesday,", "references": "Wednesday"}),
    ]
}

#[test]
fn a_revision_is_judged_beside_itself_and_alone() {
    let _turn = take_turn();
    let server = server(layout::CHAT_MODEL);
    let url = server.api().base();
    let suite = questions();
    let sides = ["--stable", url, "--canary", url];

    let equal = ["--metric", "klDivergence", "--max-regression", "0"];
    let (status, told) = report(&suite, &[&sides[..], &equal].concat());
    assert_eq!(status, Some(0), "{told}");
    assert_eq!(told["comparison"]["canary"], 0.0, "{told}");
    assert_eq!(told["rows"].as_array().map(Vec::len), Some(3), "{told}");

    let equal = ["--metric", "contains", "--max-regression", "0"];
    let (status, told) = report(&suite, &[&sides[..], &equal].concat());
    assert_eq!(status, Some(0), "{told}");
    assert_eq!(told["comparison"]["difference"], 0.0, "{told}");

    let one = report(&suite[..1], &[&sides[..], &equal].concat());
    assert_eq!(one.0, Some(3), "{}", one.1);

    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("page.html").display().to_string();
    let alone = ["--metric", "contains", "--canary", url, "--min", "1"];
    let told = eval(&suite, &[&alone[..], &["--html", &page]].concat());
    assert_eq!(told.status, Some(2), "{}", told.errors);
    assert!(told.out.contains("is worse than min 1"), "{}", told.out);
    let page = fs::read_to_string(page).expect("the page");
    assert!(page.contains("evaluation: fail"), "{page}");
    server.stop().expect("a clean end");
}

#[test]
fn answers_are_compared_by_the_vectors_of_another_server() {
    let _turn = take_turn();
    let (writer, embedder) = (server(layout::CHAT_MODEL), server(layout::EMBEDDING_MODEL));
    let (url, vectors) = (writer.api().base(), embedder.api().base());
    let metric = ["--metric", "embeddingSimilarity", "--embeddings", vectors];
    let (status, told) = report(&questions(), &[&metric[..], &["--canary", url]].concat());
    assert_eq!(status, Some(0), "{told}");
    let score = told["score"].as_f64().expect("a score");
    assert!(0.0 < score && score < 1.0, "{told}");
    writer.stop().expect("a clean end");
    embedder.stop().expect("a clean end");
}

#[test]
fn good_answers_are_likelier_than_others() {
    let _turn = take_turn();
    let server = server(layout::CHAT_MODEL);
    let url = server.api().base();
    let likely = |answers: [&str; 2]| {
        let ask = "What is the capital of France?";
        let suite = [
            json!({"input": "The capital of France is", "references": answers[0]}),
            json!({"messages": [{"role": "user", "content": ask}], "references": answers[1]}),
        ];
        let (status, told) = report(&suite, &["--metric", "perplexity", "--canary", url]);
        assert_eq!(status, Some(0), "{told}");
        told["score"].as_f64().expect("a score")
    };
    let good = likely([" Paris.", "The capital of France is Paris."]);
    let bad = likely([" purple.", "The capital of France is purple."]);
    assert!(1.0 < good && 2.0 * good < bad, "{good} and {bad}");
    server.stop().expect("a clean end");
}

#[test]
fn what_keeps_a_canary_from_being_judged_is_no_verdict() {
    let nobody = "http://127.0.0.1:1";
    for (arguments, words) in [
        (
            &["--metric", "bleu", "--canary", nobody, "--model", "m"][..],
            "item `capital`: the canary",
        ),
        (
            &["--metric", "bleu", "--canary", nobody],
            "is the server running",
        ),
        (
            &["--metric", "klDivergence", "--canary", nobody],
            "--stable",
        ),
        (&["--metric", "bleu"], "--canary"),
    ] {
        let suite = &questions()[..1];
        let told = eval(suite, arguments);
        assert_eq!(told.status, Some(1), "{arguments:?}: {}", told.errors);
        assert!(told.errors.contains(words), "{}", told.errors);
        assert_eq!(told.out, "", "{arguments:?}");
    }
}
