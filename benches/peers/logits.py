# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "peft==0.21.2", "safetensors==0.8.0", "torch==2.15.0", "transformers==5.24.0"]
# ///
"""Prints the logits that transformers computes with a model folder, as a peer of `rekindle predict --logits`.

    python logits.py --model DIR --input rows.jsonl [--save DIR]

Rows are JSON objects with `text` (sequence classifiers) or `tokens` (token classifiers). Prints an object per row with
`logits`: an array in label-id order, for a token classifier one per word, taken at the word's first piece. Rows go
through the model one by one, so that there is no padding. With `--save`, model and tokenizer are saved by transformers.
A folder with an `adapter_config.json` is loaded by peft on the base that it names, with the labels of its `config.json`,
and saved by peft.
"""

import argparse
import json
from pathlib import Path

import peft
import torch
import transformers

MAX_LENGTH = 256


def first_pieces(word_ids):
    """Positions of the first piece of each word."""
    starts = [word is not None and word != before for before, word in zip([None, *word_ids], word_ids)]
    return [position for position, is_start in enumerate(starts) if is_start]


@torch.no_grad()
def logits(model, tokenizer, row):
    if "tokens" not in row:
        encoded = tokenizer(row["text"], truncation=True, max_length=MAX_LENGTH, return_tensors="pt")
        return model(**encoded).logits[0]
    encoded = tokenizer(
        row["tokens"], is_split_into_words=True, truncation=True, max_length=MAX_LENGTH, return_tensors="pt"
    )
    return model(**encoded).logits[0, first_pieces(encoded.word_ids())]


def whole_model(folder, auto_class):
    model, report = auto_class.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    unfit = {kind: sorted(names) for kind, names in report.items() if names}
    if unfit:
        raise SystemExit(f"error: tensors of `{folder}` do not fit: {unfit}")
    return model


def adapted_model(folder, auto_class):
    config = transformers.AutoConfig.from_pretrained(folder)
    adapter = peft.PeftConfig.from_pretrained(folder)
    base = auto_class.from_pretrained(adapter.base_model_name_or_path, config=config, dtype=torch.float32, ignore_mismatched_sizes=True)
    model = peft.PeftModel.from_pretrained(base, folder)
    report = model.load_adapter(folder, adapter_name="default")
    if report.missing_keys or report.unexpected_keys:
        raise SystemExit(f"error: tensors of `{folder}` do not fit: {report}")
    return model


def main():
    parser = argparse.ArgumentParser(description="prints the logits of a model in transformers")
    parser.add_argument("--model", required=True, help="folder of a fine-tuned model")
    parser.add_argument("--input", required=True, help="JSONL file of rows")
    parser.add_argument("--save", help="folder to save the model to")
    options = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    lines = Path(options.input).read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line.strip()]
    is_tagger = "tokens" in rows[0]
    auto_class = (
        transformers.AutoModelForTokenClassification if is_tagger else transformers.AutoModelForSequenceClassification
    )
    is_adapter = (Path(options.model) / "adapter_config.json").exists()
    model = (adapted_model if is_adapter else whole_model)(options.model, auto_class)
    model.eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(options.model)
    for row in rows:
        print(json.dumps({"logits": logits(model, tokenizer, row).tolist()}))
    if options.save:
        model.save_pretrained(options.save)
        tokenizer.save_pretrained(options.save)


if __name__ == "__main__":
    main()
