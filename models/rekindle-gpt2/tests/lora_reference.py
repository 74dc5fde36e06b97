# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "peft==0.21.2", "safetensors==0.8.0", "tokenizers==0.23.3", "torch==2.15.0", "transformers==5.24.0"]
# ///
"""Writes the reference numbers of adapters on GPT-2 into `adapters/` beside this file.

Run it after `reference.py`, in the same way. The folders are as `models/rekindle-llama/tests/lora_reference.py`
describes: its functions write them.
"""

import importlib.util
from pathlib import Path

HERE = Path(__file__).resolve().parent
spec = importlib.util.spec_from_file_location("adapters", HERE.parents[1] / "rekindle-llama/tests/lora_reference.py")
adapters = importlib.util.module_from_spec(spec)
spec.loader.exec_module(adapters)

# Its layers hold their weights as `[inputs, outputs]`.
CASES = {
    "gpt2-all": ("gpt2", {"r": 2, "lora_alpha": 4, "target_modules": "all-linear", "fan_in_fan_out": True}),
    "gpt2-names": (
        "gpt2-unscaled",
        {"r": 3, "lora_alpha": 4, "target_modules": ["c_attn", "mlp.c_fc"], "fan_in_fan_out": True},
    ),
}

if __name__ == "__main__":
    adapters.write_cases(HERE, CASES, seed=300)
