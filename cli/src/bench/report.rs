//! What came of a measurement, as tables and as JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use chandler_sim::traffic::Quantiles;
use serde_json::{Value, json};

use super::client::Task;
use super::measure::Measured;
use super::replay::Replayed;
use super::step::{Step, knee};
use super::target::Target;

/// Heads of the table of steps.
const HEAD: [&str; 13] = [
    "STEP",
    "REQ/S",
    "PROMPT T/S",
    "ANSWER T/S",
    "TTFT P50",
    "P95",
    "P99",
    "SIMULATED P95",
    "LATENCY P50",
    "P95",
    "P99",
    "FAILED",
    "",
];

/// The steps of a measurement, one a line.
pub(super) fn steps(measured: &Measured) -> String {
    let best = knee(&measured.steps).map(|step| step.name.as_str());
    let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
    for (step, predicted) in measured.steps.iter().zip(&measured.predicted) {
        let is_knee = best == Some(step.name.as_str());
        rows.push(cells(step, predicted.as_ref(), is_knee));
    }
    let mut text = aligned(&rows);
    text += &format!("saturation: {:.1} requests a second\n", measured.saturation);
    if let Some(step) = knee(&measured.steps) {
        text += &format!(
            "knee: {:.1} requests a second, where most is done for each second of waiting\n",
            step.rate()
        );
    }
    text
}

fn cells(step: &Step, predicted: Option<&Quantiles>, is_knee: bool) -> Vec<String> {
    let (ttft, latency) = (step.ttft(), step.latency());
    vec![
        step.name.clone(),
        format!("{:.1}", step.rate()),
        format!("{:.0}", step.prompt_tokens()),
        format!("{:.0}", step.generated_tokens()),
        short(ttft.p50),
        short(ttft.p95),
        short(ttft.p99),
        predicted.map_or_else(|| "-".to_owned(), |it| short(it.p95)),
        short(latency.p50),
        short(latency.p95),
        short(latency.p99),
        failures(&step.failed()),
        if is_knee { "knee" } else { "" }.to_owned(),
    ]
}

/// A trace as it went, beside the simulation.
pub(super) fn replayed(replayed: &Replayed) -> String {
    let row = |name: &str, of: &Quantiles| {
        vec![name.to_owned(), short(of.p50), short(of.p95), short(of.p99)]
    };
    let ratio = ratios(replayed);
    let ratio = ratio.map(|ratio| format!("{ratio:.2}"));
    let head = ["TTFT", "P50", "P95", "P99"].map(str::to_owned).to_vec();
    let rows = [
        head,
        row("measured", &replayed.measured),
        row("simulated", &replayed.predicted),
        [vec!["ratio".to_owned()], ratio.to_vec()].concat(),
    ];
    let failed = failures(&replayed.failed);
    format!(
        "{} requests, {:.1} a second, {} replicas, failed: {failed}\n{}",
        replayed.requests,
        replayed.rate,
        replayed.replicas,
        aligned(&rows)
    )
}

/// Simulated over measured, for each quantile.
fn ratios(replayed: &Replayed) -> [f64; 3] {
    let (ours, real) = (replayed.predicted, replayed.measured);
    [
        (ours.p50, real.p50),
        (ours.p95, real.p95),
        (ours.p99, real.p99),
    ]
    .map(|(ours, real)| ours.as_secs_f64() / real.as_secs_f64().max(1e-9))
}

/// All of it for programs.
pub(super) fn json(
    target: &Target,
    measured: Option<&Measured>,
    replay: Option<&Replayed>,
) -> Value {
    let task = match target.task {
        Task::Vectors => "embedding",
        Task::Text => "text",
    };
    json!({
        "model": target.model,
        "task": task,
        "longest": target.longest,
        "measured": measured.map(|it| json!({
            "saturation": it.saturation,
            "knee": knee(&it.steps).map(Step::rate),
            "fitError": it.replica.error,
            "notes": it.replica.notes,
            "replicaModel": it.replica.model,
            "steps": it.steps.iter().zip(&it.predicted).map(one).collect::<Vec<_>>(),
        })),
        "replay": replay.map(|it| json!({
            "requests": it.requests,
            "rate": it.rate,
            "replicas": it.replicas,
            "failed": it.failed,
            "measured": seconds(&it.measured),
            "simulated": seconds(&it.predicted),
            "ratio": named(ratios(it)),
        })),
    })
}

fn one((step, predicted): (&Step, &Option<Quantiles>)) -> Value {
    json!({
        "name": step.name,
        "offered": step.offered,
        "callers": step.callers,
        "rate": step.rate(),
        "promptTokens": step.prompt_tokens(),
        "generatedTokens": step.generated_tokens(),
        "ttft": seconds(&step.ttft()),
        "simulated": predicted.as_ref().map(seconds),
        "latency": seconds(&step.latency()),
        "failed": step.failed(),
    })
}

fn seconds(of: &Quantiles) -> Value {
    named([of.p50, of.p95, of.p99].map(|time| time.as_secs_f64()))
}

fn named([p50, p95, p99]: [f64; 3]) -> Value {
    json!({"p50": p50, "p95": p95, "p99": p99})
}

fn failures(failed: &BTreeMap<&'static str, usize>) -> String {
    if failed.is_empty() {
        return "0".to_owned();
    }
    let each = failed
        .iter()
        .map(|(reason, count)| format!("{count} {reason}"));
    each.collect::<Vec<_>>().join(", ")
}

/// A time in three digits or so.
fn short(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1e3;
    match millis {
        ..10.0 => format!("{millis:.1}ms"),
        ..1000.0 => format!("{millis:.0}ms"),
        _ => format!("{:.2}s", millis / 1e3),
    }
}

/// Rows in columns; what follows the first stands at their right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            line += &match column {
                0 => format!("{cell:<width$}"),
                _ => format!("  {cell:>width$}"),
            };
        }
        line.trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_is_told_with_its_ratios() {
        let of = |p50, p95, p99| Quantiles {
            p50: Duration::from_micros(p50),
            p95: Duration::from_micros(p95),
            p99: Duration::from_micros(p99),
        };
        let told = replayed(&Replayed {
            requests: 200,
            replicas: 2,
            rate: 12.34,
            failed: BTreeMap::from([("Busy", 3)]),
            measured: of(5000, 100_000, 2_000_000),
            predicted: of(5500, 90_000, 2_000_000),
        });
        let wanted = "\
200 requests, 12.3 a second, 2 replicas, failed: 3 Busy
TTFT         P50    P95    P99
measured   5.0ms  100ms  2.00s
simulated  5.5ms   90ms  2.00s
ratio       1.10   0.90   1.00
";
        assert_eq!(told, wanted);
    }
}
