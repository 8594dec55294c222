//! Prometheus' text format 0.0.4, read: what Chandler's own processes tell of themselves.

use std::fmt;

/// Between the parts of a line.
const BLANKS: [char; 2] = [' ', '\t'];

/// One line that holds a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The metric's name; of a histogram the name with its suffix, such as `_bucket`.
    pub name: String,
    /// Labels in the order of the line.
    pub labels: Vec<(String, String)>,
    /// May be `NaN`, and infinite.
    pub value: f64,
}

impl Sample {
    /// A label's value.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        let mut labels = self.labels.iter();
        let label = labels.find(|(label, _)| label == name);
        label.map(|(_, value)| value.as_str())
    }
}

/// A text that is not of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the metrics {fault}")]
pub struct Malformed {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What can be wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does not begin with the name of a metric.
    Name,
    /// Its labels are not `{name="value",…}`.
    Labels,
    /// Its value is no number.
    Value,
    /// What stands behind the value is no time.
    Timestamp,
    /// There is more than a value and a time.
    Rest,
}

impl Fault {
    /// The fault as one CamelCase word.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Name => "MalformedName",
            Self::Labels => "MalformedLabels",
            Self::Value => "MalformedValue",
            Self::Timestamp => "MalformedTimestamp",
            Self::Rest => "UnexpectedText",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "does not begin with the name of a metric",
            Self::Labels => "has labels that can't be read",
            Self::Value => "has no number as its value",
            Self::Timestamp => "has no time in milliseconds behind its value",
            Self::Rest => "goes on behind its time",
        })
    }
}

/// All samples of a text. Comments, types and times are passed over.
///
/// # Errors
/// The first line that is not of the format.
pub fn samples(text: &str) -> Result<Vec<Sample>, Malformed> {
    let lines = text.lines().map(|line| line.trim_matches(BLANKS));
    let told = (1..).zip(lines);
    told.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            sample(line).map_err(|fault| Malformed {
                line: number,
                fault,
            })
        })
        .collect()
}

fn sample(line: &str) -> Result<Sample, Fault> {
    let (name, rest) = name(line, is_of_metric).ok_or(Fault::Name)?;
    let (labels, rest) = match rest.trim_start_matches(BLANKS).strip_prefix('{') {
        Some(rest) => labels(rest).ok_or(Fault::Labels)?,
        None if rest.is_empty() || rest.starts_with(BLANKS) => (Vec::new(), rest),
        None => return Err(Fault::Name),
    };
    let mut words = rest.split(BLANKS).filter(|word| !word.is_empty());
    let value = words.next().and_then(|word| word.parse().ok());
    let value = value.ok_or(Fault::Value)?;
    if let Some(time) = words.next() {
        time.parse::<i64>().map_err(|_| Fault::Timestamp)?;
    }
    match words.next() {
        None => Ok(Sample {
            name: name.to_owned(),
            labels,
            value,
        }),
        Some(_) => Err(Fault::Rest),
    }
}

/// The name that a text begins with, and the text behind it.
fn name(text: &str, is_of_name: fn(char) -> bool) -> Option<(&str, &str)> {
    let end = text.find(|c| !is_of_name(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let begins_well = name.starts_with(|c: char| !c.is_ascii_digit());
    begins_well.then_some((name, rest))
}

fn is_of_metric(c: char) -> bool {
    is_of_label(c) || c == ':'
}

fn is_of_label(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Labels up to the brace that closes them, and the text behind it.
fn labels(text: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    let mut rest = text.trim_start_matches(BLANKS);
    loop {
        if let Some(behind) = rest.strip_prefix('}') {
            return Some((labels, behind));
        }
        let (name, behind) = name(rest, is_of_label)?;
        let behind = behind.trim_start_matches(BLANKS).strip_prefix('=')?;
        let behind = behind.trim_start_matches(BLANKS).strip_prefix('"')?;
        let (value, behind) = quoted(behind)?;
        labels.push((name.to_owned(), value));
        let behind = behind.trim_start_matches(BLANKS);
        // A comma behind the last label is of the format too.
        rest = match behind.strip_prefix(',') {
            Some(behind) => behind.trim_start_matches(BLANKS),
            None if behind.starts_with('}') => behind,
            None => return None,
        };
    }
}

/// A label's value up to the quote that closes it, and the text behind it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        value.push(match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => match chars.next()? {
                'n' => '\n',
                escaped @ ('\\' | '"') => escaped,
                _ => return None,
            },
            plain => plain,
        });
    }
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
