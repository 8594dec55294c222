//! What kstatus and Argo CD make of a model in every phase, against what they should.

use crate::cluster::build;
use crate::codegen::HEALTH;
use crate::shell;
use anyhow::{Context, Result, bail};
use chandler_e2e::layout;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::process::Stdio;

/// An object of every phase, written by the simulation's tests.
const RECORDED: &str = "sim/recorded";
/// Beside them: the phase, and its verdicts.
const EXPECTED: &str = "sim/recorded/expected.tsv";

/// What the two say of one object.
#[derive(Debug, PartialEq, Eq)]
struct Verdicts {
    kstatus: String,
    argo_cd: String,
}

/// A line that the program in `e2e/cluster/kstatus` writes for each object.
#[derive(Debug, Deserialize)]
struct Line {
    name: String,
    status: String,
    health: Health,
}

#[derive(Debug, Deserialize)]
struct Health {
    status: String,
}

/// Compares every phase.
///
/// # Errors
/// When the program is missing or fails.
pub(super) fn check() -> Result<Vec<String>> {
    let text = fs::read_to_string(layout::root().join(EXPECTED)).context(EXPECTED)?;
    let expected = expected(&text)?;
    let found = judge(&objects()?)?;
    println!("{EXPECTED}: {} phases", expected.len());
    Ok(compare(&expected, &found))
}

fn compare(
    expected: &BTreeMap<String, Verdicts>,
    found: &BTreeMap<String, Verdicts>,
) -> Vec<String> {
    let mut findings = Vec::new();
    for (phase, wanted) in expected {
        match found.get(phase) {
            Some(verdicts) if verdicts == wanted => {}
            Some(verdicts) => findings.push(format!(
                "{phase}: kstatus says {} and Argo CD {}; they should say {} and {}",
                verdicts.kstatus, verdicts.argo_cd, wanted.kstatus, wanted.argo_cd
            )),
            None => findings.push(format!("{RECORDED} holds no object `{phase}`")),
        }
    }
    let unexpected = found.keys().filter(|phase| !expected.contains_key(*phase));
    findings.extend(unexpected.map(|phase| format!("{EXPECTED} has no line `{phase}`")));
    findings
}

fn expected(text: &str) -> Result<BTreeMap<String, Verdicts>> {
    let mut all = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [phase, kstatus, argo_cd] = fields.as_slice() else {
            bail!("{EXPECTED}: `{line}` is not a phase and two verdicts with tabs between");
        };
        let verdicts = Verdicts {
            kstatus: (*kstatus).to_owned(),
            argo_cd: (*argo_cd).to_owned(),
        };
        all.insert((*phase).to_owned(), verdicts);
    }
    Ok(all)
}

/// All recorded objects as one stream.
fn objects() -> Result<String> {
    let mut stream = String::new();
    for entry in fs::read_dir(layout::root().join(RECORDED)).context(RECORDED)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            stream.push_str("---\n");
            stream.push_str(&fs::read_to_string(path)?);
        }
    }
    Ok(stream)
}

fn judge(objects: &str) -> Result<BTreeMap<String, Verdicts>> {
    let mut command = shell::command(build::program("kstatus")?);
    command.args(["--lua", HEALTH]).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    // All its answers fit into a pipe, so it never waits for one to be read.
    if let Some(mut input) = child.stdin.take() {
        input.write_all(objects.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("kstatus ended with {}", output.status);
    }
    verdicts(&String::from_utf8(output.stdout)?)
}

fn verdicts(lines: &str) -> Result<BTreeMap<String, Verdicts>> {
    let mut all = BTreeMap::new();
    for line in lines.lines() {
        let line: Line = serde_json::from_str(line).with_context(|| line.to_owned())?;
        let verdicts = Verdicts {
            kstatus: line.status,
            argo_cd: line.health.status,
        };
        all.insert(line.name, verdicts);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_verdict_is_told_and_so_is_a_missing_one() {
        let expected = expected("# phase\na\tCurrent\tHealthy\nb\tFailed\tDegraded\n");
        let lines = r#"{"kind":"M","name":"a","status":"Current","health":{"status":"Degraded"}}
{"kind":"M","name":"c","status":"Current","health":{"status":"Healthy","message":"m"}}"#;
        let found = compare(&expected.expect("good"), &verdicts(lines).expect("good"));
        assert_eq!(
            found,
            [
                "a: kstatus says Current and Argo CD Degraded; they should say Current and Healthy",
                "sim/recorded holds no object `b`",
                "sim/recorded/expected.tsv has no line `c`",
            ]
        );
        assert!(super::expected("a Current Healthy\n").is_err());
    }
}
