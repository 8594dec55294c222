//! What a worker tells whoever started it: one JSON line on standard output, and its last one in
//! the termination log of its container.

use std::io::{Read, Write};
use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

use crate::lock::ModelLock;
use crate::status::EvaluationStatus;

/// Bytes that Kubernetes keeps of a container's termination message.
pub const TERMINATION_MESSAGE_LIMIT: usize = 4096;

/// Longest lock as JSON that is read: a small message must not unpack to a large memory.
const LOCK_LIMIT: u64 = 4 << 20;

/// One line of a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "camelCase")]
pub enum Report {
    /// The port is open.
    Listening {
        /// Where.
        addr: SocketAddr,
    },
    /// It can't be done; the process ends.
    Failed {
        /// A word for programs, in CamelCase.
        reason: String,
        /// A sentence for people.
        message: String,
        /// Whether trying again can help without a change by a person.
        transient: bool,
    },
    /// The files that a source stands for.
    Resolved {
        /// Packed on the wire: a termination message is short and digests are long.
        #[serde(with = "packed")]
        lock: ModelLock,
    },
    /// What a revision's answers came to.
    Evaluated {
        /// One for each evaluation that was asked for, in that order.
        evaluations: Vec<EvaluationStatus>,
    },
    /// A lock's files are here.
    Fetched {
        /// How many.
        files: usize,
        /// Their size together.
        bytes: u64,
        /// Bytes that the store has sent for them; the others were here already.
        #[serde(default)]
        received: u64,
    },
}

impl Report {
    /// The line, without its end.
    ///
    /// # Errors
    /// It can't be packed.
    pub fn to_line(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Reads the last line of `text` that is a report; a log may stand before and after it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.lines()
            .rev()
            .find_map(|line| serde_json::from_str(line.trim()).ok())
    }
}

/// A lock as base64 of gzip of JSON: about 60 bytes a file instead of 150.
mod packed {
    use serde::de::Error as _;
    use serde::ser::Error as _;
    use serde::{Deserializer, Serializer};

    use super::{
        Compression, Deserialize, Engine, GzDecoder, GzEncoder, LOCK_LIMIT, ModelLock, Read,
        STANDARD, Write,
    };

    pub(super) fn serialize<S: Serializer>(lock: &ModelLock, to: S) -> Result<S::Ok, S::Error> {
        let json = serde_json::to_vec(lock).map_err(S::Error::custom)?;
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&json).map_err(S::Error::custom)?;
        let bytes = gzip.finish().map_err(S::Error::custom)?;
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ModelLock, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = STANDARD.decode(text).map_err(D::Error::custom)?;
        let mut json = Vec::new();
        GzDecoder::new(bytes.as_slice())
            .take(LOCK_LIMIT)
            .read_to_end(&mut json)
            .map_err(D::Error::custom)?;
        serde_json::from_slice(&json).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::LockedFile;
    use sha2::{Digest, Sha256};

    fn lock(files: usize) -> ModelLock {
        let file = |number: usize| LockedFile {
            path: format!("model-{number:05}-of-{files:05}.safetensors"),
            size: 4_976_698_672,
            sha256: format!("{:x}", Sha256::digest(number.to_le_bytes())),
        };
        ModelLock {
            source: "hf://org/name".to_owned(),
            commit: Some("0123456789abcdef0123456789abcdef01234567".to_owned()),
            files: (1..=files).map(file).collect(),
        }
    }

    #[test]
    fn a_lock_of_sixty_files_survives_a_termination_message() {
        let report = Report::Resolved { lock: lock(60) };
        let line = report.to_line().expect("packs");
        assert!(line.len() <= TERMINATION_MESSAGE_LIMIT, "{}", line.len());
        assert_eq!(Report::parse(&line), Some(report));
    }

    #[test]
    fn the_last_report_counts_and_logs_are_passed_over() {
        let text = concat!(
            "{\"event\":\"listening\",\"addr\":\"127.0.0.1:8000\"}\n",
            "{\"event\":\"failed\",\"reason\":\"R\",\"message\":\"m\",\"transient\":false}\n",
            "{\"level\":\"ERROR\"}\nend\n",
        );
        let failed = Report::Failed {
            reason: "R".to_owned(),
            message: "m".to_owned(),
            transient: false,
        };
        assert_eq!(Report::parse(text), Some(failed));
        assert_eq!(Report::parse("nothing here"), None);
    }

    #[test]
    fn a_broken_lock_is_no_report() {
        assert_eq!(
            Report::parse("{\"event\":\"resolved\",\"lock\":\"AAAA\"}"),
            None
        );
    }
}
