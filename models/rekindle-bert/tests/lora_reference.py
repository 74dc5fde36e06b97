# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "peft==0.21.2", "safetensors==0.8.0", "torch==2.15.0", "transformers==5.24.0"]
# ///
"""Writes the reference numbers of adapters on the BERT family into `adapters/` beside this file.

Run it after `reference.py`, in the same way; it needs the folders that that one writes.

`adapters/<case>/` is a folder that peft saved, of an adapter with random A and B on one of those models:

adapter_config.json, adapter_model.safetensors
    as `save_pretrained` writes them; `base_model_name_or_path` is the base's folder seen from this one.
expected.safetensors (all F32), of batch 0 of the base's `inputs.json`, no dropout
    logits, loss: as in the base's folder
    grad.<name>: gradient of that loss, for every tensor of adapter_model.safetensors, without `base_model.model.`
trajectory.json
    as in the base's folder; only the adapter and the modules that it saves are trained.
"""

import json
import os
import shutil

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from peft import LoraConfig, get_peft_model
from reference import FIXTURES, padded, trajectory, write_json
from safetensors.torch import load_file, save_file

ADAPTERS = FIXTURES.parent / "adapters"
PREFIX = "base_model.model."

# Name: the base, and what peft is asked for. peft 0.21 cannot put `all-linear` on DistilBERT's classifier.
CASES = {
    "bert-all": ("bert-single", {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"}),
    "bert-token": ("bert-token", {"r": 2, "lora_alpha": 3, "target_modules": r".*\.layer\.1\..*(query|dense)"}),
    "roberta-stabilized": (
        "roberta-single",
        {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "use_rslora": True},
    ),
    "distilbert-names": (
        "distilbert-single",
        {"r": 3, "lora_alpha": 6, "target_modules": ["q_lin", "v_lin", "ffn.lin1"]},
    ),
}


def adapted(base, options, seed):
    """A model with an adapter whose every tensor is random."""
    torch.manual_seed(seed)
    is_token = base.endswith("token")
    kind = transformers.AutoModelForTokenClassification if is_token else transformers.AutoModelForSequenceClassification
    model = kind.from_pretrained(FIXTURES / base, attn_implementation="eager")
    model = get_peft_model(model, LoraConfig(task_type="TOKEN_CLS" if is_token else "SEQ_CLS", **options))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.2 * torch.randn_like(parameter)
    return model.eval()


def own_name(name):
    """The name that peft gives a parameter in its file."""
    name = name.removeprefix(PREFIX).replace(".modules_to_save.default", "")
    return name.replace(".lora_A.default", ".lora_A").replace(".lora_B.default", ".lora_B")


class Trained:
    """A model that is known by what is trained of it."""

    def __init__(self, model):
        self.model = model

    def __call__(self, **inputs):
        return self.model(**inputs)

    @property
    def config(self):
        return self.model.config

    def named_parameters(self):
        named = self.model.named_parameters()
        return [(own_name(name), parameter) for name, parameter in named if parameter.requires_grad]

    def parameters(self):
        return [parameter for _, parameter in self.named_parameters()]


def save_adapter(model, folder, base):
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    config["base_model_name_or_path"] = f"../../fixtures/{base}"
    # peft keeps the names in a set, whose order is not the same each time.
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()
    path.write_text(json.dumps(config, indent=2) + "\n")


def write_case(name, base, options, seed):
    folder = ADAPTERS / name
    shutil.rmtree(folder, ignore_errors=True)
    model = adapted(base, options, seed)
    save_adapter(model, folder, base)
    head = base.split("-")[1]
    trained = Trained(model)
    batches = json.loads((FIXTURES / base / "inputs.json").read_text())["batches"]
    inputs = padded(trained, batches[0], head)
    mask = inputs["attention_mask"].unsqueeze(-1)
    output = model(**inputs)
    output.loss.backward()
    tensors = {"logits": output.logits * mask if head == "token" else output.logits, "loss": output.loss.reshape(1)}
    tensors |= {f"grad.{name}": parameter.grad for name, parameter in trained.named_parameters()}
    stored = {name.removeprefix(PREFIX) for name in load_file(folder / "adapter_model.safetensors")}
    assert stored == {name for name, _ in trained.named_parameters()}
    tensors = {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
    save_file(tensors, folder / "expected.safetensors")
    model.zero_grad()
    trace = trajectory(trained, batches, head)
    write_json(folder / "trajectory.json", trace)
    print(f"{folder.name:24} {len(stored)} tensors  loss {trace['loss'][0]:.4f}..{trace['loss'][-1]:.4f}")


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.utils.logging.disable_progress_bar()
    for seed, (name, (base, options)) in enumerate(CASES.items(), start=100):
        write_case(name, base, options, seed)


if __name__ == "__main__":
    main()
