# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "safetensors==0.8.0", "tokenizers==0.23.3", "torch==2.15.0", "transformers==5.24.0"]
# ///
"""Writes the reference numbers of GPT-2 into `fixtures/` beside this file.

Run it with `uv run reference.py`, or with any Python that has the versions above. It writes the same bytes each time.

The folders `gpt2`, and `gpt2-unscaled` (untied; scores are not divided by the root of the head's size but by the number
of the block) are as `models/rekindle-llama/tests/reference.py` describes: its functions write them. Hidden 8, 2 layers,
2 heads, 24 words, every dropout 0.

Two more folders are written from the weights of `gpt2`:

fixtures/gpt2-buffers/: config.json and model.safetensors as the original checkpoints are: names without `transformer.`,
    and the buffers `h.0.attn.bias` (a causal mask) and `h.0.attn.masked_bias`.
fixtures/gpt2-f16/: rounded to F16; expected.safetensors holds `logits` [4, T, 24] of batch 0 of gpt2's inputs.json.
"""

import importlib.util
import shutil
from pathlib import Path

HERE = Path(__file__).resolve().parent
spec = importlib.util.spec_from_file_location("decoder", HERE.parents[1] / "rekindle-llama/tests/reference.py")
decoder = importlib.util.module_from_spec(spec)
spec.loader.exec_module(decoder)

import torch
import transformers
from safetensors.torch import load_file, save_file

SHARED = {
    "vocab_size": decoder.VOCABULARY,
    "n_positions": decoder.POSITIONS,
    "n_embd": 8,
    "n_layer": 2,
    "n_head": 2,
    "initializer_range": 0.3,
    "resid_pdrop": 0.0,
    "embd_pdrop": 0.0,
    "attn_pdrop": 0.0,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
MODELS = {
    "gpt2": {},
    "gpt2-unscaled": {
        "n_inner": 12,
        "tie_word_embeddings": False,
        "scale_attn_weights": False,
        "scale_attn_by_inverse_layer_idx": True,
    },
}


def write_buffers(folder, source):
    folder.mkdir()
    shutil.copy(source / "config.json", folder)
    tensors = {
        name.removeprefix("transformer."): tensor for name, tensor in load_file(source / "model.safetensors").items()
    }
    positions = decoder.POSITIONS
    tensors["h.0.attn.bias"] = torch.tril(torch.ones(1, 1, positions, positions))
    tensors["h.0.attn.masked_bias"] = torch.tensor(-1e4)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def main():
    fixtures = decoder.fresh_folder(HERE / "fixtures")
    for index, (name, options) in enumerate(MODELS.items()):
        config = transformers.GPT2Config(**(SHARED | options))
        model = decoder.random_model(transformers.GPT2LMHeadModel, config, 30 + index)
        body = model.transformer
        # The sum of both embeddings, and the last norm.
        sites = {"hidden.embedding": body.drop, "hidden.norm": body.ln_f}
        sites |= {f"hidden.block.{index}": layer for index, layer in enumerate(body.h)}
        decoder.write_fixture(fixtures / name, model, sites, 30 + index)
    write_buffers(fixtures / "gpt2-buffers", fixtures / "gpt2")
    decoder.write_rounded(fixtures / "gpt2-f16", fixtures / "gpt2", torch.float16)
    decoder.print_sizes(fixtures)


if __name__ == "__main__":
    main()
