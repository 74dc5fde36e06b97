# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "safetensors==0.8.0", "torch==2.15.0", "transformers==5.23.0"]
# ///
"""Writes what transformers makes of the bundled model into `bundled/` beside this file.

The first reviews of `datasets/rekindle-classification/data/reviews.valid.jsonl`, some of their words hidden:

inputs.json
    {"batches": [[{"ids": [int], "type_ids": [0], "label": {"hidden": [int, -100 where nothing is hidden]}}]]}, one batch
losses.json
    {"nll": [float, the sum of each row's losses], "loss": float, the mean over all hidden words}

The model must open as `BertForMaskedLM` with every tensor in its place, and as `BertModel` with nothing missing but the
pooler, which no objective of its pre-training has.
"""

import json
import os
import random
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers

HERE = Path(__file__).resolve().parent
MODEL = HERE.parent / "bundled"
REVIEWS = HERE.parents[2] / "datasets/rekindle-classification/data/reviews.valid.jsonl"
ROWS = 48
IGNORED = -100


def hide(rng, tokenizer, ids):
    """Hides words as in training: 15 % of them, eight in ten under the mask, one in ten under another word."""
    labels = [IGNORED] * len(ids)
    for position in range(1, len(ids) - 1):
        if rng.random() < 0.15:
            labels[position] = ids[position]
            chance = rng.random()
            if chance < 0.8:
                ids[position] = tokenizer.mask_token_id
            elif chance < 0.9:
                ids[position] = rng.randrange(len(tokenizer.all_special_ids), len(tokenizer))
    return {"ids": ids, "type_ids": [0] * len(ids), "label": {"hidden": labels}}


def opened(auto_class, missing, unexpected):
    model, report = auto_class.from_pretrained(MODEL, dtype=torch.float32, output_loading_info=True)
    found = {kind: {name.split(".")[0] for name in names} for kind, names in report.items() if names}
    expected = {"missing_keys": missing, "unexpected_keys": unexpected}
    assert found == {kind: names for kind, names in expected.items() if names}, report
    return model.eval()


@torch.no_grad()
def nll(model, row):
    logits = model(input_ids=torch.tensor(row["ids"])[None]).logits[0]
    labels = torch.tensor(row["label"]["hidden"])
    return torch.nn.functional.cross_entropy(logits.double(), labels, reduction="sum").item()


def main():
    transformers.utils.logging.set_verbosity_error()
    tokenizer = transformers.AutoTokenizer.from_pretrained(MODEL)
    opened(transformers.BertModel, {"pooler"}, {"cls"})
    model = opened(transformers.BertForMaskedLM, set(), set())
    rng = random.Random(0)
    reviews = REVIEWS.read_text(encoding="utf-8").splitlines()[:ROWS]
    rows = [hide(rng, tokenizer, tokenizer(json.loads(review)["text"]).input_ids) for review in reviews]
    losses = [nll(model, row) for row in rows]
    hidden = sum(label != IGNORED for row in rows for label in row["label"]["hidden"])
    results = {"inputs": {"batches": [rows]}, "losses": {"nll": losses, "loss": sum(losses) / hidden}}
    folder = HERE / "bundled"
    folder.mkdir(exist_ok=True)
    for name, result in results.items():
        (folder / f"{name}.json").write_text(json.dumps(result) + "\n", encoding="utf-8")
    print(f"{hidden} hidden words, loss {sum(losses) / hidden:.6f}")


if __name__ == "__main__":
    main()
