mod echo;

use std::sync::mpsc::Sender;
use std::time::Duration;

use super::*;
use crate::engine::testing::{EOS, Gate, ToyLm, byte_tokenizer};
use crate::engine::{
    Deadline, EngineStats, Event, FinishReason, Liveness, Sampling, Standing, Usage, Written,
};

/// One sequence at a time.
fn start(toy: ToyLm, queue: usize) -> BatchingEngine {
    start_with(
        toy,
        BatchLimits {
            sequences: 1,
            queue: QueueBounds::of_requests(queue),
        },
    )
}

fn start_with(toy: ToyLm, limits: BatchLimits) -> BatchingEngine {
    let metrics = Arc::new(Metrics::new("m").unwrap());
    let tokenizer = Arc::new(byte_tokenizer());
    BatchingEngine::start(Box::new(toy), tokenizer, vec![EOS], limits, metrics).unwrap()
}

fn gated(answer: &str, max_queue: usize) -> (Sender<()>, BatchingEngine) {
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
        constraint: None,
        shows_special: false,
        logprobs: None,
        echo: false,
        standing: Standing::default(),
        deadline: Deadline::NEVER,
        measured: true,
    }
}

async fn read(mut stream: EventStream) -> (String, Event) {
    let mut text = String::new();
    loop {
        match stream.next().await {
            Event::Text(more) => text.push_str(&more.text),
            last => return (text, last),
        }
    }
}

fn letter(text: &str) -> Event {
    Event::Text(Written {
        text: text.to_owned(),
        logprobs: Vec::new(),
    })
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
    let mut toy = ToyLm::new("x");
    toy.context = 2000;
    let calls = Arc::clone(&toy.calls);
    let engine = start(toy, 4);
    read(engine.submit(ask(&"p".repeat(1500))).unwrap()).await;
    let calls = calls.lock().unwrap().concat();
    assert_eq!(calls[0], (0, 128));
    let mut read = 0;
    for (position, tokens) in &calls {
        assert_eq!(*position, read);
        read += tokens;
    }
    assert_eq!(calls.last(), Some(&(1500, 1)));
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
    assert_eq!(running.next().await, letter("a"));
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
fn ended(engine: &BatchingEngine) -> Vec<String> {
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
    assert_eq!(running.next().await, letter("a"));
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
    let mut running = engine.submit(ask("123456789")).unwrap();
    steps.send(()).unwrap();
    running.next().await;
    let _waiting = engine.submit(ask("x")).unwrap();
    let stats = engine.intake.stats();
    assert_eq!((stats.running, stats.waiting), (1, 1));
    assert_eq!(stats.waiting_tokens, 1);
    // Nine tokens and the one that was written: two blocks.
    assert_eq!(stats.cache_usage, 2.0 / 256.0);
    drop(steps);
    read(running).await;
    let idle = EngineStats {
        most_running: 1,
        ..EngineStats::default()
    };
    let load = || EngineStats {
        prefill_rate: 0.0,
        decode_rate: 0.0,
        ..engine.intake.stats()
    };
    until(|| load() == idle).await;
    let rates = engine.intake.stats();
    assert!(rates.prefill_rate > 0.0 && rates.decode_rate > 0.0);
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

#[tokio::test]
async fn sequences_join_and_leave_between_steps() {
    let (steps, gate) = Gate::shut();
    let mut toy = ToyLm::new("abc");
    toy.gate = gate;
    let calls = Arc::clone(&toy.calls);
    let engine = start_with(
        toy,
        BatchLimits {
            sequences: 2,
            queue: QueueBounds::of_requests(4),
        },
    );
    let mut first = engine.submit(ask("1234")).unwrap();
    steps.send(()).unwrap();
    assert_eq!(first.next().await, letter("a"));
    // One step is under way, which the second may join or not; the third waits.
    let second = engine.submit(ask("56")).unwrap();
    let third = engine.submit(ask("7")).unwrap();
    drop(steps);
    for stream in [first, second, third] {
        let (text, last) = read(stream).await;
        assert!(["abc", "bc"].contains(&&*text), "{text}");
        assert!(matches!(
            last,
            Event::Finished {
                reason: FinishReason::Stop,
                ..
            }
        ));
    }
    let calls = calls.lock().unwrap();
    assert!(calls.iter().any(|chunks| chunks.len() == 2), "{calls:?}");
    assert!(calls.iter().all(|chunks| chunks.len() <= 2), "{calls:?}");
}

#[tokio::test]
async fn callers_take_turns_and_the_urgent_goes_first() {
    let (steps, gate) = Gate::shut();
    let mut toy = ToyLm::new("abc");
    toy.gate = gate;
    let calls = Arc::clone(&toy.calls);
    let engine = start(toy, 8);
    let from = |prompt: &str, caller, priority| {
        let mut request = ask(prompt);
        request.standing = Standing { caller, priority };
        engine.submit(request).unwrap()
    };
    let mut first = from("1", 1, 0);
    steps.send(()).unwrap();
    first.next().await;
    let others = [
        from("22", 1, 0),
        from("333", 1, 0),
        from("4444", 2, 0),
        from("55555", 1, -1),
    ];
    drop(steps);
    for stream in [first].into_iter().chain(others) {
        read(stream).await;
    }
    let calls = calls.lock().unwrap().concat();
    let begun = |tokens| calls.iter().position(|call| *call == (0, tokens));
    assert!(begun(5) < begun(4), "{calls:?}");
    assert!(begun(4) < begun(3), "{calls:?}");
    assert!(begun(3).is_some());
}

#[tokio::test]
async fn what_is_beside_a_sequence_changes_nothing_of_it() {
    let mut request = ask("hi");
    request.sampling = Sampling {
        seed: Some(11),
        ..Sampling::default()
    };
    request.max_tokens = 40;
    let limits = BatchLimits {
        sequences: 4,
        queue: QueueBounds::of_requests(8),
    };
    let engine = start_with(ToyLm::new(&"q".repeat(100)), limits);
    let (alone, _) = read(engine.submit(request.clone()).unwrap()).await;
    let others: Vec<_> = (0..6)
        .map(|_| engine.submit(ask("other")).unwrap())
        .collect();
    let (beside, _) = read(engine.submit(request).unwrap()).await;
    assert_eq!(alone, beside);
    for other in others {
        read(other).await;
    }
}

#[tokio::test]
async fn of_a_step_that_fails_the_others_go_on() {
    for bad in ["a#", "a!"] {
        let (steps, gate) = Gate::shut();
        let mut toy = ToyLm::new("fine");
        toy.gate = gate;
        let engine = start_with(
            toy,
            BatchLimits {
                sequences: 3,
                queue: QueueBounds::of_requests(4),
            },
        );
        let good = engine.submit(ask("good")).unwrap();
        let bad = engine.submit(ask(bad)).unwrap();
        let other = engine.submit(ask("good and more")).unwrap();
        drop(steps);
        assert!(matches!(read(bad).await.1, Event::Failed(_)));
        assert_eq!(read(good).await.0, "fine");
        assert_eq!(read(other).await.0, "fine");
    }
}

#[tokio::test]
async fn a_full_cache_delays_and_loses_nothing() {
    let mut toy = ToyLm::new(&"abcdefghij".repeat(2));
    toy.context = 40;
    toy.blocks = 5;
    let engine = start_with(
        toy,
        BatchLimits {
            sequences: 4,
            queue: QueueBounds::of_requests(8),
        },
    );
    let streams: Vec<_> = ["one", "two", "three", "four"]
        .map(|it| engine.submit(ask(it)).unwrap())
        .into();
    for stream in streams {
        assert_eq!(read(stream).await.0, "abcdefghij".repeat(2));
    }
}
