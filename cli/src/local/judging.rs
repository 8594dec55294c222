//! Judging the answers of a revision by a child process, as a Job does on a cluster.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use chandler_core::validate::ModelKey;
use chandler_core::world::{Failure, Outcome};
use chandler_crds::names::suites;
use chandler_crds::report::Report;
use chandler_crds::spec::Evaluation;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::task::JoinHandle;

use super::Local;
use crate::manifest::Suites;

/// Whose answers, beside whose, and by what.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Question {
    pub(super) revision: String,
    pub(super) from: String,
    pub(super) evaluations: Vec<Evaluation>,
}

/// Replicas that are asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) canary: SocketAddr,
    pub(super) stable: SocketAddr,
    /// Those that make vectors, by their model's name.
    pub(super) embeddings: Vec<(String, SocketAddr)>,
}

/// Answers that are being judged. Dropping it ends that.
#[derive(Debug)]
pub(super) struct Judging {
    pub(super) question: Question,
    /// What came of it, once it is over.
    pub(super) outcome: Option<Outcome>,
    task: JoinHandle<()>,
}

impl Drop for Judging {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is run to judge answers, and its suites.
#[derive(Debug)]
pub(super) struct Judge {
    folder: TempDir,
    command: Command,
}

impl Judge {
    /// Asks a replica of each revision, and of each model that makes vectors.
    ///
    /// # Errors
    /// A suite is missing or can't be written.
    pub(super) fn new(
        local: &Local,
        key: &ModelKey,
        question: &Question,
        asked: &Asked,
    ) -> Result<Self, Failure> {
        let folder = lay_out(&question.evaluations, &local.suites(), key)?;
        // Plain data serialises.
        let evaluations = serde_json::to_string(&question.evaluations).unwrap_or_default();
        let mut command = Command::new(std::env::current_exe().map_err(unstarted)?);
        command
            .arg("judge")
            .args(["--canary", &format!("http://{}", asked.canary)])
            .args(["--stable", &format!("http://{}", asked.stable)])
            .args(["--evaluations", &evaluations])
            .args(asked.embeddings.iter().flat_map(|(model, replica)| {
                [
                    "--embeddings".to_owned(),
                    format!("{model}=http://{replica}"),
                ]
            }))
            .arg("--suites")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        Ok(Self { folder, command })
    }

    /// Begins. The model's runner is woken at the end.
    pub(super) fn start(self, local: &Arc<Local>, key: &ModelKey, question: Question) -> Judging {
        let Self {
            folder,
            mut command,
        } = self;
        let (local, key) = (Arc::clone(local), key.clone());
        let task = tokio::spawn(async move {
            let ended = command.output().await;
            drop(folder);
            let outcome = ended.map_or_else(
                |error| Outcome::Failed(unstarted(error)),
                |ended| outcome(&String::from_utf8_lossy(&ended.stdout)),
            );
            local.judged(&key, outcome);
        });
        Judging {
            question,
            outcome: None,
            task,
        }
    }
}

fn outcome(told: &str) -> Outcome {
    match Report::parse(told) {
        Some(Report::Evaluated { evaluations }) => Outcome::Evaluated(evaluations),
        Some(Report::Failed {
            reason,
            message,
            transient,
        }) => Outcome::Failed(Failure {
            reason,
            message,
            transient,
        }),
        _ => Outcome::Failed(unstarted(io::Error::other("it told nothing"))),
    }
}

/// The suites as files, as they are mounted into a Job.
fn lay_out(asked: &[Evaluation], known: &Suites, key: &ModelKey) -> Result<TempDir, Failure> {
    let folder = TempDir::new().map_err(unstarted)?;
    for (number, evaluation) in asked.iter().enumerate() {
        let suite = &evaluation.suite_ref;
        let name = suite.key.as_deref().unwrap_or(suites::KEY);
        let map = known.get(&(key.namespace.clone(), suite.name.clone()));
        let text = map.and_then(|map| map.get(name)).ok_or_else(|| Failure {
            reason: "SuiteMissing".to_owned(),
            message: format!(
                "evaluation `{}` needs a ConfigMap `{}` with the key `{name}`: add it to the manifests",
                evaluation.name, suite.name
            ),
            transient: true,
        })?;
        write(&folder.path().join(number.to_string()), name, text).map_err(unstarted)?;
    }
    Ok(folder)
}

fn write(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    fs::create_dir(folder)?;
    // A key of a ConfigMap has no slash; one that has finds no folder.
    fs::write(folder.join(name), text)
}

fn unstarted(error: io::Error) -> Failure {
    Failure {
        reason: "EvaluationFailed".to_owned(),
        message: format!("`chandler judge` did not judge the answers: {error}"),
        transient: true,
    }
}
