//! Weights in the safetensors format, in one file or several.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

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

/// The tensors of mapped files.
pub(crate) struct Opened<'a> {
    files: Vec<(&'a str, SliceSafetensors<'a>)>,
    tensors: HashMap<String, Info>,
}

struct Info {
    /// Index of its file.
    file: usize,
    /// None for a type that candle does not have.
    dtype: Option<DType>,
    shape: Vec<usize>,
    bytes: usize,
}

impl<'a> Opened<'a> {
    /// Reads what tensors `maps` hold.
    ///
    /// # Errors
    /// [`LoadError::WeightsInvalid`].
    pub(crate) fn new(maps: &'a [MappedFile]) -> Result<Self, LoadError> {
        let mut files = Vec::new();
        let mut tensors = HashMap::new();
        for map in maps {
            let opened = SliceSafetensors::new(map)
                .map_err(|e| LoadError::weights(map.name(), e.to_string()))?;
            for (name, view) in opened.tensors() {
                let info = Info {
                    file: files.len(),
                    dtype: DType::try_from(view.dtype()).ok(),
                    shape: view.shape().to_vec(),
                    bytes: view.data().len(),
                };
                tensors.insert(name, info);
            }
            files.push((map.name(), opened));
        }
        Ok(Self { files, tensors })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The file that holds a tensor; the first one where none does.
    pub(crate) fn file(&self, name: &str) -> &str {
        let at = self.tensors.get(name).map_or(0, |info| info.file);
        self.files.get(at).map_or("", |(file, _)| file)
    }

    /// Bytes of a tensor; 0 where there is none.
    pub(crate) fn bytes(&self, name: &str) -> u64 {
        self.tensors.get(name).map_or(0, |info| info.bytes as u64)
    }

    /// Outermost dimension first.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        Some(&self.tensors.get(name)?.shape)
    }

    /// Bytes of all tensors together.
    pub(crate) fn tensor_bytes(&self) -> u64 {
        let bytes = self.tensors.values().map(|info| info.bytes as u64);
        bytes.fold(0, u64::saturating_add)
    }

    /// Values of all tensors together.
    pub(crate) fn elements(&self) -> u64 {
        let count = |info: &Info| info.shape.iter().map(|&n| n as u64).product();
        self.tensors
            .values()
            .map(count)
            .fold(0, u64::saturating_add)
    }

    /// These places of a tensor's outermost dimension, in the type that the file holds them in.
    ///
    /// # Errors
    /// In words: there is no such tensor, it has no such places or holds no floats.
    pub(crate) fn load(
        &self,
        name: &str,
        part: Range<usize>,
        device: &Device,
    ) -> Result<Tensor, String> {
        let info = self.tensors.get(name).ok_or("is missing")?;
        let known = [DType::F32, DType::F16, DType::BF16, DType::F64];
        let dtype = info.dtype.filter(|dtype| known.contains(dtype));
        let dtype = dtype.ok_or("holds no floats of a type that is known")?;
        let mut shape = info.shape.clone();
        let Some(outermost) = shape.first_mut().filter(|all| part.end <= **all) else {
            return Err(format!("has no {} places", part.end));
        };
        // The format has no gaps.
        let place = info.bytes / (*outermost).max(1);
        *outermost = part.len();
        let (_, tensors) = self.files.get(info.file).ok_or("is in no file")?;
        let view = tensors.get(name).map_err(|e| e.to_string())?;
        let data = view.data().get(part.start * place..part.end * place);
        let data = data.ok_or("lies outside the file")?;
        Tensor::from_raw_buffer(data, dtype, &shape, device).map_err(|e| e.to_string())
    }
}

/// The tensors of mapped files as f32, each loaded when it is asked for.
pub(crate) struct Weights<'a> {
    opened: Opened<'a>,
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
        let opened = Opened::new(maps)?;
        Ok(Self {
            total: opened.names().map(|name| opened.bytes(name)).sum(),
            opened,
            device,
            loaded: 0,
            progress,
        })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.opened.has(name)
    }

    /// The tensor called `name` as f32, which must have this shape.
    ///
    /// # Errors
    /// [`LoadError::WeightsInvalid`] where it is missing or has another shape or a type that
    /// holds no floats.
    pub(crate) fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Tensor, LoadError> {
        let file = self.opened.file(name);
        let refuse =
            |problem: String| LoadError::weights(file, format!("tensor `{name}` {problem}"));
        let found = self.opened.shape(name);
        let found = found.ok_or_else(|| refuse("is missing".to_owned()))?;
        if found != shape {
            return Err(refuse(format!(
                "has shape {found:?}, its configuration asks for {shape:?}"
            )));
        }
        let all = 0..found.first().copied().unwrap_or(0);
        let tensor = self.opened.load(name, all, &self.device).map_err(refuse)?;
        let tensor = tensor.to_dtype(DType::F32);
        let tensor = tensor.map_err(|e| refuse(e.to_string()))?;
        self.loaded += self.opened.bytes(name);
        (self.progress)(self.loaded, self.total);
        Ok(tensor)
    }
}
