//! How questions are sent, and what becomes of those that are not answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Barrier;

use super::*;
use crate::eval::server::TRIES;
use crate::openai::testing::reply_with;

/// What was asked comes back as the answer.
async fn echo() -> Url {
    let told = async |asked: Asked| {
        let text = json!({"path": asked.path, "json": asked.json}).to_string();
        let answer = json!({"choices": [{"text": text, "message": {"content": text}}]});
        reply(200, &answer.to_string())
    };
    serve(told).await
}

#[tokio::test]
async fn conversations_and_texts_go_to_their_own_paths() {
    let lines = json!({"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]});
    let text = format!("{lines}\n{}", json!({"input": "The sky is"}));
    let suite = Suite::parse(&text, Metric::DistinctN).expect("a suite");
    let url = echo().await;
    let args = format!("--metric distinctN --canary {url} --model m --max-tokens 9 --seed 7");
    let args = parse(&args).expect("arguments");
    let answers = gathered(&args, &suite).await.expect("answers");
    let asked: Vec<Value> = answers
        .canary
        .answers
        .iter()
        .map(|text| read(text))
        .collect();
    let alike = json!({"model": "m", "max_tokens": 9, "temperature": 0, "seed": 7});
    for (asked, path, field, value) in [
        (
            &asked[0],
            "/v1/chat/completions",
            "messages",
            &lines["messages"],
        ),
        (&asked[1], "/v1/completions", "prompt", &json!("The sky is")),
    ] {
        assert_eq!(asked["path"], path);
        let mut wanted = alike.clone();
        wanted[field] = value.clone();
        assert_eq!(asked["json"], wanted);
    }
}

fn read(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[tokio::test]
async fn the_only_model_is_asked_if_none_is_named() {
    let told = async |asked: Asked| match asked.path.as_str() {
        "/v1/models" => reply(200, &json!({"data": [{"id": "only"}]}).to_string()),
        _ => reply(
            200,
            &completion(asked.json["model"].as_str().unwrap_or("")).to_string(),
        ),
    };
    let url = serve(told).await;
    let suite = suite(Metric::ExactMatch, &[("a", "only")]);
    let args = parse(&format!("--metric exactMatch --canary {url}")).expect("arguments");
    let answers = gathered(&args, &suite).await.expect("answers");
    assert_eq!(answers.canary.answers, ["only"]);
}

#[tokio::test]
async fn one_of_several_models_must_be_named() {
    let two = json!({"data": [{"id": "a"}, {"id": "b"}]}).to_string();
    let url = serve(move |_| std::future::ready(reply(200, &two))).await;
    let args = format!("--metric bleu --canary {url} --canary-model a --stable {url}");
    let suite = suite(Metric::Bleu, &[("a", "b")]);
    let fault = gathered(&parse(&args).expect("arguments"), &suite).await;
    assert_eq!(
        fault.expect_err("two models").to_string(),
        "the stable revision serves several models; choose one by --stable-model: a, b"
    );
}

/// Answers only once as many requests wait as may, the last one first.
#[tokio::test]
async fn answers_keep_the_order_of_the_suite_however_they_come() {
    const PARALLEL: usize = 4;
    let barrier = Arc::new(Barrier::new(PARALLEL));
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (running, peak) = (Arc::clone(&now), Arc::clone(&most));
    let told = move |asked: Asked| {
        let (barrier, now, most) = (Arc::clone(&barrier), Arc::clone(&now), Arc::clone(&most));
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            barrier.wait().await;
            let input = asked.json["prompt"].as_str().unwrap_or_default().to_owned();
            let number: u64 = input.parse().unwrap_or_default();
            tokio::time::sleep(Duration::from_millis(5 * (3 - number % 4))).await;
            now.fetch_sub(1, Ordering::SeqCst);
            reply(200, &completion(&input).to_string())
        }
    };
    let url = serve(told).await;
    let inputs: Vec<_> = (0..12).map(|number| number.to_string()).collect();
    let items: Vec<_> = inputs.iter().map(|input| (input.as_str(), "x")).collect();
    let suite = suite(Metric::ExactMatch, &items);
    let args = format!("--metric exactMatch --canary {url} --model m --parallel {PARALLEL}");
    let answers = gathered(&parse(&args).expect("arguments"), &suite).await;
    assert_eq!(answers.expect("answers").canary.answers, inputs);
    assert_eq!(peak.load(Ordering::SeqCst), PARALLEL);
    assert_eq!(running.load(Ordering::SeqCst), 0);
}

/// The fault of one item, whose server answers each request in this way; and how often it was asked.
async fn fault_of(answer: String, more: &str) -> (Fault, usize) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let url = serve(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        let answer = answer.clone();
        async move { answer }
    })
    .await;
    let args = format!("--metric exactMatch --canary {url} --model m {more}");
    let suite = suite(Metric::ExactMatch, &[("capital", "Paris")]);
    let args = parse(args.trim()).expect("arguments");
    let fault = gathered(&args, &suite).await.expect_err("a fault");
    (fault, count.load(Ordering::SeqCst))
}

#[tokio::test]
async fn a_busy_server_is_asked_again_when_it_says() {
    let count = Arc::new(AtomicUsize::new(0));
    let told = move |_| {
        let count = count.fetch_add(1, Ordering::SeqCst);
        async move {
            match count {
                0 => reply_with(429, "retry-after: 0\r\n", ""),
                1 => reply_with(503, "retry-after: 0\r\n", ""),
                _ => reply(200, &completion("Paris").to_string()),
            }
        }
    };
    let url = serve(told).await;
    let suite = suite(Metric::ExactMatch, &[("capital", "Paris")]);
    let args = format!("--metric exactMatch --canary {url} --model m");
    let answers = gathered(&parse(&args).expect("arguments"), &suite).await;
    assert_eq!(answers.expect("an answer").canary.answers, ["Paris"]);
}

#[tokio::test]
async fn no_server_is_asked_for_ever() {
    let busy = |seconds: u32| reply_with(429, &format!("retry-after: {seconds}\r\n"), "");
    let (fault, count) = fault_of(busy(0), "").await;
    assert_eq!((fault.reason(), count), ("Busy", TRIES as usize));
    // By then the time of the request is over.
    let (fault, count) = fault_of(busy(61), "--timeout 60s").await;
    assert_eq!((fault.reason(), count), ("Busy", 1));
    // Nobody said when.
    let (fault, count) = fault_of(reply(503, ""), "").await;
    assert_eq!((fault.reason(), count), ("ServerFailed", 1));
}

#[tokio::test]
async fn a_fault_names_the_item_the_revision_and_what_was_said() {
    let error = json!({"error": {"message": "it is too long"}}).to_string();
    let no_text = json!({"choices": [{"text": null, "finish_reason": "length"}]}).to_string();
    for (answer, reason, words) in [
        (
            reply(400, &error),
            "RequestRefused",
            "(400): it is too long",
        ),
        (reply(500, "oh"), "ServerFailed", "(500): oh"),
        (reply(200, "<html>"), "AnswerBroken", "no JSON"),
        (
            reply(200, "{}"),
            "AnswerBroken",
            "no text in `choices[0].text`",
        ),
        (
            reply(200, &no_text),
            "AnswerBroken",
            "finish_reason is `length`",
        ),
        (reply(401, ""), "ApiKeyMissing", "CHANDLER_API_KEY"),
    ] {
        let (fault, count) = fault_of(answer, "").await;
        assert_eq!((fault.reason(), count), (reason, 1), "{fault}");
        let text = fault.to_string();
        assert!(
            text.starts_with("item `capital`: the canary: http"),
            "{text}"
        );
        assert!(text.contains(words), "{text}");
    }
}

#[tokio::test]
async fn one_fault_ends_the_whole_evaluation() {
    let told = async |asked: Asked| match asked.json["prompt"].as_str() {
        Some("bad") => reply(400, ""),
        // Whoever waited for it would never end.
        _ => std::future::pending().await,
    };
    let (stable, canary) = (serve(told).await, echo().await);
    let suite = suite(Metric::ExactMatch, &[("slow", "x"), ("bad", "x")]);
    let args = format!("--metric exactMatch --stable {stable} --canary {canary} --model m");
    let fault = gathered(&parse(&args).expect("arguments"), &suite).await;
    let fault = fault.expect_err("a fault").to_string();
    assert!(
        fault.starts_with("item `bad`: the stable revision: "),
        "{fault}"
    );
}

#[tokio::test]
async fn answers_that_are_known_are_not_asked_for_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&asked);
    let url = serve(move |_| {
        seen.fetch_add(1, Ordering::Relaxed);
        async { reply(200, &completion("blue").to_string()) }
    })
    .await;
    let items = [("sky", "blue"), ("grass", "green")];
    let mut known = None;
    for metric in [Metric::Contains, Metric::Chrf] {
        let args = format!("--metric {metric} --canary {url} --model m");
        let (args, suite) = (parse(&args).expect("arguments"), suite(metric, &items));
        let servers = Servers::find(&args).await.expect("servers");
        let gathered = servers.gather(&args, &suite, &mut known).await;
        let canary = gathered.expect("answers").canary;
        assert_eq!(canary.answers, ["blue", "blue"]);
        assert_eq!(asked.load(Ordering::Relaxed), items.len());
    }
}
