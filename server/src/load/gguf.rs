//! The GGUF file format: metadata and quantised tensors in one file.
//!
//! Every length that the file states is checked against the bytes that are there before anything
//! is allocated, and every tensor's end against the end of the file before anything is loaded.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use candle_core::Device;
use candle_core::quantized::{GgmlDType, QStorage, QTensor};

use super::LoadError;
use super::bytes::{Bytes, Cut};

const DEFAULT_ALIGNMENT: u64 = 32;
const MAX_DIMENSIONS: u32 = 4;
// No real file comes near; a hash map of more entries than this is an attack.
const MAX_TENSORS: u64 = 1 << 20;
const MAX_ENTRIES: u64 = 1 << 16;

/// A value of the metadata. Numbers are widened, as files differ in the widths they choose.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Texts(Vec<String>),
    /// An array of arrays, which nothing here reads.
    Nested,
}

#[derive(Clone, Debug)]
pub(crate) struct TensorInfo {
    pub(crate) dtype: GgmlDType,
    /// Outermost dimension first.
    pub(crate) shape: Vec<usize>,
    start: u64,
    length: u64,
}

/// The header of a GGUF file.
#[derive(Debug)]
pub(crate) struct Header {
    file: String,
    metadata: HashMap<String, Value>,
    tensors: HashMap<String, TensorInfo>,
}

impl Header {
    /// Parses the header of the file with these `bytes`; `file` is its name for errors.
    ///
    /// # Errors
    /// [`LoadError::WeightsTruncated`] where the file ends early, [`LoadError::WeightsInvalid`]
    /// where it makes no sense.
    pub(crate) fn parse(file: &str, bytes: &[u8]) -> Result<Self, LoadError> {
        let mut reader = Bytes::new(bytes);
        let parsed = Self::read(file, &mut reader).map_err(|cut| match cut {
            Cut::End { what, needed } => LoadError::WeightsTruncated {
                file: file.to_owned(),
                what,
                needed,
                actual: bytes.len() as u64,
            },
            Cut::Nonsense(problem) => LoadError::weights(file, problem),
        })?;
        parsed.check_lengths(bytes.len() as u64)?;
        Ok(parsed)
    }

    fn read(file: &str, bytes: &mut Bytes<'_>) -> Result<Self, Cut> {
        if bytes.take(4, "the magic number")? != b"GGUF" {
            return Err(Cut::Nonsense(
                "it does not begin with `GGUF`; is it a GGUF file?".to_owned(),
            ));
        }
        let version = bytes.u32("the version")?;
        if !(2..=3).contains(&version) {
            return Err(Cut::Nonsense(format!(
                "GGUF version {version} is not supported; convert it to version 3"
            )));
        }
        let tensor_count = bounded(bytes.u64("the tensor count")?, MAX_TENSORS, "tensors")?;
        let entry_count = bounded(bytes.u64("the metadata count")?, MAX_ENTRIES, "entries")?;
        let mut metadata = HashMap::new();
        for _ in 0..entry_count {
            let key = bytes.text("a metadata key")?;
            let kind = bytes.u32("a metadata type")?;
            let value = read_value(bytes, kind).map_err(|cut| cut.within(&key))?;
            metadata.insert(key, value);
        }
        let mut tensors = HashMap::new();
        for _ in 0..tensor_count {
            let name = bytes.text("a tensor name")?;
            let info = read_tensor(bytes).map_err(|cut| cut.within(&name))?;
            if tensors.insert(name.clone(), info).is_some() {
                return Err(Cut::Nonsense(format!("tensor `{name}` stands in it twice")));
            }
        }
        let header = Self {
            file: file.to_owned(),
            metadata,
            tensors,
        };
        header.place_tensors(bytes.position())
    }

    /// Turns tensor offsets, which count from the end of the header, into places in the file.
    fn place_tensors(mut self, header_end: u64) -> Result<Self, Cut> {
        let alignment = match self.metadata.get("general.alignment") {
            None => DEFAULT_ALIGNMENT,
            Some(Value::Int(n @ 8..=65536)) if (*n as u64).is_power_of_two() => *n as u64,
            Some(other) => {
                return Err(Cut::Nonsense(format!(
                    "general.alignment is {other:?}, it must be a power of two from 8 to 65536"
                )));
            }
        };
        let base = header_end.next_multiple_of(alignment);
        for (name, tensor) in &mut self.tensors {
            // The loader reads blocks in place, so a block must not begin at an odd byte.
            if !tensor.start.is_multiple_of(alignment) {
                return Err(Cut::Nonsense(format!(
                    "tensor `{name}` is not aligned to {alignment} bytes"
                )));
            }
            tensor.start = tensor.start.checked_add(base).ok_or_else(|| {
                Cut::Nonsense(format!("tensor `{name}` begins beyond any file's end"))
            })?;
        }
        Ok(self)
    }

    fn check_lengths(&self, actual: u64) -> Result<(), LoadError> {
        let last = self
            .tensors
            .iter()
            .max_by_key(|(_, t)| t.start.saturating_add(t.length));
        let Some((name, tensor)) = last else {
            return Ok(());
        };
        let needed = tensor.start.saturating_add(tensor.length);
        if needed > actual {
            return Err(LoadError::WeightsTruncated {
                file: self.file.clone(),
                what: format!("tensor `{name}`"),
                needed,
                actual,
            });
        }
        Ok(())
    }

    /// Name of the file, for errors.
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    pub(crate) fn value(&self, key: &str) -> Option<&Value> {
        self.metadata.get(key)
    }

    /// The tensors by name.
    pub(crate) fn tensors(&self) -> &HashMap<String, TensorInfo> {
        &self.tensors
    }

    /// Bytes of all tensors together.
    pub(crate) fn tensor_bytes(&self) -> u64 {
        self.tensors
            .values()
            .fold(0, |sum, t| sum.saturating_add(t.length))
    }

    /// The same where floats of 16 bits take 32.
    pub(crate) fn bytes_with_widened_floats(&self) -> u64 {
        let bytes = |t: &TensorInfo| match t.dtype {
            GgmlDType::F16 | GgmlDType::BF16 => t.length.saturating_mul(2),
            _ => t.length,
        };
        self.tensors
            .values()
            .fold(0, |sum, t| sum.saturating_add(bytes(t)))
    }

    /// Values of all tensors together.
    pub(crate) fn elements(&self) -> u64 {
        let count = |t: &TensorInfo| {
            t.shape
                .iter()
                .fold(1u64, |n, &d| n.saturating_mul(d as u64))
        };
        self.tensors
            .values()
            .fold(0, |sum, t| sum.saturating_add(count(t)))
    }

    /// Loads these places of a tensor's outermost dimension out of `bytes`, the same that the header was
    /// parsed from.
    ///
    /// # Errors
    /// In words: there is no such tensor, it has no such places, or candle refuses it.
    pub(crate) fn load(
        &self,
        bytes: &[u8],
        name: &str,
        part: Range<usize>,
        device: &Device,
    ) -> Result<QTensor, String> {
        let info = self.tensors.get(name).ok_or("is missing")?;
        let range = info.range(&part)?;
        let data = bytes.get(range).ok_or("lies outside the file")?;
        let mut shape = info.shape.clone();
        if let Some(outermost) = shape.first_mut() {
            *outermost = part.len();
        }
        QStorage::from_data(Cow::Borrowed(data), device, info.dtype)
            .and_then(|storage| QTensor::new(storage, shape.as_slice()))
            .map_err(|e| format!("cannot be loaded: {e}"))
    }
}

impl TensorInfo {
    /// Length in the file, bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Where these places of the outermost dimension lie in the file.
    fn range(&self, part: &Range<usize>) -> Result<Range<usize>, String> {
        let all = self.shape.first().copied().unwrap_or(0);
        if part.end > all {
            return Err(format!("has {all} places, {} are asked for", part.end));
        }
        let place = |at: usize| {
            let bytes = u128::from(self.length) * at as u128;
            let all = all.max(1) as u128;
            let whole = bytes.is_multiple_of(all);
            whole.then(|| (u128::from(self.start) + bytes / all) as usize)
        };
        let cut = "cannot be cut there: its blocks are larger";
        Ok(place(part.start).ok_or(cut)?..place(part.end).ok_or(cut)?)
    }
}

fn bounded(count: u64, most: u64, what: &str) -> Result<u64, Cut> {
    if count > most {
        return Err(Cut::Nonsense(format!(
            "it claims {count} {what}, more than the {most} that any model has"
        )));
    }
    Ok(count)
}

fn read_tensor(bytes: &mut Bytes<'_>) -> Result<TensorInfo, Cut> {
    let rank = bytes.u32("a tensor's rank")?;
    if !(1..=MAX_DIMENSIONS).contains(&rank) {
        return Err(Cut::Nonsense(format!("it has {rank} dimensions")));
    }
    let mut shape = Vec::new();
    for _ in 0..rank {
        shape.push(bytes.u64("a tensor's shape")?);
    }
    let dtype = tensor_type(bytes.u32("a tensor's type")?)?;
    let start = bytes.u64("a tensor's offset")?;
    let (block, size) = (dtype.block_size() as u64, dtype.type_size() as u64);
    let elements = shape
        .iter()
        .try_fold(1u64, |product, &n| product.checked_mul(n));
    let length = elements
        .filter(|&n| n > 0 && shape.first().is_some_and(|&row| row.is_multiple_of(block)))
        .and_then(|n| (n / block).checked_mul(size))
        .ok_or_else(|| Cut::Nonsense(format!("shape {shape:?} does not fit type {dtype:?}")))?;
    shape.reverse();
    let shape = shape.iter().map(|&n| n as usize).collect();
    Ok(TensorInfo {
        dtype,
        shape,
        start,
        length,
    })
}

fn tensor_type(code: u32) -> Result<GgmlDType, Cut> {
    Ok(match code {
        0 => GgmlDType::F32,
        1 => GgmlDType::F16,
        2 => GgmlDType::Q4_0,
        3 => GgmlDType::Q4_1,
        6 => GgmlDType::Q5_0,
        7 => GgmlDType::Q5_1,
        8 => GgmlDType::Q8_0,
        10 => GgmlDType::Q2K,
        11 => GgmlDType::Q3K,
        12 => GgmlDType::Q4K,
        13 => GgmlDType::Q5K,
        14 => GgmlDType::Q6K,
        30 => GgmlDType::BF16,
        _ => {
            return Err(Cut::Nonsense(format!(
                "tensor type {code} is not supported; quantise the model as Q4_0, Q4_1, Q5_0, \
                 Q5_1, Q8_0, Q2_K to Q6_K, F16, BF16 or F32"
            )));
        }
    })
}

fn read_value(bytes: &mut Bytes<'_>, kind: u32) -> Result<Value, Cut> {
    Ok(match kind {
        6 => Value::Float(bytes.f32("a number")?.into()),
        7 => match bytes.take(1, "a boolean")? {
            [0] => Value::Bool(false),
            [1] => Value::Bool(true),
            other => return Err(Cut::Nonsense(format!("{other:?} is no boolean"))),
        },
        8 => Value::Text(bytes.text("a text")?),
        9 => {
            let item = bytes.u32("an array's type")?;
            let count = bytes.u64("an array's length")?;
            read_array(bytes, item, count)?
        }
        12 => Value::Float(bytes.f64("a number")?),
        _ => Value::Int(bytes.integer(kind)?),
    })
}

fn read_array(bytes: &mut Bytes<'_>, kind: u32, count: u64) -> Result<Value, Cut> {
    bytes.require(count, smallest(kind)?, "an array")?;
    let mut ints = Vec::new();
    let mut floats = Vec::new();
    let mut texts = Vec::new();
    for _ in 0..count {
        match kind {
            6 => floats.push(bytes.f32("a number")?),
            7 => ints.push(bytes.integer(0)? as i64),
            8 => texts.push(bytes.text("a text")?),
            9 => skip_array(bytes)?,
            12 => floats.push(bytes.f64("a number")? as f32),
            _ => ints.push(bytes.integer(kind)? as i64),
        }
    }
    Ok(match kind {
        6 | 12 => Value::Floats(floats),
        8 => Value::Texts(texts),
        9 => Value::Nested,
        _ => Value::Ints(ints),
    })
}

/// Skips one array within an array; one more level of nesting is refused.
fn skip_array(bytes: &mut Bytes<'_>) -> Result<(), Cut> {
    let kind = bytes.u32("an array's type")?;
    let count = bytes.u64("an array's length")?;
    let size = smallest(kind)?;
    match kind {
        9 => Err(Cut::Nonsense("arrays nest too deeply".to_owned())),
        8 => {
            bytes.require(count, size, "an array")?;
            (0..count).try_for_each(|_| bytes.text("a text").map(drop))
        }
        _ => bytes.skip(count, size, "an array"),
    }
}

/// The least bytes that a value of this kind takes.
fn smallest(kind: u32) -> Result<u64, Cut> {
    Ok(match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        8 | 10..=12 => 8,
        9 => 12,
        _ => return Err(Cut::Nonsense(format!("metadata type {kind} is unknown"))),
    })
}
