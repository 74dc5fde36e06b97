# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "safetensors==0.8.0", "torch==2.15.0"]
# ///
"""Writes `reference.safetensors` beside this file: what torch computes for the operations that training uses.

Run it with `uv run reference.py`, or with any Python that has the versions above. It writes the same bytes each time.

All tensors are F32, but for ids and targets, which are I64. Values were computed in F64 from the F32 inputs and then
rounded, so that they carry no rounding error of one machine's kernels. For each case:

<case>/in.<k>     inputs, in the order below
<case>/out        output of the operation; a scalar has shape [1]
<case>/up         gradient that arrives at the output, of its shape
<case>/grad.<k>   gradient of sum(out * up) by input k, for each input of F32

    case               inputs, and what is computed
    matmul             x [7, 5], w [5, 3]: x w
    linear             x [7, 5], weight [3, 5], bias [3]: x weightᵀ + bias; the weight is [out, in], as checkpoints have it
    embedding          weight [11, 6], ids [9] with repeats: rows of the weight
    layer_norm         x [6, 8], gamma [8], beta [8]; epsilon 1e-12
    layer_norm_shifted the same with epsilon 1e-5 and rows of mean 30 or so, one of them nearly constant
    gelu, gelu_tanh    x [5, 9] in -6..6: with the error function, and its tanh approximation
    relu, tanh         x [5, 9] in -6..6
    softmax            x [5, 6]: over the last dimension; entries at the least F32 are masked, others reach 60
    attention          q [9, 8], k [9, 8], v [9, 8]: rows of 3, 5 and 1 tokens, one after the other; 2 heads of size 4,
                       head h being columns 4 h .. 4 h + 4; softmax(q kᵀ / 2) v within each row; scores reach 30
    cross_entropy      logits [6, 4] up to 50, targets [6]: mean over rows
    binary_cross_entropy  logits [5, 3] up to 50, targets [5, 3] of 0 and 1 (no gradient): mean over all
    mse                predictions [7], targets [7] (no gradient): mean
    tagging            logits [9, 4], targets [9] where -100 is ignored: mean over the counted

Two cases have no upstream gradient:

    adamw/in.param [5, 3], adamw/in.grad.0 .. in.grad.2, adamw/out, adamw/moment1, adamw/moment2: parameter and moments
        after 3 steps with learning rate 1e-2, decay 0.1, betas 0.9 and 0.999, epsilon 1e-8
    clip/in.0 [4, 3], in.1 [5], in.2 [2, 2, 2]: clip/norm [1] is the norm over all three; clip/out.0 .. out.2 are the
        tensors scaled to a global norm of 1 (torch divides by norm + 1e-6)

The losses of 20 training steps of a tiny model are in `models/rekindle-bert/tests/fixtures/bert-single/trajectory.json`.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

OUTPUT = Path(__file__).resolve().parent / "reference.safetensors"
LEAST = torch.finfo(torch.float32).min
ROW_LENGTHS = [3, 5, 1]
HEADS = 2

torch.manual_seed(7)
tensors = {}


def keep(name, tensor):
    """Stores a tensor: floating point as F32, a scalar as one element."""
    tensor = tensor.detach()
    tensor = tensor.float() if tensor.is_floating_point() else tensor
    tensors[name] = tensor.reshape(-1) if tensor.dim() == 0 else tensor.contiguous().clone()


def case(name, operation, *inputs, constant=()):
    """Stores inputs, output and gradients of one operation; inputs numbered in `constant` are not differentiated."""
    exact = []
    for index, tensor in enumerate(inputs):
        keep(f"{name}/in.{index}", tensor)
        tensor = tensor.double() if tensor.is_floating_point() else tensor
        exact.append(tensor.requires_grad_(tensor.is_floating_point() and index not in constant))
    output = operation(*exact)
    up = torch.randn(output.shape).double()
    (output * up).sum().backward()
    keep(f"{name}/out", output)
    keep(f"{name}/up", up)
    for index, tensor in enumerate(exact):
        if tensor.requires_grad:
            keep(f"{name}/grad.{index}", tensor.grad)


def products_and_lookups():
    case("matmul", torch.matmul, torch.randn(7, 5), torch.randn(5, 3))
    case("linear", F.linear, torch.randn(7, 5), torch.randn(3, 5), torch.randn(3))
    ids = torch.tensor([3, 0, 3, 10, 7, 7, 7, 1, 9])
    case("embedding", lambda weight, ids: F.embedding(ids, weight), torch.randn(11, 6), ids)


def norms():
    gamma, beta = 1 + 0.3 * torch.randn(8), 0.3 * torch.randn(8)
    case("layer_norm", lambda x, g, b: F.layer_norm(x, (8,), g, b, 1e-12), 3 * torch.randn(6, 8), gamma, beta)
    # A variance taken as E[x²] - E[x]² loses three digits on row 2; one of centered values does not.
    shifted = 30 + torch.randn(6, 8)
    shifted[2] = 30 + 0.3 * torch.randn(8)
    case("layer_norm_shifted", lambda x, g, b: F.layer_norm(x, (8,), g, b, 1e-5), shifted, gamma, beta)


def activations():
    # An even number of values leaves out 0, where the derivative of ReLU is a convention.
    x = torch.linspace(-6.0, 6.0, 46)[torch.randperm(46)[:45]].reshape(5, 9)
    case("gelu", F.gelu, x)
    case("gelu_tanh", lambda x: F.gelu(x, approximate="tanh"), x)
    case("relu", F.relu, x)
    case("tanh", torch.tanh, x)


def attention(q, k, v):
    parts = []
    for q_row, k_row, v_row in zip(*(tensor.split(ROW_LENGTHS) for tensor in (q, k, v))):
        heads = [row.unflatten(1, (HEADS, -1)).transpose(0, 1) for row in (q_row, k_row, v_row)]  # [heads, tokens, size]
        parts.append(F.scaled_dot_product_attention(*heads).transpose(0, 1).flatten(1))
    return torch.cat(parts)


def softmaxes():
    x = 3 * torch.randn(5, 6)
    x[1, 2:] = LEAST
    x[2, 3] = LEAST
    x[3, 4] = 60.0
    case("softmax", lambda x: F.softmax(x, dim=-1), x)
    q, k, v = (torch.randn(sum(ROW_LENGTHS), 8) for _ in range(3))
    q[4] *= 12
    case("attention", attention, q, k, v)


def losses():
    targets = torch.tensor([0, 3, 1, 2, 2, 0])
    logits = 2 * torch.randn(6, 4)
    logits[1, 0], logits[2, 1] = 50.0, 50.0  # badly wrong, and certainly right
    case("cross_entropy", F.cross_entropy, logits, targets)
    logits = 3 * torch.randn(5, 3)
    logits[0, 0], logits[3, 1] = 50.0, -50.0
    targets = torch.tensor([[0.0, 1, 0], [1, 1, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0]])
    case("binary_cross_entropy", F.binary_cross_entropy_with_logits, logits, targets, constant=[1])
    case("mse", F.mse_loss, torch.randn(7), 3 * torch.randn(7), constant=[1])
    targets = torch.tensor([-100, 2, 0, -100, 3, 1, -100, 1, -100])
    case("tagging", F.cross_entropy, 2 * torch.randn(9, 4), targets)


def adamw():
    start = torch.randn(5, 3)
    # Gradients of very different sizes, and one that is zero in the first step.
    gradients = [torch.randn(5, 3) * scale for scale in (1.0, 1e-3, 30.0)]
    gradients[0][0, 0] = 0.0
    keep("adamw/in.param", start)
    parameter = torch.nn.Parameter(start.double())
    optimizer = torch.optim.AdamW([parameter], lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1)
    for step, gradient in enumerate(gradients):
        keep(f"adamw/in.grad.{step}", gradient)
        parameter.grad = gradient.double()
        optimizer.step()
    keep("adamw/out", parameter)
    keep("adamw/moment1", optimizer.state[parameter]["exp_avg"])
    keep("adamw/moment2", optimizer.state[parameter]["exp_avg_sq"])


def clip():
    parameters = [torch.nn.Parameter(torch.zeros(shape).double()) for shape in ((4, 3), (5,), (2, 2, 2))]
    for index, parameter in enumerate(parameters):
        gradient = torch.randn(parameter.shape)
        keep(f"clip/in.{index}", gradient)
        parameter.grad = gradient.double()
    keep("clip/norm", torch.nn.utils.clip_grad_norm_(parameters, 1.0))
    for index, parameter in enumerate(parameters):
        keep(f"clip/out.{index}", parameter.grad)


def main():
    torch.set_num_threads(1)
    products_and_lookups()
    norms()
    activations()
    softmaxes()
    losses()
    adamw()
    clip()
    for name, tensor in tensors.items():
        assert torch.isfinite(tensor).all(), name
    save_file(tensors, OUTPUT)
    print(f"{len(tensors)} tensors, {OUTPUT.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
