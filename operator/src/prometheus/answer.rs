//! What a Prometheus server answers, in the form that its API documents.

use std::borrow::Cow;
use std::fmt;

use chandler_crds::names::{metrics, prometheus as names};
use reqwest::StatusCode;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::error::QueryError;

/// Characters of a server's own words that are told on.
const TOLD: usize = 200;

/// A number at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Milliseconds since 1970, by the server's clock.
    pub at: i64,
    /// May be `NaN`, and infinite.
    pub value: f64,
}

/// The labels of a series that are of use here; empty if it has not got them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// Of the pod.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The settings by which it is scraped.
    pub job: String,
    /// Where it is scraped.
    pub instance: String,
    /// Of a bucket.
    pub bound: Option<String>,
}

/// A series and its samples, the oldest first.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Series {
    /// What it is of.
    #[serde(rename = "metric")]
    pub labels: Labels,
    /// None if it has native histograms alone.
    #[serde(rename = "values", default)]
    pub points: Vec<Point>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    error_type: Option<String>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    #[serde(borrow)]
    result_type: Cow<'a, str>,
    #[serde(borrow)]
    result: &'a RawValue,
}

/// The result of an expression that is a number.
pub(super) fn scalar(body: &[u8]) -> Result<Point, QueryError> {
    result(body, "scalar", "a result that is no number")
}

/// The result of a range selector.
pub(super) fn matrix(body: &[u8]) -> Result<Vec<Series>, QueryError> {
    result(body, "matrix", "a result that is no series of samples")
}

/// What an answer with another status than 200 says.
pub(super) fn refusal(status: StatusCode, body: &[u8]) -> QueryError {
    match serde_json::from_slice::<Answer<'_>>(body) {
        Ok(answer) if answer.error.is_some() => failure(answer),
        _ => QueryError::Status {
            status,
            text: told(&String::from_utf8_lossy(body)),
        },
    }
}

fn result<'a, T: Deserialize<'a>>(
    body: &'a [u8],
    kind: &str,
    otherwise: &'static str,
) -> Result<T, QueryError> {
    let answer: Answer<'a> =
        serde_json::from_slice(body).map_err(|_| QueryError::Malformed("no JSON of an answer"))?;
    if answer.status != "success" {
        return Err(failure(answer));
    }
    let data = answer.data.ok_or(QueryError::Malformed("no data"))?;
    let data: Data<'a> = serde_json::from_str(data.get())
        .map_err(|_| QueryError::Malformed("data without result"))?;
    if data.result_type != kind {
        return Err(QueryError::Malformed(otherwise));
    }
    serde_json::from_str(data.result.get()).map_err(|_| QueryError::Malformed(otherwise))
}

fn failure(answer: Answer<'_>) -> QueryError {
    QueryError::Failed {
        kind: told(&answer.error_type.unwrap_or_default()),
        text: told(&answer.error.unwrap_or_default()),
    }
}

/// The begin of a text, in one line.
fn told(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(TOLD).collect()
}

impl<'de> Deserialize<'de> for Point {
    /// `[seconds, "value"]`
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (seconds, value) = <(f64, Cow<'de, str>)>::deserialize(from)?;
        Ok(Self {
            at: (seconds * 1000.0).round() as i64,
            value: value.parse().map_err(D::Error::custom)?,
        })
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(LabelsVisitor)
    }
}

/// Keeps what is of use: there are many series, and some servers add many labels.
struct LabelsVisitor;

impl<'de> Visitor<'de> for LabelsVisitor {
    type Value = Labels;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("labels")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
        let mut labels = Labels::default();
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            match &*name {
                names::NAMESPACE => labels.namespace = map.next_value()?,
                names::POD => labels.pod = map.next_value()?,
                names::JOB => labels.job = map.next_value()?,
                names::INSTANCE => labels.instance = map.next_value()?,
                metrics::BOUND => labels.bound = Some(map.next_value()?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(labels)
    }
}
