# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0", "transformers==5.24.0"]
# ///
"""Writes `fixtures/sampling.json`: the probabilities of transformers' `generate` for the next token.

Each case has `logits`, `ids` (prompt and answer so far), the settings, and `probabilities`: the softmax after the
processors that `generate` itself builds for these settings, 0 for tokens that are left out. `generate/sampling.rs` reads it.
Logits have few binary digits, so that the file holds them exactly. Cases whose top-p stands within 1e-5 of a sum of
probabilities or cuts between equal ones are left out: there the order of additions decides, or torch's sort.
"""

import json
import os
import random
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, LogitsProcessorList

FIXTURE = Path(__file__).parent / "fixtures" / "sampling.json"
TINY = LlamaConfig(
    vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1
)


def processors(model, settings):
    config = GenerationConfig(do_sample=True, **{"top_k": 0, **settings})
    return model._get_logits_processor(
        generation_config=config, input_ids_seq_length=1, logits_processor=LogitsProcessorList()
    )


def is_close_call(model, case):
    if "top_p" not in case["settings"]:
        return False
    settings = {name: value for name, value in case["settings"].items() if name != "top_p"}
    probabilities = torch.tensor(answer(model, {**case, "settings": settings}), dtype=torch.float64)
    sums = probabilities.sort(descending=True).values.cumsum(0)
    kept = torch.tensor(answer(model, case)) > 0
    is_tie = bool(torch.isin(probabilities[kept], probabilities[~kept]).any())
    return is_tie or bool(((sums - case["settings"]["top_p"]).abs() < 1e-5).any())


def answer(model, case):
    logits, ids = torch.tensor([case["logits"]]), torch.tensor([case["ids"]])
    scores = processors(model, case["settings"])(ids, logits)
    return torch.softmax(scores, -1)[0].tolist()


def cases(rng):
    for number in range(150):
        size = rng.choice([2, 5, 17, 40])
        # Every fifth case has many equal logits.
        steps = 2 if number % 5 == 0 else 1024
        logits = [rng.randint(-4 * steps, 4 * steps) / steps for _ in range(size)]
        settings = {"temperature": rng.choice([0.25, 0.5, 1.0, 1.5, 4.0])}
        if rng.random() < 0.5:
            settings["top_k"] = rng.choice([1, 2, 3, 10, 50])
        if rng.random() < 0.5:
            settings["top_p"] = rng.choice([0.05, 0.3, 0.7, 0.95])
        if rng.random() < 0.5:
            settings["repetition_penalty"] = rng.choice([0.5, 1.25, 2.0])
        yield {"logits": logits, "ids": [rng.randrange(size) for _ in range(rng.randint(1, 8))], "settings": settings}


def main():
    model = LlamaForCausalLM(TINY)
    chosen = [case for case in cases(random.Random(3)) if not is_close_call(model, case)]
    for case in chosen:
        case["probabilities"] = [float(f"{value:.7g}") for value in answer(model, case)]
    FIXTURE.parent.mkdir(exist_ok=True)
    lines = ",\n".join(json.dumps(case) for case in chosen)
    FIXTURE.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
