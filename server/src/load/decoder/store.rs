//! Tensors by name, from whichever format they are stored in.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ops::Range;

use candle_core::{DType, Device, Tensor};

use crate::load::LoadError;
use crate::models::Backend;
use crate::models::matrix::{Arithmetic, Matrix, Stored};

/// What holds tensors.
pub(super) trait Store {
    /// The file that errors about this tensor name.
    fn file(&self, name: &str) -> &str;
    /// Outermost dimension first.
    fn shape(&self, name: &str) -> Option<Vec<usize>>;
    /// Bytes that a tensor takes.
    fn bytes(&self, name: &str) -> u64;
    fn names(&self) -> Vec<&str>;
    /// These places of a tensor's outermost dimension.
    ///
    /// # Errors
    /// What is wrong with the tensor, in words.
    fn load(&self, name: &str, part: Range<usize>) -> Result<Stored, String>;
}

/// A part of a matrix that a file stores.
#[derive(Clone, Debug)]
pub(super) struct Part<'a> {
    pub(super) name: &'a str,
    /// Shape `(out, in)` of the whole matrix.
    pub(super) shape: [usize; 2],
    /// Which of its outputs.
    pub(super) outputs: Range<usize>,
    /// Whether it is stored as `(in, out)`.
    pub(super) transposed: bool,
}

/// The tensors of one model, each remembered when it is loaded.
pub(super) struct Tensors<'a> {
    store: &'a dyn Store,
    device: &'a Device,
    /// How products with matrices are computed, and by whose code.
    products: (Arithmetic, Backend),
    progress: &'a dyn Fn(u64, u64),
    /// Bytes of all that is to be loaded.
    total: u64,
    loaded: Cell<u64>,
    used: RefCell<BTreeSet<String>>,
    unused: BTreeSet<String>,
}

impl<'a> Tensors<'a> {
    /// The tensors of `store`, but for those that are `ignored`. `progress` is told the bytes loaded and
    /// their total.
    pub(super) fn new(
        store: &'a dyn Store,
        device: &'a Device,
        products: (Arithmetic, Backend),
        ignored: impl Fn(&str) -> bool,
        progress: &'a dyn Fn(u64, u64),
    ) -> Self {
        let names = store.names();
        let (unused, wanted): (Vec<&str>, Vec<&str>) =
            names.into_iter().partition(|name| ignored(name));
        let bytes = wanted.iter().map(|name| store.bytes(name));
        Self {
            store,
            device,
            products,
            progress,
            total: bytes.fold(0, u64::saturating_add),
            loaded: Cell::new(0),
            used: RefCell::default(),
            unused: unused.into_iter().map(str::to_owned).collect(),
        }
    }

    fn refuse(&self, name: &str, problem: impl std::fmt::Display) -> LoadError {
        let file = self.store.file(name);
        LoadError::weights(file, format!("tensor `{name}` {problem}"))
    }

    fn load(&self, name: &str, shape: &[usize], part: Range<usize>) -> Result<Stored, LoadError> {
        let Some(found) = self.store.shape(name) else {
            return Err(self.refuse(name, "is missing"));
        };
        if found != shape {
            let problem = format!("has shape {found:?}, its configuration asks for {shape:?}");
            return Err(self.refuse(name, problem));
        }
        let stored = self.store.load(name, part);
        let stored = stored.map_err(|problem| self.refuse(name, problem))?;
        if self.used.borrow_mut().insert(name.to_owned()) {
            self.loaded.set(self.loaded.get() + self.store.bytes(name));
            (self.progress)(self.loaded.get(), self.total);
        }
        Ok(stored)
    }

    /// A matrix or some of its outputs.
    ///
    /// # Errors
    /// [`LoadError::WeightsInvalid`] where it is missing, has another shape or holds no floats.
    pub(super) fn matrix(&self, part: &Part<'_>) -> Result<Matrix, LoadError> {
        let Part {
            name, transposed, ..
        } = *part;
        let [outputs, inputs] = part.shape;
        let stored = match transposed {
            false => self.load(name, &part.shape, part.outputs.clone())?,
            true => {
                let whole = self.load(name, &[inputs, outputs], 0..inputs)?;
                let turned = turn(whole, part.outputs.clone());
                Stored::Floats(turned.map_err(|e| self.refuse(name, e))?)
            }
        };
        let (arithmetic, backend) = self.products;
        Matrix::new(stored, arithmetic, backend).map_err(|e| self.refuse(name, e))
    }

    /// A vector of so many numbers or a part of it, as f32.
    ///
    /// # Errors
    /// As [`Tensors::matrix`].
    pub(super) fn vector(
        &self,
        name: &str,
        length: usize,
        part: Range<usize>,
    ) -> Result<Tensor, LoadError> {
        let stored = self.load(name, &[length], part)?;
        widen(stored, self.device).map_err(|e| self.refuse(name, e))
    }

    /// A tensor that nothing used means that the model computes something that we do not.
    pub(super) fn check_all_used(&self) -> Result<(), LoadError> {
        let used = self.used.borrow();
        let mut names = self.store.names();
        names.sort_unstable();
        let spare = |name: &&&str| !used.contains(**name) && !self.unused.contains(**name);
        match names.iter().find(spare) {
            Some(name) => Err(self.refuse(name, "is not known to be a part of this architecture")),
            None => Ok(()),
        }
    }
}

fn widen(stored: Stored, device: &Device) -> candle_core::Result<Tensor> {
    match stored {
        Stored::Floats(floats) => floats.to_dtype(DType::F32),
        Stored::Blocks(blocks) => blocks.dequantize(device),
    }
}

/// Some columns of a matrix, as rows.
fn turn(stored: Stored, columns: Range<usize>) -> candle_core::Result<Tensor> {
    let whole = match stored {
        Stored::Floats(floats) => floats,
        Stored::Blocks(blocks) => blocks.dequantize(&blocks.device())?,
    };
    whole
        .narrow(1, columns.start, columns.len())?
        .t()?
        .contiguous()
}
