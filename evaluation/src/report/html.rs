//! For a browser: one page that holds everything. No script, no font, nothing that is loaded from
//! elsewhere, and a policy that would keep a browser from loading it.

use super::text::escaped;
use super::{Answer, Report, Row, ScoreReport, ScoreRow, number};
use crate::verdict::Outcome;

/// Items that are shown; the JSON has all.
const SHOWN: usize = 200;

const STYLE: &str = include_str!("style.css");
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'";

pub(super) fn html(report: &Report) -> String {
    page(&Page {
        name: &report.name,
        outcome: report.verdict.outcome,
        facts: &report.facts(),
        order: "the worst regressions first",
        items: report.rows.iter().take(SHOWN).map(item).collect(),
        rows: report.rows.len(),
    })
}

/// Of one revision by itself.
pub(super) fn html_of_one(report: &ScoreReport) -> String {
    page(&Page {
        name: &report.name,
        outcome: report.verdict.outcome,
        facts: &report.facts(),
        order: "the worst scores first",
        items: report.rows.iter().take(SHOWN).map(item_of_one).collect(),
        rows: report.rows.len(),
    })
}

/// What differs between pages. The texts are as they came, but for the items, which are elements.
struct Page<'a> {
    name: &'a str,
    outcome: Outcome,
    facts: &'a [(&'static str, String)],
    order: &'static str,
    items: String,
    /// Items of the suite.
    rows: usize,
}

fn page(page: &Page<'_>) -> String {
    let outcome = page.outcome;
    let title = escaped(&format!("{}: {outcome}", page.name));
    let facts = page.facts.iter().map(|(name, value)| {
        let (name, value) = (escaped(name), escaped(value));
        format!("<dt>{name}</dt><dd>{value}</dd>\n")
    });
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <h1 class=\"{outcome}\">{title}</h1>\n<dl>\n{facts}</dl>\n\
         <h2>Items, {order}</h2>\n{items}{more}</body>\n</html>\n",
        facts = facts.collect::<String>(),
        order = page.order,
        items = page.items,
        more = more(page.rows),
    )
}

fn more(rows: usize) -> String {
    match rows.checked_sub(SHOWN) {
        None | Some(0) => String::new(),
        Some(left) => format!("<p>{left} more items are in the JSON of this report.</p>\n"),
    }
}

fn item(row: &Row) -> String {
    let change = if row.regression > 0.0 {
        "worse"
    } else if row.regression < 0.0 {
        "better"
    } else {
        "equal"
    };
    format!(
        "<article class=\"{change}\">\n<h3>{id} <span>{change}</span></h3>\n{asked}\
         <div class=\"sides\">\n{stable}{canary}</div>\n</article>\n",
        id = escaped(&row.id),
        asked = asked(&row.prompt, &row.references),
        stable = side("Stable", &row.stable),
        canary = side("Canary", &row.canary),
    )
}

fn item_of_one(row: &ScoreRow) -> String {
    format!(
        "<article>\n<h3>{id}</h3>\n{asked}{answer}</article>\n",
        id = escaped(&row.id),
        asked = asked(&row.prompt, &row.references),
        answer = side("Answer", &row.answer),
    )
}

/// The question, and its good answers if there are any.
fn asked(prompt: &str, references: &[String]) -> String {
    let prompt = format!("<section><h4>Prompt</h4>{}</section>\n", block(prompt));
    if references.is_empty() {
        return prompt;
    }
    let references: String = references.iter().map(|text| block(text)).collect();
    format!("{prompt}<section><h4>References</h4>{references}</section>\n")
}

fn side(name: &str, answer: &Answer) -> String {
    let score = number(answer.score);
    let text = match answer.text.as_deref() {
        None => String::new(),
        Some(text) if text.trim().is_empty() => "<p>(empty)</p>".to_owned(),
        Some(text) => block(text),
    };
    format!("<section><h4>{name} <span>{score}</span></h4>{text}</section>\n")
}

/// Its own direction, so that a text in Arabic does not turn what stands beside it.
fn block(text: &str) -> String {
    format!("<pre dir=\"auto\">{}</pre>", escaped(text))
}
