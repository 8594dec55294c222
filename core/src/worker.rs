//! What a replica runs, rendered once for every world: the local one starts it as a child
//! process, the cluster's as a container.

use std::collections::BTreeMap;
use std::time::Duration;

use chandler_crds::ModelLock;
use chandler_crds::names::{env, paths};
use chandler_crds::spec::{Model, Resources, Server};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// Hex digits of a revision's name: 40 bits, so two of a model's few revisions never meet.
const REVISION_DIGITS: usize = 10;

/// Everything that changes a replica, and nothing else: its hash is the revision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Worker {
    model: Model,
    server: Server,
    served_name: String,
    drain: Duration,
}

/// A replica, ready to be started.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerSpec {
    /// Arguments after the program's name. The world adds where to listen.
    pub args: Vec<String>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// Container image, if the spec names one.
    pub image: Option<String>,
    /// CPU, memory and devices.
    pub resources: Option<Resources>,
    /// Path of the start-up probe.
    pub startup: &'static str,
    /// Path of the readiness probe.
    pub readiness: &'static str,
    /// Path of the liveness probe.
    pub liveness: &'static str,
    /// Time from the order to stop until it is enforced.
    pub drain: Duration,
}

impl Worker {
    pub(crate) fn new(
        model: &Model,
        server: Option<&Server>,
        served_name: &str,
        drain: Duration,
    ) -> Self {
        // A default that is written out is the same replica as one that is left out.
        let mut model = model.clone();
        model.task.get_or_insert_default();
        model.dtype.get_or_insert_default();
        let mut server = server.cloned().unwrap_or_default();
        server.device.get_or_insert_default();
        server.drain_seconds = None; // `drain` tells it.
        server.request_timeout = None; // The gateway's business.
        Self {
            model,
            server,
            served_name: served_name.to_owned(),
            drain,
        }
    }

    /// Where the model comes from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.model.source
    }

    /// The revision of the source that is asked for.
    #[must_use]
    pub fn source_revision(&self) -> Option<&str> {
        self.model.revision.as_deref()
    }

    /// Time from the order to stop until it is enforced.
    #[must_use]
    pub fn drain(&self) -> Duration {
        self.drain
    }

    /// The revision's name: the first digits of the SHA-256 of this as JSON. Field order is the
    /// declaration's and maps are sorted, so equal specs give equal names.
    #[must_use]
    pub fn revision(&self) -> String {
        // Plain data with text keys serialises; an empty text would still be a valid name.
        let json = serde_json::to_string(self).unwrap_or_default();
        let mut name = format!("{:x}", Sha256::digest(json));
        name.truncate(REVISION_DIGITS);
        name
    }

    /// The replica that serves exactly the files of `lock`.
    #[must_use]
    pub fn spec(&self, lock: &ModelLock) -> WorkerSpec {
        WorkerSpec {
            args: self.args(),
            env: BTreeMap::from([(
                env::LOCK.to_owned(),
                serde_json::to_string(lock).unwrap_or_default(),
            )]),
            image: self.server.image.clone(),
            resources: self.server.resources.clone(),
            startup: paths::STARTUP,
            readiness: paths::READY,
            liveness: paths::LIVE,
            drain: self.drain,
        }
    }

    fn args(&self) -> Vec<String> {
        let model = &self.model;
        let mut args = vec!["serve".to_owned()];
        let mut add = |flag: &str, value: String| args.extend([flag.to_owned(), value]);
        add("--source", model.source.clone());
        if let Some(revision) = &model.revision {
            add("--revision", revision.clone());
        }
        add("--served-name", self.served_name.clone());
        add("--revision-name", self.revision());
        add("--task", model.task.unwrap_or_default().to_string());
        add("--dtype", model.dtype.unwrap_or_default().to_string());
        add(
            "--device",
            self.server.device.unwrap_or_default().to_string(),
        );
        add("--drain-seconds", self.drain.as_secs().to_string());
        let numbers = [
            ("--max-model-len", model.max_model_len),
            ("--max-batch", self.server.max_batch),
            ("--max-queue", self.server.max_queue),
        ];
        for (flag, value) in numbers {
            if let Some(value) = value {
                add(flag, value.to_string());
            }
        }
        args
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chandler_crds::spec::{Device, Dtype, Task};

    const DRAIN: Duration = Duration::from_secs(30);

    fn model() -> Model {
        Model {
            source: "hf://org/name".to_owned(),
            ..Model::default()
        }
    }

    #[test]
    fn writing_a_default_out_is_the_same_revision() {
        let written = Model {
            task: Some(Task::Auto),
            dtype: Some(Dtype::Auto),
            ..model()
        };
        let server = Server {
            device: Some(Device::Auto),
            drain_seconds: Some(30),
            ..Server::default()
        };
        let short = Worker::new(&model(), None, "name", DRAIN);
        let long = Worker::new(&written, Some(&server), "name", DRAIN);
        assert_eq!(short.revision(), long.revision());
    }

    #[test]
    fn what_changes_a_replica_is_another_revision() {
        let base = Worker::new(&model(), None, "name", DRAIN).revision();
        let renamed = Worker::new(&model(), None, "other", DRAIN).revision();
        let patient = Worker::new(&model(), None, "name", 2 * DRAIN).revision();
        let limited = Model {
            max_model_len: Some(64),
            ..model()
        };
        let limited = Worker::new(&limited, None, "name", DRAIN).revision();
        let all = std::collections::BTreeSet::from([base, renamed, patient, limited]);
        assert_eq!(all.len(), 4);
    }
}
