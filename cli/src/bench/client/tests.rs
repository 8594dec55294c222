use super::*;
use crate::openai::testing::{reply, serve};

/// A server that gives every request the same answer, and its address.
async fn server(answer: String) -> Url {
    serve(move |_| {
        let answer = answer.clone();
        async move { answer }
    })
    .await
}

fn question(task: Task) -> Question {
    Question {
        model: "m".to_owned(),
        task,
        texts: vec!["hello".to_owned()],
        generated: 2,
    }
}

async fn asked(answer: String, task: Task, key: Option<&str>) -> Result<Answer, Fault> {
    let url = server(answer).await;
    let client = Client::new(&url, key.map(str::to_owned)).expect("a client");
    client.ask(&question(task)).await
}

#[tokio::test]
async fn vectors_and_texts_are_counted_as_the_server_tells() {
    let vectors = reply(200, r#"{"usage":{"prompt_tokens": 7}}"#);
    let answer = asked(vectors, Task::Vectors, None).await;
    let answer = answer.expect("an answer");
    assert_eq!((answer.prompt_tokens, answer.generated_tokens), (7, 0));
    assert_eq!(answer.first, answer.whole);
    let stream = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n\
        data: {\"choices\":[{\"text\":\"\"}],\"usage\":null}\n\n\
        data: {\"choices\":[{\"text\":\"a\"}]}\n\n\
        data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n\
        data: [DONE]\n\n";
    let answer = asked(stream.to_owned(), Task::Text, None)
        .await
        .expect("an answer");
    assert_eq!((answer.prompt_tokens, answer.generated_tokens), (5, 2));
    assert!(answer.first <= answer.whole);
}

#[tokio::test]
async fn what_is_no_answer_says_what_to_do() {
    let told = |status| reply(status, "");
    let error = reply(400, r#"{"error":{"message":"it is too long"}}"#);
    let cut = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n\
        data: {\"choices\":[{\"text\":\"a\"}]}\n\n\
        data: {\"error\":{\"message\":\"time is up\"}}\n\n";
    let silent = reply(200, "{}");
    for (answer, task, key, reason, words) in [
        (
            told(401),
            Task::Text,
            None,
            "ApiKeyMissing",
            "CHANDLER_API_KEY",
        ),
        (told(401), Task::Text, Some("k"), "ApiKeyRefused", "(401)"),
        (
            told(403),
            Task::Text,
            Some("k"),
            "ApiKeyRefused",
            "may use the model",
        ),
        (
            told(429),
            Task::Vectors,
            None,
            "Busy",
            "nobody else asks it",
        ),
        (
            told(503),
            Task::Vectors,
            None,
            "ServerFailed",
            "the server's log",
        ),
        (
            error,
            Task::Vectors,
            None,
            "RequestRefused",
            "(400): it is too long",
        ),
        (
            cut.to_owned(),
            Task::Text,
            None,
            "AnswerBroken",
            "time is up",
        ),
        (silent, Task::Vectors, None, "UsageMissing", "`usage`"),
    ] {
        let fault = asked(answer, task, key).await.expect_err(reason);
        assert_eq!(fault.reason(), reason, "{fault}");
        assert!(fault.to_string().contains(words), "{fault}");
    }
}

#[tokio::test]
async fn servers_of_something_else_are_told_apart() {
    let client = |url: &Url| Client::new(url, None).expect("a client");
    let page = server(reply(200, "<html>")).await;
    let fault = client(&page).models().await.expect_err("no models");
    assert_eq!(fault.reason(), "ModelsMissing");
    let fault = client(&page).metrics().await.expect_err("no metrics");
    assert_eq!(fault.reason(), "MetricsMissing");
    let lost = server(reply(404, "")).await;
    let fault = client(&lost).models().await.expect_err("no models");
    assert_eq!(fault.reason(), "ModelsMissing");
    let fault = client(&lost).metrics().await.expect_err("no metrics");
    assert!(fault.to_string().contains("--replica-model"), "{fault}");
    let nobody = "http://127.0.0.1:1".parse().expect("an address");
    let fault = client(&nobody).models().await.expect_err("nobody");
    assert_eq!(fault.reason(), "Unreachable");
    assert!(
        fault.to_string().contains("is the server running"),
        "{fault}"
    );
}
