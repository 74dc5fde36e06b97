# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "accelerate==1.15.0", "numpy==2.4.6", "peft==0.21.2", "safetensors==0.8.0", "scikit-learn==1.9.1",
#     "scipy==1.17.1", "seqeval==1.2.2", "torch==2.15.0", "transformers==5.24.0",
# ]
# ///
"""Fine-tunes an encoder with the Trainer of transformers, as a peer of `rekindle train`.

    python train.py --task classify --model DIR --train train.jsonl --valid valid.jsonl --json result.json

Rows are JSON objects: `text` and `label` (classify), `tokens` and `tags` (tag), `text` and `score` (regress). Optimizer,
schedule and clipping are rekindle's defaults: AdamW with decay 0.01 but not on biases and norms, linear decay after a
warm-up over 6 % of the steps (rounded up), global norm 1, F32, and the dropout of the checkpoint's config. The labels
are the sorted ones of the training file; a word is tagged by its first piece, and a truncated word counts as `O`.

The result, one JSON object on standard output and in the `--json` file, holds
    `arguments`, `versions`, `rows` and `valid_rows` (as read), `steps`
    `seconds` of training alone, without loading, tokenizing and evaluating
    `first_step_at`: when the first step was done, in seconds since 1970
    `valid_loss`: mean over rows (classify, regress) or over the words that have a known tag (tag)
    `metrics`: accuracy (classify); entity precision, recall and F1 by seqeval, and word accuracy (tag);
        spearman, pearson and mse (regress)
    `loss`, `grad_norm` (before clipping) and `learning_rate`: one number per step
"""

import argparse
import json
import math
import tempfile
import time
from pathlib import Path

import peft
import scipy
import seqeval.metrics
import torch
import transformers
from sklearn.metrics import accuracy_score, mean_squared_error

EVALUATION_BATCH = 64
IGNORED = -100


def arguments():
    parser = argparse.ArgumentParser(description="fine-tunes an encoder with the Trainer of transformers")
    parser.add_argument("--task", choices=["classify", "tag", "regress"], required=True)
    parser.add_argument("--model", required=True, help="folder of a pre-trained encoder, or its id")
    parser.add_argument("--train", required=True, help="JSONL file to train on")
    parser.add_argument("--valid", required=True, help="JSONL file to evaluate on")
    parser.add_argument("--method", choices=["full", "lora", "head"], default="full", help="what is trained")
    parser.add_argument("--rows", type=int, help="take the first rows of the training file only")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--group-by-length", action="store_true", help="batch rows of similar length together")
    parser.add_argument("--threads", type=int, help="number of torch's threads")
    parser.add_argument("--json", help="file to write the result to")
    return parser.parse_args()


def read_rows(path, limit=None):
    # Lines end at a line feed only: other separators, such as U+0085, may stand inside a string.
    lines = Path(path).read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line.strip()][:limit]


class Classify:
    """One label per text, scored by accuracy."""

    auto_class = transformers.AutoModelForSequenceClassification

    def __init__(self, train_rows):
        self.labels = sorted({row["label"] for row in train_rows})
        self.config = {"num_labels": len(self.labels), "problem_type": "single_label_classification"}
        self.config["id2label"] = dict(enumerate(self.labels))
        self.config["label2id"] = {label: index for index, label in enumerate(self.labels)}

    def encode(self, tokenizer, row, max_length):
        encoded = tokenizer(row["text"], truncation=True, max_length=max_length)
        return {**encoded, "labels": self.labels.index(row["label"])}

    def metrics(self, rows, _examples, logits):
        guesses = [self.labels[row_logits.argmax()] for row_logits in logits]
        return {"accuracy": accuracy_score([row["label"] for row in rows], guesses)}


class Regress:
    """One number per text, trained by squared error, scored by rank correlation."""

    auto_class = transformers.AutoModelForSequenceClassification

    def __init__(self, _train_rows):
        self.config = {"num_labels": 1, "problem_type": "regression"}

    def encode(self, tokenizer, row, max_length):
        encoded = tokenizer(row["text"], truncation=True, max_length=max_length)
        return {**encoded, "labels": float(row["score"])}

    def metrics(self, rows, _examples, logits):
        gold = [row["score"] for row in rows]
        guesses = [row_logits.item() for row_logits in logits]
        return {
            "spearman": float(scipy.stats.spearmanr(gold, guesses).statistic),
            "pearson": float(scipy.stats.pearsonr(gold, guesses).statistic),
            "mse": mean_squared_error(gold, guesses),
        }


class Tag:
    """One tag per word, carried by the word's first piece, scored by entities."""

    auto_class = transformers.AutoModelForTokenClassification

    def __init__(self, train_rows):
        self.tags = sorted({tag for row in train_rows for tag in row["tags"]})
        self.ids = {tag: index for index, tag in enumerate(self.tags)}
        self.config = {"num_labels": len(self.tags), "id2label": dict(enumerate(self.tags)), "label2id": self.ids}

    def encode(self, tokenizer, row, max_length):
        encoded = tokenizer(row["tokens"], is_split_into_words=True, truncation=True, max_length=max_length)
        labels, previous = [], None
        for word in encoded.word_ids():
            starts_word = word is not None and word != previous
            labels.append(self.ids.get(row["tags"][word], IGNORED) if starts_word else IGNORED)
            previous = word
        return {**encoded, "labels": labels, "words": encoded.word_ids()}

    def metrics(self, rows, examples, logits):
        gold = [row["tags"] for row in rows]
        guesses = []
        for row, example, row_logits in zip(rows, examples, logits):
            guess = ["O"] * len(row["tags"])
            # Backwards, so that the first piece of a word has the last say.
            for word, index in reversed(list(zip(example["words"], row_logits.argmax(-1).tolist()))):
                if word is not None:
                    guess[word] = self.tags[index]
            guesses.append(guess)
        return {
            "entity_precision": float(seqeval.metrics.precision_score(gold, guesses)),
            "entity_recall": float(seqeval.metrics.recall_score(gold, guesses)),
            "entity_f1": float(seqeval.metrics.f1_score(gold, guesses)),
            "accuracy": float(seqeval.metrics.accuracy_score(gold, guesses)),
        }


TASKS = {"classify": Classify, "tag": Tag, "regress": Regress}


def collator(tokenizer):
    """Pads a batch on the right to its longest row, labels of tokens included."""

    def collate(examples):
        longest = max(len(example["input_ids"]) for example in examples)
        fills = {"input_ids": tokenizer.pad_token_id, "attention_mask": 0, "token_type_ids": 0, "labels": IGNORED}
        batch = {}
        for key, fill in fills.items():
            values = [example[key] for example in examples if key in example]
            if values and isinstance(values[0], list):
                values = [value + [fill] * (longest - len(value)) for value in values]
            if values:
                batch[key] = torch.tensor(values)
        return batch

    return collate


def prepared(model, method):
    """The model with what is not trained frozen: rekindle's defaults of LoRA, or all that follows the last block."""
    if method == "lora":
        config = peft.LoraConfig(
            task_type="SEQ_CLS", r=8, lora_alpha=16, lora_dropout=0.05, target_modules="all-linear"
        )
        return peft.get_peft_model(model, config)
    if method == "head":
        for name, parameter in model.named_parameters():
            parameter.requires_grad = name.startswith(("classifier", "bert.pooler"))
    return model


class FirstStep(transformers.TrainerCallback):
    """Keeps the time at which the first step was done."""

    def __init__(self):
        self.at = None

    def on_step_end(self, args, state, control, **kwargs):
        self.at = self.at or time.time()


def training_arguments(options, folder):
    return transformers.TrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=options.batch_size,
        num_train_epochs=options.epochs,
        learning_rate=options.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=0.06,  # below 1: a fraction of the steps
        weight_decay=0.01,
        max_grad_norm=1.0,
        optim="adamw_torch",
        seed=options.seed,
        train_sampling_strategy="group_by_length" if options.group_by_length else "random",
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        use_cpu=not torch.cuda.is_available(),
    )


def train(options, model, tokenizer, examples):
    first_step = FirstStep()
    with tempfile.TemporaryDirectory() as folder:
        trainer = transformers.Trainer(
            model=model,
            args=training_arguments(options, folder),
            train_dataset=examples,
            data_collator=collator(tokenizer),
            processing_class=tokenizer,
            callbacks=[first_step],
        )
        trainer.remove_callback(transformers.PrinterCallback)
        outcome = trainer.train()
    steps = [entry for entry in trainer.state.log_history if "loss" in entry]
    trace = {key: [float(entry[key]) for entry in steps] for key in ("loss", "grad_norm", "learning_rate")}
    summary = {"steps": len(steps), "seconds": outcome.metrics["train_runtime"], "first_step_at": first_step.at}
    return summary, trace


@torch.no_grad()
def evaluate(model, tokenizer, examples):
    """Mean loss, and the logits of each row (of its own length where there are logits per token)."""
    model.eval()
    collate = collator(tokenizer)
    logits, total, count = [], 0.0, 0
    for start in range(0, len(examples), EVALUATION_BATCH):
        chunk = examples[start : start + EVALUATION_BATCH]
        batch = {key: value.to(model.device) for key, value in collate(chunk).items()}
        output = model(**batch)
        counted = int((batch["labels"] != IGNORED).sum()) if batch["labels"].dim() == 2 else len(chunk)
        total += output.loss.item() * counted
        count += counted
        for example, row_logits in zip(chunk, output.logits.float().cpu()):
            per_token = row_logits.dim() == 2
            logits.append(row_logits[: len(example["input_ids"])] if per_token else row_logits)
    return total / count if count else math.nan, logits


def main():
    options = arguments()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if options.threads:
        torch.set_num_threads(options.threads)
    train_rows, valid_rows = read_rows(options.train, options.rows), read_rows(options.valid)
    task = TASKS[options.task](train_rows)
    tokenizer = transformers.AutoTokenizer.from_pretrained(options.model)
    transformers.set_seed(options.seed)
    model = task.auto_class.from_pretrained(options.model, dtype=torch.float32, **task.config)
    train_examples = [task.encode(tokenizer, row, options.max_length) for row in train_rows]
    valid_examples = [task.encode(tokenizer, row, options.max_length) for row in valid_rows]
    model = prepared(model, options.method)
    summary, trace = train(options, model, tokenizer, train_examples)
    valid_loss, logits = evaluate(model, tokenizer, valid_examples)
    result = {
        "arguments": vars(options),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "rows": len(train_rows),
        "valid_rows": len(valid_rows),
        **summary,
        "valid_loss": valid_loss,
        "metrics": task.metrics(valid_rows, valid_examples, logits),
        **trace,
    }
    text = json.dumps(result)
    if options.json:
        Path(options.json).write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
