"""Makes a narrow BERT of a wider one's first blocks, whose states are near the teacher's before any training.

Usage: python prune.py TEACHER TOKENIZER CORPUS... OUTPUT

TOKENIZER holds the student's vocabulary, entries of TEACHER's, and CORPUS... texts, one a line. The shape is that
of `config.json` beside this file.

- The student's numbers are the principal components of the teacher's states on the texts, as in SliceGPT
  (Ashkboos et al., 2024, arXiv:2401.15024), turned at random so that all have one scale.
- Its embeddings are the teacher's in these components, as in fast vocabulary transfer (Gee et al., 2022).
- Each block keeps the heads and the inner numbers that explain most of what their layer adds. Queries, keys, values
  and inner numbers are the teacher's, by least squares from the student's own states; what a layer adds is fitted to
  what is missing, as in the reconstruction of Kwon et al. (2022, arXiv:2204.09656).
"""

import json
import pathlib
import random
import sys

import torch
import transformers
from safetensors.torch import save_file
from torch.nn.functional import cosine_similarity, gelu, layer_norm

TEXTS = 2200
SHORTEST = 60
MAX_LENGTH = 96
EPSILON = 1e-12
MAPPED_RIDGE = 1e-4
ADDED_RIDGE = 1e-3


def linear(states, layer):
    weight, bias = layer
    return states @ weight.T + bias


def parameters(module):
    return module.weight, module.bias


def attend(layers, states, bias, heads):
    queries, keys, values = (linear(states, layer).unflatten(-1, (heads, -1)).transpose(1, 2) for layer in layers)
    scores = queries @ keys.mT / queries.shape[-1] ** 0.5 + bias
    return (scores.softmax(-1) @ values).transpose(1, 2).flatten(2)


def projections(attention):
    return {name: parameters(getattr(attention.self, name)) for name in ("query", "key", "value")}


def run(teacher, blocks, ids, bias):
    """The teacher's states: of each block its input, and what its parts make of it."""
    states = teacher.embeddings(ids)
    steps = []
    for block in blocks:
        attention, step = block.attention, {"input": states}
        step["heads"] = attend(projections(attention).values(), states, bias, teacher.config.num_attention_heads)
        step["attended"] = linear(step["heads"], parameters(attention.output.dense))
        step["middle"] = attention.output.LayerNorm(states + step["attended"])
        step["inner"] = gelu(linear(step["middle"], parameters(block.intermediate.dense)))
        step["fed"] = linear(step["inner"], parameters(block.output.dense))
        states = step["output"] = block.output.LayerNorm(step["middle"] + step["fed"])
        steps.append(step)
    return steps


def least_squares(inputs, goals, ridge):
    """The linear layer that gives `goals` of `inputs` with the smallest squared error."""
    inputs = torch.cat([inputs, torch.ones(len(inputs), 1)], 1).double()
    normal = inputs.T @ inputs
    penalty = ridge * normal.diagonal().mean() * torch.eye(len(normal), dtype=normal.dtype)
    penalty[-1, -1] = 0
    solution = torch.linalg.solve(normal + penalty, inputs.T @ goals.double()).float()
    return solution[:-1].T, solution[-1]


def chosen_heads(heads, goals, count, size):
    """The heads that, one after the other, explain most of what the attention adds."""
    heads, goals = heads - heads.mean(0), goals - goals.mean(0)
    normal, products = (heads.T @ heads).double(), (heads.T @ goals).double()
    ridge = ADDED_RIDGE * normal.diagonal().mean()

    def numbers(chosen):
        return torch.cat([torch.arange(head * size, (head + 1) * size) for head in chosen])

    def explained(chosen):
        index = numbers(chosen)
        penalty = ridge * torch.eye(len(index), dtype=normal.dtype)
        return (torch.linalg.solve(normal[index][:, index] + penalty, products[index]) * products[index]).sum()

    chosen = []
    while len(chosen) < count:
        rest = (head for head in range(heads.shape[1] // size) if head not in chosen)
        chosen.append(max(rest, key=lambda head: explained([*chosen, head])))
    return numbers(sorted(chosen))


class Student:
    """What of the student is made, and its states on the texts."""

    def __init__(self, config, steps, real):
        self.tensors, self.real, self.width = {}, real, config["hidden_size"]
        every = torch.cat([step[name][real] for name in ("input", "middle", "output") for step in steps])
        # Each number of the teacher counts by how much it says of words in the end.
        scale = steps[-1]["output"][real].std(0)
        states = every / scale
        components = torch.linalg.eigh(states.T @ states).eigenvectors[:, -self.width :]
        turn = torch.linalg.qr(torch.randn(self.width, self.width)).Q
        self.down = (components @ turn) / scale[:, None]
        self.scale, self.states = scale, None

    def keep(self, name, layer):
        self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"] = layer
        return layer

    def mapped(self, name, goals):
        return self.keep(name, least_squares(self.states[self.real], goals[self.real], MAPPED_RIDGE))

    def normalize(self, name, sums, goals):
        """A layer norm whose scale and shift bring each number nearest to the teacher's."""
        plain = layer_norm(sums, (self.width,), eps=EPSILON)
        found, goals = plain[self.real], (goals @ self.down)[self.real]
        centered = found - found.mean(0)
        weight = (centered * (goals - goals.mean(0))).mean(0) / centered.square().mean(0)
        layer = self.keep(name, (weight, goals.mean(0) - weight * found.mean(0)))
        self.states = layer_norm(sums, (self.width,), *layer, eps=EPSILON)

    def add(self, name, features, sums, goals):
        """What a layer adds to the states, and the norm after it; `sums` are the teacher's before its norm."""
        missing = (sums @ self.down - self.states)[self.real]
        layer = self.keep(f"{name}.dense", least_squares(features[self.real], missing, ADDED_RIDGE))
        self.normalize(f"{name}.LayerNorm", self.states + linear(features, layer), goals)

    def embed(self, teacher, ids, goals, rows, positions):
        embeddings = teacher.embeddings
        tables = [embeddings.word_embeddings, embeddings.position_embeddings, embeddings.token_type_embeddings]
        words, places, types = (table.weight @ self.down for table in tables)
        self.normalize("embeddings.LayerNorm", words[ids] + places[: ids.shape[1]] + types[0], goals)
        self.tensors["embeddings.word_embeddings.weight"] = words[rows]
        self.tensors["embeddings.position_embeddings.weight"] = places[:positions]
        self.tensors["embeddings.token_type_embeddings.weight"] = types

    def block(self, name, block, step, config, bias):
        heads, attention = config["num_attention_heads"], block.attention
        size = step["heads"].shape[-1] // attention.self.num_attention_heads
        index = chosen_heads(step["heads"][self.real], (step["attended"] @ self.down)[self.real], heads, size)
        layers = [
            self.mapped(f"{name}.attention.self.{part}", linear(step["input"], layer)[..., index])
            for part, layer in projections(attention).items()
        ]
        features = attend(layers, self.states, bias, heads)
        self.add(f"{name}.attention.output", features, step["input"] + step["attended"], step["middle"])
        added = (block.output.dense.weight / self.scale[:, None]).square().sum(0)
        strength = step["inner"][self.real].var(0, correction=0) * added
        index = strength.topk(config["intermediate_size"]).indices.sort().values
        goals = linear(step["middle"], parameters(block.intermediate.dense))[..., index]
        features = gelu(linear(self.states, self.mapped(f"{name}.intermediate.dense", goals)))
        self.add(f"{name}.output", features, step["middle"] + step["fed"], step["output"])


def read(teacher, corpora):
    """Token ids of texts `[rows, tokens]`, and which are not padding."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(teacher)
    lines = [line.strip() for corpus in corpora for line in pathlib.Path(corpus).read_text().split("\n")]
    lines = [line for line in lines if line]
    random.Random(0).shuffle(lines)
    lines = [line for line in lines if len(line) > SHORTEST][:TEXTS]
    batch = tokenizer(lines, padding=True, truncation=True, max_length=MAX_LENGTH, return_tensors="pt")
    return tokenizer.get_vocab(), batch.input_ids, batch.attention_mask.bool()


@torch.no_grad()
def main():
    teacher_folder, tokenizer_folder, *corpora, output = sys.argv[1:]
    torch.manual_seed(0)
    config = json.loads((pathlib.Path(__file__).parent / "config.json").read_text())
    teacher = transformers.BertModel.from_pretrained(teacher_folder).eval()
    blocks = teacher.encoder.layer[: config["num_hidden_layers"]]
    known, ids, real = read(teacher_folder, corpora)
    bias = torch.where(real, 0.0, -1e9)[:, None, None]
    steps = run(teacher, blocks, ids, bias)
    student = Student(config, steps, real)
    tokenizer = json.loads((pathlib.Path(tokenizer_folder) / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    rows = [known[entry] for entry in sorted(vocabulary, key=vocabulary.get)]
    student.embed(teacher, ids, steps[0]["input"], rows, config["max_position_embeddings"])
    for number, (block, step) in enumerate(zip(blocks, steps)):
        student.block(f"encoder.layer.{number}", block, step, config, bias)
    states, goals = student.states[real], steps[-1]["output"][real]
    goals = (goals - goals.mean(0)) / student.scale
    cosine = cosine_similarity(linear(states, least_squares(states, goals, MAPPED_RIDGE)), goals).mean()
    output = pathlib.Path(output)
    output.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in student.tensors.items()}, output / "model.safetensors")
    body = config | {"architectures": ["BertModel"], "dtype": "float32"}
    (output / "config.json").write_text(json.dumps(body, indent=2) + "\n")
    for file in pathlib.Path(tokenizer_folder).iterdir():
        (output / file.name).write_bytes(file.read_bytes())
    print(f"cosine of words with the teacher's after block {len(blocks)}: {cosine:.4f}")


main()
