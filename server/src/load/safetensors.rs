//! Weights in the safetensors format, in one file or several.

use std::collections::{BTreeSet, HashMap};

use candle_core::safetensors::SliceSafetensors;
use candle_core::{DType, Device, Tensor};
use serde::Deserialize;

use super::LoadError;
use super::files::Files;
use super::map::MappedFile;

const INDEX: &str = "model.safetensors.index.json";
const METADATA: &str = "__metadata__";

#[derive(Deserialize)]
struct Index {
    weight_map: HashMap<String, String>,
}

/// Maps the weights files in `folder` (the root where empty) and checks that each is as long as
/// its header says.
///
/// # Errors
/// [`LoadError::WeightsMissing`], [`LoadError::WeightsTruncated`], [`LoadError::WeightsInvalid`],
/// [`LoadError::Unreadable`].
pub(crate) fn map_all(files: &Files, folder: &str) -> Result<Vec<MappedFile>, LoadError> {
    let below = |name: &str| match folder {
        "" => name.to_owned(),
        _ => format!("{folder}/{name}"),
    };
    let names: BTreeSet<String> = match files.json::<Index>(&below(INDEX))? {
        Some(index) => index.weight_map.values().map(|name| below(name)).collect(),
        None => files
            .ending(folder, ".safetensors")
            .into_iter()
            .map(str::to_owned)
            .collect(),
    };
    if names.is_empty() {
        return Err(LoadError::WeightsMissing(
            "there is no `*.safetensors` file".to_owned(),
        ));
    }
    let maps = names.iter().map(|name| {
        let map = files.map(name)?;
        check_length(name, &map)?;
        Ok(map)
    });
    maps.collect()
}

#[derive(Deserialize)]
struct Entry {
    data_offsets: (u64, u64),
}

/// Checks a file against its own header before a reader that only says "invalid" sees it.
fn check_length(file: &str, bytes: &[u8]) -> Result<(), LoadError> {
    let actual = bytes.len() as u64;
    let truncated = |what: String, needed: u64| LoadError::WeightsTruncated {
        file: file.to_owned(),
        what,
        needed,
        actual,
    };
    let Some(prefix) = bytes.first_chunk::<8>() else {
        return Err(truncated("the header's length".to_owned(), 8));
    };
    let header_end = u64::from_le_bytes(*prefix).saturating_add(8);
    let Some(header) = bytes.get(8..usize::try_from(header_end).unwrap_or(usize::MAX)) else {
        return Err(truncated("the header".to_owned(), header_end));
    };
    let entries: HashMap<String, serde_json::Value> = serde_json::from_slice(header)
        .map_err(|e| LoadError::weights(file, format!("its header is not JSON: {e}")))?;
    for (name, entry) in entries.into_iter().filter(|(name, _)| name != METADATA) {
        let entry: Entry = serde_json::from_value(entry)
            .map_err(|e| LoadError::weights(file, format!("tensor `{name}`: {e}")))?;
        let end = header_end.saturating_add(entry.data_offsets.1);
        if end > actual {
            return Err(truncated(format!("tensor `{name}`"), end));
        }
    }
    Ok(())
}

/// The tensors of mapped files, each loaded when it is asked for.
pub(crate) struct Weights<'a> {
    files: Vec<(&'a str, SliceSafetensors<'a>)>,
    home: HashMap<String, usize>,
    device: Device,
    loaded: u64,
    total: u64,
    progress: &'a dyn Fn(u64, u64),
}

impl<'a> Weights<'a> {
    /// Opens `maps`; tensors go to `device`, `progress` is told bytes loaded and their total.
    ///
    /// # Errors
    /// [`LoadError::WeightsInvalid`].
    pub(crate) fn open(
        maps: &'a [MappedFile],
        device: Device,
        progress: &'a dyn Fn(u64, u64),
    ) -> Result<Self, LoadError> {
        let mut files = Vec::new();
        let mut home = HashMap::new();
        let mut total = 0;
        for map in maps {
            let opened = SliceSafetensors::new(map)
                .map_err(|e| LoadError::weights(map.name(), e.to_string()))?;
            for (name, view) in opened.tensors() {
                total += view.data().len() as u64;
                home.insert(name, files.len());
            }
            files.push((map.name(), opened));
        }
        Ok(Self {
            files,
            home,
            device,
            loaded: 0,
            total,
            progress,
        })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.home.contains_key(name)
    }

    /// The tensor called `name` as f32, which must have this shape.
    ///
    /// # Errors
    /// [`LoadError::WeightsInvalid`] where it is missing or has another shape or a type that
    /// holds no floats.
    pub(crate) fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, LoadError> {
        let Some((file, tensors)) = self.home.get(name).and_then(|&i| self.files.get(i)) else {
            let file = self.files.first().map_or("", |(file, _)| file);
            return Err(LoadError::weights(
                file,
                format!("tensor `{name}` is missing"),
            ));
        };
        let refuse =
            |problem: String| LoadError::weights(file, format!("tensor `{name}` {problem}"));
        let view = tensors.get(name).map_err(|e| refuse(e.to_string()))?;
        if view.shape() != shape {
            let found = view.shape();
            return Err(refuse(format!(
                "has shape {found:?}, its configuration asks for {shape:?}"
            )));
        }
        self.loaded += view.data().len() as u64;
        let tensor = tensors
            .load(name, &self.device)
            .map_err(|e| refuse(e.to_string()))?;
        if !tensor.dtype().is_float() {
            return Err(refuse(format!("holds {:?}, not floats", tensor.dtype())));
        }
        (self.progress)(self.loaded, self.total);
        tensor
            .to_dtype(DType::F32)
            .map_err(|e| refuse(e.to_string()))
    }
}
