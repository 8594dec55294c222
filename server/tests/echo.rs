//! How likely a prompt is told to be, beside how likely it was as it was written.

mod models;

use std::sync::Arc;

use chandler_server::engine::{
    BatchLimits, BatchingEngine, Deadline, Event, GenerateRequest, QueueBounds, Sampling, Standing,
    TextEngine, TokenLogprobs,
};
use chandler_server::metrics::Metrics;

/// Tokens that are written.
const TOKENS: usize = 40;
/// By how much logarithms of probabilities may differ: steps of other sizes add in another order.
const ROUNDING: f32 = 0.02;

async fn told(engine: &BatchingEngine, request: GenerateRequest) -> Vec<TokenLogprobs> {
    let mut stream = engine.submit(request).expect("room");
    let mut all = Vec::new();
    loop {
        match stream.next().await {
            Event::Text(more) => all.extend(more.logprobs),
            Event::Finished { .. } => return all,
            Event::Failed(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_text_is_as_likely_when_it_is_given_as_when_it_was_written() {
    let model = models::smollm2_widened();
    let prompt = model.encode("Monday, Tuesday, Wednesday,").expect("tokens");
    let limits = BatchLimits {
        sequences: 8,
        queue: QueueBounds::of_requests(4),
    };
    let metrics = Arc::new(Metrics::new("m").expect("metrics"));
    let tokenizer = Arc::new(model.tokenizer);
    let engine = BatchingEngine::start(model.lm, tokenizer, Vec::new(), limits, metrics);
    let engine = engine.expect("a thread");
    let ask = |prompt: &[u32]| GenerateRequest {
        prompt: prompt.to_vec(),
        max_tokens: TOKENS,
        stop: Vec::new(),
        sampling: Sampling::greedy(),
        constraint: None,
        shows_special: false,
        logprobs: Some(1),
        echo: false,
        standing: Standing::default(),
        deadline: Deadline::NEVER,
        measured: false,
    };
    let written = told(&engine, ask(&prompt)).await;
    assert_eq!(written.len(), TOKENS);
    let tokens = written.iter().map(|told| told.token);
    let whole: Vec<u32> = prompt.iter().copied().chain(tokens).collect();
    let given = GenerateRequest {
        max_tokens: 0,
        echo: true,
        ..ask(&whole)
    };
    let given = told(&engine, given).await;
    let all: Vec<u32> = given.iter().map(|told| told.token).collect();
    assert_eq!(all, whole);
    assert!(given[0].logprob.is_none() && given[1..].iter().all(|told| told.logprob.is_some()));
    let mut most = 0f32;
    for (given, written) in given[prompt.len()..].iter().zip(&written) {
        assert_eq!(given.token, given.top[0].0, "the likeliest was written");
        let pair = given.logprob.zip(written.logprob);
        let (given, written) = pair.expect("both are told");
        most = most.max((given - written).abs());
    }
    println!("logarithms differ by at most {most}");
    assert!(most < ROUNDING, "{most}");
}
