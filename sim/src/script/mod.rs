//! Scripts: a few words a line that make up a world, and what the operator does in it as text.
//!
//! ```text
//! # Two replicas of a first revision.
//! apply
//!   model: {source: "file:///models/a"}
//!   replicas: 2
//! advance 10s
//! status
//! ```
//!
//! `load 4/s of 500 and 100` lets four requests a second come, evenly, each with a prompt of 500 tokens
//! and an answer of 100. Ready replicas compute them as the default of
//! [`ReplicaModel`](crate::traffic::ReplicaModel) says, which is about five of these a second; from then
//! on they also tell their load each second to an operator that follows it, and that looks at it as often as
//! a cluster's does. Before, they tell nothing of it. Requests of `requests` and `arrive` are in no load.

mod parse;
mod play;
mod print;

pub use parse::{Command, Line, Named, Told, parse};
pub use play::play;

use std::ops::RangeInclusive;

/// Why a script can't be followed, and where.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
pub struct ScriptError {
    /// File of the script.
    pub file: String,
    /// Line in it, from 1.
    pub line: usize,
    /// What is wrong there.
    #[source]
    pub problem: Problem,
}

/// What is wrong with a line of a script.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// No command begins so.
    #[error("`{0}` is no command: write one of {known}", known = parse::COMMANDS.join(", "))]
    UnknownCommand(String),
    /// The command goes on in another way.
    #[error("write `{0}`")]
    Usage(&'static str),
    /// An indented line that belongs to nothing.
    #[error("only `apply` is followed by indented lines: write the command at the line's begin")]
    Indented,
    /// No count.
    #[error("`{0}` is no count: write a whole number, such as 2")]
    Count(String),
    /// No length of time.
    #[error("`{0}` is no length of time: write one such as 10s, 1m30s or 250ms")]
    Length(String),
    /// No rate.
    #[error("`{0}` is no rate: write one from 0.001/s to 1000/s, such as 2.5/s")]
    Rate(String),
    /// No number, or one that can't be.
    #[error("`{0}` is no number from {min} to {max}", min = .1.start(), max = .1.end())]
    Number(String, RangeInclusive<f64>),
    /// No step.
    #[error("`{0}` is no step: write one of {known}", known = parse::steps())]
    Step(String),
    /// No revision's name.
    #[error("`{0}` names no revision: write `current` or r1, r2, …, in the order they came up")]
    RevisionName(String),
    /// Text that is not YAML.
    #[error("not YAML: {0}")]
    Yaml(#[from] serde_yaml::Error),
    /// The revision is not there at this point.
    #[error("there is no revision {0} at this point of the script")]
    NoSuchRevision(String),
    /// The revision can't take it.
    #[error("revision {0} has no ready replica at this point of the script")]
    NotReady(String),
    /// Nobody asks.
    #[error("no request has come at this point of the script: write `load` before")]
    NoLoad,
    /// Nobody takes requests for the model.
    #[error("there is no gateway at this point of the script: write `gateways open` before")]
    NoGateway,
    /// Nothing to change or remove.
    #[error("there is no model at this point of the script: `apply` one before")]
    NoModel,
    /// A path through something that has no fields.
    #[error("`{0}` has no fields: write a path such as model.source")]
    Path(String),
    /// The simulation has come to an end that it must not come to.
    #[error("the simulation failed: {0}")]
    Simulation(#[from] crate::SimError),
}

impl Problem {
    /// A word for programs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::UnknownCommand(_) => "UnknownCommand",
            Self::Usage(_) => "WrongUsage",
            Self::Indented => "IndentedLine",
            Self::Count(_) => "InvalidCount",
            Self::Length(_) => "InvalidLength",
            Self::Rate(_) => "InvalidRate",
            Self::Number(..) => "InvalidNumber",
            Self::Step(_) => "UnknownStep",
            Self::RevisionName(_) => "InvalidRevisionName",
            Self::Yaml(_) => "InvalidYaml",
            Self::NoSuchRevision(_) => "NoSuchRevision",
            Self::NotReady(_) => "RevisionNotReady",
            Self::NoLoad => "NoLoad",
            Self::NoGateway => "NoGateway",
            Self::NoModel => "NoModel",
            Self::Path(_) => "InvalidPath",
            Self::Simulation(error) => error.reason(),
        }
    }
}
