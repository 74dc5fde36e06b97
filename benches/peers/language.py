# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "peft==0.21.2", "safetensors==0.8.0", "torch==2.15.0", "transformers==5.24.0"]
# ///
"""Cuts a text into rows, and tells the loss of each and a greedy text in transformers, as a peer of `rekindle eval`.

    python language.py --model DIR --text FILE --first CHARACTERS --tokens N --valid OUT --train OUT
    python language.py --model DIR --input rows.jsonl [--prompt T --max-tokens N]

The first form writes rows of whole lines, `{"text": ...}`, each as long as N tokens with the BOS and the EOS allow: the
first CHARACTERS into one file, what follows into the other. The second prints an object per row with `nll`, the sum of
the losses of all tokens after the first, and `tokens`, their number. A row is what the tokenizer makes of the text, then
EOS. Rows go through the model one by one, so that there is no padding. The last object has the greedy `completion` of
the prompt. A folder with an `adapter_config.json` is loaded by peft on the base that it names.
"""

import argparse
import json
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


@torch.no_grad()
def score(model, tokenizer, text):
    ids = torch.tensor(ids_of(tokenizer, text))
    logits = model(input_ids=ids[None]).logits[0, :-1]
    nll = torch.nn.functional.cross_entropy(logits.double(), ids[1:], reduction="sum")
    return {"nll": nll.item(), "tokens": len(logits)}


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
    parser.add_argument("--tokens", type=int, help="the most tokens of a row")
    parser.add_argument("--valid", help="where rows of the first characters go")
    parser.add_argument("--train", help="where the other rows go")
    parser.add_argument("--input", help="JSONL file of rows to score")
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
    lines = Path(options.input).read_text(encoding="utf-8").split("\n")
    for line in lines:
        if line.strip():
            print(json.dumps(score(model, tokenizer, json.loads(line)["text"])))
    if options.prompt:
        print(json.dumps(complete(model, tokenizer, options)))


if __name__ == "__main__":
    main()
