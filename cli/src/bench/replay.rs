//! A trace that is asked for in earnest, beside what the simulation says of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use chandler_sim::traffic::trace::Trace;
use chandler_sim::traffic::{Quantiles, ReplicaModel};

use super::args::{BenchArgs, ReplayArgs};
use super::drive::open;
use super::fault::Fault;
use super::measure::tell;
use super::predict::{Scene, predict};
use super::target::Target;

/// What came of a trace.
#[derive(Debug)]
pub(super) struct Replayed {
    pub(super) requests: usize,
    pub(super) replicas: u32,
    /// Requests answered a second.
    pub(super) rate: f64,
    pub(super) failed: BTreeMap<&'static str, usize>,
    /// Times to the first token.
    pub(super) measured: Quantiles,
    pub(super) predicted: Quantiles,
}

/// The trace that the arguments name, as they want it.
///
/// # Errors
/// There is none that can be read.
pub(super) fn trace(args: &ReplayArgs, seed: u64) -> Result<Option<Trace>, Fault> {
    let Some(path) = &args.trace else {
        return Ok(None);
    };
    let trace = Trace::parse(&text(path)?).map_err(|error| Fault::Trace {
        path: path.clone(),
        error,
    })?;
    let trace = trace.scaled(args.scale, seed);
    Ok(Some(match args.length {
        Some(length) => trace.first(length),
        None => trace,
    }))
}

/// The replica model that the arguments name.
///
/// # Errors
/// It can't be read.
pub(super) fn model(args: &ReplayArgs) -> Result<Option<ReplicaModel>, Fault> {
    let Some(path) = &args.replica_model else {
        return Ok(None);
    };
    let model = ReplicaModel::parse(&text(path)?);
    model.map(Some).map_err(|error| Fault::Model {
        path: path.clone(),
        error,
    })
}

fn text(path: &Path) -> Result<String, Fault> {
    fs::read_to_string(path).map_err(|error| Fault::Unreadable {
        path: path.to_owned(),
        error,
    })
}

/// Replays a trace.
///
/// # Errors
/// Nothing of it is answered.
pub(super) async fn replay(
    args: &BenchArgs,
    target: &Arc<Target>,
    trace: &Trace,
    model: &ReplicaModel,
) -> Result<Replayed, Fault> {
    let (count, length) = (trace.requests.len(), trace.length);
    tell(&format!("{count} requests of the trace, for {length:.0?}"));
    let step = open(target, "trace".to_owned(), trace, args.seed).await;
    let step = step.answered()?;
    let scene = Scene {
        replicas: args.replay.replicas,
        seed: args.seed,
    };
    Ok(Replayed {
        requests: count,
        replicas: scene.replicas,
        rate: step.rate(),
        failed: step.failed(),
        measured: step.ttft(),
        predicted: predict(&step.trace(), model, scene),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TRACE: &str = "TIMESTAMP,ContextTokens,GeneratedTokens\n\
        2024-05-10 00:00:00,100,10\n2024-05-10 00:00:04,200,20\n2024-05-10 00:00:09,300,30\n";

    fn read(text: &str, args: impl FnOnce(&mut ReplayArgs)) -> Result<Option<Trace>, Fault> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("trace.csv");
        fs::write(&path, text).expect("written");
        let mut all = ReplayArgs {
            trace: Some(path),
            scale: 1.0,
            length: None,
            replica_model: None,
            replicas: 1,
        };
        args(&mut all);
        trace(&all, 1)
    }

    #[test]
    fn a_trace_is_cut_and_made_denser() {
        let whole = read(TRACE, |_| {}).expect("a trace").expect("one is named");
        assert_eq!((whole.requests.len(), whole.length.as_secs()), (3, 9));
        let cut = read(TRACE, |args| args.length = Some(Duration::from_secs(5)));
        let cut = cut.expect("a trace").expect("one is named");
        assert_eq!((cut.requests.len(), cut.length.as_secs()), (2, 5));
        let dense = read(TRACE, |args| args.scale = 2.0).expect("a trace");
        assert_eq!(dense.expect("one is named").requests.len(), 6);
        assert!(
            read(TRACE, |args| args.trace = None)
                .expect("none")
                .is_none()
        );
    }

    #[test]
    fn files_that_can_not_be_read_are_named() {
        let fault = read("TIMESTAMP\n", |_| {}).expect_err("no columns");
        assert_eq!(fault.reason(), "MissingColumn");
        let fault = read(TRACE, |args| args.trace = Some("nowhere.csv".into()));
        let fault = fault.expect_err("no file");
        assert!(fault.to_string().starts_with("nowhere.csv: "), "{fault}");
        let args = ReplayArgs {
            trace: None,
            scale: 1.0,
            length: None,
            replica_model: Some("nowhere.yaml".into()),
            replicas: 1,
        };
        assert_eq!(
            model(&args).expect_err("no file").reason(),
            "FileUnreadable"
        );
    }
}
