//! Gemma 3, the part that reads and writes text.

use super::Plan;
use crate::load::LoadError;
use crate::load::decoder::checkpoint::Checkpoint;
use crate::load::decoder::gguf::Metadata;
use crate::load::decoder::layout::{self, Layout};
use crate::models::activation::Activation;
use crate::models::decoder::{Biases, Description, LayerKind, Pairs, Placement, Positions, Rotary};

/// Length of a head, and the root of what scores are divided by, where the file does not say it.
const HEAD_DIM: usize = 256;
/// Every sixth layer sees all, where the file does not say it.
const PERIOD: usize = 6;
/// Bases of the rotation where the window slides and where it does not.
const LOCAL_BASE: f64 = 10_000.0;
const GLOBAL_BASE: f64 = 1_000_000.0;
/// Layers of the one model whose scores are divided otherwise, which GGUF files do not say.
const LAYERS_OF_27B: usize = 62;

const LAYOUT: Layout = Layout {
    attention_post_norm: "post_attention_layernorm",
    feed_forward_norm: "pre_feedforward_layernorm",
    feed_forward_post_norm: "post_feedforward_layernorm",
    norm_offset: 1.0,
    ..layout::LLAMA
};

pub(super) fn from_config(checkpoint: &Checkpoint<'_>) -> Result<Plan, LoadError> {
    let config = &checkpoint.config;
    if config.use_bidirectional_attention == Some(true) {
        let problem =
            "use_bidirectional_attention is not supported: a decoder sees what came before";
        return Err(checkpoint.wrong(problem));
    }
    if config.attn_logit_softcapping.is_some() {
        return Err(checkpoint.wrong("attn_logit_softcapping is not supported"));
    }
    let mut description = checkpoint.description(Some(HEAD_DIM), true)?;
    let divisor = config.query_pre_attn_scalar.unwrap_or(HEAD_DIM as f64);
    let rotary = |kind: &str, default: f64| {
        let mut rope = checkpoint.rope(Some(kind))?;
        rope.rope_theta = rope.rope_theta.or(Some(default));
        let rotary = rope.rotary(description.head_dim, description.context);
        rotary.map_err(|problem| checkpoint.wrong(problem))
    };
    let global = rotary("full_attention", GLOBAL_BASE)?;
    let local = match &config.rope_parameters {
        Some(_) => rotary("sliding_attention", LOCAL_BASE)?,
        // Older files scale the other rotation alone.
        None => {
            let base = config.rope_local_base_freq.unwrap_or(LOCAL_BASE);
            Rotary::new(Pairs::Halves, description.head_dim, base)
        }
    };
    let period = config.sliding_window_pattern.unwrap_or(PERIOD).max(1);
    let slides = checkpoint.sliding(|layer| !(layer + 1).is_multiple_of(period))?;
    let biased = config.attention_bias;
    description.biases = Biases {
        query_key_value: biased,
        attention_output: biased,
        feed_forward: false,
    };
    description.attention_scale = divisor.powf(-0.5) as f32;
    description.logit_cap = config.final_logit_softcapping;
    finish(
        &mut description,
        global,
        local,
        config.sliding_window,
        &slides,
    );
    if config.hidden_activation.is_none() && config.hidden_act.is_none() {
        description.feed_forward.activation = Activation::GeluTanh;
    }
    Ok(Plan::new(description, LAYOUT))
}

/// What is the same in all files.
fn finish(
    description: &mut Description,
    global: Rotary,
    local: Rotary,
    window: Option<usize>,
    slides: &[bool],
) {
    let kind = |&slides: &bool| LayerKind {
        window: window.filter(|_| slides),
        rotary: usize::from(slides),
    };
    description.kinds = slides.iter().map(kind).collect();
    description.positions = Positions::Rotated(vec![global, local]);
    description.placement = Placement::Around;
    description.head_norm = true;
    description.embedding_scale = Some((description.hidden as f32).sqrt());
}

pub(super) fn from_gguf(
    metadata: &Metadata<'_>,
    describe: impl Fn(Pairs) -> Result<Description, LoadError>,
) -> Result<Plan, LoadError> {
    let mut description = describe(Pairs::Halves)?;
    let Description {
        hidden,
        heads,
        head_dim,
        ..
    } = description;
    if description.layer_count == LAYERS_OF_27B {
        description.attention_scale = ((hidden / heads) as f32).powf(-0.5);
    }
    let base = metadata.positive("rope.freq_base_swa")?;
    let local = Rotary::new(Pairs::Halves, head_dim, base.unwrap_or(LOCAL_BASE));
    let global = match description.rotaries() {
        [global, ..] => global.clone(),
        [] => Rotary::new(Pairs::Halves, head_dim, GLOBAL_BASE),
    };
    let cap = metadata.positive("final_logit_softcapping")?;
    description.logit_cap = cap.map(|cap| cap as f32);
    description.feed_forward.activation = Activation::GeluTanh;
    let window = metadata.window()?;
    let slides = match window {
        Some(_) => metadata.window_pattern(PERIOD)?,
        None => vec![false],
    };
    finish(&mut description, global, local, window, &slides);
    Ok(Plan::new(description, layout::GGUF))
}
