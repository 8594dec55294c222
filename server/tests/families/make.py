#!/usr/bin/env python3
"""Writes one file a case beside this one: what the transformers package computes with tiny models.

    pip install torch transformers
    python3 make.py

The weights follow from the names of the tensors, so that the test can write the same ones and none are
stored: see `weights`. All their values have eight significant bits: f32, f16 and bf16 hold them alike.
"""

import json
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers import (
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    Qwen2Config,
    Qwen3Config,
)

FOLDER = Path(__file__).parent
VOCAB = 61
LENGTH = 40
# Two blocks of the server's cache.
SHARED = 32
SHORT = 9
# What logits are stored in: whole numbers of it.
UNIT = 1e-4

SIZES = {
    "vocab_size": VOCAB,
    "hidden_size": 48,
    "intermediate_size": 56,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}


def numbers(name, count):
    """`count` whole numbers from -128 to 127 that follow from `name`."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x100000001B3) % 2**64
    with np.errstate(over="ignore"):
        x = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        x += np.uint64(seed)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return (x >> np.uint64(56)).astype(np.int64) - 128


def weights(name, shape):
    """The values of a tensor: scales of norms from 0.5 to 1.5, all others from -0.25 to 0.25."""
    values = numbers(name, int(np.prod(shape)))
    part = name.split(".")[-2]
    if name.endswith(".weight") and ("norm" in part.lower() or part.startswith("ln_")):
        values = 1 + (values >> 1) / 128
    else:
        values = values / 512
    return torch.tensor(values, dtype=torch.float32).reshape(shape)


def tokens(name, count):
    return [int(n) for n in (numbers(name, count) + 128) % VOCAB]


def sequences():
    """A long sequence, one that begins like it, and a short one; each from where it is stored."""
    first = tokens("first", LENGTH)
    return [
        (first, 0),
        (first[:SHARED] + tokens("second", LENGTH - SHARED), SHARED),
        (tokens("third", SHORT), 0),
    ]


def write(name, config, extra=None):
    config._attn_implementation = "eager"
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    shapes = {}
    for tensor, parameter in model.named_parameters():
        shapes[tensor] = list(parameter.shape)
        parameter.data = weights(tensor, shapes[tensor])
    model.tie_weights()
    cases = []
    for ids, start in sequences():
        with torch.no_grad():
            logits = model(torch.tensor([ids]), use_cache=False).logits[0].double()
        rows = (logits[start:] / UNIT).round().long().tolist()
        cases.append({"tokens": ids, "from": start, "logits": rows})
    written = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "config": json.loads(config.to_json_string()),
        "tensors": shapes,
        **(extra or {}),
        "sequences": cases,
    }
    lines = json.dumps(written).replace('], "', '],\n"').replace("]], ", "]],\n").replace("], [", "],\n[")
    (FOLDER / f"{name}.json").write_text(lines + "\n")
    spread = max(abs(n) for case in cases for row in case["logits"] for n in row) * UNIT
    print(f"{name}: {len(shapes)} tensors, logits up to {spread:.2f}")


def llama():
    rope = {
        "rope_type": "llama3",
        "rope_theta": 500.0,
        "factor": 4.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 24,
    }
    config = LlamaConfig(
        **SIZES, head_dim=16, attention_bias=True, mlp_bias=True, rope_parameters=rope
    )
    rotary = transformers.models.llama.modeling_llama.LlamaRotaryEmbedding(config)
    plain, _ = rotary.compute_default_rope_parameters(config)
    # What a GGUF file holds in place of the parameters.
    write("llama", config, {"rope_freqs": (plain / rotary.inv_freq).tolist()})


def phi3(original):
    sizes = {**SIZES, "original_max_position_embeddings": original}
    rope = {
        "rope_type": "longrope",
        "rope_theta": 500.0,
        "partial_rotary_factor": 0.5,
        "short_factor": [1.0, 1.5, 2.5],
        "long_factor": [2.0, 3.0, 5.5],
    }
    return Phi3Config(**sizes, sliding_window=11, rope_parameters=rope)


def main():
    torch.set_num_threads(1)
    llama()
    write("mistral", MistralConfig(**SIZES, head_dim=16, sliding_window=7))
    # As their files have it: a window that is not used.
    qwen = {**SIZES, "sliding_window": 7, "max_window_layers": 1, "tie_word_embeddings": True}
    write("qwen2", Qwen2Config(**qwen, use_sliding_window=False))
    write("qwen2_window", Qwen2Config(**qwen, use_sliding_window=True))
    write("qwen3", Qwen3Config(**qwen, head_dim=16, use_sliding_window=False))
    biased = {"head_dim": 16, "use_sliding_window": True, "attention_bias": True}
    write("qwen3_window", Qwen3Config(**qwen, **biased))
    write("phi3", phi3(original=64))
    # Every sequence is longer than the original context, so that all are rotated as long ones.
    write("phi3_long", phi3(original=8))
    write(
        "gpt2",
        GPT2Config(
            vocab_size=VOCAB, n_positions=64, n_embd=48, n_layer=3, n_head=4,
            bos_token_id=1, eos_token_id=2,
        ),
    )
    write(
        "gemma3",
        Gemma3TextConfig(
            **SIZES,
            head_dim=16,
            query_pre_attn_scalar=24,
            sliding_window=7,
            layer_types=["sliding_attention", "full_attention", "sliding_attention"],
            final_logit_softcapping=5.0,
            rope_parameters={
                "full_attention": {"rope_type": "linear", "rope_theta": 5000.0, "factor": 4.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
            },
        ),
    )


if __name__ == "__main__":
    main()
