#![allow(clippy::unwrap_used)]

mod common;

use chandler_crds::spec::EvaluationMetric as Metric;
use chandler_evaluation::Suite;
use chandler_evaluation::suite::{Message, Problem, Prompt, SuiteError};
use proptest::prelude::*;

fn refused(text: &str, metric: Metric) -> String {
    Suite::parse(text, metric).unwrap_err().to_string()
}

#[test]
fn items_are_read_in_both_forms() {
    let text = "\u{feff}{\"id\": \"capital\", \"input\": \"The capital of France is\", \"references\": [\"Paris\", \"paris\"], \"weight\": 2.5}\r\n\
                \n   \t\n\
                {\"messages\": [{\"role\": \"system\", \"content\": \"Be brief.\"}, {\"role\": \"user\", \"content\": \"Hi\"}], \"references\": \"Hello\"}";
    let suite = Suite::parse(text, Metric::Bleu).unwrap();
    let [first, second] = suite.items() else {
        panic!("{suite:?}")
    };
    assert_eq!(suite.metric(), Metric::Bleu);
    assert_eq!(first.id, "capital");
    assert_eq!(
        first.prompt,
        Prompt::Input("The capital of France is".to_owned())
    );
    assert_eq!(first.references, ["Paris", "paris"]);
    assert_eq!(first.weight, 2.5);
    assert_eq!(second.id, "4", "empty lines count");
    let message = |role: &str, content: &str| Message {
        role: role.to_owned(),
        content: content.to_owned(),
    };
    let messages = vec![message("system", "Be brief."), message("user", "Hi")];
    assert_eq!(second.prompt, Prompt::Messages(messages));
    assert_eq!(second.prompt.text(), "system: Be brief.\nuser: Hi");
    assert_eq!(second.references, ["Hello"]);
    assert_eq!(second.weight, 1.0);
}

#[test]
fn messages_are_written_as_openai_takes_them() {
    let text = r#"{"messages":[{"role":"user","content":"Hi"}]}"#;
    let suite = Suite::parse(text, Metric::DistinctN).unwrap();
    let Prompt::Messages(messages) = &suite.items()[0].prompt else {
        panic!("{suite:?}")
    };
    let written = serde_json::to_string(messages).unwrap();
    assert_eq!(written, r#"[{"role":"user","content":"Hi"}]"#);
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_what_to_write() {
    for (line, message) in [
        ("{", "column 1: EOF while parsing an object"),
        ("[]", "column 2: "),
        (
            r#"{"input": "a", "reference": "b"}"#,
            "unknown field `reference`, expected one of `id`, `messages`, `input`, `references`, `weight`",
        ),
        (r#"{"input": "a", "input": "b"}"#, "duplicate field `input`"),
        (
            r#"{"input": "a", "references": 4}"#,
            "invalid type: integer `4`, expected a text or a list of texts as `references`",
        ),
        (
            r#"{"input": "a", "references": ["b", null]}"#,
            "invalid type: null, expected a string",
        ),
        (
            r#"{"id": 7, "input": "a", "references": "b"}"#,
            "invalid type: integer `7`, expected a string",
        ),
        (
            r#"{"input": "a", "references": "b", "weight": 1e999}"#,
            "number out of range",
        ),
        (
            r#"{"input": "a", "references": "b", "weight": NaN}"#,
            "column 45: expected value",
        ),
        (
            r#"{"input": "a", "references": "b", "weight": 0}"#,
            "the weight 0 is not between 0.000001 and 1000000: write 1 for",
        ),
        (
            r#"{"input": "a", "references": "b", "weight": -1}"#,
            "the weight -1 is not between",
        ),
        (
            r#"{"input": "a", "references": "b", "weight": 1e300}"#,
            "is not between",
        ),
        (
            r#"{"input": "a", "messages": [], "references": "b"}"#,
            "both `messages` and `input`: write one of them",
        ),
        (
            r#"{"references": "b"}"#,
            "it asks nothing: write `messages` for a chat, or `input`",
        ),
        (
            r#"{"messages": [], "references": "b"}"#,
            "`messages` is empty: write at least one, such as {\"role\": \"user\"",
        ),
        (
            r#"{"messages": [{"role": "bot", "content": "a"}], "references": "b"}"#,
            "the role `bot` is unknown: write system, developer, user or assistant",
        ),
        (
            r#"{"messages": [{"role": "user", "content": "a", "name": "x"}], "references": "b"}"#,
            "unknown field `name`",
        ),
        (
            r#"{"messages": [{"role": "user"}], "references": "b"}"#,
            "missing field `content`",
        ),
        (
            r#"{"id": " ", "input": "a", "references": "b"}"#,
            "`id` is empty: write a name, or leave the field out",
        ),
        (
            r#"{"input": "a"}"#,
            "exactMatch needs `references`: write a text or a list of texts",
        ),
        (
            r#"{"input": "a", "references": []}"#,
            "exactMatch needs `references`",
        ),
    ] {
        let text = format!("{{\"input\": \"a\", \"references\": \"b\"}}\n\n{line}\n");
        let refused = refused(&text, Metric::ExactMatch);
        let told = refused.strip_prefix("line 3: ");
        let told = told.unwrap_or_else(|| panic!("{line}: {refused}"));
        assert!(told.contains(message), "{line}: {told}");
        assert!(!told.contains(" at line "), "{told}");
    }
}

#[test]
fn a_suite_of_nothing_is_refused() {
    for text in ["", "\n \n\t\r\n", "\u{feff}"] {
        assert_eq!(
            Suite::parse(text, Metric::Bleu).unwrap_err(),
            SuiteError::Empty
        );
    }
    assert!(refused("", Metric::Bleu).contains("write one a line, such as {\"input\""));
}

#[test]
fn ids_are_there_once_written_or_not() {
    let item = |id: &str| format!("{{\"id\": \"{id}\", \"input\": \"a\", \"references\": \"b\"}}");
    let written = format!("{}\n{}\n{}", item("a"), item("b"), item("a"));
    let message = refused(&written, Metric::Bleu);
    assert_eq!(
        message,
        "line 3: the id `a` is that of line 1 already: write another one"
    );
    let by_number = format!("{}\n{{\"input\": \"a\", \"references\": \"b\"}}", item("2"));
    let message = refused(&by_number, Metric::Bleu);
    assert!(
        message.starts_with("line 2: the id `2` is that of line 1"),
        "{message}"
    );
}

#[test]
fn references_are_what_the_metric_can_use() {
    let bare = r#"{"input": "a"}"#;
    for metric in [Metric::DistinctN, Metric::SelfBleu, Metric::KlDivergence] {
        assert!(Suite::parse(bare, metric).is_ok(), "{metric:?}");
    }
    for metric in [
        Metric::ExactMatch,
        Metric::Contains,
        Metric::Regex,
        Metric::Bleu,
        Metric::Chrf,
        Metric::RougeL,
        Metric::EmbeddingSimilarity,
        Metric::Perplexity,
    ] {
        assert!(
            refused(bare, metric).contains("needs `references`"),
            "{metric:?}"
        );
    }
    let empty = r#"{"input": "a", "references": ["b", " "]}"#;
    for metric in [
        Metric::Contains,
        Metric::Regex,
        Metric::EmbeddingSimilarity,
        Metric::Perplexity,
    ] {
        assert!(
            refused(empty, metric).contains("a reference is empty"),
            "{metric:?}"
        );
    }
    assert!(Suite::parse(empty, Metric::ExactMatch).is_ok());
}

#[test]
fn patterns_are_compiled_when_they_are_patterns() {
    let wrong = r#"{"input": "a", "references": ["fine", "(unclosed"]}"#;
    let message = refused(wrong, Metric::Regex);
    assert!(
        message.starts_with("line 1: `(unclosed` is no regular expression"),
        "{message}"
    );
    assert!(message.ends_with("unclosed group"), "{message}");
    assert!(Suite::parse(wrong, Metric::Contains).is_ok());
    let huge = r#"{"input": "a", "references": "(a{1000}){1000}"}"#;
    assert!(refused(huge, Metric::Regex).contains("exceeds size limit"));
    let around = r#"{"input": "a", "references": "(?=a)"}"#;
    assert!(refused(around, Metric::Regex).contains("look-around"));
}

proptest! {
    #![proptest_config(common::config(256))]

    #[test]
    fn any_text_is_a_suite_or_refused_with_a_line_it_has(text in "[\\PC\n\"{}:,\\[\\]]{0,200}") {
        if let Err(SuiteError::Line { line, .. }) = Suite::parse(&text, Metric::Regex) {
            prop_assert!(line >= 1 && line <= text.lines().count());
        }
    }

    #[test]
    fn what_was_written_is_read(
        input in "\\PC{0,40}", references in proptest::collection::vec("\\PC{1,20}", 1..4),
        weight in 0.001_f64..1000.0,
    ) {
        let line = serde_json::json!({"input": input, "references": references, "weight": weight});
        let suite = Suite::parse(&line.to_string(), Metric::Chrf).unwrap();
        let item = &suite.items()[0];
        prop_assert_eq!(&item.prompt, &Prompt::Input(input));
        prop_assert_eq!(&item.references, &references);
        prop_assert!((item.weight - weight).abs() <= weight * 1e-12);
    }
}

#[test]
fn problems_are_data() {
    let text = r#"{"input": "a", "references": "b", "weight": -3}"#;
    let error = Suite::parse(text, Metric::Bleu).unwrap_err();
    let problem = Problem::Weight { weight: -3.0 };
    assert_eq!(error, SuiteError::Line { line: 1, problem });
}
