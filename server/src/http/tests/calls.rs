//! Calls of tools: given to the template, found in answers, asked for and answered.

use super::*;

const TEMPLATE: &str = "{# <tool_call> #}{% if tools %}{{ tools|length }} {% endif %}\
    {% for m in messages %}<s>{{ m.role }}: {{ m.content }}\
    {% for call in m.tool_calls %}{{ call.function.arguments.at }}{% endfor %}{% endfor %}";

/// A model whose template knows of calls as Hermes writes them.
fn caller(lm: ToyLm) -> LoadedModel {
    let LoadedModel::Text(mut model) = text_model(lm) else {
        panic!("a text model");
    };
    let template = ChatTemplate::new(TEMPLATE.to_owned(), "<s>".to_owned(), "</s>".to_owned());
    model.template = Some(template.unwrap());
    LoadedModel::Text(model)
}

/// One that babbles, but finds no byte impossible.
fn babbler() -> LoadedModel {
    let mut lm = ToyLm::new(&"z".repeat(400));
    lm.others = -2.0;
    // It fills JSON with all the space that it may.
    lm.context = 2048;
    lm.blocks = 1024;
    caller(lm)
}

fn weather() -> Value {
    let schema = json!({"type": "object", "properties": {"at": {"type": "string", "maxLength": 3}},
        "required": ["at"], "additionalProperties": false});
    let nothing = json!({"type": "object", "additionalProperties": false});
    json!([{"type": "function", "function": {"name": "weather", "parameters": schema}},
        {"type": "function", "function": {"name": "zoo", "parameters": nothing}}])
}

const CALLS: &str = "I see.\n<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"at\": \"Rom\"}}\n</tool_call>\n\
    <tool_call>\n{\"name\": \"zoo\", \"arguments\": {}}\n</tool_call>";

#[tokio::test]
async fn calls_are_found_in_an_answer() {
    let server = Server::start(caller(ToyLm::new(CALLS))).await;
    let (status, body) = server.post(CHAT, &chat(&json!({"tools": weather()}))).await;
    assert_eq!(status, 200, "{body}");
    let choice = &body["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["content"], "I see.");
    let calls = choice["message"]["tool_calls"].as_array().unwrap();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0]["type"], "function");
    let function = json!({"name": "weather", "arguments": "{\"at\": \"Rom\"}"});
    assert_eq!(calls[0]["function"], function);
    assert_eq!(
        calls[1]["function"],
        json!({"name": "zoo", "arguments": "{}"})
    );
    assert_ne!(calls[0]["id"], calls[1]["id"]);
    // `<s>2 ` before `<s>user: hi`: the template was given both.
    assert_eq!(body["usage"]["prompt_tokens"], 12);
    let one = json!({"tools": weather(), "parallel_tool_calls": false});
    let (_, body) = server.post(CHAT, &chat(&one)).await;
    let calls = &body["choices"][0]["message"]["tool_calls"];
    assert_eq!(calls.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn streamed_calls_begin_with_their_names() {
    let server = Server::start(caller(ToyLm::new(CALLS))).await;
    let ask = chat(&json!({"tools": weather(), "stream": true}));
    let chunks = chunks(server.request(CHAT, &ask).send().await.unwrap()).await;
    let mut text = String::new();
    let mut calls: Vec<(String, String)> = Vec::new();
    for chunk in &chunks {
        let delta = &chunk["choices"][0]["delta"];
        text.push_str(delta["content"].as_str().unwrap_or_default());
        for piece in delta["tool_calls"].as_array().into_iter().flatten() {
            if let Some(name) = piece["function"]["name"].as_str() {
                assert_eq!(piece["index"], calls.len());
                assert!(piece["id"].as_str().unwrap().starts_with("call_"));
                calls.push((name.to_owned(), String::new()));
            }
            assert_eq!(piece["index"], calls.len() - 1);
            let more = piece["function"]["arguments"].as_str().unwrap();
            calls.last_mut().unwrap().1.push_str(more);
        }
    }
    assert_eq!(text, "I see.");
    let expected = [("weather", "{\"at\": \"Rom\"}"), ("zoo", "{}")];
    assert_eq!(
        calls,
        expected.map(|(name, it)| (name.to_owned(), it.to_owned()))
    );
    let last = &chunks.last().unwrap()["choices"][0];
    assert_eq!(last["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn a_call_that_is_asked_for_is_made() {
    let server = Server::start(babbler()).await;
    let named = json!({"type": "function", "function": {"name": "weather"}});
    for (choice, names) in [
        (json!("required"), &["weather", "zoo"][..]),
        (named, &["weather"][..]),
    ] {
        let ask = json!({"tools": weather(), "tool_choice": choice, "parallel_tool_calls": false});
        let (status, body) = server.post(CHAT, &chat(&ask)).await;
        assert_eq!(status, 200, "{body}");
        let choice = &body["choices"][0];
        assert_eq!(choice["finish_reason"], "tool_calls", "{choice}");
        assert_eq!(choice["message"]["content"], Value::Null);
        let function = &choice["message"]["tool_calls"][0]["function"];
        let name = function["name"].as_str().unwrap();
        assert!(names.contains(&name), "{function}");
        let arguments: Value =
            serde_json::from_str(function["arguments"].as_str().unwrap()).unwrap();
        assert!(arguments.is_object());
        if name == "weather" {
            assert!(arguments["at"].as_str().unwrap().len() <= 3, "{arguments}");
        }
    }
}

#[tokio::test]
async fn without_tools_to_call_what_looks_like_a_call_is_text() {
    let server = Server::start(caller(ToyLm::new(CALLS))).await;
    for extra in [
        json!({}),
        json!({"tools": weather(), "tool_choice": "none"}),
    ] {
        let (_, body) = server.post(CHAT, &chat(&extra)).await;
        let choice = &body["choices"][0];
        assert_eq!(choice["message"]["content"], CALLS);
        assert_eq!(choice["finish_reason"], "stop");
        assert_eq!(body["usage"]["prompt_tokens"], 9);
    }
}

#[tokio::test]
async fn an_answer_is_json_or_calls_where_both_are_asked_for() {
    let schema = json!({"type": "object", "properties": {"ok": {"type": "boolean"}},
        "required": ["ok"], "additionalProperties": false});
    let format = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}});
    let server = Server::start(caller(ToyLm::new("{\"ok\": true}"))).await;
    let ask = json!({"tools": weather(), "response_format": format});
    let (status, body) = server.post(CHAT, &chat(&ask)).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["choices"][0]["message"]["content"], "{\"ok\": true}");
    let ask = json!({"tools": weather(), "response_format": format, "tool_choice": "required"});
    let (status, body) = server.post(CHAT, &chat(&ask)).await;
    assert_eq!(
        (status, &body["error"]["param"]),
        (400, &json!("response_format"))
    );
}

#[tokio::test]
async fn what_a_tool_answered_is_part_of_the_conversation() {
    let call = json!({"id": "c1", "type": "function",
        "function": {"name": "weather", "arguments": "{\"at\": \"Rome\"}"}});
    let messages = json!([
        {"role": "assistant", "content": null, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "sun"},
    ]);
    let server = Server::start(caller(ToyLm::new("ok"))).await;
    let (status, body) = server
        .post(CHAT, &chat(&json!({"messages": messages})))
        .await;
    assert_eq!(status, 200, "{body}");
    // `<s>assistant: Rome` and `<s>tool: sun`.
    assert_eq!(body["usage"]["prompt_tokens"], 16 + 10);
}

#[tokio::test]
async fn a_template_without_tools_refuses_them() {
    let server = Server::start(text_model(ToyLm::new("ok"))).await;
    let made = json!([{"role": "tool", "tool_call_id": "c1", "content": "x"}]);
    for extra in [json!({"tools": weather()}), json!({"messages": made})] {
        let (status, body) = server.post(CHAT, &chat(&extra)).await;
        assert_eq!(
            (status, &body["error"]["param"]),
            (400, &json!("tools")),
            "{body}"
        );
    }
    // Nothing is asked for by an empty list.
    let (status, _) = server
        .post(CHAT, &chat(&json!({"tools": [], "tool_choice": "auto"})))
        .await;
    assert_eq!(status, 200);
}
