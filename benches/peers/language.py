# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "peft==0.21.2", "safetensors==0.8.0", "torch==2.15.0", "transformers==5.24.0"]
# ///
"""Cuts a text into rows, and tells losses and a greedy text in transformers, as a peer of `rekindle eval` and `train`.

    python language.py --model DIR --text FILE --first CHARACTERS --tokens N --valid OUT --train OUT
    python language.py --model DIR --input rows.jsonl --tokens N [--prompt T --max-tokens N]
    python language.py --model DIR --input rows.jsonl --tokens N --steps N --learning-rate X

The first form writes rows of whole lines, `{"text": ...}`, each as long as N tokens with the BOS and the EOS allow: the
first CHARACTERS into one file, what follows into the other. The second joins the rows into one stream, each as what the
tokenizer makes of it and EOS, cuts that into blocks of N tokens, and prints an object per block with `nll`, the sum of
the losses of all its tokens after the first, and `tokens`, their number. Blocks go through the model one by one, so that
there is no padding. The last object has the greedy `completion` of the prompt.
The third trains on all blocks at every step, and prints an object per step with its `loss`, before the
update: AdamW with decay 0.01 but not on biases and norms, linear decay after a warm-up over 6 % of the steps (rounded
up), global norm 1. A folder with an `adapter_config.json` is loaded by peft on the base that it names.
"""

import argparse
import json
import math
from pathlib import Path

import torch
import transformers

from logits import adapted_model, whole_model


def ids_of(tokenizer, text):
    return tokenizer(text).input_ids + [tokenizer.eos_token_id]


def rows_of(tokenizer, text, most):
    rows, row = [], ""
    for line in text.splitlines(keepends=True):
        if row and len(ids_of(tokenizer, row + line)) > most:
            rows.append(row)
            row = ""
        row += line
    return [*rows, row] if row else rows


def write(path, rows):
    lines = [json.dumps({"text": row}) + "\n" for row in rows]
    Path(path).write_text("".join(lines), encoding="utf-8")


def cut(tokenizer, options):
    text = Path(options.text).read_bytes().decode("utf-8")
    write(options.valid, rows_of(tokenizer, text[: options.first], options.tokens))
    write(options.train, rows_of(tokenizer, text[options.first :], options.tokens))


def blocks_of(tokenizer, path, size):
    lines = Path(path).read_text(encoding="utf-8").split("\n")
    texts = [json.loads(line)["text"] for line in lines if line.strip()]
    stream = [token for text in texts for token in ids_of(tokenizer, text)]
    starts = list(range(0, len(stream), size))
    if len(stream) > size and len(stream) % size == 1:
        # One token alone has nothing before it that it could follow from.
        starts[-1] -= 1
        return [stream[a:b] for a, b in zip(starts, [*starts[1:], len(stream)])]
    return [stream[start : start + size] for start in starts]


@torch.no_grad()
def score(model, ids):
    ids = torch.tensor(ids)
    logits = model(input_ids=ids[None]).logits[0, :-1]
    nll = torch.nn.functional.cross_entropy(logits.double(), ids[1:], reduction="sum")
    return {"nll": nll.item(), "tokens": len(logits)}


def train(model, blocks, options):
    decayed = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=options.learning_rate)
    warm_up = math.ceil(0.06 * options.steps)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, warm_up, options.steps)
    targets = sum(len(block) - 1 for block in blocks)
    for _ in range(options.steps):
        optimizer.zero_grad()
        total = 0.0
        for block in blocks:
            ids = torch.tensor(block)
            logits = model(input_ids=ids[None]).logits[0, :-1]
            loss = torch.nn.functional.cross_entropy(logits, ids[1:], reduction="sum") / targets
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        print(json.dumps({"loss": total}))


@torch.no_grad()
def complete(model, tokenizer, options):
    prompt = tokenizer(options.prompt, return_tensors="pt")
    ids = model.generate(**prompt, max_new_tokens=options.max_tokens, do_sample=False)[0]
    text = tokenizer.decode(ids, skip_special_tokens=True)
    before = tokenizer.decode(prompt.input_ids[0], skip_special_tokens=True)
    return {"completion": text[len(before) :]}


def main():
    parser = argparse.ArgumentParser(description="losses and greedy text of a language model in transformers")
    parser.add_argument("--model", required=True, help="folder of a model or an adapter")
    parser.add_argument("--text", help="text file to cut into rows")
    parser.add_argument("--first", type=int, help="characters that are held out")
    parser.add_argument("--tokens", type=int, help="tokens of a block, and the most of a row")
    parser.add_argument("--valid", help="where rows of the first characters go")
    parser.add_argument("--train", help="where the other rows go")
    parser.add_argument("--input", help="JSONL file of texts to score")
    parser.add_argument("--steps", type=int, help="train on the texts for so many steps")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--prompt", help="text to go on with")
    parser.add_argument("--max-tokens", type=int, default=64)
    options = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    tokenizer = transformers.AutoTokenizer.from_pretrained(options.model)
    if options.text:
        cut(tokenizer, options)
        return
    is_adapter = (Path(options.model) / "adapter_config.json").exists()
    model = (adapted_model if is_adapter else whole_model)(options.model, transformers.AutoModelForCausalLM)
    model.eval()
    blocks = blocks_of(tokenizer, options.input, options.tokens)
    if options.steps:
        train(model, blocks, options)
        return
    for block in blocks:
        print(json.dumps(score(model, block)))
    if options.prompt:
        print(json.dumps(complete(model, tokenizer, options)))


if __name__ == "__main__":
    main()
