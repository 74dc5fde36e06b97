# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy==2.4.6", "safetensors==0.8.0", "torch==2.15.0"]
# ///
"""Writes `reference.safetensors` beside this file: what torch computes for the operations that training uses, and for a
tiny language model.

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

    rms_norm           x [6, 8], scale [8]; epsilon 1e-6; one row is so small that the epsilon counts
    swiglu             gate [5, 9] in -6..6, up [5, 9]: silu(gate) up
    rotary             x [9, 8]: rows as above, 2 heads of size 4, base 100; each row's positions count from 0, and the
                       first half of a head turns with the second
    causal_attention   q [9, 16], k [9, 8], v [9, 8]: rows as above; 4 query heads and 2 key heads of size 4, query head
                       h reads key head h / 2; each token sees itself and those before it
    window_attention   the same with each token seeing itself and the one before it
    lora_linear        x [7, 5], A [2, 5], B [3, 2], weight [3, 5], bias [3] (the last two have no gradient):
                       x weightᵀ + bias + 2 (x Aᵀ) Bᵀ

Two cases have no upstream gradient:

    adamw/in.param [5, 3], adamw/in.grad.0 .. in.grad.2, adamw/out, adamw/moment1, adamw/moment2: parameter and moments
        after 3 steps with learning rate 1e-2, decay 0.1, betas 0.9 and 0.999, epsilon 1e-8
    clip/in.0 [4, 3], in.1 [5], in.2 [2, 2, 2]: clip/norm [1] is the norm over all three; clip/out.0 .. out.2 are the
        tensors scaled to a global norm of 1 (torch divides by norm + 1e-6)

A tiny Llama: hidden 8, 2 layers, intermediate 12, 20 words, 4 query heads and 2 key heads of size 4, untied, rotary base
100, epsilon 1e-6. Its 8 rows are two batches of 4:

    rows/lengths [8], rows/ids [40], rows/weights [40]: rows one after the other; the weight of a token as a target, 0
        for the first of a row
    llama/weight.<tensor>, lora/weight.<tensor>: weights; A and B of rank 2 beside every linear layer but `lm_head`, whose
        sum is scaled by 2
    llama/logits [20, 20]: of the tokens of the first batch
    llama/loss [1]: their mean loss, each target by its weight
    llama/grad.<tensor>: gradients of that loss
    llama/losses [20], llama/norms [20]: 20 steps, each loss and the norm of its gradients from before the update and
        before clipping to 1. Step k (from 0) takes batch k % 2. AdamW with betas 0.9 and 0.999, epsilon 1e-8, decay 0.01
        on matrices; learning rate 1e-3 times k/2 for k < 2, else (20-k)/18
    lora/logits, lora/loss, lora/grad.<tensor>, lora/losses, lora/norms: the same with A and B, which alone are trained

The losses of 20 training steps of a tiny BERT are in `models/rekindle-bert/tests/fixtures/bert-single/trajectory.json`.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

OUTPUT = Path(__file__).resolve().parent / "reference.safetensors"
LEAST = torch.finfo(torch.float32).min
ROW_LENGTHS = [3, 5, 1]
HEADS = 2
# The tiny Llama, and the shapes of its operations.
QUERIES, KEYS, SIZE, THETA, EPSILON = 4, 2, 4, 100.0, 1e-6
HIDDEN, INNER, LAYERS, VOCABULARY = 8, 12, 2, 20
RANK, SCALE = 2, 2.0
BATCHES = [[5, 3, 8, 4], [6, 2, 7, 5]]
STEPS, WARMUP, LEARNING_RATE, WEIGHT_DECAY = 20, 2, 1e-3, 0.01

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


def rms_norm(x, scale):
    return F.rms_norm(x, (x.shape[-1],), scale, EPSILON)


def swiglu(gate, up):
    return F.silu(gate) * up


def rotate(x):
    """Turns the heads of one row's tokens."""
    speeds = THETA ** (-torch.arange(0, SIZE, 2).double() / SIZE)
    angles = torch.arange(len(x)).double().outer(speeds).unsqueeze(1)  # [tokens, 1, size / 2]
    first, second = x.unflatten(1, (-1, SIZE)).chunk(2, dim=-1)
    turned = [first * angles.cos() - second * angles.sin(), second * angles.cos() + first * angles.sin()]
    return torch.cat(turned, dim=-1).flatten(1)


def attend(q, k, v, window=None):
    """Attention among the tokens of one row."""
    heads = [x.unflatten(1, (-1, SIZE)).transpose(0, 1) for x in (q, k, v)]  # [heads, tokens, size]
    positions = torch.arange(len(q))
    distance = positions[:, None] - positions
    sees = (distance >= 0) & (distance < (window or len(q)))
    mixed = F.scaled_dot_product_attention(*heads, attn_mask=sees, enable_gqa=True)
    return mixed.transpose(0, 1).flatten(1)


def by_row(operation):
    """The same operation on several rows, one after the other."""
    return lambda *xs: torch.cat([operation(*row) for row in zip(*(x.split(ROW_LENGTHS) for x in xs))])


def lora(x, a, b, weight, bias=None):
    return F.linear(x, weight, bias) + SCALE * F.linear(F.linear(x, a), b)


def decoder_operations():
    x = torch.randn(6, 8)
    x[2] *= 1e-3
    case("rms_norm", rms_norm, x, 1 + 0.3 * torch.randn(8))
    gate = torch.linspace(-6.0, 6.0, 45)[torch.randperm(45)].reshape(5, 9)
    case("swiglu", swiglu, gate, torch.randn(5, 9))
    tokens = sum(ROW_LENGTHS)
    case("rotary", by_row(rotate), torch.randn(tokens, 2 * SIZE))
    q = torch.randn(tokens, QUERIES * SIZE)
    q[4] *= 12
    k, v = torch.randn(tokens, KEYS * SIZE), torch.randn(tokens, KEYS * SIZE)
    case("causal_attention", by_row(attend), q, k, v)
    case("window_attention", by_row(lambda q, k, v: attend(q, k, v, window=2)), q, k, v)
    layer = torch.randn(RANK, 5), torch.randn(3, RANK), torch.randn(3, 5), torch.randn(3)
    case("lora_linear", lora, torch.randn(7, 5), *layer, constant=[3, 4])


def llama_shapes():
    shapes = {"model.embed_tokens": (VOCABULARY, HIDDEN), "model.norm": (HIDDEN,), "lm_head": (VOCABULARY, HIDDEN)}
    for layer in range(LAYERS):
        block = {
            "input_layernorm": (HIDDEN,),
            "self_attn.q_proj": (QUERIES * SIZE, HIDDEN),
            "self_attn.k_proj": (KEYS * SIZE, HIDDEN),
            "self_attn.v_proj": (KEYS * SIZE, HIDDEN),
            "self_attn.o_proj": (HIDDEN, QUERIES * SIZE),
            "post_attention_layernorm": (HIDDEN,),
            "mlp.gate_proj": (INNER, HIDDEN),
            "mlp.up_proj": (INNER, HIDDEN),
            "mlp.down_proj": (HIDDEN, INNER),
        }
        shapes |= {f"model.layers.{layer}.{name}": shape for name, shape in block.items()}
    return shapes


def llama(weights, ids):
    """Logits of one row; layers that have an A and a B use them."""

    def linear(name, x):
        layer = weights[f"{name}.weight"]
        if f"{name}.lora_A.weight" not in weights:
            return F.linear(x, layer)
        return lora(x, weights[f"{name}.lora_A.weight"], weights[f"{name}.lora_B.weight"], layer)

    norm = lambda name, x: rms_norm(x, weights[f"{name}.weight"])
    x = F.embedding(ids, weights["model.embed_tokens.weight"])
    for layer in range(LAYERS):
        block = f"model.layers.{layer}"
        y = norm(f"{block}.input_layernorm", x)
        q, k, v = (linear(f"{block}.self_attn.{name}_proj", y) for name in "qkv")
        x = x + linear(f"{block}.self_attn.o_proj", attend(rotate(q), rotate(k), v))
        y = norm(f"{block}.post_attention_layernorm", x)
        y = swiglu(linear(f"{block}.mlp.gate_proj", y), linear(f"{block}.mlp.up_proj", y))
        x = x + linear(f"{block}.mlp.down_proj", y)
    return linear("lm_head", norm("model.norm", x))


def loss_of(weights, rows):
    """Mean loss of each token after the first of its row, by the tokens' weights."""
    losses = [F.cross_entropy(llama(weights, ids)[:-1], ids[1:], reduction="none") @ count[1:] for ids, count in rows]
    return sum(losses) / sum(count.sum() for _, count in rows)


def steps(weights, trained, batches):
    """Losses and norms of 20 training steps; the weights given are left as they are."""
    weights = {name: tensor.detach().clone().requires_grad_(name in trained) for name, tensor in weights.items()}
    parameters = [weights[name] for name in trained]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in parameters if p.dim() == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8, foreach=False)
    losses, norms = [], []
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (step / WARMUP if step < WARMUP else (STEPS - step) / (STEPS - WARMUP))
        optimizer.zero_grad()
        loss = loss_of(weights, batches[step % len(batches)])
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(parameters, 1.0))
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses), torch.stack(norms)


def train_llama(name, weights, trained, batches):
    """Stores the trained weights, what the first batch gives, and the 20 steps."""
    for tensor in trained:
        keep(f"{name}/weight.{tensor}", weights[tensor])
    exact = {tensor: value.double().requires_grad_(tensor in trained) for tensor, value in weights.items()}
    keep(f"{name}/logits", torch.cat([llama(exact, ids) for ids, _ in batches[0]]))
    loss = loss_of(exact, batches[0])
    loss.backward()
    keep(f"{name}/loss", loss)
    for tensor in trained:
        keep(f"{name}/grad.{tensor}", exact[tensor].grad)
    losses, norms = steps(exact, trained, batches)
    keep(f"{name}/losses", losses)
    keep(f"{name}/norms", norms)


def tiny_llama():
    shapes = llama_shapes()
    noise = lambda *shape: 0.3 * torch.randn(shape)
    weights = {f"{name}.weight": noise(*shape) + (len(shape) == 1) for name, shape in shapes.items()}
    adapters = {}
    for name, shape in shapes.items():
        if len(shape) == 2 and name.startswith("model.layers."):
            # A new adapter's B is zero, and so is then the gradient of its A.
            adapters[f"{name}.lora_A.weight"] = noise(RANK, shape[1])
            adapters[f"{name}.lora_B.weight"] = noise(shape[0], RANK)
    batches = []
    for lengths in BATCHES:
        batches.append([])
        for length in lengths:
            counts = torch.tensor([0.0, 0.25, 1.0, 1.0])[torch.randint(4, (length,))]
            counts[0], counts[-1] = 0.0, 1.0
            batches[-1].append((torch.randint(VOCABULARY, (length,)), counts.double()))
    rows = sum(batches, [])
    keep("rows/lengths", torch.tensor([len(ids) for ids, _ in rows]))
    keep("rows/ids", torch.cat([ids for ids, _ in rows]))
    keep("rows/weights", torch.cat([counts for _, counts in rows]))
    train_llama("llama", weights, list(weights), batches)
    train_llama("lora", weights | adapters, list(adapters), batches)


def main():
    torch.set_num_threads(1)
    products_and_lookups()
    norms()
    activations()
    softmaxes()
    losses()
    adamw()
    clip()
    decoder_operations()
    tiny_llama()
    for name, tensor in tensors.items():
        assert torch.isfinite(tensor).all(), name
    save_file(tensors, OUTPUT)
    print(f"{len(tensors)} tensors, {OUTPUT.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
