//! Loads decoders of all families, from GGUF files or from safetensors with their `config.json`.

mod budget;
mod checkpoint;
mod families;
mod gguf;
mod layout;
mod plan;
mod rope;
mod store;

use std::ops::Range;

use candle_core::Device;

use super::files::Files;
use super::gguf::Header;
use super::map::MappedFile;
use super::safetensors::{self, Opened};
use super::{LoadError, LoadOptions, device};
use crate::memory;
use crate::models::decoder::Decoder;
use crate::models::matrix::{Arithmetic, Stored};
use crate::models::registry;
use crate::models::{Backend, CausalLm};

use budget::{Budget, Needs};
use families::Plan;
use gguf::GgufStore;
use store::{Store, Tensors};

/// A prompt of one token and one token of an answer.
const LEAST_CONTEXT: usize = 2;

/// How a decoder is to be loaded.
pub(super) struct Request<'a> {
    pub(super) options: &'a LoadOptions,
    pub(super) device: Device,
    /// Is told the bytes loaded and their total.
    pub(super) progress: &'a dyn Fn(u64, u64),
}

/// A decoder and the length of its logits.
pub(super) struct Loaded {
    pub(super) lm: Box<dyn CausalLm>,
    pub(super) vocab: usize,
}

/// Loads the decoder of a GGUF file with these `bytes`.
///
/// # Errors
/// [`LoadError`]; [`LoadError::OutOfMemory`] where weights and a full cache would not fit.
pub(super) fn from_gguf(
    family: registry::Decoder,
    header: &Header,
    bytes: &[u8],
    request: &Request<'_>,
) -> Result<Loaded, LoadError> {
    let plan = families::from_gguf(family, header, bytes, request.options)?;
    let arithmetic = plan::arithmetic(request.options.dtype);
    let store = GgufStore {
        header,
        bytes,
        device: &request.device,
    };
    let stored = match request.options.backend(&request.device) {
        Backend::Kernels => header.tensor_bytes(),
        Backend::TensorOps => header.bytes_with_widened_floats(),
    };
    let bytes = plan::weight_bytes(arithmetic, stored, header.elements());
    build(&store, plan, arithmetic, bytes, request)
}

/// Loads the decoder whose configuration is the file called `name`, from the safetensors beside it.
///
/// # Errors
/// As [`from_gguf`].
pub(super) fn from_folder(
    family: registry::Decoder,
    files: &Files,
    name: &str,
    request: &Request<'_>,
) -> Result<Loaded, LoadError> {
    let maps = safetensors::map_all(files, "")?;
    let opened = Opened::new(&maps)?;
    let has = |name: &str| opened.has(name);
    let plan = families::from_config(family, files, name, &has, request.options)?;
    let store = FolderStore {
        opened: &opened,
        device: &request.device,
    };
    let request = &Request {
        options: request.options,
        device: request.device.clone(),
        progress: &|loaded, total| {
            maps.iter().for_each(MappedFile::release);
            (request.progress)(loaded, total);
        },
    };
    let arithmetic = match request.options.backend(&request.device) {
        Backend::Kernels => plan::arithmetic(request.options.dtype),
        // candle multiplies numbers of one type alone.
        Backend::TensorOps => Arithmetic::Widened,
    };
    let bytes = plan::weight_bytes(arithmetic, opened.tensor_bytes(), opened.elements());
    build(&store, plan, arithmetic, bytes, request)
}

fn build(
    store: &dyn Store,
    plan: Plan,
    arithmetic: Arithmetic,
    weight_bytes: u64,
    request: &Request<'_>,
) -> Result<Loaded, LoadError> {
    let Plan {
        description,
        layout,
        ignored,
    } = plan;
    let device = &request.device;
    let backend = request.options.backend(device);
    let needs = Needs::of(
        &description,
        weight_bytes,
        request.options,
        rayon::current_num_threads(),
        memory::resident().unwrap_or(0),
    );
    let budget = needs.plan(device::available(device))?;
    tracing::debug!(?needs, ?budget, "memory is planned");
    // Files may hold the output matrix again though it is the embedding table.
    let head = layout.head_tensor();
    let spare = |name: &str| ignored(name) || description.tied_head && name == head;
    let tensors = Tensors::new(
        store,
        device,
        (arithmetic, backend),
        spare,
        request.progress,
    );
    let weights = layout.weights(&tensors, &description)?;
    tensors.check_all_used()?;
    let vocab = description.vocab;
    let Budget { cache, step_tokens } = budget;
    let lm = Decoder::new(
        description,
        cache,
        step_tokens,
        weights,
        device.clone(),
        backend,
    )
    .map_err(|e| LoadError::weights(store.file(""), e.to_string()))?;
    Ok(Loaded {
        lm: Box::new(lm),
        vocab,
    })
}

/// The tensors of safetensors files.
struct FolderStore<'a> {
    opened: &'a Opened<'a>,
    device: &'a Device,
}

impl Store for FolderStore<'_> {
    fn file(&self, name: &str) -> &str {
        self.opened.file(name)
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.opened.shape(name).map(<[usize]>::to_vec)
    }

    fn bytes(&self, name: &str) -> u64 {
        self.opened.bytes(name)
    }

    fn names(&self) -> Vec<&str> {
        self.opened.names().collect()
    }

    fn load(&self, name: &str, part: Range<usize>) -> Result<Stored, String> {
        let floats = self.opened.load(name, part, self.device)?;
        Ok(Stored::Floats(floats))
    }
}

#[cfg(test)]
#[path = "../../../tests/tiny/mod.rs"]
mod tiny;

#[cfg(test)]
mod tests;
