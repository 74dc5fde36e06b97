# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "torch==2.15.0", "transformers==5.24.0"]
# ///
"""Answers texts with the pipeline of transformers, as a peer of `rekindle predict`.

    python predict.py --model DIR --input texts.jsonl

Rows are JSON objects with `text`. The pipeline classifies them in batches, each padded to its longest text, in the
order of the file. Prints one JSON object with the seconds that answering takes, without loading.
"""

import argparse
import json
import time
from pathlib import Path

import torch
import transformers


def main():
    parser = argparse.ArgumentParser(description="answers texts with the pipeline of transformers")
    parser.add_argument("--model", required=True, help="folder of a fine-tuned encoder")
    parser.add_argument("--input", required=True, help="JSONL file with the texts")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--max-length", type=int, default=256)
    parser.add_argument("--threads", type=int, help="number of torch's threads")
    options = parser.parse_args()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if options.threads:
        torch.set_num_threads(options.threads)
    lines = Path(options.input).read_text(encoding="utf-8").split("\n")
    texts = [json.loads(line)["text"] for line in lines if line.strip()]
    pipeline = transformers.pipeline("text-classification", model=options.model, device="cpu")
    start = time.perf_counter()
    answers = pipeline(texts, batch_size=options.batch_size, truncation=True, max_length=options.max_length)
    seconds = time.perf_counter() - start
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    print(json.dumps({"versions": versions, "texts": len(texts), "answers": len(answers), "seconds": seconds}))


if __name__ == "__main__":
    main()
