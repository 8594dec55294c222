//! Keys from a file, where there is no cluster to keep them: Secrets as YAML, such as
//! `chandler keys create -o yaml` prints.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use serde::Deserialize;
use serde_json::Value;
use tokio::fs;
use tokio::time::{MissedTickBehavior, interval};

use super::registry::Keys;
use crate::gateway::Gateway;

/// How often the file is looked at. By reading, since a mounted volume is changed by what no
/// watch on the file is told of.
const LOOK: Duration = Duration::from_secs(1);

/// Why a file of keys is of no use.
#[derive(Debug, thiserror::Error)]
pub enum KeysFileError {
    /// It can't be read.
    #[error("{}: {error}; give the path of a file of Secrets", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is no YAML. The parser's own words are left out: they may repeat what stands there.
    #[error("{}: document {number} is not YAML", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// From 1.
        number: usize,
    },
    /// A document is something else.
    #[error("{}: document {number} is no Secret: write one as `chandler keys create NAME -o yaml` does", path.display())]
    NoSecret {
        /// The file.
        path: PathBuf,
        /// From 1.
        number: usize,
    },
    /// It has no key, and would let everyone in.
    #[error("{}: has no Secret; write one, or leave the file out to let everyone in", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

impl KeysFileError {
    /// A stable CamelCase word for logs.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "UnreadableKeysFile",
            Self::Syntax { .. } => "InvalidKeysFile",
            Self::NoSecret { .. } => "NoSecretInKeysFile",
            Self::Empty { .. } => "EmptyKeysFile",
        }
    }
}

/// A file of keys that a gateway follows.
#[derive(Debug)]
pub struct KeysFile {
    path: PathBuf,
    gateway: Gateway,
    last: Vec<u8>,
}

impl KeysFile {
    /// Reads the keys; from now on one is needed.
    ///
    /// # Errors
    /// [`KeysFileError`].
    pub async fn open(path: &Path, gateway: &Gateway) -> Result<Self, KeysFileError> {
        let path = path.to_owned();
        let text = read(&path).await?;
        gateway.publish_keys(Keys::of(&secrets(&path, &text)?));
        Ok(Self {
            path,
            gateway: gateway.clone(),
            last: text,
        })
    }

    /// Follows what is written there, and never ends. While it can't be read, the last keys stay.
    pub async fn follow(mut self) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = false;
        loop {
            look.tick().await;
            match self.look().await {
                Ok(()) => told = false,
                Err(error) if !told => {
                    told = true;
                    let reason = error.reason();
                    tracing::warn!(reason, "{error}; the keys read last go on to work");
                }
                Err(_) => {}
            }
        }
    }

    async fn look(&mut self) -> Result<(), KeysFileError> {
        let text = read(&self.path).await?;
        if text != self.last {
            let secrets = secrets(&self.path, &text)?;
            self.gateway.publish_keys(Keys::of(&secrets));
            tracing::info!(keys = secrets.len(), "API keys were read anew");
            self.last = text;
        }
        Ok(())
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, KeysFileError> {
    let read = fs::read(path).await;
    read.map_err(|error| KeysFileError::Unreadable {
        path: path.to_owned(),
        error,
    })
}

fn secrets(path: &Path, text: &[u8]) -> Result<Vec<Secret>, KeysFileError> {
    let path = path.to_owned();
    let mut secrets = Vec::new();
    for (document, number) in serde_yaml::Deserializer::from_slice(text).zip(1..) {
        // By way of YAML's own value, which refuses a key that stands twice.
        let value = serde_yaml::Value::deserialize(document).ok();
        let value = value.and_then(|yaml| serde_json::to_value(yaml).ok());
        match value {
            Some(Value::Null) => {}
            Some(value) => match serde_json::from_value(value) {
                Ok(secret) => secrets.push(secret),
                Err(_) => return Err(KeysFileError::NoSecret { path, number }),
            },
            None => return Err(KeysFileError::Syntax { path, number }),
        }
    }
    match secrets.is_empty() {
        true => Err(KeysFileError::Empty { path }),
        false => Ok(secrets),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(text: &str) -> Result<usize, &'static str> {
        let read = secrets(Path::new("keys.yaml"), text.as_bytes());
        read.map(|secrets| secrets.len())
            .map_err(|error| error.reason())
    }

    #[test]
    fn a_file_holds_secrets_and_nothing_else() {
        let one = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {hash: x}\n";
        assert_eq!(read(one), Ok(1));
        assert_eq!(read(&format!("---\n{one}---\n{one}---\n")), Ok(2));
        for (text, reason) in [
            ("", "EmptyKeysFile"),
            ("# nothing\n---\n", "EmptyKeysFile"),
            ("a: [", "InvalidKeysFile"),
            ("a: 1\na: 2", "InvalidKeysFile"),
            ("apiVersion: v1\nkind: ConfigMap\n", "NoSecretInKeysFile"),
            ("- a\n", "NoSecretInKeysFile"),
        ] {
            assert_eq!(read(text), Err(reason), "{text}");
        }
    }

    #[test]
    fn a_fault_repeats_nothing_of_the_file() {
        for text in [
            "sk-chandler-oops",
            "a: sk-chandler-oops: b: [",
            "- sk-chandler-oops",
        ] {
            let error = secrets(Path::new("k"), text.as_bytes()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("oops"), "{error}");
        }
    }
}
