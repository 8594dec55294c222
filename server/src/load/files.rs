//! A model's files by their names below its root.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::LoadError;
use super::map::MappedFile;

/// Paths by name; names use `/` and are relative to the model's root.
#[derive(Debug)]
pub(crate) struct Files(BTreeMap<String, PathBuf>);

impl Files {
    pub(crate) fn new(root: &Path, files: &[PathBuf]) -> Self {
        let named = files.iter().map(|file| {
            let relative = file.strip_prefix(root).unwrap_or(file);
            let name = relative.to_string_lossy().replace('\\', "/");
            (name, root.join(file))
        });
        Self(named.collect())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Names directly in `folder` (the root where empty) that end in `extension`.
    pub(crate) fn ending(&self, folder: &str, extension: &str) -> Vec<&str> {
        let names = self.0.keys().map(String::as_str);
        names
            .filter(|name| {
                let (parent, base) = name.rsplit_once('/').unwrap_or(("", name));
                parent == folder && base.ends_with(extension)
            })
            .collect()
    }

    /// Maps the file called `name`.
    ///
    /// # Errors
    /// [`LoadError::WeightsMissing`] where there is none, [`LoadError::Unreadable`].
    pub(crate) fn map(&self, name: &str) -> Result<MappedFile, LoadError> {
        match self.0.get(name) {
            Some(path) => MappedFile::open(path, name),
            None => Err(LoadError::WeightsMissing(format!("`{name}` is absent"))),
        }
    }

    /// Bytes of the file called `name`, where there is one.
    ///
    /// # Errors
    /// [`LoadError::Unreadable`].
    pub(crate) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, LoadError> {
        let Some(path) = self.0.get(name) else {
            return Ok(None);
        };
        let bytes = std::fs::read(path).map_err(|error| LoadError::Unreadable {
            path: path.clone(),
            error,
        })?;
        Ok(Some(bytes))
    }

    /// The JSON file called `name`, where there is one.
    ///
    /// # Errors
    /// [`LoadError::Unreadable`], [`LoadError::ConfigInvalid`].
    pub(crate) fn json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, LoadError> {
        let Some(bytes) = self.read(name)? else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| LoadError::config(name, e.to_string()))
    }
}
