"""The peer of `cargo xtask bench gpu` and of the float rows of `cargo xtask bench generate`: transformers on PyTorch,
without HTTP.

    python peer_transformers.py FOLDER THREADS DEVICE

Computes in the type that the weights are stored in. Reads requests as lines of JSON: {"prompt": tokens,
"tokens": how many to write, "seed": number, "streams": how many at once, 1 where it isn't told}. Answers each with
{"event": "result", "value": tokens per second}, from the first written token to the last; where one token is to be
written, tokens of the prompt per second.
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
    vocab, streams = model.config.vocab_size, request.get("streams", 1)
    ids = torch.randint(vocab, (streams, request["prompt"]), generator=generator).to(model.device)
    cache = transformers.DynamicCache(config=model.config)
    times = [time.perf_counter()]
    for _ in range(request["tokens"]):
        logits = model(input_ids=ids, past_key_values=cache, logits_to_keep=1).logits
        ids = logits[:, -1].argmax(-1, keepdim=True)
        # A stream's token is written once it is here, not once a GPU was told to compute it.
        ids.tolist()
        times.append(time.perf_counter())
    if request["tokens"] == 1:
        return streams * request["prompt"] / (times[1] - times[0])
    return streams * (request["tokens"] - 1) / (times[-1] - times[1])


def main():
    torch.set_num_threads(int(sys.argv[2]))
    model = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype="auto").to(sys.argv[3]).eval()
    say(event="ready", name=f"transformers {transformers.__version__} on torch {torch.__version__}")
    with torch.inference_mode():
        for line in sys.stdin:
            say(event="result", value=decode(model, json.loads(line)))


if __name__ == "__main__":
    main()
