//! What a simulation is made of, read from the files that the user names.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use chandler_core::schedule::Schedule;
use chandler_core::validate::{Replicas, Validated, validate};
use chandler_sim::traffic::baselines::{Baseline, Fixed};
use chandler_sim::traffic::trace::{Trace, TraceError};
use chandler_sim::traffic::{Bounds, Chandler, ModelError, Policy, ReplicaModel};

use super::policy::{OURS, PolicyName};
use crate::args::SimulateArgs;
use crate::manifest;

/// A fault in what the user gave.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Manifest(#[from] manifest::Fault),
    #[error("{}: has {count} models; give a manifest of one", path.display())]
    NotOne { path: PathBuf, count: usize },
    #[error(
        "{}: has a fixed count, which leaves {policy} nothing to decide; write spec.autoscaling with minReplicas and maxReplicas", path.display()
    )]
    NothingToDecide { path: PathBuf, policy: Baseline },
    #[error(
        "{}: has floors by the clock, and a trace has no date; remove spec.autoscaling.schedule", path.display()
    )]
    Scheduled { path: PathBuf },
    #[error("{}: {error}; give the path of a file", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{}: {error}", path.display())]
    Trace { path: PathBuf, error: TraceError },
    #[error("{}: {error}", path.display())]
    Model { path: PathBuf, error: ModelError },
}

/// A model, its traffic and its replicas.
#[derive(Debug)]
pub(super) struct Inputs {
    pub(super) spec: Validated,
    pub(super) trace: Trace,
    pub(super) model: ReplicaModel,
    /// Ready replicas as it begins, if the user says so.
    first: Option<u32>,
}

impl Inputs {
    /// Reads everything.
    ///
    /// # Errors
    /// Every fault of the first file that has one.
    pub(super) fn read(args: &SimulateArgs) -> Result<Self, Vec<Fault>> {
        let spec = spec(&args.file)?;
        decides(args, &spec).map_err(|fault| vec![fault])?;
        let trace = trace(args).map_err(|fault| vec![fault])?;
        let model = model(args).map_err(|fault| vec![fault])?;
        Ok(Self {
            spec,
            trace,
            model,
            first: args.replicas,
        })
    }

    /// Between which counts a policy may choose.
    pub(super) fn bounds(&self, name: PolicyName) -> Bounds {
        let (min, max) = match (name, self.spec.replicas) {
            (PolicyName::Baseline(Baseline::Fixed(count)), _) => (count, count),
            (_, Replicas::Fixed(count)) => (count, count),
            (_, Replicas::Scaled { min, max, .. }) => (min, max),
        };
        let first = self.first.unwrap_or(min).clamp(min, max);
        Bounds { min, max, first }
    }

    pub(super) fn policy(&self, name: PolicyName) -> Box<dyn Policy> {
        match name {
            PolicyName::Ours => self.ours(self.bounds(name)),
            PolicyName::Baseline(baseline) => baseline.policy(self.model.max_batch),
        }
    }

    /// The policy that the manifest itself asks for.
    fn ours(&self, bounds: Bounds) -> Box<dyn Policy> {
        match &self.spec.scaling {
            None => Box::new(Fixed(bounds.min)),
            Some(scaling) => Box::new(Chandler::new(
                OURS.to_owned(),
                scaling.clone(),
                bounds,
                self.start(),
            )),
        }
    }

    /// How long a replica takes to start, in the mean.
    pub(super) fn start(&self) -> Duration {
        let starts = &self.model.start_seconds;
        let mean = starts.iter().sum::<f64>() / starts.len().max(1) as f64;
        Duration::try_from_secs_f64(mean).unwrap_or_default()
    }
}

fn spec(path: &Path) -> Result<Validated, Vec<Fault>> {
    let manifests = manifest::read(&[path.to_owned()], &[])
        .map_err(|faults| faults.into_iter().map(Fault::from).collect::<Vec<_>>())?;
    let valid = manifests
        .objects
        .iter()
        .filter_map(|object| validate(object).ok());
    let one: Result<[Validated; 1], _> = valid.collect::<Vec<_>>().try_into();
    one.map(|[spec]| spec).map_err(|several| {
        vec![Fault::NotOne {
            path: path.to_owned(),
            count: several.len(),
        }]
    })
}

/// Whether there is something to decide for every policy that was asked for, by the trace alone.
fn decides(args: &SimulateArgs, spec: &Validated) -> Result<(), Fault> {
    if spec.schedule != Schedule::default() {
        return Err(Fault::Scheduled {
            path: args.file.clone(),
        });
    }
    let mut others = args.policies.iter().filter_map(|name| match name {
        PolicyName::Ours | PolicyName::Baseline(Baseline::Fixed(_)) => None,
        PolicyName::Baseline(baseline) => Some(*baseline),
    });
    match (others.next(), spec.replicas) {
        (Some(policy), Replicas::Fixed(_)) => Err(Fault::NothingToDecide {
            path: args.file.clone(),
            policy,
        }),
        _ => Ok(()),
    }
}

fn trace(args: &SimulateArgs) -> Result<Trace, Fault> {
    let trace = Trace::parse(&text(&args.trace)?).map_err(|error| Fault::Trace {
        path: args.trace.clone(),
        error,
    })?;
    let trace = trace.scaled(args.scale, args.seed);
    Ok(match args.days {
        Some(days) => trace.over_days(days, args.seed),
        None => trace,
    })
}

fn model(args: &SimulateArgs) -> Result<ReplicaModel, Fault> {
    let mut model = match &args.replica_model {
        None => ReplicaModel::default(),
        Some(path) => ReplicaModel::parse(&text(path)?).map_err(|error| Fault::Model {
            path: path.clone(),
            error,
        })?,
    };
    if let Some(delay) = args.start_delay {
        model.start_seconds = vec![delay.as_secs_f64()];
    }
    Ok(model)
}

fn text(path: &Path) -> Result<String, Fault> {
    fs::read_to_string(path).map_err(|error| Fault::Unreadable {
        path: path.to_owned(),
        error,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    const SCALED: &str = "autoscaling: {minReplicas: 1, maxReplicas: 6}";
    const REQUESTS: &str = "TIMESTAMP,ContextTokens,GeneratedTokens\n\
        2024-05-10 00:00:00,100,10\n2024-05-10 00:00:10,200,20\n";

    /// What is read from a manifest of this count, a trace and further arguments.
    fn read(count: &str, trace: &str, further: &[&str]) -> Result<Inputs, Vec<String>> {
        let folder = tempfile::tempdir().expect("a folder");
        let put = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("written");
            path.display().to_string()
        };
        let manifest = format!(
            "apiVersion: chandler.dev/v1alpha1\nkind: ModelDeployment\nmetadata: {{name: chat}}\n\
             spec:\n  model: {{source: 'hf://x/a'}}\n  {count}\n"
        );
        let (manifest, trace) = (put("model.yaml", &manifest), put("trace.csv", trace));
        let named = ["chandler", "simulate", "-f", &manifest, "--trace", &trace];
        let all = named.iter().chain(further);
        let Command::Simulate(args) = Cli::try_parse_from(all).expect("arguments").command else {
            panic!("another command");
        };
        let told = |faults: Vec<Fault>| faults.iter().map(ToString::to_string).collect();
        Inputs::read(&args).map_err(told)
    }

    #[test]
    fn bounds_are_those_of_the_manifest() {
        let bounds = |count, further: &[&str], name: &str| {
            let inputs = read(count, REQUESTS, further).expect("inputs");
            let bounds = inputs.bounds(name.parse().expect("a policy"));
            (bounds.min, bounds.max, bounds.first)
        };
        assert_eq!(bounds(SCALED, &[], "chandler"), (1, 6, 1));
        assert_eq!(bounds(SCALED, &["--replicas", "3"], "kpa"), (1, 6, 3));
        assert_eq!(bounds(SCALED, &["--replicas", "30"], "kpa"), (1, 6, 6));
        assert_eq!(bounds(SCALED, &[], "fixed=9"), (9, 9, 9));
        assert_eq!(bounds("replicas: 2", &[], "chandler"), (2, 2, 2));
    }

    #[test]
    fn the_trace_and_the_replicas_are_as_asked_for() {
        let further = ["--scale", "3", "--start-delay", "1m30s"];
        let inputs = read(SCALED, REQUESTS, &further).expect("inputs");
        assert_eq!(inputs.trace.requests.len(), 6);
        assert_eq!(inputs.model.start_seconds, [90.0]);
        let inputs = read(SCALED, REQUESTS, &["--days", "2"]).expect("inputs");
        assert_eq!(inputs.trace.length.as_secs(), 2 * 86_400);
    }

    #[test]
    fn faults_tell_the_file_and_what_to_write() {
        let cases = [
            (
                read("replicas: 2", REQUESTS, &["--policy", "chandler,hpa=8"]),
                "model.yaml: has a fixed count, which leaves hpa=8 nothing to decide",
            ),
            (
                read(SCALED, "TIMESTAMP\n", &[]),
                "trace.csv: line 1: there is no column `ContextTokens`",
            ),
            (
                read(SCALED, REQUESTS, &["--replica-model", "/nowhere.yaml"]),
                "/nowhere.yaml: No such file",
            ),
            (
                read(
                    "autoscaling: {maxReplicas: 6, schedule: [{start: 0 8 * * *, end: 0 9 * * *, minReplicas: 2}]}",
                    REQUESTS,
                    &[],
                ),
                "model.yaml: has floors by the clock, and a trace has no date",
            ),
            (read("replica: 2", REQUESTS, &[]), "spec.replica"),
        ];
        for (inputs, words) in cases {
            let faults = inputs.expect_err(words);
            assert!(faults.iter().any(|it| it.contains(words)), "{faults:?}");
        }
    }
}
