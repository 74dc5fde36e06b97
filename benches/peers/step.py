# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "torch==2.15.0", "transformers==5.23.0"]
# ///
"""Times one training step of MiniLM's shape in eager torch, as a peer of rekindle's own benchmark.

    python step.py --threads 2

A step is forward, backward, global-norm clipping and AdamW on a full `BertForSequenceClassification` of random weights
(6 layers, hidden 384, 12 heads, intermediate 1536, 30522 words, 2 labels) with dropout 0.1, in F32, on a batch of
random tokens without padding. The first steps, which allocate, are left out of the median. Prints one JSON object.
"""

import argparse
import json
import statistics
import time

import torch
import transformers

WARM_UP_STEPS = 2
NO_DECAY = ("bias", "LayerNorm.weight")


def minilm():
    config = transformers.BertConfig(
        vocab_size=30522,
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        max_position_embeddings=512,
        num_labels=2,
    )
    return transformers.BertForSequenceClassification(config)


def adamw(model):
    named = list(model.named_parameters())
    groups = [
        {"params": [p for name, p in named if not name.endswith(NO_DECAY)], "weight_decay": 0.01},
        {"params": [p for name, p in named if name.endswith(NO_DECAY)], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=5e-5)


def step(model, optimizer, batch):
    optimizer.zero_grad()
    loss = model(**batch).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    return loss.item()  # waits for a GPU


def main():
    parser = argparse.ArgumentParser(description="times a training step of MiniLM's shape in eager torch")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--threads", type=int, help="number of torch's threads")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = minilm().to(device).train()
    optimizer = adamw(model)
    shape = (options.batch_size, options.tokens)
    batch = {
        "input_ids": torch.randint(1000, 30522, shape, device=device),
        "attention_mask": torch.ones(shape, dtype=torch.long, device=device),
        "labels": torch.randint(0, 2, (options.batch_size,), device=device),
    }
    seconds = []
    for _ in range(WARM_UP_STEPS + options.repeats):
        start = time.perf_counter()
        step(model, optimizer, batch)
        seconds.append(time.perf_counter() - start)
    measured = seconds[WARM_UP_STEPS:]
    result = {
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "device": device,
        "threads": torch.get_num_threads(),
        "batch_size": options.batch_size,
        "tokens": options.tokens,
        "repeats": options.repeats,
        "first_seconds": seconds[0],
        "median_seconds": statistics.median(measured),
        "fastest_seconds": min(measured),
        "slowest_seconds": max(measured),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
