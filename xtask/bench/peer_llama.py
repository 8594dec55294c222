"""The peer of `cargo xtask bench generate`: llama.cpp on the CPU, without HTTP.

    python peer_llama.py FILE.gguf THREADS

Reads requests as lines of JSON: {"task": "decode", "prompt", "tokens"} or {"task": "prefill",
"prompt"}. Answers each with {"event": "result", "value": tokens per second}.
"""

import json
import sys
import time

import llama_cpp


def say(**event):
    print(json.dumps(event), flush=True)


def decode(llama, prompt, tokens):
    """Like a stream's reader: the time from the first token to the last."""
    llama.reset()
    llama.eval(llama.tokenize(prompt.encode()))
    token = llama.sample(temp=0.0)
    start = time.perf_counter()
    for _ in range(tokens - 1):
        llama.eval([token])
        token = llama.sample(temp=0.0)
    return (tokens - 1) / (time.perf_counter() - start)


def prefill(llama, prompt):
    start = time.perf_counter()
    ids = llama.tokenize(prompt.encode())
    llama.reset()
    llama.eval(ids)
    llama.sample(temp=0.0)
    return len(ids) / (time.perf_counter() - start)


def main():
    threads = int(sys.argv[2])
    llama = llama_cpp.Llama(
        model_path=sys.argv[1],
        n_ctx=2048,
        n_batch=1024,
        n_threads=threads,
        n_threads_batch=threads,
        n_gpu_layers=0,
        verbose=False,
    )
    say(event="ready", name=f"llama-cpp-python {llama_cpp.__version__}")
    for line in sys.stdin:
        request = json.loads(line)
        if request["task"] == "decode":
            value = decode(llama, request["prompt"], request["tokens"])
        else:
            value = prefill(llama, request["prompt"])
        say(event="result", value=value)


if __name__ == "__main__":
    main()
