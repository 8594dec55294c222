use std::sync::mpsc::Sender;
use std::time::Duration;

use super::*;
use crate::engine::testing::{EOS, Gate, ToyLm, byte_tokenizer};
use crate::engine::{Deadline, EngineStats, Liveness, Sampling};

fn start(toy: ToyLm, max_queue: usize) -> SequentialEngine {
    let metrics = Arc::new(Metrics::new("m").unwrap());
    let tokenizer = Arc::new(byte_tokenizer());
    SequentialEngine::start(Box::new(toy), tokenizer, vec![EOS], max_queue, metrics).unwrap()
}

fn gated(answer: &str, max_queue: usize) -> (Sender<()>, SequentialEngine) {
    let (steps, gate) = Gate::shut();
    let mut toy = ToyLm::new(answer);
    toy.gate = gate;
    (steps, start(toy, max_queue))
}

fn ask(prompt: &str) -> GenerateRequest {
    GenerateRequest {
        prompt: prompt.bytes().map(u32::from).collect(),
        max_tokens: 400,
        stop: Vec::new(),
        sampling: Sampling::greedy(),
        deadline: Deadline::NEVER,
        measured: true,
    }
}

async fn read(mut stream: EventStream) -> (String, Event) {
    let mut text = String::new();
    loop {
        match stream.next().await {
            Event::Text(more) => text.push_str(&more),
            last => return (text, last),
        }
    }
}

fn finished(reason: FinishReason, prompt_tokens: usize, completion_tokens: usize) -> Event {
    let usage = Usage {
        prompt_tokens,
        completion_tokens,
    };
    Event::Finished { reason, usage }
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_answer_ends_at_its_end_token_its_stop_or_its_length() {
    let engine = start(ToyLm::new("Grüße aus Köln"), 4);
    let (text, last) = read(engine.submit(ask("hi")).unwrap()).await;
    assert_eq!(text, "Grüße aus Köln");
    assert_eq!(last, finished(FinishReason::Stop, 2, 18));

    let mut request = ask("hi");
    request.stop = vec!["nowhere".to_owned(), "e a".to_owned()];
    let (text, last) = read(engine.submit(request).unwrap()).await;
    assert_eq!(text, "Grüß");
    assert_eq!(last, finished(FinishReason::Stop, 2, 9));

    let mut request = ask("hi");
    // The third token is the first half of a character.
    request.max_tokens = 3;
    let (text, last) = read(engine.submit(request).unwrap()).await;
    assert_eq!(text, "Gr");
    assert_eq!(last, finished(FinishReason::Length, 2, 3));
}

#[tokio::test]
async fn the_context_ends_an_answer_too() {
    let mut toy = ToyLm::new("abcdefgh");
    toy.context = 6;
    let engine = start(toy, 4);
    let (text, last) = read(engine.submit(ask("1234")).unwrap()).await;
    assert_eq!(text, "ab");
    assert_eq!(last, finished(FinishReason::Length, 4, 2));
}

#[tokio::test]
async fn long_prompts_are_read_in_chunks() {
    let toy = ToyLm::new("x");
    let calls = Arc::clone(&toy.calls);
    let engine = start(toy, 4);
    read(engine.submit(ask(&"p".repeat(300))).unwrap()).await;
    let expected = [(0, 128), (128, 128), (256, 44), (300, 1)];
    assert_eq!(*calls.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_seed_fixes_the_text_whatever_runs_before() {
    let engine = start(ToyLm::new(&"q".repeat(100)), 4);
    let mut request = ask("hi");
    request.sampling.temperature = 1.0;
    request.sampling.seed = Some(11);
    let (first, _) = read(engine.submit(request.clone()).unwrap()).await;
    read(engine.submit(ask("other")).unwrap()).await;
    let (again, _) = read(engine.submit(request.clone()).unwrap()).await;
    assert_eq!(first, again);
    assert_ne!(first, "q".repeat(100));
    request.sampling.seed = Some(12);
    let (other, _) = read(engine.submit(request).unwrap()).await;
    assert_ne!(first, other);
}

#[tokio::test]
async fn a_client_that_goes_frees_the_engine_and_its_place_in_the_queue() {
    let (steps, engine) = gated("abcdef", 1);
    let mut running = engine.submit(ask("one")).unwrap();
    steps.send(()).unwrap();
    assert_eq!(running.next().await, Event::Text("a".to_owned()));
    let waiting = engine.submit(ask("two")).unwrap();
    let refused = engine.submit(ask("three")).unwrap_err();
    assert!(matches!(refused, Refused::Busy { waiting: 1, .. }));
    drop(waiting);
    assert_eq!(engine.intake.stats().waiting, 0);
    let next = engine.submit(ask("four")).unwrap();
    drop(running);
    // One step is under way; the engine sees at the next one that nobody listens.
    steps.send(()).unwrap();
    until(|| engine.intake.stats().waiting == 0).await;
    drop(steps);
    assert_eq!(read(next).await.0, "abcdef");
    let ended = engine
        .metrics
        .render(engine.intake.stats(), &Default::default(), Duration::ZERO);
    let ended = ended.unwrap();
    assert!(ended.contains(r#"{finished_reason="abort",model_name="m"} 2"#));
    assert!(ended.contains(r#"{finished_reason="stop",model_name="m"} 1"#));
}

/// The metrics' lines of ended requests that are not 0.
fn ended(engine: &SequentialEngine) -> Vec<String> {
    let text = engine
        .metrics
        .render(engine.intake.stats(), &Default::default(), Duration::ZERO);
    let text = text.unwrap();
    let ended = text
        .lines()
        .filter_map(|line| line.strip_prefix("vllm:request_success_total{"));
    ended
        .filter(|line| !line.ends_with(" 0"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn a_deadline_ends_a_running_sequence_at_the_next_step_and_a_waiting_one_at_once() {
    let (steps, engine) = gated("abcdef", 4);
    let timeout = r#"finished_reason="timeout",model_name="m"}"#;
    let deadline = Deadline::after(Duration::from_secs(1));
    let mut request = ask("one");
    request.deadline = deadline;
    let mut running = engine.submit(request).unwrap();
    steps.send(()).unwrap();
    assert_eq!(running.next().await, Event::Text("a".to_owned()));
    let mut request = ask("two");
    request.deadline = Deadline::after(Duration::ZERO);
    let mut waiting = engine.submit(request).unwrap();
    assert_eq!(engine.intake.stats().waiting, 0, "its time is up");
    assert_eq!(waiting.next().await, Event::Failed(EngineError::TimeIsUp));
    assert_eq!(ended(&engine), [format!("{timeout} 1")]);

    deadline.passed().await;
    // One step is under way; at the next one the engine sees it.
    steps.send(()).unwrap();
    let (_, last) = read(running).await;
    assert_eq!(last, Event::Failed(EngineError::TimeIsUp));
    assert_eq!(ended(&engine), [format!("{timeout} 2")]);
    drop(steps);
    assert_eq!(read(engine.submit(ask("three")).unwrap()).await.0, "abcdef");
}

#[tokio::test]
async fn failures_and_panics_end_one_request_only() {
    let engine = start(ToyLm::new("fine"), 4);
    let (_, last) = read(engine.submit(ask("a#")).unwrap()).await;
    assert!(matches!(last, Event::Failed(EngineError::Model(_))));
    let (_, last) = read(engine.submit(ask("a!")).unwrap()).await;
    assert_eq!(last, Event::Failed(EngineError::Panicked));
    let (_, last) = read(engine.submit(ask("")).unwrap()).await;
    assert!(matches!(last, Event::Failed(EngineError::Model(_))));
    assert_eq!(read(engine.submit(ask("b")).unwrap()).await.0, "fine");
    assert_eq!(engine.intake.liveness(), Liveness::Alive);
}

#[tokio::test]
async fn the_load_is_told_while_it_runs() {
    let (steps, engine) = gated("abc", 4);
    let mut running = engine.submit(ask("12345678")).unwrap();
    steps.send(()).unwrap();
    running.next().await;
    let _waiting = engine.submit(ask("x")).unwrap();
    let stats = engine.intake.stats();
    assert_eq!((stats.running, stats.waiting), (1, 1));
    assert_eq!(stats.waiting_tokens, 1);
    assert_eq!(stats.cache_usage, 8.0 / 512.0);
    drop(steps);
    read(running).await;
    let idle = EngineStats {
        most_running: 1,
        ..EngineStats::default()
    };
    until(|| engine.intake.stats() == idle).await;
}

#[test]
fn a_dropped_engine_ends_its_thread() {
    let engine = start(ToyLm::new("x"), 4);
    let heartbeat = engine.intake.heartbeat.clone();
    drop(engine);
    while heartbeat.liveness() != Liveness::Dead {
        std::thread::yield_now();
    }
}
