//! Answers that are held to a form.

use super::*;

/// A model that would rather write the same letter for ever, but finds no byte impossible.
fn babbler() -> LoadedModel {
    let mut lm = ToyLm::new(&"z".repeat(400));
    lm.others = -2.0;
    text_model(lm)
}

fn answer(body: &Value) -> (&str, &str) {
    let choice = &body["choices"][0];
    let text = choice["message"]["content"].as_str();
    (text.unwrap(), choice["finish_reason"].as_str().unwrap())
}

#[tokio::test]
async fn json_has_the_shape_that_a_schema_asks_for() {
    let server = Server::start(babbler()).await;
    let schema = json!({"type": "object", "properties": {
        "name": {"type": "string", "maxLength": 4}, "good": {"type": "boolean"}},
        "required": ["name", "good"], "additionalProperties": false});
    let format = json!({"type": "json_schema", "json_schema": {"name": "it", "schema": schema}});
    for extra in [
        json!({"response_format": format}),
        json!({"response_format": format, "temperature": 1.5, "seed": 4, "top_p": 0.9, "n": 2}),
        json!({"guided_json": schema}),
    ] {
        let (status, body) = server.post(CHAT, &chat(&extra)).await;
        assert_eq!(status, 200, "{body}");
        let (text, reason) = answer(&body);
        assert_eq!(reason, "stop");
        let parsed: Value = serde_json::from_str(text).unwrap();
        assert!(parsed["good"].is_boolean(), "{parsed}");
        assert!(parsed["name"].as_str().unwrap().chars().count() <= 4);
        assert_eq!(parsed.as_object().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn expressions_choices_and_grammars_hold_answers_too() {
    let server = Server::start(babbler()).await;
    for (form, text) in [
        (json!({"regex": "[a-d]{2}[z]{3}"}), "aazzz"),
        (json!({"choice": ["north", "zoo", "zone"]}), "zone"),
        (json!({"grammar": "start: \"<\" /z{2}/ \">\""}), "<zz>"),
    ] {
        let extra = json!({"structured_outputs": form, "stream": true});
        let chunks = chunks(server.request(CHAT, &chat(&extra)).send().await.unwrap()).await;
        let deltas = chunks.iter().map(|chunk| &chunk["choices"][0]);
        let written: String = deltas
            .clone()
            .filter_map(|choice| choice["delta"]["content"].as_str())
            .collect();
        assert_eq!(written, text);
        assert_eq!(deltas.clone().next_back().unwrap()["finish_reason"], "stop");
    }
    let prompt =
        json!({"model": "toy", "prompt": ["a", "b"], "temperature": 0, "guided_regex": "q{5}"});
    let (_, body) = server.post(COMPLETIONS, &prompt).await;
    for choice in body["choices"].as_array().unwrap() {
        assert_eq!(
            (&choice["text"], &choice["finish_reason"]),
            (&json!("qqqqq"), &json!("stop"))
        );
    }
}

#[tokio::test]
async fn an_answer_ends_where_its_form_may_end_and_no_sooner() {
    let server = Server::start(text_model(ToyLm::new("ab"))).await;
    let ask = |regex: &str| chat(&json!({"guided_regex": regex, "max_tokens": 6}));
    // After `ab` the toy would end.
    let (_, body) = server.post(CHAT, &ask("[a-z]*")).await;
    assert_eq!(answer(&body), ("ab", "stop"));
    assert_eq!(body["usage"]["completion_tokens"], 3);
    let (_, body) = server.post(CHAT, &ask("[a-z]{4}")).await;
    assert_eq!(answer(&body), ("abab", "stop"));
    // Nothing can follow: there is no step for an end token.
    assert_eq!(body["usage"]["completion_tokens"], 4);
    let (_, body) = server.post(CHAT, &ask("[a-z]{9}")).await;
    assert_eq!(answer(&body), ("ababab", "length"));
}

#[tokio::test]
async fn forms_that_are_none_are_refused_before_anything_is_queued() {
    let server = Server::start(babbler()).await;
    let schema =
        json!({"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": 5}}});
    for (extra, param) in [
        (json!({"response_format": schema}), "response_format"),
        (json!({"guided_regex": "(a"}), "guided_regex"),
        (
            json!({"structured_outputs": {"grammar": "root ::= \"a\""}}),
            "structured_outputs.grammar",
        ),
    ] {
        for stream in [false, true] {
            let mut body = chat(&extra);
            body["stream"] = json!(stream);
            let (status, body) = server.post(CHAT, &body).await;
            assert_eq!(status, 400, "{body}");
            assert_eq!(body["error"]["param"], param, "{body}");
            assert_eq!(body["error"]["code"], "invalid_form");
        }
    }
    let nothing_read = r#"vllm:prompt_tokens_total{model_name="toy"} 0"#;
    server.assert_measured(&[nothing_read]).await;
}

#[tokio::test]
async fn a_form_without_a_token_that_is_possible_fails_alone() {
    // This toy finds nothing but letters possible.
    let server = Server::start(text_model(ToyLm::new("ab"))).await;
    let (status, body) = server
        .post(CHAT, &chat(&json!({"guided_regex": "[0-9]+"})))
        .await;
    assert_eq!(status, 500, "{body}");
    let (_, body) = server.post(CHAT, &chat(&json!({}))).await;
    assert_eq!(answer(&body), ("ab", "stop"));
}
