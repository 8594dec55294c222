//! API keys of the benchmark's own.

use anyhow::Result;
use serde_json::json;
use sha2::{Digest, Sha256};

/// Who may ask, and for what share of a saturated model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) holder: &'static str,
    pub(super) weight: u32,
}

impl Key {
    /// What its holder sends. It guards nothing: what it is for ends with the benchmark.
    pub(super) fn text(&self) -> String {
        format!("sk-chandler-bench-{}", self.holder)
    }

    fn secret(&self) -> serde_json::Value {
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": self.holder, "labels": {"chandler.dev/api-key": "true"}},
            "stringData": {
                "hash": format!("{:x}", Sha256::digest(self.text())),
                "models": "*",
                "weight": self.weight.to_string(),
            },
        })
    }
}

/// A file of Secrets, as `chandler keys create -o yaml` writes one by one. The gateway is measured
/// from outside, and linking it to have its own types would make every `cargo xtask` build it.
pub(super) fn secrets(keys: &[Key]) -> Result<String> {
    let mut text = String::new();
    for key in keys {
        text += "---\n";
        text += &serde_yaml::to_string(&key.secret())?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_secret_for_each_key_with_its_hash_alone() {
        let key = |holder, weight| Key { holder, weight };
        let text = secrets(&[key("one", 1), key("three", 3)]).expect("YAML");
        assert_eq!(text.matches("kind: Secret").count(), 2, "{text}");
        // Of `sk-chandler-bench-one`, by sha256sum.
        let hash = "83de9e0d7d5ec9d8642fc493b01dd69f9e0f52948d1bed44e1eb1531b35b5de8";
        assert!(text.contains(&format!("hash: {hash}\n")), "{text}");
        assert!(text.contains("weight: '3'"), "{text}");
        assert!(!text.contains("sk-chandler"), "{text}");
    }
}
