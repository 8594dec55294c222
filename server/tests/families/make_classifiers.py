#!/usr/bin/env python3
"""Writes classifiers.json: what the transformers package tells of texts with tiny classifiers.

    pip install torch transformers
    python3 make_classifiers.py

The weights follow from the names of the tensors, as in make.py. What becomes of scores, and which label has
which, is the package's own pipeline's word.
"""

import json
from types import SimpleNamespace

import torch
import transformers
from transformers import BertConfig, BertForSequenceClassification, TextClassificationPipeline

from make import FOLDER, VOCAB, tokens, weights

LENGTHS = [1, 2, 9, 17, 40, 64]

SIZES = {
    "vocab_size": VOCAB,
    "hidden_size": 48,
    "intermediate_size": 56,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}


def named(*names):
    return dict(enumerate(names))


# More than ten, so that the order of their numbers is not that of their texts.
MONTHS = named(
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)

CASES = {
    "single": {"id2label": MONTHS, "problem_type": "single_label_classification"},
    "multi": {
        "id2label": named("toxic", "obscene", "threat"),
        "problem_type": "multi_label_classification",
    },
    "regression": {"id2label": named("stars"), "problem_type": "regression"},
    # Without a word on the problem.
    "several": {"id2label": named("contradiction", "neutral", "entailment")},
    "one": {"id2label": named("relevant")},
    # Without a word on the labels.
    "untold": {},
}


def case(head):
    config = BertConfig(**SIZES, **head)
    config._attn_implementation = "eager"
    config.architectures = ["BertForSequenceClassification"]
    model = BertForSequenceClassification(config).eval()
    shapes = {}
    for tensor, parameter in model.named_parameters():
        shapes[tensor] = list(parameter.shape)
        parameter.data = weights(tensor, shapes[tensor])
    texts, labels = [], []
    for length in LENGTHS:
        ids = tokens(f"text of {length}", length)
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits
        told = TextClassificationPipeline.postprocess(
            SimpleNamespace(model=model), {"logits": logits}, top_k=None
        )
        labels = [item["label"] for item in told]
        texts.append({"tokens": ids, "scores": [round(item["score"], 7) for item in told]})
    return {
        "config": json.loads(config.to_json_string()),
        "tensors": shapes,
        "labels": labels,
        "texts": texts,
    }


def main():
    torch.set_num_threads(1)
    written = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "cases": {name: case(head) for name, head in CASES.items()},
    }
    lines = json.dumps(written).replace('], "', '],\n"').replace("}, {", "},\n{")
    (FOLDER / "classifiers.json").write_text(lines + "\n")
    for name, made in written["cases"].items():
        print(name, made["labels"], made["texts"][2]["scores"])


if __name__ == "__main__":
    main()
