"""The peer of `cargo xtask bench embeddings`: sentence-transformers on the CPU, without HTTP.

    python peer_sentence_transformers.py FOLDER THREADS

Reads requests as lines of JSON: {"sentences": […]}. Answers each with {"event": "result",
"value": sentences per second}.
"""

import json
import sys
import time

import sentence_transformers
import torch


def say(**event):
    print(json.dumps(event), flush=True)


def main():
    torch.set_num_threads(int(sys.argv[2]))
    model = sentence_transformers.SentenceTransformer(sys.argv[1], device="cpu")
    say(event="ready", name=f"sentence-transformers {sentence_transformers.__version__}")
    for line in sys.stdin:
        sentences = json.loads(line)["sentences"]
        start = time.perf_counter()
        vectors = model.encode(sentences, batch_size=32, show_progress_bar=False)
        seconds = time.perf_counter() - start
        assert len(vectors) == len(sentences)
        say(event="result", value=len(sentences) / seconds)


if __name__ == "__main__":
    main()
