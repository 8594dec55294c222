//! Typed reading of GGUF metadata, with errors that name the key.

use super::LoadError;
use super::gguf::{Header, Value};

impl Header {
    /// An integer that fits a `usize`.
    pub(crate) fn number(&self, key: &str) -> Result<Option<usize>, LoadError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Int(n)) => match usize::try_from(*n) {
                Ok(n) => Ok(Some(n)),
                Err(_) => Err(self.wrong(key, "is out of range")),
            },
            Some(_) => Err(self.wrong(key, "must be an integer")),
        }
    }

    /// An integer above 0 that has to be there.
    pub(crate) fn size(&self, key: &str) -> Result<usize, LoadError> {
        match self.number(key)? {
            Some(0) => Err(self.wrong(key, "must be above 0")),
            Some(n) => Ok(n),
            None => Err(self.wrong(key, "is missing")),
        }
    }

    /// A finite number above 0.
    pub(crate) fn positive(&self, key: &str) -> Result<Option<f64>, LoadError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Float(x)) if x.is_finite() && *x > 0.0 => Ok(Some(*x)),
            Some(_) => Err(self.wrong(key, "must be a number above 0")),
        }
    }

    /// A token's id, below `vocab`.
    pub(crate) fn token(&self, key: &str, vocab: usize) -> Result<Option<u32>, LoadError> {
        match self.number(key)? {
            Some(id) if id >= vocab => Err(self.wrong(key, "is beyond the vocabulary")),
            Some(id) => Ok(Some(id as u32)),
            None => Ok(None),
        }
    }

    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, LoadError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(_) => Err(self.wrong(key, "must be a boolean")),
        }
    }

    pub(crate) fn text(&self, key: &str) -> Result<Option<&str>, LoadError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(key, "must be a text")),
        }
    }

    pub(crate) fn texts(&self, key: &str) -> Result<&[String], LoadError> {
        match self.value(key) {
            None => Err(self.wrong(key, "is missing")),
            Some(Value::Texts(texts)) => Ok(texts),
            Some(_) => Err(self.wrong(key, "must be an array of texts")),
        }
    }

    pub(crate) fn ints(&self, key: &str) -> Result<Option<&[i64]>, LoadError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Ints(ints)) => Ok(Some(ints)),
            Some(_) => Err(self.wrong(key, "must be an array of integers")),
        }
    }

    /// Numbers that have to be there.
    pub(crate) fn floats(&self, key: &str) -> Result<&[f32], LoadError> {
        match self.value(key) {
            None => Err(self.wrong(key, "is missing")),
            Some(Value::Floats(floats)) => Ok(floats),
            Some(_) => Err(self.wrong(key, "must be an array of numbers")),
        }
    }

    /// The error that `key` cannot be used.
    pub(crate) fn wrong(&self, key: &str, problem: &str) -> LoadError {
        LoadError::config(self.file(), format!("metadata `{key}` {problem}"))
    }
}
