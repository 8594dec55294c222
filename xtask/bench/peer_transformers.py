"""The peer of the float rows of `cargo xtask bench generate`: transformers on PyTorch, without HTTP.

    python peer_transformers.py FOLDER THREADS

Computes in the type that the weights are stored in. Reads requests as lines of JSON: {"prompt": tokens,
"tokens": how many to write, "seed": number}. Answers each with {"event": "result", "value": tokens per second},
from the first written token to the last.
"""

import json
import sys
import time

import torch
import transformers


def say(**event):
    print(json.dumps(event), flush=True)


def decode(model, request):
    generator = torch.Generator().manual_seed(request["seed"])
    vocab = model.config.vocab_size
    ids = torch.randint(vocab, (1, request["prompt"]), generator=generator)
    cache = transformers.DynamicCache(config=model.config)
    start = None
    for _ in range(request["tokens"]):
        logits = model(input_ids=ids, past_key_values=cache, logits_to_keep=1).logits
        ids = logits[:, -1].argmax(-1, keepdim=True)
        start = start or time.perf_counter()
    return (request["tokens"] - 1) / (time.perf_counter() - start)


def main():
    torch.set_num_threads(int(sys.argv[2]))
    model = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype="auto").eval()
    say(event="ready", name=f"transformers {transformers.__version__} on torch {torch.__version__}")
    with torch.inference_mode():
        for line in sys.stdin:
            say(event="result", value=decode(model, json.loads(line)))


if __name__ == "__main__":
    main()
