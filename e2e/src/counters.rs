//! Counters that a program tells in Prometheus' text format, and how far they go in between.

use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;

/// What tells the counters of one name apart.
pub type Labels = BTreeMap<String, String>;

/// The value of one label; empty if there is none.
#[must_use]
pub fn label<'a>(labels: &'a Labels, key: &str) -> &'a str {
    labels.get(key).map(String::as_str).unwrap_or_default()
}

/// The counters of some names, as they stand at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters(BTreeMap<(String, Labels), f64>);

impl Counters {
    /// Reads the counters of these names; all others are passed over.
    ///
    /// # Errors
    /// When a line of one of these names is not as the format says.
    pub fn parse(text: &str, names: &[&str]) -> Result<Self> {
        let mut counters = BTreeMap::new();
        for line in text.lines() {
            let end = line.find(['{', ' ']).unwrap_or(line.len());
            let (name, rest) = line.split_at(end);
            if !names.contains(&name) {
                continue;
            }
            let told = parse_rest(rest).with_context(|| format!("no counter: {line}"))?;
            counters.insert((name.to_owned(), told.0), told.1);
        }
        Ok(Self(counters))
    }

    /// How far each has gone since `before`; those that stood still are left out.
    ///
    /// # Errors
    /// When one went back, as in a program that was started anew.
    pub fn since(&self, before: &Self) -> Result<Self> {
        if let Some((name, labels)) = before.0.keys().find(|key| !self.0.contains_key(*key)) {
            bail!("{name}{labels:?} is gone: the program was started anew");
        }
        let mut gone = BTreeMap::new();
        for (key, now) in &self.0 {
            let then = before.0.get(key).copied().unwrap_or_default();
            if *now < then {
                bail!("{}{:?} went from {then} to {now}", key.0, key.1);
            }
            if *now > then {
                gone.insert(key.clone(), now - then);
            }
        }
        Ok(Self(gone))
    }

    /// The counters of one name.
    pub fn of(&self, name: &str) -> impl Iterator<Item = (&Labels, u64)> {
        let own = self.0.iter().filter(move |((own, _), _)| own == name);
        // They count whole things; the format has no other numbers.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        own.map(|((_, labels), value)| (labels, *value as u64))
    }
}

/// `{a="x"} 3`, or ` 3`.
fn parse_rest(text: &str) -> Option<(Labels, f64)> {
    let (labels, rest) = match text.strip_prefix('{') {
        Some(text) => parse_labels(text)?,
        None => (Labels::new(), text),
    };
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some((labels, value))
}

/// `a="x",b="y"}`, and what follows.
fn parse_labels(mut text: &str) -> Option<(Labels, &str)> {
    let mut labels = Labels::new();
    loop {
        text = text.trim_start_matches([',', ' ']);
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (key, rest) = text.split_once("=\"")?;
        let (value, rest) = parse_quoted(rest)?;
        labels.insert(key.to_owned(), value);
        text = rest;
    }
}

/// The text up to its closing quote, and what follows.
fn parse_quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Counters {
        Counters::parse(text, &["asked", "plain"]).expect("counters")
    }

    /// `verb=count` of each counter of `asked`.
    fn shown(counters: &Counters) -> Vec<String> {
        let all = counters.of("asked");
        all.map(|(labels, count)| format!("{}={count}", labels["verb"]))
            .collect()
    }

    #[test]
    fn counters_are_read_and_others_passed_over() {
        let counters = parse(
            "# TYPE asked counter\nasked{verb=\"GET\",path=\"a,}\\\"b\"} 3\n\
             asked_more{verb=\"GET\"} 9\nasked{verb=\"PUT\",path=\"\"} 1.2e+03\nplain 7\nbroken{ x\n",
        );
        assert_eq!(shown(&counters), ["PUT=1200", "GET=3"]);
        let paths: Vec<_> = counters.of("asked").map(|(it, _)| &it["path"]).collect();
        assert_eq!(paths, ["", "a,}\"b"]);
        assert_eq!(counters.of("plain").map(|it| it.1).sum::<u64>(), 7);
        assert!(Counters::parse("asked{verb=} 3", &["asked"]).is_err());
        assert!(Counters::parse("asked{verb=\"GET\"} many", &["asked"]).is_err());
    }

    #[test]
    fn what_went_on_is_told_and_a_new_start_is_an_error() {
        let before = parse("asked{verb=\"GET\"} 3\nasked{verb=\"PUT\"} 2\n");
        let after = parse("asked{verb=\"GET\"} 5\nasked{verb=\"PUT\"} 2\nasked{verb=\"POST\"} 1\n");
        let gone = after.since(&before).expect("it went on");
        assert_eq!(shown(&gone), ["GET=2", "POST=1"]);
        assert!(before.since(&after).is_err(), "one is gone");
        let less = parse("asked{verb=\"GET\"} 1\nasked{verb=\"PUT\"} 2\n");
        assert!(less.since(&before).is_err(), "one went back");
    }
}
