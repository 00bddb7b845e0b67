"""Functions of nn.functional beside torch, in f64: results and gradients."""

import numpy as np
import pytest

import intaglio as ig
import intaglio.nn.functional as F

torch = pytest.importorskip("torch")
TF = torch.nn.functional
pytestmark = pytest.mark.torch

RNG = np.random.default_rng(11)
A, B, C = RNG.standard_normal((3, 4, 5))
IMAGE, VOLUME = RNG.standard_normal((2, 3, 7, 6)), RNG.standard_normal((1, 2, 3, 4, 3))
GRID, GRID3 = RNG.uniform(-2.5, 2.5, (2, 4, 3, 2)), RNG.uniform(-1.5, 1.5, (1, 2, 3, 2, 3))
LOGS = RNG.standard_normal((9, 3, 4))
SIGNS = np.where(RNG.random((4, 5)) < 0.5, -1, 1)
SAMPLES = RNG.random((2, 3, 2))


def beside_torch(call, *arrays):
    """The results and gradients of one function in both libraries agree to 1e-8."""
    made = []
    for lib, f in ((ig, F), (torch, TF)):
        xs = [lib.tensor(np.ascontiguousarray(a)) for a in arrays]
        for x in xs:
            if x.dtype == lib.float64:
                x.requires_grad_()
        y = call(f, *xs)
        weights = np.random.default_rng(2).standard_normal(tuple(y.shape))
        (y * lib.tensor(weights)).sum().backward()
        made.append([y.detach().numpy(), *(x.grad.numpy() for x in xs if x.requires_grad)])
    for ours, theirs in zip(*made, strict=True):
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"size": (4, 9)}, {"size": (3, 3), "antialias": True}, {"scale_factor": 1.7},
        {"scale_factor": (0.6, 1.3), "recompute_scale_factor": True},
        {"scale_factor": 0.6, "antialias": True},
    ],
)  # fmt: skip
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_resizing(mode, options, align):
    beside_torch(lambda f, x: f.interpolate(x, mode=mode, align_corners=align, **options), IMAGE)


def test_lanczos():
    options = {"size": (3, 8), "mode": "lanczos", "antialias": True}
    beside_torch(lambda f, x: f.interpolate(x, **options), IMAGE)


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_grids(mode, padding, align):
    beside_torch(lambda f, x, g: f.grid_sample(x, g, mode, padding, align), IMAGE, GRID)
    if mode != "bicubic":
        beside_torch(lambda f, x, g: f.grid_sample(x, g, mode, padding, align), VOLUME, GRID3)
    theta = RNG.standard_normal((2, 3, 4))
    beside_torch(lambda f, t: f.affine_grid(t, (2, 1, 3, 4, 2), align), theta)


LOSSES = {
    "ctc": (
        lambda f, x, t: f.ctc_loss(f.log_softmax(x, 2), t, (9, 8, 4), (3, 0, 2), blank=1),
        LOGS, np.array([[2, 2, 3], [0, 2, 3], [3, 0, 2]]),
    ),
    "ctc raw": (
        lambda f, x, t: f.ctc_loss(x, t, (9, 2, 4), (3, 3, 2), 0, "none", zero_infinity=True),
        LOGS, np.array([[2, 2, 3], [1, 1, 3], [3, 1, 2]]),
    ),
    "multilabel": (
        lambda f, x, t: f.multilabel_margin_loss(x, t, reduction="none"),
        A, np.array([[3, 0, -1, 1, 2], [1, -1, 0, 0, 0], [-1, 1, 2, 3, 4], [4, 3, 2, 2, 0]]),
    ),
    "multi_margin": (
        lambda f, x, t: f.multi_margin_loss(x, t, 2, 0.5), A, np.array([1, 0, 4, 2]),
    ),
    "multilabel_soft": (lambda f, x, t, w: f.multilabel_soft_margin_loss(x, t, w), A, B, C),
    "cosine": (lambda f, x, y, t: f.cosine_embedding_loss(x, y, t, 0.2), A, B, SIGNS[:, 0]),
    "hinge": (lambda f, x, t: f.hinge_embedding_loss(x, t, 0.5), A, SIGNS),
    "soft": (lambda f, x, t: f.soft_margin_loss(x, t), A * 30, SIGNS),
    "ranking": (lambda f, x, y, t: f.margin_ranking_loss(x, y, t, 0.1), A, B, SIGNS),
    "triplet": (lambda f, x, y, z: f.triplet_margin_loss(x, y, z, p=1.5, swap=True), A, B, C),
    "gaussian": (lambda f, x, y, v: f.gaussian_nll_loss(x, y, v * v, full=True), A, B, C),
    "poisson": (
        lambda f, x, t: f.poisson_nll_loss(x * x, t * t, log_input=False, full=True), A, B * 3,
    ),
    "kl": (lambda f, x, t: f.kl_div(x, t * t, reduction="batchmean"), A, B),
    "pairs": (lambda f, x, y: f.pairwise_distance(x, y, 3.0, keepdim=True), A, B),
    "pdist": (lambda f, x: f.pdist(x, 1.0), A),
    "angle": (lambda f, x, y: f.cosine_similarity(x, y, -1), A, B[:1] * 1e-12),
    "weighted": (lambda f, x, y, w: f.mse_loss(x, y, weight=w * w), A, B, C),
    "rows": (
        lambda f, w, i: f.embedding_bag(i, w, mode="mean", padding_idx=2),
        A, np.array([[0, 2, 1], [2, 2, 2]]),
    ),
    "linear": (
        lambda f, x, w, t: f.linear_cross_entropy(x, w, t, label_smoothing=0.1),
        A, B, np.array([0, 3, 3, 1]),
    ),
    "bilinear": (lambda f, x, y, w: f.bilinear(x, y, w), A, B, RNG.standard_normal((2, 5, 5))),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_losses_and_distances(name):
    beside_torch(*LOSSES[name])


def test_random_windows():
    ours, theirs = (
        f.fractional_max_pool2d(
            lib.tensor(IMAGE), 2, (3, 4), return_indices=True, _random_samples=lib.tensor(SAMPLES)
        )
        for lib, f in ((ig, F), (torch, TF))
    )
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize("single", [False, True])
def test_heads(single):
    q, k = RNG.standard_normal((3, 2, 4)), RNG.standard_normal((5, 2, 4))
    q, k = (q[:, 0], k[:, 0]) if single else (q, k)
    arrays = [q, k, *(RNG.standard_normal(s) for s in ((12, 4), (12,), (4,), (4,), (4, 4), (4,)))]

    def call(f, q, k, w, b, bias_k, bias_v, out, shift):
        lib = ig if f is F else torch
        mask = lib.tensor([False, True, False, False, True])
        y, weights = f.multi_head_attention_forward(
            q, k, k, 4, 2, w, b, bias_k, bias_v, True, 0.0, out, shift,
            key_padding_mask=mask if single else lib.stack([mask, ~mask]),
            average_attn_weights=False,
        )  # fmt: skip
        return y.sum(-1) + weights[..., 0].sum()

    beside_torch(call, *arrays)


@pytest.mark.parametrize(
    "options",
    [
        {"add_bias_kv": True}, {"add_zero_attn": True, "batch_first": True, "bias": False},
        {"add_bias_kv": True, "kdim": 6, "vdim": 4},
    ],
)  # fmt: skip
def test_layers_with_more_keys(options):
    theirs = torch.nn.MultiheadAttention(8, 2, dtype=torch.float64, **options)
    ours = ig.nn.MultiheadAttention(8, 2, dtype=ig.float64, **options)
    state = theirs.state_dict().items()
    ours.load_state_dict({name: ig.tensor(v.detach().numpy()) for name, v in state})
    sizes = (8, options.get("kdim", 8), options.get("vdim", 8))
    arrays = [RNG.standard_normal((3, 3, n)) for n in sizes]
    expected = theirs(*map(torch.tensor, arrays))
    for a, b in zip(ours(*map(ig.tensor, arrays)), expected, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-8, atol=1e-10)
