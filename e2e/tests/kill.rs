//! Processes that die: a replica under load, and Chandler itself.

mod common;

use chandler_e2e::process::{runs, wait_until};
use chandler_e2e::{Api, Chandler, PATIENCE, api, layout, take_turn};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use tempfile::TempDir;

const REQUESTS: usize = 50;

/// A manifest of the chat model with `replicas`, in a folder of its own.
fn chat_manifest(replicas: usize) -> (TempDir, String) {
    let source = layout::model(layout::CHAT_MODEL).expect("the chat model");
    let spec = json!({
        "model": {"source": layout::file_source(&source), "maxModelLen": 512},
        "server": {"maxQueue": 2 * REQUESTS},
        "replicas": replicas,
    });
    common::manifest("chat", &spec)
}

fn question(index: usize, stream: bool) -> Value {
    json!({
        "model": "chat",
        "messages": [{"role": "user", "content": format!("Count upwards from {index}.")}],
        "max_tokens": 8,
        "temperature": 0,
        "stream": stream,
    })
}

/// How one request ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Answered,
    /// Some text came, then an error event.
    BrokenOff,
}

fn ask_whole(api: &Api, index: usize) -> Result<End, String> {
    let reply = api.post("/v1/chat/completions", &question(index, false));
    let reply = reply.map_err(|error| format!("{error:#}"))?;
    let text = reply.json().pointer("/choices/0/message/content").cloned();
    match (reply.status, text) {
        (200, Some(Value::String(text))) if !text.is_empty() => Ok(End::Answered),
        _ => Err(format!("status {}: {}", reply.status, reply.text)),
    }
}

fn ask_streaming(api: &Api, index: usize, first: &AtomicUsize) -> Result<End, String> {
    let stream = api.stream("/v1/chat/completions", &question(index, true));
    let mut stream = stream.map_err(|error| format!("{error:#}"))?;
    let mut text = String::new();
    let mut failed = None;
    for event in stream.by_ref() {
        let event = event.map_err(|error| format!("after {text:?}: {error:#}"))?;
        if !event["error"].is_null() {
            failed = Some(event);
            continue;
        }
        if text.is_empty() && !api::chat_delta(&event).is_empty() {
            first.fetch_add(1, Ordering::SeqCst);
        }
        text.push_str(api::chat_delta(&event));
    }
    match failed {
        None if stream.is_done() && !text.is_empty() => Ok(End::Answered),
        None => Err(format!("the stream ended without [DONE] after {text:?}")),
        Some(event) if text.is_empty() => Err(format!("not even started, and yet {event}")),
        Some(event) if event["error"]["message"].is_string() => Ok(End::BrokenOff),
        Some(event) => Err(format!("not well-formed: {event}")),
    }
}

/// The sum of a gateway metric over its labels.
fn metric(api: &Api, name: &str) -> f64 {
    let text = api.get("/metrics").expect("the gateway's metrics").text;
    let samples = text.lines().filter(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(['{', ' ']))
    });
    samples
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

#[test]
fn requests_survive_a_killed_replica() {
    let _turn = take_turn();
    let (_folder, manifest) = chat_manifest(2);
    let chandler = Chandler::up("127.0.0.1:0", &["-f", &manifest]).expect("chandler starts");
    let api = chandler.api().expect("the gateway listens");
    let ready = chandler.wait_replicas("chat", 2).expect("two replicas");
    let (victim, before) = ready.first().expect("a replica").clone();

    let started = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..REQUESTS)
        .map(|index| {
            let (api, started) = (api.clone(), Arc::clone(&started));
            thread::spawn(move || match index % 2 {
                0 => ask_whole(&api, index),
                _ => ask_streaming(&api, index, &started),
            })
        })
        .collect();
    wait_until("the requests to be under way", PATIENCE, || {
        started.load(Ordering::SeqCst) > 0
            && metric(&api, "chandler_gateway_requests_in_flight") >= 40.0
    })
    .expect("under way");
    let killed = chandler.kill_replica(&victim).expect("killed");

    let ends: Vec<_> = clients
        .into_iter()
        .map(|client| client.join().expect("a client"))
        .collect();
    let bad: Vec<_> = ends.iter().filter_map(|end| end.as_ref().err()).collect();
    assert!(
        bad.is_empty(),
        "{} of {REQUESTS} went wrong: {bad:#?}",
        bad.len()
    );
    let broken = ends
        .iter()
        .filter(|end| **end == Ok(End::BrokenOff))
        .count();
    let retried = metric(&api, "chandler_gateway_retries_total");
    println!("{broken} streams broke off with an error event, {retried} requests were sent again");
    assert!(
        retried >= 1.0,
        "no request was on the killed replica: the test proved nothing"
    );

    let back = chandler
        .wait_replicas("chat", 2)
        .expect("both replicas are back");
    let pids: Vec<_> = back.iter().filter_map(|(_, replica)| replica.pid).collect();
    assert_eq!(pids.len(), 2);
    assert!(
        !pids.contains(&killed),
        "{killed} was killed and is told ready: {back:?}"
    );
    assert_eq!(before.pid, Some(killed));
    assert_eq!(ask_whole(&api, 0), Ok(End::Answered));

    let pids = chandler.replica_pids();
    assert_eq!(
        pids.len(),
        3,
        "two replicas and one in the killed one's place: {pids:?}"
    );
    chandler.stop().expect("exit status 0");
    let left: Vec<_> = pids.into_iter().filter(|pid| runs(*pid)).collect();
    assert!(left.is_empty(), "processes were left behind: {left:?}");
}

#[test]
fn a_killed_chandler_leaves_no_orphan() {
    let _turn = take_turn();
    let (_folder, manifest) = chat_manifest(2);
    let mut chandler = Chandler::up("127.0.0.1:0", &["-f", &manifest]).expect("chandler starts");
    chandler.wait_replicas("chat", 2).expect("two replicas");
    let pids = chandler.replica_pids();
    assert_eq!(pids.len(), 2);
    assert!(pids.iter().all(|pid| runs(*pid)));
    chandler.process().signal(Signal::SIGKILL).expect("killed");
    wait_until("the replicas to end by themselves", PATIENCE, || {
        !pids.iter().any(|pid| runs(*pid))
    })
    .expect("no orphan");
}

#[test]
fn sigterm_lets_a_running_answer_finish() {
    let _turn = take_turn();
    let (_folder, manifest) = chat_manifest(1);
    let mut chandler = Chandler::up("127.0.0.1:0", &["-f", &manifest]).expect("chandler starts");
    let api = chandler.api().expect("the gateway listens");
    chandler.wait_replicas("chat", 1).expect("a replica");
    let pids = chandler.replica_pids();

    let mut stream = api
        .stream("/v1/chat/completions", &question(1, true))
        .expect("a stream");
    stream
        .next()
        .expect("an event")
        .expect("a well-formed event");
    chandler
        .process()
        .signal(Signal::SIGTERM)
        .expect("signalled");
    for event in stream.by_ref() {
        let event = event.expect("a well-formed event");
        assert!(event["error"].is_null(), "the answer was cut off: {event}");
    }
    assert!(stream.is_done(), "the stream ended without [DONE]");
    let status = chandler.process().wait(PATIENCE).expect("it ends");
    assert!(
        status.success(),
        "{status}; it wrote:\n{}",
        chandler.output().text()
    );
    assert!(
        !pids.iter().any(|pid| runs(*pid)),
        "processes were left behind"
    );
}
