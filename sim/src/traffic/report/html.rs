//! One page that holds everything: no script, no font, nothing that is loaded from elsewhere.

use std::time::Duration;

use super::axis::Axis;
use super::chart::Line;
use super::svg::{COLOURS, Chart};
use super::table;
use crate::traffic::{Outcome, Sample};

/// The least time that the chart of latencies tells apart from none, in seconds.
const LEAST_TIME: f64 = 0.001;

const STYLE: &str = include_str!("style.css");

/// What a page tells beside the outcomes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Its heading.
    pub title: String,
    /// What was simulated: each is a name and a value.
    pub facts: Vec<(String, String)>,
    /// Longest time to the first token that is well; drawn across the latencies.
    pub slo: Option<Duration>,
}

/// The page.
#[must_use]
pub fn html(page: &Page, outcomes: &[Outcome]) -> String {
    let title = escaped(&page.title);
    let facts = page.facts.iter().map(|(name, value)| {
        let (name, value) = (escaped(name), escaped(value));
        format!("<dt>{name}</dt><dd>{value}</dd>\n")
    });
    let charts = charts(page, outcomes);
    let charts = charts.iter().map(|chart| figure(chart, outcomes));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <h1>{title}</h1>\n<dl>\n{facts}</dl>\n{table}{charts}</body>\n</html>\n",
        facts = facts.collect::<String>(),
        table = html_table(outcomes),
        charts = charts.collect::<String>(),
    )
}

/// Text as it may stand in an element or in an attribute's quotes.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

fn html_table(outcomes: &[Outcome]) -> String {
    let row = |cells: &[String], tag: &str| {
        let cells = cells.iter();
        let cells = cells.map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell)));
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    let head = row(&table::HEAD.map(str::to_owned), "th");
    let rows = outcomes.iter();
    let rows = rows.map(|outcome| row(&table::cells(outcome), "td"));
    format!("<table>\n{head}{}</table>\n", rows.collect::<String>())
}

fn figure(chart: &Chart, outcomes: &[Outcome]) -> String {
    let entry = |(index, outcome): (usize, &Outcome)| {
        let (series, name) = (index % COLOURS, escaped(&outcome.policy));
        format!("<span class=\"key s{series}\">{name}</span>\n")
    };
    let tells_apart = chart.lines.iter().any(|line| line.series > 0);
    let named = if tells_apart { outcomes } else { &[] };
    let legend: String = named.iter().enumerate().map(entry).collect();
    let title = escaped(chart.title);
    let svg = chart.svg();
    format!("<figure>\n<figcaption>{title}</figcaption>\n{legend}{svg}</figure>\n")
}

fn charts(page: &Page, outcomes: &[Outcome]) -> Vec<Chart> {
    let lengths = outcomes.iter().map(|outcome| outcome.length);
    let length = lengths.max().unwrap_or_default();
    let chart = |title, lines: Vec<Line>| Chart {
        title,
        length,
        axis: Axis::linear(greatest(&lines)),
        mark: None,
        lines,
    };
    let each = |value: fn(&Sample) -> Option<f64>| -> Vec<Line> {
        let outcomes = outcomes.iter().enumerate();
        let lines = outcomes.map(|(index, outcome)| Line::of(index, &outcome.samples, value));
        lines.collect()
    };
    // What is asked is the same for all policies.
    let mut demand = each(|sample| Some(sample.demand));
    demand.truncate(1);
    let stepped = |dashed| {
        move |line: Line| Line {
            steps: true,
            dashed,
            ..line
        }
    };
    let desired = each(|sample| Some(sample.desired.into())).into_iter();
    let ready = each(|sample| Some(sample.ready.into())).into_iter();
    let replicas = desired.map(stepped(true)).chain(ready.map(stepped(false)));
    let ttft = each(|sample| sample.ttft_p95.map(|time| time.as_secs_f64()));
    vec![
        chart("Demand (requests a second)", demand),
        chart(
            "Replicas: ready, and dashed those asked for",
            replicas.collect(),
        ),
        latency(page.slo, length, ttft),
        chart(
            "Requests that wait, in queues and held",
            each(|sample| Some(sample.waiting)),
        ),
    ]
}

/// Times to the first token, which lie powers of ten apart.
fn latency(slo: Option<Duration>, length: Duration, lines: Vec<Line>) -> Chart {
    let slo = slo.map(|slo| slo.as_secs_f64());
    let values = || lines.iter().flat_map(Line::values).chain(slo);
    let least = values().fold(1.0, f64::min).max(LEAST_TIME);
    let most = values().fold(least, f64::max);
    Chart {
        title: "Time to the first token, 95th percentile (seconds)",
        length,
        axis: Axis::log(least, most),
        mark: slo.map(|slo| (slo, "objective")),
        lines,
    }
}

fn greatest(lines: &[Line]) -> f64 {
    lines.iter().flat_map(Line::values).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(policy: &str, ready: u32) -> Outcome {
        let sample = |index: u64| Sample {
            at: Duration::from_secs(10 * index),
            desired: ready + 1,
            ready,
            demand: 4.0,
            ttft_p95: (index > 0).then(|| Duration::from_millis(50)),
            waiting: 0.0,
        };
        Outcome {
            policy: policy.to_owned(),
            requests: 80,
            within_slo: 79,
            length: Duration::from_secs(20),
            samples: (0..3).map(sample).collect(),
            ..Outcome::default()
        }
    }

    fn page() -> Page {
        Page {
            title: "chat & <more>".into(),
            facts: vec![("trace".into(), "\"t\".csv".into())],
            slo: Some(Duration::from_secs(2)),
        }
    }

    #[test]
    fn nothing_is_loaded_and_nothing_runs() {
        let text = html(&page(), &[outcome("chandler", 1), outcome("hpa=8", 2)]);
        for word in ["http", "<script", "url(", "@import", "<link", "src="] {
            assert!(!text.contains(word), "{word}");
        }
        assert!(text.contains("prefers-color-scheme: dark"));
    }

    #[test]
    fn what_is_told_can_not_become_markup() {
        let policy = "<b onload='x'>";
        let text = html(&page(), &[outcome(policy, 1), outcome("hpa=8", 2)]);
        assert!(text.contains("<title>chat &amp; &lt;more&gt;</title>"));
        assert!(text.contains("<dt>trace</dt><dd>&quot;t&quot;.csv</dd>"));
        assert!(text.contains("<td>&lt;b onload=&#39;x&#39;&gt;</td><td>98.75%</td>"));
        assert!(text.contains("<span class=\"key s0\">&lt;b onload=&#39;x&#39;&gt;</span>"));
        assert!(!text.contains("<b ") && !text.contains("onload='"));
    }

    #[test]
    fn each_policy_has_its_lines_and_its_place_in_the_legends() {
        let text = html(&page(), &[outcome("chandler", 1), outcome("hpa=8", 2)]);
        let figures: Vec<_> = text.split("<figure>").skip(1).collect();
        let count = |figure: &str, what| figure.matches(what).count();
        let found: Vec<_> = figures
            .iter()
            .map(|it| (count(it, "class=\"line"), count(it, "class=\"key")))
            .collect();
        // Demand is the same for both; of replicas there are those asked for and those ready.
        assert_eq!(found, [(1, 0), (4, 2), (2, 2), (2, 2)]);
        // Of 0 to 3 replicas, 1 and 2 are at a third and two thirds of the height.
        assert!(
            figures[1]
                .contains("<path class=\"line s0\" d=\"M60.0 145.3H470.0V145.3H880.0V145.3\"/>")
        );
        assert!(figures[1].contains("<path class=\"line s1 dashed\" d=\"M60.0 12.0"));
        // From 0.01 to 10 seconds; the first sample tells of no time.
        assert!(figures[2].contains("<path class=\"line s1\" d=\"M470.0 165.4L880.0 165.4\"/>"));
        assert!(figures[2].contains(">objective</text>"));
    }

    #[test]
    fn a_single_policy_needs_no_legend_and_none_makes_a_page() {
        let text = html(&page(), &[outcome("chandler", 1)]);
        assert!(!text.contains("class=\"key"));
        let text = html(&Page::default(), &[]);
        assert!(text.ends_with("</html>\n"));
        assert!(!text.contains("NaN") && !text.contains("inf"));
    }
}
