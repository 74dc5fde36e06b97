# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "peft==0.21.2", "safetensors==0.8.0", "tokenizers==0.23.3", "torch==2.15.0", "transformers==5.24.0"]
# ///
"""Writes the reference numbers of adapters on the Llama family into `adapters/` beside this file.

Run it after `reference.py`, in the same way; it needs the folders that that one writes.

`adapters/<case>/` is a folder that peft saved, of an adapter with random A and B on one of those models:

adapter_config.json, adapter_model.safetensors
    as `save_pretrained` writes them; `base_model_name_or_path` is the base's folder seen from this one.
expected.safetensors (all F32), of batch 0 of the base's `inputs.json`, no dropout
    loss: [1], the mean over target tokens
    logits: [4, T, words], zero where padded
    grad.<name>: gradient of that loss, for every tensor of adapter_model.safetensors, without `base_model.model.`
trajectory.json
    as in the base's folder; only the adapter is trained.
"""

import json
import os
import shutil
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import reference
import torch
import transformers
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

PREFIX = "base_model.model."

# Name: the base, and what peft is asked for.
CASES = {
    "llama-all": ("llama-gqa", {"r": 2, "lora_alpha": 4, "target_modules": "all-linear"}),
    "llama-names": (
        "llama-mqa",
        {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"], "use_rslora": True},
    ),
    "qwen3-all": ("qwen3", {"r": 2, "lora_alpha": 4, "target_modules": "all-linear"}),
    "llama-head": ("llama-gqa", {"r": 2, "lora_alpha": 4, "target_modules": ["q_proj", "lm_head"]}),
}


def adapted(base, options, seed):
    """A model with an adapter whose every tensor is random."""
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_pretrained(base, attn_implementation="eager")
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **options))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.2 * torch.randn_like(parameter)
    return model.eval()


class Trained:
    """A model that is known by what is trained of it."""

    def __init__(self, model):
        self.model = model

    def __call__(self, **inputs):
        return self.model(**inputs)

    def named_parameters(self):
        named = self.model.named_parameters()
        own = lambda name: name.removeprefix(PREFIX).replace(".default", "")
        return [(own(name), parameter) for name, parameter in named if parameter.requires_grad]

    def parameters(self):
        return [parameter for _, parameter in self.named_parameters()]


def save_adapter(model, folder, base):
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    config["base_model_name_or_path"] = f"../../fixtures/{base}"
    # peft keeps the names in a set, whose order is not the same each time.
    config["target_modules"].sort()
    path.write_text(json.dumps(config, indent=2) + "\n")


def write_case(here, name, base, options, seed):
    folder = here / "adapters" / name
    shutil.rmtree(folder, ignore_errors=True)
    model = adapted(here / "fixtures" / base, options, seed)
    save_adapter(model, folder, base)
    trained = Trained(model)
    batches = json.loads((here / "fixtures" / base / "inputs.json").read_text())["batches"]
    inputs = reference.padded(batches[0])
    output = model(**inputs)
    output.loss.backward()
    tensors = {"logits": output.logits * inputs["attention_mask"].unsqueeze(-1), "loss": output.loss.reshape(1)}
    tensors |= {f"grad.{name}": parameter.grad for name, parameter in trained.named_parameters()}
    stored = {name.removeprefix(PREFIX) for name in load_file(folder / "adapter_model.safetensors")}
    # Beside an adapter on the output layer, peft stores that layer's own weight.
    stored = {name for name in stored if ".base_layer." not in name}
    assert stored == {name for name, _ in trained.named_parameters()}
    tensors = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
    save_file(tensors, folder / "expected.safetensors")
    model.zero_grad()
    trace = reference.trajectory(trained, batches)
    reference.write_json(folder / "trajectory.json", trace)
    print(f"{folder.name:24} {len(stored)} tensors  loss {trace['loss'][0]:.4f}..{trace['loss'][-1]:.4f}")


def write_cases(here, cases, seed):
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.utils.logging.disable_progress_bar()
    for index, (name, (base, options)) in enumerate(cases.items()):
        write_case(here, name, base, options, seed + index)


if __name__ == "__main__":
    write_cases(HERE, CASES, seed=200)
