//! Keys and values as rows of tensors, and attention by candle's own operations, which all of its devices have.
//!
//! What a step needs besides keys and values is made into tensors once, and all layers share it. Sequences of
//! about the same length are computed together, padded to the longest of them.

mod plan;

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use candle_core::{DType, Device, Result, Tensor, bail};
use candle_nn::ops::softmax_last_dim;

use super::{CacheSize, Heads, Place, Places, Sight};

pub(in crate::models) use plan::Limits;
use plan::{Batch, Plan};

/// Keys and values of one layer.
pub(in crate::models) struct RowCache {
    block_tokens: usize,
    limits: Limits,
    /// `(tokens, kv_heads · head_dim)`: token `t` of block `b` is row `b · block_tokens + t`.
    keys: Tensor,
    /// As `keys`.
    values: Tensor,
}

/// What the layers of a step share, made when the first of them asks for it.
#[derive(Default)]
pub(super) struct StepTensors {
    /// Where keys and values are written, `(rows, kv_heads · head_dim)`.
    slots: OnceCell<Tensor>,
    /// By what tokens see, in which layers may differ.
    plans: RefCell<Vec<(Sight, Rc<Plan>)>>,
}

impl RowCache {
    /// Room for all blocks, of so many heads of so many numbers.
    ///
    /// # Errors
    /// What candle reports, and more numbers than its kernels can count.
    pub(super) fn new(size: CacheSize, heads: usize, dim: usize, device: &Device) -> Result<Self> {
        let (tokens, width) = (size.tokens(), heads * dim);
        // They count the numbers of a tensor in 32 bits.
        if tokens.saturating_mul(width) >= u32::MAX as usize {
            bail!("a cache of {tokens} tokens of {width} numbers is over 2³² numbers");
        }
        let empty = || Tensor::zeros((tokens, width), DType::F32, device);
        Ok(Self {
            block_tokens: size.block_tokens,
            limits: Limits::default(),
            keys: empty()?,
            values: empty()?,
        })
    }

    #[cfg(test)]
    pub(super) fn limited(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// As [`super::LayerCache::write`].
    pub(super) fn write(&self, keys: &Tensor, values: &Tensor, places: &Places<'_>) -> Result<()> {
        let shared = &places.tensors;
        let slots = match shared.slots.get() {
            Some(slots) => slots,
            None => {
                let slots = self.slots(places)?;
                shared.slots.get_or_init(|| slots)
            }
        };
        self.keys.scatter_set(slots, &keys.contiguous()?, 0)?;
        self.values.scatter_set(slots, &values.contiguous()?, 0)
    }

    /// The row of the cache for each number of each row of a step.
    fn slots(&self, places: &Places<'_>) -> Result<Tensor> {
        let tokens = self.block_tokens;
        let slot = |place: &Place<'_>| {
            place.block(tokens) * tokens as u32 + (place.position % tokens) as u32
        };
        let slots: Vec<u32> = places.rows.iter().map(slot).collect();
        let shape = (slots.len(), self.keys.dim(1)?);
        let slots = Tensor::from_vec(slots, (shape.0, 1), self.keys.device())?;
        slots.broadcast_as(shape)?.contiguous()
    }

    /// As [`super::LayerCache::attend`].
    pub(super) fn attend(
        &self,
        queries: &Tensor,
        heads: Heads,
        places: &Places<'_>,
    ) -> Result<Tensor> {
        let plan = self.plan(heads, places)?;
        let mixed = plan.batches.iter();
        let mixed = mixed.map(|batch| self.mix(batch, queries, heads));
        let mixed = match &mixed.collect::<Result<Vec<_>>>()?[..] {
            [one] => one.clone(),
            several => Tensor::cat(several, 0)?,
        };
        select(&mixed, plan.order.as_ref())
    }

    fn plan(&self, heads: Heads, places: &Places<'_>) -> Result<Rc<Plan>> {
        let plans = &places.tensors.plans;
        let known = plans.borrow();
        if let Some((_, plan)) = known.iter().find(|(sight, _)| *sight == heads.sight) {
            return Ok(plan.clone());
        }
        drop(known);
        let plan = Rc::new(Plan::new(places, heads, self.limits, self.keys.device())?);
        plans.borrow_mut().push((heads.sight, plan.clone()));
        Ok(plan)
    }

    /// What the rows of a batch mix, `(sequences · rows, heads · head_dim)`.
    fn mix(&self, batch: &Batch, queries: &Tensor, heads: Heads) -> Result<Tensor> {
        let Batch {
            sequences,
            rows,
            tokens,
            ..
        } = *batch;
        let Heads { keys, dim, .. } = heads;
        let group = heads.queries / keys;
        // The queries that share a head of keys are rows of one matrix.
        let queries = select(queries, batch.queries.as_ref())?
            .reshape((sequences, rows, keys, group * dim))?
            .transpose(1, 2)?
            .reshape((sequences * keys, rows * group, dim))?;
        let cached = |all: &Tensor| {
            let all = all.reshape(((), dim))?;
            let rows = all.index_select(&batch.cached, 0)?;
            rows.reshape((sequences * keys, tokens, dim))
        };
        let scores = (queries.matmul(&cached(&self.keys)?.t()?)? * f64::from(heads.scale))?
            .reshape((sequences, keys, rows, group, tokens))?
            .broadcast_add(&batch.unseen)?;
        let weights = softmax_last_dim(&scores)?;
        weights
            .reshape((sequences * keys, rows * group, tokens))?
            .matmul(&cached(&self.values)?)?
            .reshape((sequences, keys, rows, group * dim))?
            .transpose(1, 2)?
            .reshape((sequences * rows, heads.queries * dim))
    }
}

/// These rows of a matrix, or all of them.
fn select(matrix: &Tensor, rows: Option<&Tensor>) -> Result<Tensor> {
    match rows {
        Some(rows) => matrix.index_select(rows, 0),
        None => Ok(matrix.clone()),
    }
}
