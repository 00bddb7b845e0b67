"""Layers and losses beside torch, from the same weights in f64: results, gradients, state names."""

import numpy as np
import pytest

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

LAYERS = {
    "linear": (lambda n: n.Linear(5, 3), [(4, 5)]),
    "linear_no_bias": (lambda n: n.Linear(5, 3, bias=False), [(2, 7, 5)]),
    "layer_norm": (lambda n: n.LayerNorm(6), [(3, 4, 6)]),
    "layer_norm_2d": (lambda n: n.LayerNorm((4, 6), eps=1e-3), [(3, 4, 6)]),
    "layer_norm_plain": (lambda n: n.LayerNorm(6, elementwise_affine=False), [(3, 6)]),
    "rms_norm": (lambda n: n.RMSNorm(6), [(3, 6)]),
    "relu": (lambda n: n.ReLU(), [(3, 6)]),
    "relu6": (lambda n: n.ReLU6(), [(3, 6)]),
    "leaky_relu": (lambda n: n.LeakyReLU(0.2), [(3, 6)]),
    "prelu": (lambda n: n.PReLU(6), [(3, 6)]),
    "elu": (lambda n: n.ELU(0.7), [(3, 6)]),
    "gelu": (lambda n: n.GELU(), [(3, 6)]),
    "gelu_tanh": (lambda n: n.GELU("tanh"), [(3, 6)]),
    "silu": (lambda n: n.SiLU(), [(3, 6)]),
    "sigmoid": (lambda n: n.Sigmoid(), [(3, 6)]),
    "tanh": (lambda n: n.Tanh(), [(3, 6)]),
    "softplus": (lambda n: n.Softplus(2.0, 1.0), [(3, 6)]),
    "softmax": (lambda n: n.Softmax(1), [(3, 6, 2)]),
    "log_softmax": (lambda n: n.LogSoftmax(-1), [(3, 6)]),
    "mlp": (lambda n: n.Sequential(n.Linear(6, 8), n.ReLU(), n.Linear(8, 2)), [(5, 6)]),
    "encoder_layer": (
        lambda n: n.TransformerEncoderLayer(
            8, 2, 16, 0.0, "gelu", batch_first=True, norm_first=True
        ),
        [(3, 5, 8)],
    ),
    "encoder_layer_post": (lambda n: n.TransformerEncoderLayer(8, 4, 16, 0.0), [(5, 3, 8)]),
    "encoder": (
        lambda n: n.TransformerEncoder(
            n.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True), 2, n.LayerNorm(8)
        ),
        [(3, 5, 8)],
    ),
    "mse": (lambda n: n.MSELoss(), [(3, 4), (3, 4)]),
    "l1": (lambda n: n.L1Loss(reduction="sum"), [(3, 4), (3, 4)]),
    "smooth_l1": (lambda n: n.SmoothL1Loss(beta=0.5), [(3, 4), (3, 4)]),
    "huber": (lambda n: n.HuberLoss(reduction="none", delta=0.7), [(3, 4), (3, 4)]),
}


def same_weights(ours, theirs):
    theirs.double()
    generator = torch.Generator().manual_seed(1)
    for parameter in theirs.parameters():
        with torch.no_grad():
            parameter.copy_(torch.randn(parameter.shape, generator=generator).double())
    ours.double()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})


def close(ours, theirs, what):
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-8, atol=1e-9, err_msg=what)


def compare(ours, theirs, arrays, call=lambda module, *xs: module(*xs)):
    same_weights(ours, theirs)
    x = [ig.tensor(a).requires_grad_() for a in arrays]
    tx = [torch.tensor(a).requires_grad_() for a in arrays]
    y, ty = call(ours, *x), call(theirs, *tx)
    close(y.detach(), ty.detach(), "result")
    weights = np.random.default_rng(2).standard_normal(ty.shape)
    (y * ig.tensor(weights)).sum().backward()
    (ty * torch.tensor(weights)).sum().backward()
    for a, b in zip(x, tx, strict=True):
        close(a.grad, b.grad, "gradient of an input")
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        close(a.grad, b.grad, f"gradient of {name}")


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name):
    make, shapes = LAYERS[name]
    rng = np.random.default_rng(0)
    compare(make(nn), make(torch.nn), [rng.standard_normal(s) for s in shapes])


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("masked", ["none", "bool", "float", "padding", "both"])
@pytest.mark.parametrize("options", [{}, {"batch_first": True}, {"kdim": 6, "vdim": 5}])
def test_multihead_attention(options, masked, need_weights):
    ours, theirs = (
        nn.MultiheadAttention(8, 2, **options),
        torch.nn.MultiheadAttention(8, 2, **options),
    )
    rng = np.random.default_rng(0)
    first = options.get("batch_first", False)
    shapes = [(4, 3, 8), (5, 3, options.get("kdim", 8)), (5, 3, options.get("vdim", 8))]
    arrays = [rng.standard_normal((s[1], s[0], s[2]) if first else s) for s in shapes]
    masks = {}
    if masked in ("bool", "both"):
        masks["attn_mask"] = np.triu(np.ones((4, 5), bool), 2)
    if masked == "float":
        masks["attn_mask"] = rng.standard_normal((4, 5))
    if masked in ("padding", "both"):
        masks["key_padding_mask"] = np.arange(5)[None] >= np.array([5, 4, 3])[:, None]

    def call(module, *xs):
        lib = ig if isinstance(module, nn.Module) else torch
        given = {k: lib.tensor(v) for k, v in masks.items()}
        result, weights = module(*xs, need_weights=need_weights, **given)
        return result if weights is None else result.sum() + (weights * weights).sum()

    compare(ours, theirs, arrays, call)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(7,), (5, 7), (3, 7, 4)])
@pytest.mark.parametrize(
    "options", [{}, {"weight": 1}, {"ignore_index": 2}, {"label_smoothing": 0.1},
                {"weight": 1, "label_smoothing": 0.2, "ignore_index": 1}, {"soft": 1}]
)  # fmt: skip
def test_cross_entropy(options, shape, reduction):
    rng = np.random.default_rng(0)
    axis = 0 if len(shape) == 1 else 1
    scores = rng.standard_normal(shape)
    target = rng.integers(0, 7, [s for k, s in enumerate(shape) if k != axis])
    options = dict(options)
    if options.pop("soft", None):
        target = np.abs(rng.standard_normal(shape))
    weight = np.linspace(0.5, 2, 7) if options.pop("weight", None) else None
    results = []
    for lib, f in ((ig, F), (torch, torch.nn.functional)):
        x = lib.tensor(scores).requires_grad_()
        w = None if weight is None else lib.tensor(weight)
        loss = f.cross_entropy(x, lib.tensor(target), weight=w, reduction=reduction, **options)
        (loss * loss).sum().backward()
        results += [(loss.detach(), x.grad)]
    for a, b in zip(*results, strict=True):
        close(a, b, "cross_entropy")


@pytest.mark.parametrize("causal", [False, True])
def test_attention_function(causal):
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((2, 3, 5, 4)) for _ in range(3)]
    results = []
    for lib, f in ((ig, F), (torch, torch.nn.functional)):
        xs = [lib.tensor(a).requires_grad_() for a in arrays]
        y = f.scaled_dot_product_attention(*xs, is_causal=causal)
        (y * y).sum().backward()
        results.append([y.detach(), *(x.grad for x in xs)])
    for a, b in zip(*results, strict=True):
        close(a, b, "attention")


def test_binary_losses():
    rng = np.random.default_rng(0)
    scores, target = rng.standard_normal((4, 3)) * 3, rng.random((4, 3))
    results = []
    for lib, f in ((ig, F), (torch, torch.nn.functional)):
        x, t = lib.tensor(scores).requires_grad_(), lib.tensor(target)
        w = lib.tensor(np.array([1.0, 2.0, 0.5]))
        loss = f.binary_cross_entropy_with_logits(x, t, pos_weight=w)
        loss = loss + f.binary_cross_entropy(lib.sigmoid(x), t, reduction="sum")
        loss.backward()
        results.append([loss.detach(), x.grad])
    for a, b in zip(*results, strict=True):
        close(a, b, "binary cross entropy")
