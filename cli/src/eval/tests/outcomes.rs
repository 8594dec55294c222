//! Verdicts, and the forms in which they are told.

use std::fs;

use chandler_evaluation::verdict::Outcome;
use chandler_evaluation::{Report, ScoreReport};

use super::*;
use crate::eval::judge::status;
use crate::eval::{check, name, read, tell};

const GOOD: &str = "yes";

/// Answers well but to what ends in 0.
fn mostly(input: &str) -> &'static str {
    if input.ends_with('0') { "no" } else { GOOD }
}

/// Forty questions that are answered well by `yes`.
fn forty() -> Suite {
    let inputs: Vec<_> = (0..40).map(|number| number.to_string()).collect();
    let items: Vec<_> = inputs.iter().map(|input| (input.as_str(), GOOD)).collect();
    suite(Metric::ExactMatch, &items)
}

async fn outcome(canary: fn(&str) -> &'static str, suite: &Suite, more: &str) -> (Outcome, u8) {
    let (stable, canary) = (model(|_| GOOD).await, model(canary).await);
    let args = format!("--metric exactMatch --stable {stable} --canary {canary} --model m {more}");
    let args = parse(&args).expect("arguments");
    let judged = judged(&args, suite).await.expect("a verdict");
    let outcome = judged.verdict.outcome;
    (outcome, status(outcome))
}

#[tokio::test]
async fn a_canary_passes_fails_or_leaves_it_open() {
    let suite = forty();
    let max = |canary, max: &'static str| outcome(canary, &suite, max);
    let equal = max(|_| GOOD, "--max-regression 0").await;
    assert_eq!(equal, (Outcome::Pass, 0));
    let worse = max(|_| "no", "--max-regression 0.1").await;
    assert_eq!(worse, (Outcome::Fail, 2));
    // A tenth of the answers are worse: it may be less of all that could be asked.
    let unsure = max(mostly, "--max-regression 0.05").await;
    assert_eq!(unsure, (Outcome::Inconclusive, 3));
    let floor = max(mostly, "--min 0.9").await;
    assert_eq!(floor, (Outcome::Pass, 0));
    let both = max(mostly, "--min 0.95 --max-regression 0.05").await;
    assert_eq!(both, (Outcome::Fail, 2));
}

#[tokio::test]
async fn a_canary_alone_is_held_against_a_floor() {
    let suite = forty();
    let url = model(mostly).await;
    let alone = async |more: &str| {
        let args = format!("--metric exactMatch --canary {url} --model m {more}");
        let args = parse(args.trim()).expect("arguments");
        judged(&args, &suite).await.expect("a verdict")
    };
    assert_eq!(alone("--min 0.9").await.verdict.outcome, Outcome::Pass);
    assert_eq!(alone("").await.verdict.outcome, Outcome::Pass);
    let failed = alone("--min 0.91").await;
    assert_eq!(failed.verdict.outcome, Outcome::Fail);
    assert!(
        failed.table.contains("score       0.9\n"),
        "{}",
        failed.table
    );
    let report: ScoreReport = serde_json::from_str(&failed.json).expect("a report");
    assert_eq!((report.score, report.limits.min), (0.9, Some(0.91)));
}

#[tokio::test]
async fn a_result_is_told_in_all_forms() {
    let (stable, canary) = (model(|_| GOOD).await, model(mostly).await);
    let folder = tempfile::tempdir().expect("a folder");
    let (report, page) = (folder.path().join("r.json"), folder.path().join("p.html"));
    let args = format!(
        "--metric exactMatch --stable {stable} --canary {canary} --model m --seed 3 --resamples 500 \
         --format json --report {} --html {}",
        report.display(),
        page.display()
    );
    let args = parse(&args).expect("arguments");
    let judged = judged(&args, &forty()).await.expect("a verdict");
    let mut out = Vec::new();
    tell(&args.output, &judged, &mut out).expect("it is written");
    assert_eq!(String::from_utf8_lossy(&out), format!("{}\n", judged.json));
    let json = fs::read_to_string(report).expect("the report");
    assert_eq!(json, judged.json);
    assert_eq!(json.lines().count(), 1);
    let report: Report = serde_json::from_str(&json).expect("a report");
    assert_eq!(
        (report.bootstrap.seed, report.bootstrap.resamples),
        (3, 500)
    );
    assert_eq!(report.rows[0].canary.text.as_deref(), Some("no"));
    let page = fs::read_to_string(page).expect("the page");
    assert!(
        page.contains("<h1 class=\"pass\">facts: pass</h1>"),
        "{page}"
    );
    let args = parse("--metric bleu --canary http://c:1 --html missing/folder/p.html");
    let args = args.expect("arguments").output;
    let mut out = Vec::new();
    let fault = tell(&args, &judged, &mut out).expect_err("no folder");
    assert_eq!(fault.reason(), "FileUnwritable");
    assert_eq!(String::from_utf8_lossy(&out), judged.table);
    let full = tell(&args, &judged, &mut [0_u8; 8][..]).expect_err("no room");
    assert!(full.to_string().contains("standard output"), "{full}");
}

#[test]
fn what_can_not_be_computed_is_refused_before_anyone_is_asked() {
    for (more, reason, words) in [
        ("--metric klDivergence", "StableMissing", "--stable"),
        (
            "--metric embeddingSimilarity",
            "EmbeddingsMissing",
            "--embeddings",
        ),
    ] {
        let args = parse(&format!("{more} --canary http://c:1")).expect("arguments");
        let fault = check(&args).expect_err(more);
        assert_eq!(fault.reason(), reason);
        assert!(fault.to_string().contains(words), "{fault}");
    }
}

#[test]
fn a_suite_is_a_file_or_standard_input() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("facts.jsonl");
    fs::write(&path, r#"{"input": "a", "references": "b"}"#).expect("it is written");
    let suite = |path, stdin: &str| read(path, stdin.as_bytes(), Metric::Contains);
    let items = suite(&path, "").expect("a suite").items().len();
    assert_eq!(items, 1);
    let stdin = "-".as_ref();
    let two = "{\"input\": \"a\", \"references\": \"b\"}\n".repeat(2);
    let items = suite(stdin, &two).expect("a suite").items().len();
    assert_eq!(items, 2);
    let broken = suite(stdin, "{").expect_err("no suite");
    assert_eq!(broken.reason(), "SuiteInvalid");
    let text = broken.to_string();
    assert!(text.starts_with("standard input: line 1: "), "{text}");
    let missing = suite(&folder.path().join("missing"), "").expect_err("no file");
    assert_eq!(missing.reason(), "FileUnreadable");
}

#[test]
fn an_evaluation_is_named_by_its_file_unless_told_otherwise() {
    let mut args = parse("--metric bleu --canary http://c:1").expect("arguments");
    assert_eq!(name(&args), "suite");
    args.suite = "-".into();
    assert_eq!(name(&args), "evaluation");
    args.name = Some("facts".to_owned());
    assert_eq!(name(&args), "facts");
}
