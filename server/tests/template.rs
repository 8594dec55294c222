//! Chat templates, that of a real model and the corners that others reach into.

mod models;

use chandler_server::load::{ChatMessage, ChatTemplate, TemplateError};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    messages: Option<Vec<ChatMessage>>,
    prompt: String,
}

fn message(role: &str, content: &str) -> ChatMessage {
    ChatMessage {
        role: role.to_owned(),
        content: content.to_owned(),
        ..ChatMessage::default()
    }
}

fn render(source: &str, messages: &[ChatMessage]) -> Result<String, TemplateError> {
    ChatTemplate::new(source.to_owned(), "<s>".to_owned(), "</s>".to_owned())?
        .render(messages, true)
}

#[test]
fn the_models_template_gives_the_text_that_jinja_gives() {
    let template = models::smollm2().template.expect("a template");
    let fixture: Fixture =
        serde_json::from_str(include_str!("fixtures/smollm2_greedy.json")).expect("a fixture");
    let mut seen = 0;
    for case in fixture.cases {
        let Some(messages) = case.messages else {
            continue;
        };
        assert_eq!(template.render(&messages, true), Ok(case.prompt));
        seen += 1;
    }
    assert!(seen >= 3);
}

#[test]
fn without_a_generation_prompt_the_text_ends_with_the_last_message() {
    let template = models::smollm2().template.expect("a template");
    let text = template
        .render(&[message("user", "Hi")], false)
        .expect("a text");
    assert!(text.ends_with("<|im_start|>user\nHi<|im_end|>\n"), "{text}");
}

#[test]
fn special_tokens_and_missing_tools_are_there_by_name() {
    let source = "{{ bos_token }}{% if tools is none %}-{% endif %}{{ eos_token }}";
    assert_eq!(render(source, &[]).as_deref(), Ok("<s>-</s>"));
}

#[test]
fn python_methods_and_loop_controls_work() {
    let source = "{% for m in messages %}{% if m.role.startswith('s') %}{% continue %}{% endif %}\
                  {{ m['content'].strip().upper() }}{% break %}{% endfor %}";
    let messages = [
        message("system", "no"),
        message("user", " yes "),
        message("user", "no"),
    ];
    assert_eq!(render(source, &messages).as_deref(), Ok("YES"));
}

#[test]
fn blocks_leave_no_empty_lines() {
    let source = "{% for m in messages %}\n    {% if true %}\n{{ m.content }}\n    {% endif %}\n{% endfor %}\n";
    let messages = [message("user", "a"), message("user", "b")];
    assert_eq!(render(source, &messages).as_deref(), Ok("a\nb\n"));
}

#[test]
fn a_template_that_refuses_is_quoted() {
    let source = "{% if messages[0].role != 'user' %}\
                  {{ raise_exception('the first message must be the user\\'s') }}{% endif %}";
    let error = render(source, &[message("tool", "x")]).expect_err("an error");
    assert_eq!(error.reason(), "TemplateRefused");
    assert!(
        error
            .to_string()
            .ends_with("the first message must be the user's"),
        "{error}"
    );
    assert_eq!(render(source, &[message("user", "x")]).as_deref(), Ok(""));
}

#[test]
fn a_template_that_fails_says_why() {
    let error = render(
        "{{ messages[0].content.no_such() }}",
        &[message("user", "x")],
    );
    let error = error.expect_err("an error");
    assert_eq!(error.reason(), "TemplateFailed");
    assert!(error.to_string().contains("no_such"), "{error}");
    let error = render("{% for %}", &[]).expect_err("an error");
    assert_eq!(error.reason(), "TemplateSyntax");
}

#[test]
fn the_date_is_written_as_asked_and_nonsense_is_refused() {
    let year = render("{{ strftime_now('%Y') }}", &[]).expect("a year");
    assert!(
        year.len() == 4 && year.bytes().all(|b| b.is_ascii_digit()),
        "{year}"
    );
    let error = render("{{ strftime_now('%!') }}", &[]).expect_err("an error");
    assert_eq!(error.reason(), "TemplateFailed");
}

#[test]
fn json_is_written_as_python_writes_it() {
    let call =
        serde_json::json!({"function": {"name": "f", "arguments": {"b": "<ü>", "a": [1, {}]}}});
    let message = ChatMessage {
        tool_calls: vec![call],
        ..message("assistant", "")
    };
    let source = "{{ messages[0].tool_calls[0].function | tojson }}|\
                  {{ messages[0].tool_calls[0].function.arguments | tojson(indent=2) }}";
    let expected = "{\"name\": \"f\", \"arguments\": {\"b\": \"<ü>\", \"a\": [1, {}]}}|\
                    {\n  \"b\": \"<ü>\",\n  \"a\": [\n    1,\n    {}\n  ]\n}";
    assert_eq!(render(source, &[message]).as_deref(), Ok(expected));
}

#[test]
fn what_a_message_lacks_is_not_defined() {
    let source = "{{ 'tool_calls' in messages[0] }} {{ messages[0].tool_call_id is defined }} \
                  {{ messages[1].tool_call_id }}";
    let answered = ChatMessage {
        tool_call_id: Some("c1".to_owned()),
        ..message("tool", "x")
    };
    let messages = [message("user", "x"), answered];
    assert_eq!(render(source, &messages).as_deref(), Ok("False False c1"));
}

#[test]
fn a_template_that_reads_tools_is_given_them() {
    let template = |source: &str| {
        ChatTemplate::new(source.to_owned(), String::new(), String::new()).expect("a template")
    };
    assert_eq!(template("{{ messages }}").source_with_tools(), None);
    let source = "{%- for tool in tools %}{{ tool.function.name }};{% endfor %}";
    let template = template(source);
    assert_eq!(template.source_with_tools(), Some(source));
    let tools = ["a", "b"].map(|name| serde_json::json!({"function": {"name": name}}));
    assert_eq!(
        template.render_with_tools(&[], &tools, true).as_deref(),
        Ok("a;b;")
    );
}
