//! One revision by itself.

#![allow(clippy::unwrap_used)]

mod common;

use chandler_crds::spec::EvaluationMetric as Metric;
use chandler_evaluation::report::Side;
use chandler_evaluation::verdict::{Outcome, Reason, verdict_of_score};
use chandler_evaluation::{Evidence, Limits, ScoreReport, Suite};
use common::{case, suite};
use serde_json::{Value, json};

fn report_of(suite: &Suite, answers: &[&str], min: Option<f64>) -> ScoreReport {
    let answers: Vec<_> = answers.iter().map(|text| (*text).to_owned()).collect();
    let evidence = Evidence::of_answers(suite, &answers).unwrap();
    let side = Side {
        evidence: &evidence,
        answers: &answers,
    };
    ScoreReport::new("facts", suite, side, min)
}

fn example(min: Option<f64>) -> ScoreReport {
    let lines = [
        json!({"id": "sum", "input": "2 + 2 =", "references": "4"}),
        json!({"id": "capital", "messages": [{"role": "user", "content": "Capital of France?"}], "references": ["Paris", "paris"]}),
        json!({"id": "colour", "input": "The sky is", "references": "blue", "weight": 2}),
    ];
    let lines = lines.map(|line| line.to_string()).join("\n");
    let suite = Suite::parse(&lines, Metric::ExactMatch).unwrap();
    report_of(&suite, &["4", "Rome", "blue"], min)
}

#[test]
fn a_score_is_held_against_a_floor() {
    let outcome = |score, min| verdict_of_score(Metric::Chrf, score, Some(min)).outcome;
    assert_eq!(outcome(75.0, 75.0), Outcome::Pass);
    assert_eq!(outcome(74.9, 75.0), Outcome::Fail);
    assert_eq!(outcome(74.9, f64::NAN), Outcome::Fail);
    let nothing = verdict_of_score(Metric::Chrf, 1.0, None);
    assert_eq!(nothing.outcome, Outcome::Pass);
    assert_eq!(nothing.reasons, [Reason::NothingAsked]);
    let ceiling = |score| verdict_of_score(Metric::SelfBleu, score, Some(30.0));
    assert_eq!(ceiling(30.0).outcome, Outcome::Pass);
    assert_eq!(ceiling(31.0).to_string(), "fail: 31 is worse than min 30");
}

#[test]
fn the_worst_scores_come_first_whichever_way_is_worse() {
    let report = example(Some(0.75));
    let ids: Vec<_> = report.rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["capital", "sum", "colour"]);
    assert_eq!((report.score, report.items), (0.75, 3));
    assert_eq!(report.rows[0].answer.text.as_deref(), Some("Rome"));
    assert_eq!(report.verdict.outcome, Outcome::Pass);
    assert_eq!(example(Some(0.76)).verdict.outcome, Outcome::Fail);
    let cases = vec![case("", &[]); 3];
    let suite = suite(Metric::SelfBleu, &cases);
    let same = "the cat sat on the mat";
    let report = report_of(&suite, &["a dog ran off into fog", same, same], None);
    let scores: Vec<_> = report.rows.iter().map(|row| row.answer.score).collect();
    assert_eq!(report.rows[2].id, "1", "{scores:?}");
    assert!(
        scores[0] == scores[1] && scores[1] > scores[2],
        "{scores:?}"
    );
}

#[test]
fn a_table_shows_the_score_and_what_could_be_better() {
    let expected = "\
evaluation  facts
metric      exactMatch (share of answers, 0 to 1, higher is better)
items       3
score       0.75
verdict     fail: 0.75 is worse than min 0.8

item     score  prompt
capital      0  user: Capital of France?
";
    assert_eq!(example(Some(0.8)).table(), expected);
    let cases = vec![case("", &["yes"]); 30];
    let table = report_of(&suite(Metric::ExactMatch, &cases), &["no"; 30], None).table();
    assert!(table.ends_with("… and 20 more\n"), "{table}");
    let table = report_of(&suite(Metric::ExactMatch, &cases), &["yes"; 30], None).table();
    assert!(table.ends_with("maxRegression is set\n"), "{table}");
}

#[test]
fn json_is_in_camel_case_and_comes_back_with_its_digest() {
    let report = example(Some(0.5));
    let value: Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(value["direction"], "higherIsBetter");
    assert_eq!(value["limits"], json!({"min": 0.5}));
    assert_eq!(
        value["rows"][0]["answer"],
        json!({"text": "Rome", "score": 0.0})
    );
    assert_eq!(value["verdict"]["outcome"], "pass");
    let back: ScoreReport = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(back, report);
    assert_eq!(back.digest().len(), 64);
    let limits = Limits::default();
    assert_ne!(
        back.digest(),
        ScoreReport {
            limits,
            ..back.clone()
        }
        .digest()
    );
}

#[test]
fn a_page_shows_the_answers_and_no_tag_of_theirs() {
    let cases = [case("", &["<b>fine</b>"]), case("", &["yes"])];
    let suite = suite(Metric::ExactMatch, &cases);
    let page = report_of(&suite, &["<script>\u{202e}", "yes"], Some(1.0)).html();
    for part in [
        "<h1 class=\"fail\">facts: fail</h1>",
        "<h2>Items, the worst scores first</h2>",
        "<pre dir=\"auto\">&lt;script&gt;\u{fffd}</pre>",
        "<pre dir=\"auto\">&lt;b&gt;fine&lt;/b&gt;</pre>",
        "<h4>Answer <span>0</span></h4>",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("<script") && !page.contains("<b>"));
    assert_eq!(page.matches("<article>").count(), 2);
}
