# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "safetensors==0.8.0", "torch==2.15.0", "transformers==5.23.0"]
# ///
"""Writes the reference numbers of the BERT family into `fixtures/` beside this file.

Run it with `uv run reference.py`, or with any Python that has the versions above. It writes the same bytes each time.

`fixtures/<arch>-<head>/`, arch one of bert, roberta, distilbert, and head one of
single (3 classes), multi (4 labels), regression (1 value), token (5 tags), mask (hidden words), is a Hugging Face
folder with random weights:

config.json, model.safetensors
    as `save_pretrained` writes them. Hidden 16, 2 layers, 2 heads, intermediate 24, 48 words, every dropout 0.
inputs.json
    {"batches": [[{"ids": [int], "type_ids": [int], "label": LABEL}, 4 rows], 5 batches]}, rows of ragged lengths.
    The pad id is never in `ids`. `type_ids` are 0 then 1 for bert, all 0 for the others. LABEL is an integer (single),
    a list of 4 zeros and ones (multi), a number (regression), one integer per token (token), where -100 is ignored, or
    the same in {"hidden": [...]} (mask): the words that were there. Of the hidden words, most are word 47 in `ids`.
expected.safetensors (all F32; T is the longest row of batch 0, whose rows are padded on the right)
    hidden.embedding, hidden.block.0, hidden.block.1: [4, T, 16], zero where padded
    logits: [4, labels], or for token [4, T, 5] and for mask [4, T, 48], zero where padded
    loss: [1], the mean over rows (single), over rows and labels (multi), over rows (regression), over counted tokens
        (token, mask)
    grad.<name>: gradient of that loss, for every tensor of model.safetensors
trajectory.json
    {"loss": [20], "grad_norm": [20], "learning_rate": [20], "weights_l2": {name: L2 norm after the 20 steps}}.
    Step k (from 0) takes batch k % 5; its loss and norm are from before its update, and the norm is from before clipping.
    AdamW, betas 0.9 and 0.999, epsilon 1e-8, decay 0.01 on tensors of two dimensions; global norm clipped to 1 (torch
    divides by norm + 1e-6); learning rate 1e-3 times k/2 for k < 2, else (20-k)/18. The first step thus moves nothing.
    Key biases have a true gradient of zero, of which AdamW scales up the rounding noise: their L2 norms agree with the
    same run in F64 only to 1e-3, all others, and the losses and gradient norms, to 1e-6.

Three more folders are written from the weights above:

fixtures/minilm-headless/: config.json and model.safetensors of a bare `BertModel`: the body and pooler of bert-single,
    names without `bert.`, and a buffer `embeddings.position_ids` (I64, [1, 24]), as sentence-transformers has them.
fixtures/bert-gamma-beta/: config.json and model.safetensors of bert-single, with `LayerNorm.gamma` and `LayerNorm.beta`.
fixtures/roberta-sharded-bf16/: config.json, model-0000?-of-00002.safetensors and model.safetensors.index.json:
    roberta-single rounded to BF16. expected.safetensors holds `logits` [4, 3] of batch 0 of roberta-single's inputs.json,
    computed in F32 from the rounded weights.
"""

import json
import os
import random
import shutil
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from safetensors.torch import load_file, save_file
from torch.nn.utils import clip_grad_norm_

FIXTURES = Path(__file__).resolve().parent / "fixtures"
ARCHITECTURES = ["bert", "roberta", "distilbert"]
CLASS_PREFIXES = {"bert": "Bert", "roberta": "Roberta", "distilbert": "DistilBert"}
HEADS = {
    "single": (3, "single_label_classification"),
    "multi": (4, "multi_label_classification"),
    "regression": (1, "regression"),
    "token": (5, None),
    "mask": (2, None),
}
KINDS = {"token": "TokenClassification", "mask": "MaskedLM"}
VOCABULARY = 48
MASK_ID = VOCABULARY - 1
POSITIONS = 24
# Batch 0 is the batch of expected.safetensors; batch 2 has a row that fills every position.
LENGTHS = [[3, 9, 6, 12], [7, 4, 11, 5], [POSITIONS, 3, 8, 10], [5, 5, 13, 4], [9, 14, 3, 7]]
IGNORED = -100
STEPS, WARMUP, LEARNING_RATE, WEIGHT_DECAY = 20, 2, 1e-3, 0.01


def tiny_config(arch, head):
    num_labels, problem_type = HEADS[head]
    shared = {
        "vocab_size": VOCABULARY,
        "initializer_range": 0.2,
        "num_labels": num_labels,
        "problem_type": problem_type,
    }
    if arch == "distilbert":
        return transformers.DistilBertConfig(
            dim=16,
            n_layers=2,
            n_heads=2,
            hidden_dim=24,
            max_position_embeddings=POSITIONS,
            pad_token_id=0,
            dropout=0.0,
            attention_dropout=0.0,
            qa_dropout=0.0,
            seq_classif_dropout=0.0,
            **shared,
        )
    shared |= {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "classifier_dropout": 0.0,
    }
    if arch == "roberta":
        # Positions start at pad_token_id + 1, so that two more rows hold as many tokens; epsilon is the published one.
        return transformers.RobertaConfig(
            max_position_embeddings=POSITIONS + 2, type_vocab_size=1, pad_token_id=1, layer_norm_eps=1e-5, **shared
        )
    return transformers.BertConfig(max_position_embeddings=POSITIONS, type_vocab_size=2, pad_token_id=0, **shared)


def random_model(arch, head, seed):
    """A model whose every tensor is random: biases, norms and the padding row too, which a fresh model has at 0 or 1."""
    torch.manual_seed(seed)
    kind = KINDS.get(head, "SequenceClassification")
    model = getattr(transformers, f"{CLASS_PREFIXES[arch]}For{kind}")(tiny_config(arch, head))
    model.set_attn_implementation("eager")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter += 0.2 * torch.randn_like(parameter)
            if name.endswith("word_embeddings.weight"):
                parameter[model.config.pad_token_id] = 0.2 * torch.randn(parameter.shape[1])
    return model.eval()


def random_label(rng, head, length):
    num_labels, _ = HEADS[head]
    if head == "single":
        return rng.randrange(num_labels)
    if head == "multi":
        return [rng.randrange(2) for _ in range(num_labels)]
    if head == "regression":
        return round(rng.uniform(-3.0, 3.0), 3)
    tags = [IGNORED if rng.random() < 0.25 else rng.randrange(num_labels) for _ in range(length)]
    tags[0] = tags[-1] = IGNORED
    return tags


def hide(rng, row):
    """Hides some words of a row, at least the second one."""
    labels = [IGNORED] * len(row["ids"])
    for position in range(1, len(row["ids"]) - 1):
        if position == 1 or rng.random() < 0.3:
            labels[position] = row["ids"][position]
            if rng.random() < 0.8:
                row["ids"][position] = MASK_ID
    row["label"] = {"hidden": labels}


def random_batches(arch, head, seed):
    rng = random.Random(seed)
    first_id = 2 if arch == "roberta" else 1  # above the pad id
    batches = []
    for lengths in LENGTHS:
        rows = []
        for length in lengths:
            ids = [rng.randrange(first_id, VOCABULARY) for _ in range(length)]
            segment = rng.randrange(1, length) if arch == "bert" else length
            type_ids = [int(position >= segment) for position in range(length)]
            row = {"ids": ids, "type_ids": type_ids}
            if head == "mask":
                hide(rng, row)
            else:
                row["label"] = random_label(rng, head, length)
            rows.append(row)
        batches.append(rows)
    return batches


def pad(rows, value):
    longest = max(len(row) for row in rows)
    return torch.tensor([row + [value] * (longest - len(row)) for row in rows])


def padded(model, rows, head):
    """Keyword arguments of the model's forward for one batch, padded on the right."""
    inputs = {
        "input_ids": pad([row["ids"] for row in rows], model.config.pad_token_id),
        "attention_mask": pad([[1] * len(row["ids"]) for row in rows], 0),
    }
    if model.config.model_type != "distilbert":
        inputs["token_type_ids"] = pad([row["type_ids"] for row in rows], 0)
    labels = [row["label"] for row in rows]
    if head == "mask":
        labels = [label["hidden"] for label in labels]
    if head in KINDS:
        inputs["labels"] = pad(labels, IGNORED)
    else:
        inputs["labels"] = torch.tensor(labels, dtype=torch.long if head == "single" else torch.float32)
    return inputs


def hidden_states(model, inputs):
    """Outputs of the embedding and of each block, taken where they arise."""
    layers = next(module for module in model.modules() if isinstance(module, torch.nn.ModuleList))
    sites = {"hidden.embedding": model.base_model.embeddings}
    sites |= {f"hidden.block.{index}": layer for index, layer in enumerate(layers)}
    found = {}

    def keep(name):
        def hook(_module, _inputs, output):
            found[name] = output[0] if isinstance(output, tuple) else output

        return hook

    hooks = [module.register_forward_hook(keep(name)) for name, module in sites.items()]
    with torch.no_grad():
        model(**inputs)
    for hook in hooks:
        hook.remove()
    return found


def expected(model, rows, head):
    inputs = padded(model, rows, head)
    mask = inputs["attention_mask"].unsqueeze(-1)
    tensors = {name: value * mask for name, value in hidden_states(model, inputs).items()}
    output = model(**inputs)
    output.loss.backward()
    tensors["logits"] = output.logits * mask if head in KINDS else output.logits
    tensors["loss"] = output.loss.reshape(1)
    tensors |= {f"grad.{name}": parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad()
    return {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}


def rate_factor(step):
    return step / WARMUP if step < WARMUP else (STEPS - step) / (STEPS - WARMUP)


def trajectory(model, batches, head):
    """Trains the model in place; its dropouts are 0, so that training mode equals evaluation."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in parameters if p.dim() == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.999), eps=1e-8, foreach=False)
    trace = {"loss": [], "grad_norm": [], "learning_rate": []}
    for step in range(STEPS):
        rate = LEARNING_RATE * rate_factor(step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        loss = model(**padded(model, batches[step % len(batches)], head)).loss
        loss.backward()
        norm = clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        trace["loss"].append(loss.item())
        trace["grad_norm"].append(norm.item())
        trace["learning_rate"].append(rate)
    trace["weights_l2"] = {name: parameter.norm().item() for name, parameter in model.named_parameters()}
    return trace


def write_json(path, value):
    path.write_text(json.dumps(value) + "\n")


def write_fixture(arch, head, seed):
    folder = FIXTURES / f"{arch}-{head}"
    model = random_model(arch, head, seed)
    model.save_pretrained(folder)
    batches = random_batches(arch, head, seed)
    write_json(folder / "inputs.json", {"batches": batches})
    save_file(expected(model, batches[0], head), folder / "expected.safetensors")
    trace = trajectory(model, batches, head)
    write_json(folder / "trajectory.json", trace)
    norms = trace["grad_norm"]
    print(f"{folder.name:22} loss {trace['loss'][0]:.4f}..{trace['loss'][-1]:.4f}  norm {min(norms):.3f}..{max(norms):.3f}")


def derived_folder(name, source):
    folder = FIXTURES / name
    folder.mkdir()
    shutil.copy(FIXTURES / source / "config.json", folder)
    return folder, load_file(FIXTURES / source / "model.safetensors")


def write_headless():
    folder, weights = derived_folder("minilm-headless", "bert-single")
    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = ["BertModel"]
    for key in ["id2label", "label2id", "problem_type"]:
        del config[key]
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    body = {name.removeprefix("bert."): tensor for name, tensor in weights.items() if name.startswith("bert.")}
    body["embeddings.position_ids"] = torch.arange(POSITIONS).unsqueeze(0)
    save_file(body, folder / "model.safetensors", metadata={"format": "pt"})


def write_gamma_beta():
    folder, weights = derived_folder("bert-gamma-beta", "bert-single")
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    renamed = {}
    for name, tensor in weights.items():
        for new_name, old_name in old.items():
            name = name.replace(new_name, old_name)
        renamed[name] = tensor
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})


def write_sharded_bf16():
    folder = FIXTURES / "roberta-sharded-bf16"
    source = FIXTURES / "roberta-single"
    classes = transformers.RobertaForSequenceClassification
    classes.from_pretrained(source, dtype=torch.bfloat16).save_pretrained(folder, max_shard_size="7KB")
    model = classes.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    rows = json.loads((source / "inputs.json").read_text())["batches"][0]
    with torch.no_grad():
        logits = model(**padded(model, rows, "single")).logits
    save_file({"logits": logits.contiguous()}, folder / "expected.safetensors")


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.utils.logging.disable_progress_bar()
    shutil.rmtree(FIXTURES, ignore_errors=True)
    FIXTURES.mkdir()
    for arch_index, arch in enumerate(ARCHITECTURES):
        for head_index, head in enumerate(HEADS):
            write_fixture(arch, head, seed=10 * (arch_index + 1) + head_index)
    write_headless()
    write_gamma_beta()
    write_sharded_bf16()
    sizes = [file.stat().st_size for file in FIXTURES.rglob("*") if file.is_file()]
    print(f"{len(sizes)} files, {sum(sizes) / 1024:.0f} KiB in all, {max(sizes) / 1024:.0f} KiB the largest")


if __name__ == "__main__":
    main()
