//! Tokens of texts, and texts of tokens.

use super::*;

fn ask(fields: Value) -> Value {
    let mut body = fields;
    body["model"] = json!("toy");
    body
}

#[tokio::test]
async fn texts_become_tokens_and_tokens_texts() {
    let server = Server::start(text_model(ToyLm::new("ok"))).await;
    let bos = u64::from(BOS);
    for (asked, tokens) in [
        (json!({"prompt": "ab"}), json!([bos, 97, 98])),
        (json!({"prompt": "<s>a"}), json!([bos, 97])),
        (
            json!({"prompt": "ab", "add_special_tokens": false}),
            json!([97, 98]),
        ),
        (
            json!({"prompt": "", "add_special_tokens": false}),
            json!([]),
        ),
    ] {
        let (status, told) = server.post(TOKENIZE, &ask(asked)).await;
        assert_eq!((status, &told["tokens"]), (200, &tokens));
        assert_eq!(told["count"], tokens.as_array().unwrap().len());
        assert_eq!(told["max_model_len"], 512);
        assert_eq!(told["token_strs"], Value::Null);
    }
    let asked = ask(json!({"prompt": "a", "return_token_strs": true}));
    let (_, told) = server.post(TOKENIZE, &asked).await;
    assert_eq!(told["token_strs"], json!(["<s>", "a"]));
    let tokens = json!({"tokens": [bos, 195, 169, 97]});
    let (status, told) = server.post(DETOKENIZE, &ask(tokens)).await;
    assert_eq!((status, told), (200, json!({"prompt": "<s>éa"})));
}

#[tokio::test]
async fn what_is_told_is_what_the_model_reads() {
    let server = Server::start(text_model(ToyLm::new("ok"))).await;
    for (path, body) in [
        (CHAT, chat(&json!({"max_tokens": 1}))),
        (
            COMPLETIONS,
            ask(json!({"prompt": "hello", "max_tokens": 1})),
        ),
    ] {
        let (_, answer) = server.post(path, &body).await;
        let read = answer["usage"]["prompt_tokens"].as_u64().unwrap();
        let mut asked = body;
        for name in ["max_tokens", "temperature"] {
            asked.as_object_mut().unwrap().remove(name);
        }
        let (status, told) = server.post(TOKENIZE, &asked).await;
        assert_eq!((status, &told["count"]), (200, &json!(read)), "{path}");
    }
}

#[tokio::test]
async fn a_conversation_ends_where_it_is_asked_to() {
    let LoadedModel::Text(mut model) = text_model(ToyLm::new("ok")) else {
        panic!("a model of the wrong kind");
    };
    let template = format!("{TEMPLATE}{{% if add_generation_prompt %}}<s>me: {{% endif %}}");
    let template = ChatTemplate::new(template, "<s>".to_owned(), "</s>".to_owned());
    model.template = Some(template.unwrap());
    let server = Server::start(LoadedModel::Text(model)).await;
    for (extra, text) in [
        (json!({}), "<s>user: hi<s>me: "),
        (json!({"add_generation_prompt": true}), "<s>user: hi<s>me: "),
        (json!({"add_generation_prompt": false}), "<s>user: hi"),
    ] {
        let mut asked = chat(&extra);
        asked.as_object_mut().unwrap().remove("temperature");
        let (_, told) = server.post(TOKENIZE, &asked).await;
        let tokens = ask(json!({"tokens": told["tokens"]}));
        let (_, told) = server.post(DETOKENIZE, &tokens).await;
        assert_eq!(told["prompt"], text);
    }
}

#[tokio::test]
async fn every_model_has_tokens() {
    for model in [embedding_model(), classifier()] {
        let server = Server::start(model).await;
        let (status, told) = server.post(TOKENIZE, &ask(json!({"prompt": "ab"}))).await;
        assert_eq!((status, &told["tokens"]), (200, &json!([97, 98])));
        // They are told of texts that are too long for it, too.
        let long = ask(json!({"prompt": "x".repeat(65)}));
        let (_, told) = server.post(TOKENIZE, &long).await;
        assert_eq!(
            (&told["count"], &told["max_model_len"]),
            (&json!(65), &json!(64))
        );
        let (status, body) = server.post(TOKENIZE, &chat(&json!({}))).await;
        assert_eq!((status, &body["error"]["param"]), (400, &json!("messages")));
    }
}

#[tokio::test]
async fn what_has_no_tokens_is_refused_by_name() {
    let server = Server::start(text_model(ToyLm::new("ok"))).await;
    let messages = json!([{"role": "user", "content": "hi"}]);
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    for (path, asked, param, text) in [
        (TOKENIZE, json!({}), "prompt", "or `messages`"),
        (TOKENIZE, json!({"prompt": ["a"]}), "prompt", "a string"),
        (
            TOKENIZE,
            json!({"prompt": "a", "messages": messages}),
            "messages",
            "not both",
        ),
        (
            TOKENIZE,
            json!({"prompt": "a", "tools": tools}),
            "tools",
            "not both",
        ),
        (
            TOKENIZE,
            json!({"messages": []}),
            "messages",
            "at least one",
        ),
        (
            TOKENIZE,
            json!({"messages": messages, "add_special_tokens": true}),
            "add_special_tokens",
            "leave",
        ),
        (
            TOKENIZE,
            json!({"messages": messages, "continue_final_message": true}),
            "continue_final_message",
            "as `prompt`",
        ),
        (
            TOKENIZE,
            json!({"messages": messages, "tools": tools}),
            "tools",
            "tools",
        ),
        (DETOKENIZE, json!({}), "tokens", "token ids"),
        (
            DETOKENIZE,
            json!({"tokens": ["a"]}),
            "tokens",
            "whole numbers",
        ),
        (
            DETOKENIZE,
            json!({"tokens": [97, VOCAB]}),
            "tokens",
            "not in the vocabulary",
        ),
    ] {
        let (status, body) = server.post(path, &ask(asked)).await;
        assert_eq!(
            (status, &body["error"]["param"]),
            (400, &json!(param)),
            "{body}"
        );
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains(text), "{message}");
    }
}
