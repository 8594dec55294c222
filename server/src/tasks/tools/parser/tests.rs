use super::*;

/// The text, and each call with its arguments.
type Read = (String, Vec<(String, String)>);

fn gather(parts: Vec<Part>) -> Read {
    let mut read = Read::default();
    for part in parts {
        match part {
            Part::Text(text) => read.0.push_str(&text),
            Part::Call { name, .. } => read.1.push((name, String::new())),
            Part::Arguments(more) => read.1.last_mut().unwrap().1.push_str(&more),
        }
    }
    read
}

fn parse(format: ToolFormat, several: bool, pieces: &[&str]) -> Read {
    let mut parser = ToolCallParser::new(format, several);
    let mut parts: Vec<Part> = pieces.iter().flat_map(|piece| parser.push(piece)).collect();
    parts.extend(parser.finish());
    let read = gather(parts);
    assert!(parser.has_calls() || read.1.is_empty());
    read
}

/// A format, what is written in it, and the text and the calls in that.
type Case = (
    ToolFormat,
    &'static str,
    &'static str,
    Vec<(&'static str, &'static str)>,
);

fn cases() -> Vec<Case> {
    use ToolFormat::{Hermes, Llama, Mistral};
    vec![
        (Hermes, "Just <b>text</b>.", "Just <b>text</b>.", vec![]),
        (
            Hermes,
            "Let me see.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"}\\\"<\"}}\n</tool_call>\n\
             <tool_call>\n{\"arguments\": {}, \"name\": \"ü\"}\n</tool_call>",
            "Let me see.",
            vec![("f", "{\"a\": \"}\\\"<\"}"), ("ü", "{}")],
        ),
        (
            Hermes,
            "<tool_call>{\"name\":\"f\"}</tool_call>",
            "",
            vec![("f", "{}")],
        ),
        (
            Hermes,
            "<tool_call>{\"name\": \"f\", \"arguments\": \"{\\\"a\\\": 1}\"}</tool_call>",
            "",
            vec![("f", "{\"a\": 1}")],
        ),
        (Hermes, "<tool_call> nothing", "<tool_call> nothing", vec![]),
        (
            Hermes,
            "<tool_call>{\"other\": 1}",
            "<tool_call>{\"other\": 1}",
            vec![],
        ),
        (Hermes, "a <tool_call", "a <tool_call", vec![]),
        (
            Hermes,
            "<tool_call>{\"name\": \"f\", \"arguments\": {\"cut\": [1, ",
            "",
            vec![("f", "{\"cut\": [1, ")],
        ),
        (
            Llama,
            " {\"name\": \"f\", \"parameters\": {\"x\": [1]}}",
            "",
            vec![("f", "{\"x\": [1]}")],
        ),
        (
            Llama,
            "{\"type\": \"function\", \"name\": \"f\", \"parameters\": {}}; {\"name\": \"g\", \"parameters\": {}}",
            "",
            vec![("f", "{}"), ("g", "{}")],
        ),
        (Llama, "{\"answer\": 5}", "{\"answer\": 5}", vec![]),
        (
            Llama,
            "Hi {\"name\": \"f\"}",
            "Hi {\"name\": \"f\"}",
            vec![],
        ),
        (
            Mistral,
            "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {}}, {\"name\": \"g\", \"arguments\": {\"n\": null}}]",
            "",
            vec![("f", "{}"), ("g", "{\"n\": null}")],
        ),
        (Mistral, "[TOOL", "[TOOL", vec![]),
        (Mistral, "[TOOL_CALLS] none", "[TOOL_CALLS] none", vec![]),
    ]
}

fn owned(text: &str, calls: &[(&str, &str)]) -> Read {
    let calls = calls
        .iter()
        .map(|(name, it)| ((*name).to_owned(), (*it).to_owned()));
    (text.to_owned(), calls.collect())
}

#[test]
fn calls_are_told_from_text_however_it_is_cut() {
    for (format, text, said, calls) in cases() {
        let expected = owned(said, &calls);
        assert_eq!(parse(format, true, &[text]), expected, "{text}");
        let letters: Vec<String> = text.chars().map(String::from).collect();
        let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
        assert_eq!(parse(format, true, &letters), expected, "{text}");
        for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
            let halves = [&text[..at], &text[at..]];
            assert_eq!(parse(format, true, &halves), expected, "{halves:?}");
        }
    }
}

#[test]
fn where_one_is_allowed_the_first_is_told() {
    let text =
        "{\"name\": \"f\", \"parameters\": {\"a\": 1}}; {\"name\": \"g\", \"parameters\": {}}";
    let one = owned("", &[("f", "{\"a\": 1}")]);
    assert_eq!(parse(ToolFormat::Llama, false, &[text]), one);
}

#[test]
fn a_name_comes_before_its_arguments_and_these_piece_by_piece() {
    let mut parser = ToolCallParser::new(ToolFormat::Hermes, true);
    assert_eq!(parser.push("<tool_"), []);
    assert_eq!(parser.push("call>{\"name\": \"f"), []);
    let Part::Call { name, .. } = &parser.push("\", \"argu")[0] else {
        panic!("no call");
    };
    assert_eq!(name, "f");
    assert_eq!(
        parser.push("ments\": {\"a\""),
        [Part::Arguments("{\"a\"".to_owned())]
    );
    assert_eq!(
        parser.push(": 1}}</tool_call>"),
        [Part::Arguments(": 1}".to_owned())]
    );
    assert_eq!(parser.finish(), []);
}

#[test]
fn text_that_can_be_no_call_is_not_held_back() {
    let mut parser = ToolCallParser::new(ToolFormat::Hermes, true);
    assert_eq!(parser.push("1 < 2"), [Part::Text("1 < 2".to_owned())]);
    assert_eq!(parser.push(" <"), []);
    assert_eq!(parser.push(" 3"), [Part::Text(" < 3".to_owned())]);
}
