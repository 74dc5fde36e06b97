# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "safetensors==0.8.0", "tokenizers==0.23.3", "torch==2.15.0", "transformers==5.24.0"]
# ///
"""Writes the reference numbers of the Llama family into `fixtures/` beside this file.

Run it with `uv run reference.py`, or with any Python that has the versions above. It writes the same bytes each time.

Each folder of `fixtures/` is a Hugging Face folder with random weights: hidden 8, 2 layers, intermediate 12, 24 words.

    llama-mqa       4 query heads, 1 key head; tied
    llama-gqa       4 and 2, of 8 numbers; untied, all biases, rope scaling `llama3`
    llama-mha       4 and 4; untied, rope scaling `linear`
    mistral         4 and 2; untied, a window of 4 tokens
    qwen2           4 and 2; tied, a window of 4 tokens in the second block alone
    qwen3           4 and 2, of 8 numbers; untied

config.json, model.safetensors
    as `save_pretrained` writes them.
inputs.json
    {"batches": [[{"ids": [int], "type_ids": [0], "label": {"tokens": [0 or 1]}}, 4 rows], 5 batches]}, rows of ragged
    lengths. `tokens` tells which tokens are targets; the first one of a row never is.
expected.safetensors (all F32; T is the longest row of batch 0, whose rows are padded on the right)
    hidden.embedding, hidden.block.0, hidden.block.1, hidden.norm: [4, T, 8], zero where padded
    logits: [4, T, 24], zero where padded
    loss: [1], the mean over target tokens
    grad.<name>: gradient of that loss, for every tensor of model.safetensors
trajectory.json
    {"loss": [20], "grad_norm": [20], "learning_rate": [20]}. Step k (from 0) takes batch k % 5; its loss and norm are
    from before its update, and the norm is from before clipping. AdamW, betas 0.9 and 0.999, epsilon 1e-8, decay 0.01 on
    tensors of two dimensions; global norm clipped to 1 (torch divides by norm + 1e-6); learning rate 1e-3 times k/2 for
    k < 2, else (20-k)/18. The first step thus moves nothing.

Two more folders are written from the weights above; their expected.safetensors hold `logits` [4, T, 24] of batch 0 of
the source's inputs.json, computed in F32 from the rounded weights:

fixtures/llama-sharded-bf16/: llama-gqa rounded to BF16, in shards with an index.
fixtures/mistral-f16/: mistral rounded to F16.

If REKINDLE_TEST_DATA names a folder that holds `stories260k` and `tinyshakespeare`, `stories260k.json` is written too:

    loss, tokens
        mean loss of the predicted tokens, and their number, of the first 20,000 characters of tinyshakespeare. The text
        is tokenized as a whole, with the `<s>` that the tokenizer puts before it, and cut into blocks of 512 tokens, the
        last one shorter. Each block is a row of its own, whose first token is not predicted.
    prompt, greedy
        a text, and the 200 ids that follow it, `<s>` before it: each the likeliest after all before it.
"""

import json
import os
import random
import shutil
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch.nn.utils import clip_grad_norm_

HERE = Path(__file__).resolve().parent
VOCABULARY = 24
# Batch 0 is the batch of expected.safetensors; batch 2 has a row that fills every position.
POSITIONS = 16
LENGTHS = [[3, 9, 6, 10], [7, 4, 11, 5], [POSITIONS, 3, 8, 10], [5, 5, 13, 4], [9, 14, 3, 7]]
IGNORED = -100
STEPS, WARMUP, LEARNING_RATE, WEIGHT_DECAY = 20, 2, 1e-3, 0.01
STORIES_CHARACTERS, STORIES_BLOCK, STORIES_GREEDY = 20_000, 512, 200
SHARED = {
    "vocab_size": VOCABULARY,
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 4,
    "max_position_embeddings": POSITIONS,
    "initializer_range": 0.3,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
# Of the four frequencies of 8 numbers with this base, one is fast, one lies between, two are slow.
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 2.0,
    "original_max_position_embeddings": 14,
}
MODELS = {
    "llama-mqa": ("Llama", {"num_key_value_heads": 1, "tie_word_embeddings": True}),
    "llama-gqa": (
        "Llama",
        {"head_dim": 8, "attention_bias": True, "mlp_bias": True, "rope_parameters": LLAMA3},
    ),
    "llama-mha": (
        "Llama",
        {
            "num_key_value_heads": 4,
            "rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0},
        },
    ),
    "mistral": ("Mistral", {"sliding_window": 4}),
    "qwen2": (
        "Qwen2",
        {"tie_word_embeddings": True, "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1},
    ),
    "qwen3": ("Qwen3", {"head_dim": 8}),
}


def random_model(classes, config, seed):
    """A model whose every tensor is random: biases and norms too, which a fresh model has at 0 or 1."""
    torch.manual_seed(seed)
    model = classes(config)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter += 0.2 * torch.randn_like(parameter)
    return model.eval()


def random_tokens(rng, length):
    """Which tokens are targets: about two in three, the last one always."""
    return [0] + [int(rng.random() < 0.67) for _ in range(length - 2)] + [1]


def random_batches(seed):
    rng = random.Random(seed)
    row = lambda length: {
        "ids": [rng.randrange(VOCABULARY) for _ in range(length)],
        "type_ids": [0] * length,
        "label": {"tokens": random_tokens(rng, length)},
    }
    return [[row(length) for length in lengths] for lengths in LENGTHS]


def pad(rows, value):
    longest = max(len(row) for row in rows)
    return torch.tensor([row + [value] * (longest - len(row)) for row in rows])


def padded(rows):
    """Keyword arguments of the model's forward for one batch, padded on the right."""
    labels = [
        [token if is_target else IGNORED for token, is_target in zip(row["ids"], row["label"]["tokens"])]
        for row in rows
    ]
    return {
        "input_ids": pad([row["ids"] for row in rows], 0),
        "attention_mask": pad([[1] * len(row["ids"]) for row in rows], 0),
        "labels": pad(labels, IGNORED),
    }


def hidden_states(model, sites, inputs):
    """Outputs of modules, taken where they arise."""
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


def expected(model, sites, rows):
    inputs = padded(rows)
    mask = inputs["attention_mask"].unsqueeze(-1)
    tensors = {name: value * mask for name, value in hidden_states(model, sites, inputs).items()}
    output = model(**inputs)
    output.loss.backward()
    tensors["logits"] = output.logits * mask
    tensors["loss"] = output.loss.reshape(1)
    tensors |= {f"grad.{name}": parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad()
    return {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}


def rate_factor(step):
    return step / WARMUP if step < WARMUP else (STEPS - step) / (STEPS - WARMUP)


def trajectory(model, batches):
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
        loss = model(**padded(batches[step % len(batches)])).loss
        loss.backward()
        norm = clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        trace["loss"].append(loss.item())
        trace["grad_norm"].append(norm.item())
        trace["learning_rate"].append(rate)
    return trace


def write_json(path, value):
    path.write_text(json.dumps(value) + "\n")


def write_fixture(folder, model, sites, seed):
    model.save_pretrained(folder)
    # It is not part of what is compared.
    (folder / "generation_config.json").unlink(missing_ok=True)
    batches = random_batches(seed)
    write_json(folder / "inputs.json", {"batches": batches})
    save_file(expected(model, sites, batches[0]), folder / "expected.safetensors")
    trace = trajectory(model, batches)
    write_json(folder / "trajectory.json", trace)
    norms = trace["grad_norm"]
    print(f"{folder.name:22} loss {trace['loss'][0]:.4f}..{trace['loss'][-1]:.4f}  norm {min(norms):.3f}..{max(norms):.3f}")


def write_rounded(folder, source, dtype, **options):
    """The weights of another fixture in a narrower type, and their logits in F32."""
    classes = transformers.AutoModelForCausalLM
    classes.from_pretrained(source, dtype=dtype).save_pretrained(folder, **options)
    (folder / "generation_config.json").unlink(missing_ok=True)
    model = classes.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    rows = json.loads((source / "inputs.json").read_text())["batches"][0]
    inputs = padded(rows)
    with torch.no_grad():
        logits = model(**inputs).logits * inputs["attention_mask"].unsqueeze(-1)
    save_file({"logits": logits.contiguous()}, folder / "expected.safetensors")


def fresh_folder(folder):
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.utils.logging.disable_progress_bar()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def print_sizes(folder):
    sizes = [file.stat().st_size for file in folder.rglob("*") if file.is_file()]
    print(f"{len(sizes)} files, {sum(sizes) / 1024:.0f} KiB in all, {max(sizes) / 1024:.0f} KiB the largest")


def stories(data):
    model = transformers.AutoModelForCausalLM.from_pretrained(
        data / "stories260k", dtype=torch.float32, attn_implementation="eager"
    ).eval()
    tokenizer = Tokenizer.from_file(str(data / "stories260k/tokenizer.json"))
    text = (data / "tinyshakespeare/tinyshakespeare.txt").read_bytes().decode()[:STORIES_CHARACTERS]
    ids = tokenizer.encode(text).ids
    loss, tokens = 0.0, 0
    for start in range(0, len(ids), STORIES_BLOCK):
        block = torch.tensor([ids[start : start + STORIES_BLOCK]])
        with torch.no_grad():
            logits = model(input_ids=block).logits[0, :-1]
        loss += torch.nn.functional.cross_entropy(logits.double(), block[0, 1:], reduction="sum").item()
        tokens += len(logits)
    prompt = "Once upon a time, there was a little"
    greedy = tokenizer.encode(prompt).ids
    start = len(greedy)
    for _ in range(STORIES_GREEDY):
        with torch.no_grad():
            greedy.append(model(input_ids=torch.tensor([greedy])).logits[0, -1].argmax().item())
    return {"loss": loss / tokens, "tokens": tokens, "prompt": prompt, "greedy": greedy[start:]}


def main():
    fixtures = fresh_folder(HERE / "fixtures")
    for index, (name, (prefix, options)) in enumerate(MODELS.items()):
        config = getattr(transformers, f"{prefix}Config")(**(SHARED | options))
        model = random_model(getattr(transformers, f"{prefix}ForCausalLM"), config, 10 + index)
        sites = {"hidden.embedding": model.model.embed_tokens, "hidden.norm": model.model.norm}
        sites |= {f"hidden.block.{index}": layer for index, layer in enumerate(model.model.layers)}
        write_fixture(fixtures / name, model, sites, 10 + index)
    write_rounded(fixtures / "llama-sharded-bf16", fixtures / "llama-gqa", torch.bfloat16, max_shard_size="4KB")
    write_rounded(fixtures / "mistral-f16", fixtures / "mistral", torch.float16)
    print_sizes(fixtures)
    if "REKINDLE_TEST_DATA" in os.environ:
        numbers = stories(Path(os.environ["REKINDLE_TEST_DATA"]))
        write_json(HERE / "stories260k.json", numbers)
        print(f"stories260k: loss {numbers['loss']:.6f} of {numbers['tokens']} tokens")


if __name__ == "__main__":
    main()
