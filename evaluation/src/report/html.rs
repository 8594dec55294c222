//! For a browser: one page that holds everything. No script, no font, nothing that is loaded from
//! elsewhere, and a policy that would keep a browser from loading it.

use super::text::escaped;
use super::{Answer, Report, Row, number};

/// Items that are shown; the JSON has all.
const SHOWN: usize = 200;

const STYLE: &str = include_str!("style.css");
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'";

pub(super) fn html(report: &Report) -> String {
    let title = escaped(&format!("{}: {}", report.name, report.verdict.outcome));
    let facts = report.facts();
    let facts = facts.iter().map(|(name, value)| {
        let (name, value) = (escaped(name), escaped(value));
        format!("<dt>{name}</dt><dd>{value}</dd>\n")
    });
    let items = report.rows.iter().take(SHOWN).map(item);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <h1 class=\"{outcome}\">{title}</h1>\n<dl>\n{facts}</dl>\n\
         <h2>Items, the worst regressions first</h2>\n{items}{more}</body>\n</html>\n",
        outcome = report.verdict.outcome,
        facts = facts.collect::<String>(),
        items = items.collect::<String>(),
        more = more(report.rows.len()),
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
    let references = row.references.iter().map(|text| block(text));
    let references: String = references.collect();
    let references = if references.is_empty() {
        references
    } else {
        format!("<section><h4>References</h4>{references}</section>\n")
    };
    format!(
        "<article class=\"{change}\">\n<h3>{id} <span>{change}</span></h3>\n\
         <section><h4>Prompt</h4>{prompt}</section>\n{references}\
         <div class=\"sides\">\n{stable}{canary}</div>\n</article>\n",
        id = escaped(&row.id),
        prompt = block(&row.prompt),
        stable = side("Stable", &row.stable),
        canary = side("Canary", &row.canary),
    )
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
