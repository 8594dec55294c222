//! The tokenizer built from GGUF metadata against llama.cpp's.

mod models;

use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
}

fn cases() -> Vec<Case> {
    let fixture: Fixture =
        serde_json::from_str(include_str!("fixtures/smollm2_tokens.json")).expect("a fixture");
    fixture.cases
}

#[test]
fn ids_equal_those_of_llama_cpp() {
    let model = models::smollm2();
    let wrong: Vec<_> = cases()
        .into_iter()
        .filter_map(|case| {
            let ids = model.encode(&case.text).expect("ids");
            (ids != case.ids).then_some((case.text, ids, case.ids))
        })
        .collect();
    assert!(wrong.is_empty(), "text, ids here, ids there: {wrong:#?}");
}

#[test]
fn ids_become_the_text_again() {
    let model = models::smollm2();
    for case in cases() {
        let text = model.tokenizer.decode(&case.ids, false).expect("a text");
        assert_eq!(text, case.text);
    }
}

#[test]
fn special_tokens_end_an_answer_and_vanish_from_it() {
    let model = models::smollm2();
    let end = model.tokenizer.token_to_id("<|im_end|>").expect("a token");
    assert!(model.end_tokens.contains(&end));
    let ids = model.encode("Paris.<|im_end|>").expect("ids");
    assert_eq!(ids.last(), Some(&end));
    let text = model.tokenizer.decode(&ids, true).expect("a text");
    assert_eq!(text, "Paris.");
}
