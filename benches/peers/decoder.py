# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "peft==0.21.2", "tokenizers==0.23.3", "torch==2.15.0", "transformers==5.24.0"]
# ///
"""Times training steps of a small Llama in eager torch, as a peer of rekindle's own benchmark.

    python decoder.py --write DIR                 # makes the model, random, and rows for it
    python decoder.py --model DIR --method lora   # trains it

The model has 12 layers, hidden 512, 8 heads of which 4 for keys, intermediate 1536 and 32,000 words. A step is
forward, backward, global-norm clipping and AdamW in F32 on rows of equal length without padding, every token a target:
of all weights, or of LoRA adapters on every linear layer but the last (rank 8, alpha 16, dropout 0.05). The first
steps, which allocate, are left out of the median. Prints one JSON object.
"""

import argparse
import json
import os
import random
import statistics
import time
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers

VOCABULARY = 32000
WARM_UP_STEPS = 2
TOKENS = 512
FIRST_WORD = 3


def write(folder, rows):
    """A model folder with `rows.jsonl` in it: texts that become `TOKENS` tokens each, BOS and EOS included."""
    import tokenizers

    words = ["<unk>", "<s>", "</s>"] + [f"w{k}" for k in range(FIRST_WORD, VOCABULARY)]
    model = tokenizers.models.WordLevel({word: k for k, word in enumerate(words)}, unk_token="<unk>")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=512,
        intermediate_size=1536,
        num_hidden_layers=12,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=TOKENS,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=False,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    draw = random.Random(0)
    with open(Path(folder) / "rows.jsonl", "w") as file:
        for _ in range(rows):
            text = " ".join(f"w{draw.randrange(FIRST_WORD, VOCABULARY)}" for _ in range(TOKENS - 2))
            file.write(json.dumps({"text": text}) + "\n")


def adapted(model):
    import peft

    config = peft.LoraConfig(
        r=8, lora_alpha=16, lora_dropout=0.05, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    return peft.get_peft_model(model, config)


def train(options):
    model = transformers.AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)
    model.config.use_cache = False
    if options.method == "lora":
        model = adapted(model)
    if options.checkpointing:
        if options.method == "lora":
            model.enable_input_require_grads()
        model.gradient_checkpointing_enable()
    model.train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, weight_decay=0.01)
    generator = torch.Generator().manual_seed(0)
    seconds = []
    for _ in range(WARM_UP_STEPS + options.repeats):
        shape = (options.batch_size, TOKENS)
        ids = torch.randint(FIRST_WORD, VOCABULARY, shape, generator=generator)
        begun = time.perf_counter()
        optimizer.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        seconds.append(time.perf_counter() - begun)
    return seconds


def main():
    parser = argparse.ArgumentParser(description="times training steps of a small Llama in eager torch")
    parser.add_argument("--write", help="make the model and its rows in this folder, and end")
    parser.add_argument("--rows", type=int, default=64, help="rows that `--write` makes")
    parser.add_argument("--model", help="folder of the model")
    parser.add_argument("--method", choices=["full", "lora"], default="full")
    parser.add_argument("--checkpointing", action="store_true", help="compute blocks again on the way back")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, help="number of torch's threads")
    options = parser.parse_args()
    if options.write:
        write(options.write, options.rows)
        return
    if options.threads:
        torch.set_num_threads(options.threads)
    seconds = train(options)
    result = {
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "first_seconds": seconds[0],
        "median_seconds": statistics.median(seconds[WARM_UP_STEPS:]),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
