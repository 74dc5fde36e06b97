# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==2.15.0", "transformers==5.24.0"]
# ///
"""Writes `fixtures/decoders.json`: what transformers' `generate` answers with the tiny decoders of `models/`.

For each fixture of a model: `prompts` of several lengths, and the `answers` of ten tokens each, the likeliest ones, at
repetition penalties of 1 and 1.3, generated as one batch with padding on the left. No token ends an answer. Prompts are
such that two tokens never come within 1e-3 of each other, and that each is answered the same alone. `generate/decoders.rs`
reads the file.
"""

import json
import os
import random
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from transformers import AutoModelForCausalLM

HERE = Path(__file__).resolve().parent
MODELS = HERE.parents[2] / "models"
FIXTURES = {
    "rekindle-llama": ["llama-gqa", "llama-mha", "llama-mqa", "mistral", "qwen2", "qwen3"],
    "rekindle-gpt2": ["gpt2", "gpt2-unscaled"],
}
LENGTHS = [1, 6, 3, 4]
TOKENS = 10
PENALTIES = [1.0, 1.3]


def generate(model, prompts, penalty):
    width = max(map(len, prompts))
    padding = [width - len(prompt) for prompt in prompts]
    given = model.generate(
        torch.tensor([[0] * pad + prompt for pad, prompt in zip(padding, prompts)]),
        attention_mask=torch.tensor([[0] * pad + [1] * (width - pad) for pad in padding]),
        max_new_tokens=TOKENS,
        do_sample=False,
        repetition_penalty=penalty,
        eos_token_id=None,
        pad_token_id=0,
        return_dict_in_generate=True,
        output_scores=True,
    )
    best = torch.stack(given.scores).topk(2).values
    return given.sequences[:, width:].tolist(), float((best[..., 0] - best[..., 1]).min())


def answers(model, prompts):
    """The answers at each penalty; none if they are not certain."""
    together = [generate(model, prompts, penalty) for penalty in PENALTIES]
    if any(gap < 1e-3 for _, gap in together):
        return None
    for penalty, (found, _) in zip(PENALTIES, together):
        assert found == [generate(model, [prompt], penalty)[0][0] for prompt in prompts]
    return [found for found, _ in together]


def main():
    rng = random.Random(11)
    cases = []
    for crate, names in FIXTURES.items():
        for name in names:
            model = AutoModelForCausalLM.from_pretrained(MODELS / crate / "tests" / "fixtures" / name).eval()
            found = None
            while found is None:
                prompts = [[rng.randrange(1, model.config.vocab_size) for _ in range(length)] for length in LENGTHS]
                found = answers(model, prompts)
            cases.append({"crate": crate, "name": name, "prompts": prompts, "answers": found})
    lines = ",\n".join(json.dumps(case) for case in cases)
    (HERE / "fixtures" / "decoders.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
