//! The divergence of what two revisions may write first.

use super::*;
use crate::eval::question::first_token;

/// A server of both forms, whose likeliest first tokens are these.
async fn likely(tokens: &'static [(&'static str, f64)]) -> Url {
    let told = move |asked: Asked| async move {
        if asked.json["max_tokens"] != 1 {
            return reply(400, "");
        }
        let logprobs = match asked.path.as_str() {
            "/v1/completions" if asked.json["logprobs"] == 5 => {
                let told = tokens.iter().map(|(text, share)| (*text, share.ln()));
                let told: serde_json::Map<_, _> = told
                    .map(|(text, logprob)| (text.to_owned(), json!(logprob)))
                    .collect();
                json!({"tokens": [tokens[0].0], "top_logprobs": [told]})
            }
            _ if asked.json["top_logprobs"] == 20 && asked.json["logprobs"] == true => {
                let told = tokens.iter().map(|(text, share)| {
                    json!({"token": text, "logprob": share.ln(), "bytes": text.as_bytes()})
                });
                let told: Value = told.collect();
                json!({"content": [{"token": tokens[0].0, "bytes": [], "top_logprobs": told}]})
            }
            _ => return reply(400, ""),
        };
        reply(
            200,
            &json!({"choices": [{"logprobs": logprobs}]}).to_string(),
        )
    };
    serve(told).await
}

fn both_forms() -> Suite {
    let text = r#"{"id": "chat", "messages": [{"role": "user", "content": "Hi"}]}
{"id": "text", "input": "The sky is"}"#;
    Suite::parse(text, Metric::KlDivergence).expect("a suite")
}

async fn diverges(stable: &Url, canary: &Url) -> Judged {
    let args = format!(
        "--metric klDivergence --stable {stable} --canary {canary} --model m --max-regression 0.01"
    );
    let args = parse(&args).expect("arguments");
    judged(&args, &both_forms()).await.expect("a verdict")
}

#[tokio::test]
async fn equal_servers_diverge_by_nothing_and_others_by_what_they_do() {
    let one = likely(&[("a", 0.5), ("b", 0.25), ("c", 0.25)]).await;
    let other = likely(&[("a", 0.25), ("b", 0.5), ("c", 0.25)]).await;
    let equal = read(&diverges(&one, &one).await);
    assert_eq!(equal["comparison"]["canary"], 0.0);
    assert_eq!(equal["verdict"]["outcome"], "pass");
    let different = read(&diverges(&one, &other).await);
    // 0.5 ln 2 + 0.25 ln ½, by the definition.
    let divergence = different["comparison"]["canary"]
        .as_f64()
        .expect("a number");
    assert!(
        (divergence - 0.25 * 2.0_f64.ln()).abs() < 1e-6,
        "{divergence}"
    );
    assert_eq!(different["verdict"]["outcome"], "fail");
    let row = &different["rows"][0];
    assert_eq!(
        (&row["stable"]["text"], &row["canary"]["text"]),
        (&json!("a"), &json!("a"))
    );
}

fn read(judged: &Judged) -> Value {
    serde_json::from_str(&judged.json).expect("JSON")
}

#[tokio::test]
async fn an_answer_without_probabilities_is_a_fault() {
    let url = model(|_| "blue").await;
    let args = format!("--metric klDivergence --stable {url} --canary {url} --model m");
    let suite = Suite::parse(
        r#"{"id": "sky", "input": "The sky is"}"#,
        Metric::KlDivergence,
    );
    let args = parse(&args).expect("arguments");
    let fault = gathered(&args, &suite.expect("a suite")).await;
    let fault = fault.expect_err("no probabilities").to_string();
    assert!(fault.starts_with("item `sky`: the "), "{fault}");
    assert!(fault.contains("no `logprobs` of a first token"), "{fault}");
}

/// The names of the likeliest tokens of an answer.
fn names(logprobs: &Value) -> Result<Vec<String>, String> {
    let answer = json!({"choices": [{"logprobs": logprobs}]});
    let likeliest = first_token(&answer)?.likeliest.into_iter();
    Ok(likeliest.map(|likely| likely.token).collect())
}

#[test]
fn a_written_token_that_is_not_likely_is_left_out() {
    let of = |written: &str| {
        names(&json!({"tokens": [written], "top_logprobs": [{"c": -3.0, "a": -1.0, "b": -2.0}]}))
    };
    assert_eq!(of("a"), Ok(vec!["a".into(), "b".into(), "c".into()]));
    assert_eq!(of("c"), Ok(vec!["a".into(), "b".into()]));
    let only = names(&json!({"tokens": ["a"], "top_logprobs": [{"a": -1.0}]}));
    assert_eq!(only, Ok(vec!["a".into()]));
}

#[test]
fn parts_of_characters_are_told_apart_by_their_bytes_or_left_out() {
    let one = |bytes: Value, logprob: f64| json!({"token": "\u{fffd}", "bytes": bytes, "logprob": logprob});
    let of = |told: [Value; 2]| {
        let end = json!({"token": "<end>", "bytes": null, "logprob": -1.0});
        let told = [&[end][..], &told].concat();
        names(&json!({"content": [{"token": "<end>", "bytes": null, "top_logprobs": told}]}))
    };
    let bytes = of([one(json!([195]), -2.0), one(json!([196]), -3.0)]);
    let wanted = ["<end>", "\u{fffd} [195]", "\u{fffd} [196]"].map(str::to_owned);
    assert_eq!(bytes, Ok(wanted.to_vec()));
    // Nothing that follows may count: what is left out bounds it from above.
    let none = of([
        one(Value::Null, -2.0),
        json!({"token": "x", "bytes": [120], "logprob": -3.0}),
    ]);
    assert_eq!(none, Ok(vec!["<end>".into()]));
    let first =
        names(&json!({"tokens": ["\u{fffd}"], "top_logprobs": [{"\u{fffd}": -0.1, "a": -4.0}]}));
    assert!(first.expect_err("no name").contains("whole character"));
}

#[test]
fn an_answer_of_no_token_has_no_likeliest_one() {
    for logprobs in [
        Value::Null,
        json!({"content": []}),
        json!({"tokens": [], "top_logprobs": []}),
        json!({"content": [{"token": "a", "bytes": [97]}]}),
        json!({"content": [{"token": "a", "top_logprobs": []}]}),
        json!({"tokens": ["a"], "top_logprobs": [{"a": "likely"}]}),
    ] {
        let told = names(&logprobs).expect_err("no tokens");
        assert!(told.starts_with("no `logprobs`"), "{logprobs}: {told}");
    }
}
