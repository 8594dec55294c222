//! What a model source resolved to: the exact files, by digest.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The files of one model revision, locked. Resolved once; a worker serves these or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelLock {
    /// The source that was resolved, as `spec.model.source` has it.
    pub source: String,
    /// The commit that the asked revision stood for; absent for sources without commits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Every file that belongs to the model, sorted by path.
    pub files: Vec<LockedFile>,
}

/// One file of a locked model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LockedFile {
    /// Path below the model's root, with `/` between folders.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the content, lower-case hex.
    pub sha256: String,
}

impl ModelLock {
    /// Bytes of all files together; a lock that claims more than there can be gives the most.
    #[must_use]
    pub fn total_size(&self) -> u64 {
        let sizes = self.files.iter().map(|file| file.size);
        sizes.fold(0, u64::saturating_add)
    }
}
