#![allow(clippy::unwrap_used)]

mod common;

use chandler_crds::report::TERMINATION_MESSAGE_LIMIT;
use chandler_crds::spec::EvaluationMetric as Metric;
use chandler_evaluation::report::{Evaluated, Side, Summary};
use chandler_evaluation::verdict::Outcome;
use chandler_evaluation::{Bootstrap, Evidence, Limits, Report, Suite};
use common::{case, suite};
use proptest::prelude::*;
use serde_json::{Value, json};

fn report_of(suite: &Suite, name: &str, stable: &[String], canary: &[String]) -> Report {
    let of = |answers: &[String]| Evidence::of_answers(suite, answers).unwrap();
    let evidence = (of(stable), of(canary));
    let evaluated = Evaluated {
        name,
        suite,
        stable: Side {
            evidence: &evidence.0,
            answers: stable,
        },
        canary: Side {
            evidence: &evidence.1,
            answers: canary,
        },
        limits: Limits {
            min: Some(0.25),
            max_regression: Some(0.1),
        },
        bootstrap: Bootstrap {
            seed: 7,
            resamples: 1000,
            confidence: 0.95,
        },
    };
    Report::new(&evaluated).unwrap()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn example() -> Report {
    let lines = [
        json!({"id": "sum", "input": "2 + 2 =", "references": "4"}),
        json!({"id": "capital", "messages": [{"role": "user", "content": "Capital of France?"}], "references": ["Paris", "paris"]}),
        json!({"id": "colour", "input": "The sky is", "references": "blue", "weight": 2}),
    ];
    let lines = lines.map(|line| line.to_string()).join("\n");
    let suite = Suite::parse(&lines, Metric::ExactMatch).unwrap();
    let stable = texts(&["5", "Paris", "blue"]);
    report_of(&suite, "facts", &stable, &texts(&["4", "Rome", "blue"]))
}

#[test]
fn a_report_tells_the_worst_first() {
    let report = example();
    let ids: Vec<_> = report.rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["capital", "colour", "sum"]);
    let capital = &report.rows[0];
    assert_eq!(capital.prompt, "user: Capital of France?");
    assert_eq!(capital.canary.text.as_deref(), Some("Rome"));
    assert_eq!((capital.stable.score, capital.canary.score), (1.0, 0.0));
    assert_eq!(report.comparison.stable, 0.75);
    assert_eq!(report.verdict.outcome, Outcome::Pass);
}

#[test]
fn json_is_in_camel_case_and_comes_back() {
    let report = example();
    let value: Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(value["metric"], "exactMatch");
    assert_eq!(value["limits"]["maxRegression"], 0.1);
    assert_eq!(value["rows"][0]["stable"]["text"], "Paris");
    assert_eq!(value["verdict"]["reasons"][0]["reason"], "meetsMin");
    assert_eq!(value["verdict"]["outcome"], "pass");
    let back: Report = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(back, report);
    assert_eq!(back.digest(), report.digest());
}

#[test]
fn a_digest_is_of_the_json() {
    let report = example();
    let mut other = report.clone();
    other.rows[0].canary.text = Some("Rome.".to_owned());
    assert_eq!(report.digest().len(), 64);
    assert!(report.digest().bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_ne!(report.digest(), other.digest());
}

#[test]
fn a_table_shows_the_result_and_what_got_worse() {
    let expected = "\
evaluation  facts
metric      exactMatch (share of answers, 0 to 1, higher is better)
items       3
stable      0.75
canary      0.75
difference  0 (-1 to 1 with 95 % confidence, 1000 resamples, seed 7)
worse on    1 of 3 items
verdict     pass: 0.75 meets min 0.25; a regression of 0 is within maxRegression 0.1

item     stable  canary  prompt
capital       1       0  user: Capital of France?
";
    assert_eq!(example().table(), expected);
}

/// The first block of a kind in the documentation.
fn documented(kind: &str) -> &'static str {
    let text = include_str!("../../docs/evaluation.md");
    let (_, block) = text.split_once(&format!("```{kind}\n")).unwrap();
    block.split_once("```").unwrap().0
}

#[test]
fn the_documented_example_is_what_comes_of_it() {
    let suite = Suite::parse(documented("json"), Metric::Contains).unwrap();
    let stable = texts(&["It is Paris.", "4", "blue", "Rhine"]);
    let canary = texts(&["Paris", "5", "Blue, mostly", "the Rhine"]);
    let evidence = [&stable, &canary].map(|answers| Evidence::of_answers(&suite, answers).unwrap());
    let evaluated = Evaluated {
        name: "facts",
        suite: &suite,
        stable: Side {
            evidence: &evidence[0],
            answers: &stable,
        },
        canary: Side {
            evidence: &evidence[1],
            answers: &canary,
        },
        limits: Limits {
            min: Some(0.6),
            max_regression: Some(0.05),
        },
        bootstrap: Bootstrap::default(),
    };
    assert_eq!(Report::new(&evaluated).unwrap().table(), documented("text"));
}

#[test]
fn a_table_keeps_a_terminal_safe_and_short() {
    let hostile = "\u{1b}[2J\u{9b}31m\u{202e}evil\u{7}";
    let cases: Vec<_> = (0..30).map(|_| case("", &["yes"])).collect();
    let suite = suite(Metric::ExactMatch, &cases);
    let yes = vec!["yes".to_owned(); 30];
    let mut report = report_of(&suite, hostile, &yes, &vec!["no".to_owned(); 30]);
    hostile.clone_into(&mut report.rows[0].id);
    report.rows[0].prompt = format!("{hostile}\n{}", "long ".repeat(100));
    let table = report.table();
    let is_safe = |c: char| c == '\n' || !(c.is_control() || c == '\u{202e}');
    assert!(table.chars().all(is_safe), "{table:?}");
    assert!(table.contains("evil"), "{table}");
    assert!(table.contains("… and 20 more"), "{table}");
    assert!(
        table.lines().all(|line| line.chars().count() < 200),
        "{table}"
    );
}

#[test]
fn a_page_loads_nothing_and_shows_both_sides() {
    let page = example().html();
    for part in [
        "<!DOCTYPE html>",
        "prefers-color-scheme: dark",
        "default-src 'none'",
        "<h1 class=\"pass\">facts: pass</h1>",
        "<pre dir=\"auto\">Rome</pre>",
        "<h4>Stable <span>1</span></h4>",
        "<h4>Canary <span>0</span></h4>",
    ] {
        assert!(page.contains(part), "{part}");
    }
    for absent in [
        "http:", "https:", "src=", "@import", "url(", "<script", "<link",
    ] {
        assert!(!page.contains(absent), "{absent}");
    }
    let places = ["capital", "colour", "sum"].map(|id| page.find(&format!("<h3>{id} ")).unwrap());
    assert!(places.is_sorted());
}

#[test]
fn a_page_of_a_long_suite_says_what_it_leaves_out() {
    let cases = vec![case("", &["yes"]); 250];
    let suite = suite(Metric::ExactMatch, &cases);
    let yes = vec!["yes".to_owned(); 250];
    let page = report_of(&suite, "long", &yes, &yes).html();
    assert_eq!(page.matches("<article").count(), 200);
    assert!(page.contains("<p>50 more items are in the JSON of this report.</p>"));
}

#[test]
fn twenty_summaries_fit_a_termination_message() {
    let mut report = example();
    report.name = "a-name-of-24-characters-".to_owned();
    report.metric = Metric::EmbeddingSimilarity;
    report.items = 99_999;
    report.comparison.stable = -std::f64::consts::PI / 1e4;
    report.comparison.canary = -std::f64::consts::E / 1e4;
    let interval = report.comparison.interval.as_mut().unwrap();
    (interval.low, interval.high) = (-std::f64::consts::E / 1e4, -std::f64::consts::PI / 1e4);
    report.verdict.outcome = Outcome::Inconclusive;
    let ordinary = serde_json::to_string(&vec![example().summary(); 20]).unwrap();
    println!("{} bytes of ordinary ones", ordinary.len());
    let long = serde_json::to_string(&vec![report.summary(); 20]).unwrap();
    assert!(
        ordinary.len() < TERMINATION_MESSAGE_LIMIT * 4 / 5,
        "{}",
        ordinary.len()
    );
    assert!(long.len() < TERMINATION_MESSAGE_LIMIT, "{}", long.len());
    let back: Vec<Summary> = serde_json::from_str(&long).unwrap();
    assert_eq!(back[19], report.summary());
}

#[test]
fn a_summary_is_one_line_for_a_person() {
    let summary = example().summary();
    assert_eq!(summary.digest, example().digest()[..12]);
    assert_eq!(
        summary.to_string(),
        "facts: pass, exactMatch 0.75 beside 0.75 on 3 items, difference -1 to 1"
    );
}

/// Turns the direction of what follows.
const TURNS: char = '\u{202e}';

/// Pieces that would be tags, attributes or commands were they not escaped.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("<script>alert(1)</script>".to_owned()),
        Just("</pre></article><img src=x onerror=alert(1)>".to_owned()),
        Just("\" onload=\"x' y='".to_owned()),
        Just("&lt;b&gt;&amp;".to_owned()),
        Just("</style><!--".to_owned()),
        Just("]]>\u{0}\u{8}\u{1b}[31m\u{85}\u{202e}".to_owned()),
        "\\PC{0,10}",
    ];
    proptest::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(common::config(48))]

    #[test]
    fn a_page_holds_no_tag_but_its_own(
        name in hostile(), prompt in hostile(), reference in hostile(),
        stable in hostile(), canary in hostile(), id in hostile(),
    ) {
        let line = json!({"id": format!("x{id}"), "input": prompt, "references": [reference]});
        let text = format!("{line}\n{{\"input\": \"a\", \"references\": \"b\"}}");
        let suite = Suite::parse(&text, Metric::Chrf).unwrap();
        let answers = |text: &str| vec![text.to_owned(), "b".to_owned()];
        let report = report_of(&suite, &name, &answers(&stable), &answers(&canary));
        let plain = report_of(&suite, "plain", &answers("text"), &answers("text"));
        let page = report.html();
        // As many brackets as a page without any in its texts, but for an answer that is empty.
        let tags = |page: &str| -> Vec<String> {
            let tags = page.split('<').skip(1).map(|rest| rest.split('>').next().unwrap().to_owned());
            tags.filter(|tag| !matches!(tag.as_str(), "p" | "/p" | "pre dir=\"auto\"" | "/pre"))
                .map(|tag| tag.split(" class=").next().unwrap().to_owned())
                .collect()
        };
        let articles = |tags: Vec<String>| { let mut tags = tags; tags.sort(); tags };
        prop_assert_eq!(articles(tags(&page)), articles(tags(&plain.html())));
        prop_assert_eq!(page.matches('<').count(), page.matches('>').count());
        prop_assert!(page.chars().all(|c| c == '\n' || c == '\t' || !c.is_control()));
        prop_assert!(!page.contains(TURNS));
    }
}
