//! Remembers that files were checked, by their sizes and times, so that the next run needs not
//! hash them again.

use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Beside the models, not in them: a stamp is no file of a model.
const FOLDER: &str = ".checked";

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    /// What the files were checked against.
    pin: String,
    /// Path, bytes and modification time (nanoseconds since 1970) of each file.
    files: Vec<(PathBuf, u64, u64)>,
}

/// Whether the files are still as they were when [`write`] was called with the same pin.
pub(crate) fn is_fresh(folder: &Path, pin: &str, files: &[PathBuf]) -> bool {
    let stored = fs::read(place(folder)).ok();
    let stored: Option<Stamp> = stored.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    stored.is_some() && stored == look(pin, files)
}

/// Notes how the files look now. A stamp that can't be written only costs time.
pub(crate) fn write(folder: &Path, pin: &str, files: &[PathBuf]) {
    let bytes = look(pin, files).and_then(|stamp| serde_json::to_vec(&stamp).ok());
    if let Some(bytes) = bytes {
        let place = place(folder);
        let _ = fs::create_dir_all(place.parent().unwrap_or(folder));
        let _ = fs::write(place, bytes);
    }
}

fn place(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default();
    folder
        .with_file_name(FOLDER)
        .join(name)
        .with_added_extension("json")
}

fn look(pin: &str, files: &[PathBuf]) -> Option<Stamp> {
    let look_at = |path: &PathBuf| {
        let metadata = fs::metadata(path).ok()?;
        let age = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some((
            path.clone(),
            metadata.len(),
            u64::try_from(age.as_nanos()).ok()?,
        ))
    };
    let files = files.iter().map(look_at).collect::<Option<_>>()?;
    Some(Stamp {
        pin: pin.to_owned(),
        files,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_holds_until_a_file_or_the_pin_changes() {
        let all = std::env::temp_dir().join(format!("xtask-stamp-{}", std::process::id()));
        let folder = all.join("model-1.0");
        fs::create_dir_all(&folder).expect("a folder");
        let files = [folder.join("weights")];
        fs::write(&files[0], "one").expect("written");
        assert!(!is_fresh(&folder, "pin", &files));
        write(&folder, "pin", &files);
        assert!(is_fresh(&folder, "pin", &files));
        assert!(!is_fresh(&folder, "other", &files));
        fs::write(&files[0], "longer").expect("written");
        assert!(!is_fresh(&folder, "pin", &files));
        assert_eq!(
            fs::read_dir(&folder).expect("the folder").count(),
            1,
            "only the weights"
        );
        fs::remove_dir_all(&all).expect("removed");
    }
}
