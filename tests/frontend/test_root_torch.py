"""Names of the root, and layers, beside torch: the same arguments, results, gradients, states."""

import itertools

import numpy as np
import pytest

import intaglio as ig
from intaglio import nn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

RNG = np.random.default_rng(13)
A, B, C = RNG.standard_normal((3, 4, 5))
IMAGE = RNG.standard_normal((2, 3, 6, 5))
ROW, THETA = RNG.standard_normal((2, 4, 9)), RNG.standard_normal((2, 2, 3))
LOGS = RNG.standard_normal((9, 3, 4))
SCALE, SHIFT = RNG.standard_normal((2, 3))
KERNEL, TURNED = RNG.standard_normal((6, 3, 3, 2)), RNG.standard_normal((3, 2, 3, 2))
PROBABILITIES = RNG.random((4, 5))


def stats(lib):
    return lib.tensor([0.1, 0.2, 0.3]).double(), lib.tensor([0.5, 1.0, 2.0]).double()


FORMS = {
    "batch_norm": (
        lambda t, x, w, b: t.batch_norm(x, w, b, *stats(t), False, 0.1, 1e-3, True),
        [IMAGE, SCALE, SHIFT],
    ),
    "batch_norm_training": (
        lambda t, x, w, b: t.batch_norm(x, w, b, None, None, True, 0.1, 1e-3, False),
        [IMAGE, SCALE, SHIFT],
    ),
    "instance_norm": (
        lambda t, x, w, b: t.instance_norm(x, w, b, None, None, True, 0.1, 1e-3, False),
        [IMAGE, SCALE, SHIFT],
    ),
    "layer_norm": (lambda t, x: t.layer_norm(x, [6, 5], eps=0.1), [IMAGE]),
    "embedding": (lambda t, w: t.embedding(w, t.tensor([[3, 0], [0, 1]]), 0, True), [A]),
    "embedding_last": (lambda t, w: t.embedding(w, t.tensor([3, 0])), [A]),
    "embedding_renorm_": (
        lambda t, w: t.embedding_renorm_(w * 1.0, t.tensor([3, 0, 3]), 1.5, 2.0).detach() * w,
        [A],
    ),
    "convolution": (
        lambda t, x, w: t.convolution(x, w, None, [2, 1], [1, 0], [1, 2], False, [0, 0], 1),
        [IMAGE, KERNEL],
    ),
    "convolution_transposed": (
        lambda t, x, w: t.convolution(x, w, None, [2, 2], [1, 0], [1, 1], True, [1, 0], 1),
        [IMAGE, TURNED],
    ),
    "affine_grid_generator": (
        lambda t, theta: t.affine_grid_generator(theta, [2, 3, 4, 5], True),
        [THETA],
    ),
    "adaptive_max_pool1d": (lambda t, x: t.adaptive_max_pool1d(x, 4)[0], [ROW]),
    "adaptive_avg_pool1d": (lambda t, x: t.adaptive_avg_pool1d(x, 4), [ROW]),
    "max_pool1d_with_indices": (
        lambda t, x: t.max_pool1d_with_indices(x, [3], [2], [1], [1], True)[0],
        [ROW],
    ),
    "norm_except_dim": (lambda t, x: t.norm_except_dim(x, 2, 1), [IMAGE]),
    "norm_except_no_dim": (lambda t, x: t.norm_except_dim(x, 3, -1), [IMAGE]),
    "frobenius_norm": (lambda t, x: t.frobenius_norm(x, [1, 3], True), [IMAGE]),
    "vander": (lambda t, x: t.vander(x[0].detach(), 4) * x[:1, :4], [A]),
    "vander_increasing": (lambda t, x: t.vander(x[0].detach(), increasing=True) * x[:1], [A]),
    "prelu": (lambda t, x: x.prelu(t.tensor([0.3]).double()), [A]),
    "hardshrink": (lambda t, x: x.hardshrink(0.4), [A]),
}
LOSSES = {
    "kl_div": lambda t, how, a, b, c: t.kl_div(a, b, how, log_target=True),
    "margin_ranking_loss": lambda t, how, a, b, c: t.margin_ranking_loss(
        a, b, c.detach().sign(), 0.2, how
    ),
    "hinge_embedding_loss": lambda t, how, a, b, c: t.hinge_embedding_loss(
        a, b.detach().sign(), 0.7, how
    ),
    "cosine_embedding_loss": lambda t, how, a, b, c: t.cosine_embedding_loss(
        a, b, c[:, 0].detach().sign(), 0.1, how
    ),
    "triplet_margin_loss": lambda t, how, a, b, c: t.triplet_margin_loss(
        a, b, c, 2.0, 2.0, 1e-6, True, how
    ),
    "poisson_nll_loss": lambda t, how, a, b, c: t.poisson_nll_loss(
        a, b.detach().abs() * 3, True, True, 1e-8, how
    ),
    "binary_cross_entropy_with_logits": lambda t, how, a, b, c: (
        t.binary_cross_entropy_with_logits(
            a, b.detach().sigmoid(), c.detach().abs(), b.detach().exp(), how
        )
    ),
    "ctc_loss": lambda t, how, a, b, c: t.ctc_loss(
        t.tensor(LOGS).log_softmax(2) * a[0, 0], t.tensor([[1, 2], [3, 3], [2, 1]]), [9, 8, 9],
        [2, 2, 1], 0, how, True,
    ),
}  # fmt: skip
SMALL = {"nhead": 2, "dim_feedforward": 12, "dropout": 0.0}


def masked(lib, size):
    return lib.nn.Transformer.generate_square_subsequent_mask(size, dtype=lib.float64)


LAYERS = {
    "decoder_layer": (
        lambda n: n.TransformerDecoderLayer(8, **SMALL),
        lambda t, m, x, y: m(x, y),
        [(4, 3, 8), (5, 3, 8)],
    ),
    "decoder_layer_norm_first": (
        lambda n: n.TransformerDecoderLayer(
            8, **SMALL, activation="gelu", batch_first=True, norm_first=True, bias=False
        ),
        lambda t, m, x, y: m(
            x, y, masked(t, 4), memory_key_padding_mask=t.tensor([[False] * 4 + [True]] * 3)
        ),
        [(3, 4, 8), (3, 5, 8)],
    ),
    "decoder": (
        lambda n: n.TransformerDecoder(n.TransformerDecoderLayer(8, **SMALL), 2, n.LayerNorm(8)),
        lambda t, m, x, y: m(x, y, masked(t, 4)),
        [(4, 3, 8), (5, 3, 8)],
    ),
    "transformer": (
        lambda n: n.Transformer(8, 2, 1, 2, 12, 0.0),
        lambda t, m, x, y: m(x, y, tgt_mask=masked(t, 4)),
        [(5, 3, 8), (4, 3, 8)],
    ),
    "transformer_causal": (
        lambda n: n.Transformer(8, 2, 2, 1, 12, 0.0, n.functional.silu, batch_first=True),
        lambda t, m, x, y: m(x, y, tgt_mask=masked(t, 4), tgt_is_causal=True),
        [(3, 5, 8), (3, 4, 8)],
    ),
    "adaptive_softmax": (
        lambda n: n.AdaptiveLogSoftmaxWithLoss(8, 12, [3, 7], 2.0, True),
        lambda t, m, x: m(x, t.tensor([0, 3, 11, 6])).output,
        [(4, 8)],
    ),
    "adaptive_softmax_loss": (
        lambda n: n.AdaptiveLogSoftmaxWithLoss(16, 12, [3, 7]),
        lambda t, m, x: m(x, t.tensor(4)).loss,
        [(16,)],
    ),
    "nll_2d": (
        lambda n: n.NLLLoss2d(),
        lambda t, m, x: m(x, t.tensor(np.arange(12).reshape(2, 3, 2) % 4)),
        [(2, 4, 3, 2)],
    ),
}


def close(ours, theirs, what):
    assert tuple(ours.shape) == tuple(theirs.shape), what
    np.testing.assert_allclose(
        ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-8, atol=1e-9, err_msg=what
    )


def beside(call, arrays, ours=None, theirs=None):
    """The results of `call(library, module?, tensors)` and their gradients agree."""
    made = []
    for lib, module in ((ig, ours), (torch, theirs)):
        xs = [lib.tensor(a).requires_grad_() for a in arrays]
        y = call(lib, *([] if module is None else [module]), *xs)
        weights = np.random.default_rng(2).standard_normal(tuple(y.shape))
        (y * lib.tensor(weights)).sum().backward()
        parameters = [] if module is None else list(module.parameters())
        made.append((y, [x.grad for x in xs] + [p.grad for p in parameters]))
    close(made[0][0], made[1][0], "result")
    for k, (a, b) in enumerate(zip(made[0][1], made[1][1], strict=True)):
        assert a is not None or b is None
        if a is not None:  # where torch skipped what had no part, the gradient is zero
            close(a, torch.zeros(a.shape) if b is None else b, f"gradient {k}")


@pytest.mark.parametrize("name", FORMS)
def test_forms(name):
    call, arrays = FORMS[name]
    beside(call, arrays)


@pytest.mark.parametrize(("name", "how"), list(itertools.product(LOSSES, (0, 1, 2))))
def test_losses(name, how):
    call = LOSSES[name]
    made = []
    for lib in (ig, torch):
        xs = [lib.tensor(x).requires_grad_() for x in (A, B, C)]
        y = call(lib, how, *xs)
        y.sum().backward()
        made.append([y.detach(), xs[0].grad])
    for ours, theirs in zip(*made, strict=True):
        close(ours, theirs, name)


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name):
    make, call, shapes = LAYERS[name]
    ours, theirs = make(nn).double(), make(torch.nn).double()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator).double())
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    beside(call, [np.random.default_rng(0).standard_normal(s) for s in shapes], ours, theirs)


def test_predictions_of_clusters():
    ours, theirs = (n.AdaptiveLogSoftmaxWithLoss(8, 12, [3, 7], 2.0) for n in (nn, torch.nn))
    theirs.double()
    ours.double().load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    x = 9 * RNG.standard_normal((50, 8))
    predicted = theirs.predict(torch.tensor(x))
    assert len(set(predicted.tolist())) > 3
    assert ours.predict(ig.tensor(x)).tolist() == predicted.tolist()
    close(ours.log_prob(ig.tensor(x)), theirs.log_prob(torch.tensor(x)), "log_prob")


def test_casts_and_names():
    names = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float64"]
    for a, b in itertools.product(names, names):
        theirs = torch.can_cast(getattr(torch, a), getattr(torch, b))
        assert ig.can_cast(getattr(ig, a), getattr(ig, b)) == theirs, (a, b)
    for a in names:
        x, y = (lib.zeros(2, dtype=getattr(lib, a)) for lib in (ig, torch))
        assert ig.typename(x) == torch.typename(y)
    for permuted in itertools.permutations(range(3)):
        x, y = ig.zeros(2, 3, 4).permute(*permuted), torch.zeros(2, 3, 4).permute(*permuted)
        assert x.dim_order() == y.dim_order()


def test_functions_of_elements():
    made = []
    for lib in (ig, torch):
        x, y, z = (lib.tensor(a) for a in (A, B[0], C))
        first = x.clone().apply_(lambda v: v * v + 1)
        second = x.clone().map_(y.expand(4, 5), lambda v, w: v - 2 * w)
        made.append([first, second, x.map2_(y.expand(4, 5), z, lambda u, v, w: u * v + w)])
    for ours, theirs in zip(*made, strict=True):
        close(ours, theirs, "elements")
