//! From text to items.

use std::collections::HashMap;
use std::fmt;

use chandler_crds::spec::EvaluationMetric;
use regex::{Regex, RegexBuilder};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{GREATEST_WEIGHT, Item, LEAST_WEIGHT, Message, Problem, Prompt, Suite, SuiteError};
use crate::metrics;

const ROLES: [&str; 4] = ["system", "developer", "user", "assistant"];
/// Bytes that one compiled pattern may take; a suite has many.
const MAX_PATTERN: usize = 1 << 20;

/// A line as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: Option<String>,
    messages: Option<Vec<Message>>,
    input: Option<String>,
    #[serde(default)]
    references: References,
    weight: Option<f64>,
}

/// One text or several.
#[derive(Default)]
struct References(Vec<String>);

impl<'de> Deserialize<'de> for References {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Texts)
    }
}

/// Reads [`References`]. An untagged enum would tell neither what is expected nor where.
struct Texts;

impl<'de> Visitor<'de> for Texts {
    type Value = References;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a text or a list of texts as `references`")
    }

    fn visit_str<E>(self, text: &str) -> Result<References, E> {
        Ok(References(vec![text.to_owned()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<References, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = sequence.next_element()? {
            texts.push(text);
        }
        Ok(References(texts))
    }
}

pub(super) fn suite(text: &str, metric: EvaluationMetric) -> Result<Suite, SuiteError> {
    // Some editors begin a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut suite = Suite {
        metric,
        items: Vec::new(),
        patterns: Vec::new(),
    };
    let mut lines_of_ids = HashMap::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let number = index + 1;
        let read = read(line, number, metric, &mut lines_of_ids);
        let (item, patterns) = read.map_err(|problem| SuiteError::Line {
            line: number,
            problem,
        })?;
        suite.items.push(item);
        suite.patterns.push(patterns);
    }
    if suite.items.is_empty() {
        return Err(SuiteError::Empty);
    }
    Ok(suite)
}

fn read(
    text: &str,
    number: usize,
    metric: EvaluationMetric,
    lines_of_ids: &mut HashMap<String, usize>,
) -> Result<(Item, Vec<Regex>), Problem> {
    let line: Line = serde_json::from_str(text).map_err(|error| json_problem(&error))?;
    let item = Item {
        id: line.id.unwrap_or_else(|| number.to_string()),
        prompt: prompt(line.messages, line.input)?,
        references: line.references.0,
        weight: line.weight.unwrap_or(1.0),
    };
    if item.id.trim().is_empty() {
        return Err(Problem::EmptyId);
    }
    // The comparison is false of what is no number, too.
    if !(LEAST_WEIGHT..=GREATEST_WEIGHT).contains(&item.weight) {
        return Err(Problem::Weight {
            weight: item.weight,
        });
    }
    check_references(&item.references, metric)?;
    let patterns = match metric {
        EvaluationMetric::Regex => patterns(&item.references)?,
        _ => Vec::new(),
    };
    if let Some(first) = lines_of_ids.insert(item.id.clone(), number) {
        return Err(Problem::DuplicateId { id: item.id, first });
    }
    Ok((item, patterns))
}

fn json_problem(error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    let message = error.to_string();
    // The parser saw one line alone, so its own count of lines would mislead.
    let place = format!(" at line {line} column {column}");
    let message = message.strip_suffix(&place).unwrap_or(&message).to_owned();
    Problem::Json { column, message }
}

fn prompt(messages: Option<Vec<Message>>, input: Option<String>) -> Result<Prompt, Problem> {
    match (messages, input) {
        (Some(_), Some(_)) => Err(Problem::TwoPrompts),
        (None, None) => Err(Problem::NoPrompt),
        (None, Some(input)) => Ok(Prompt::Input(input)),
        (Some(messages), None) if messages.is_empty() => Err(Problem::NoMessages),
        (Some(messages), None) => {
            let mut roles = messages.iter().map(|message| &message.role);
            match roles.find(|role| !ROLES.contains(&role.as_str())) {
                Some(role) => Err(Problem::Role { role: role.clone() }),
                None => Ok(Prompt::Messages(messages)),
            }
        }
    }
}

fn check_references(references: &[String], metric: EvaluationMetric) -> Result<(), Problem> {
    let properties = metrics::properties(metric);
    if properties.needs_references && references.is_empty() {
        return Err(Problem::NoReferences {
            metric: properties.name,
        });
    }
    let says_nothing = matches!(
        metric,
        EvaluationMetric::Contains
            | EvaluationMetric::Regex
            | EvaluationMetric::EmbeddingSimilarity
            | EvaluationMetric::Perplexity
    );
    if says_nothing && references.iter().any(|text| text.trim().is_empty()) {
        return Err(Problem::EmptyReference {
            metric: properties.name,
        });
    }
    Ok(())
}

fn patterns(references: &[String]) -> Result<Vec<Regex>, Problem> {
    let compiled = references.iter().map(|pattern| {
        let built = RegexBuilder::new(pattern).size_limit(MAX_PATTERN).build();
        built.map_err(|error| {
            let text = error.to_string();
            // The lines before it draw the pattern once more.
            let last = text.lines().last().unwrap_or_default();
            let message = last.strip_prefix("error: ").unwrap_or(last).to_owned();
            let pattern = pattern.clone();
            Problem::Pattern { pattern, message }
        })
    });
    compiled.collect()
}
