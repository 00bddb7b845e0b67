"""Images read and resized at computed places, windows at random places, bags of rows, and attention
with heads, beside NumPy."""

import itertools
import math

import numpy as np
import pytest

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn

RNG = np.random.default_rng(5)
X = RNG.standard_normal((2, 3, 5, 6))


def close(ours, expected):
    np.testing.assert_allclose(ours.detach().numpy(), expected, rtol=1e-10, atol=1e-12)


# ----------------------------------------------------------------------------------------- resizing


def test_cubic_resizing_goes_through_polynomials():
    """Cubic convolution reproduces straight lines away from the edges, and keeps equal sizes."""
    ramp = ig.tensor(np.arange(12.0).reshape(1, 1, 1, 12).repeat(3, 2))
    y = F.interpolate(ramp, size=(3, 23), mode="bicubic", align_corners=True)
    close(y[0, 0, 1, 2:-2], np.linspace(0, 11, 23)[2:-2])
    close(F.interpolate(ramp, size=(3, 12), mode="bicubic"), ramp.numpy())
    y = F.interpolate(ig.ones((1, 1, 7, 9)), scale_factor=1.7, mode="bicubic")
    np.testing.assert_allclose(y.numpy(), 1.0, rtol=1e-6)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "lanczos"])
def test_smoothing_keeps_means_of_halved_images(mode):
    x = ig.tensor(X[:, :, :4]).requires_grad_()
    y = F.interpolate(x, size=(2, 3), mode=mode, antialias=True)
    flat = F.interpolate(ig.ones((1, 1, 4, 6)), size=(2, 3), mode=mode, antialias=True)
    np.testing.assert_allclose(flat.numpy(), 1.0, rtol=1e-6)
    if mode == "bilinear":  # a triangle over four elements: 1, 3, 3, 1 eighths; 3, 3, 1 at edges
        rows = np.array([[3, 3, 1, 0], [0, 1, 3, 3]]) / 7
        columns = np.array([[3, 3, 1, 0, 0, 0], [0, 1, 3, 3, 1, 0], [0, 0, 0, 1, 3, 3]]) / [
            [7], [8], [7],
        ]  # fmt: skip
        close(y, rows @ X[:, :, :4] @ columns.T)
    y.sum().backward()
    assert x.grad.numpy().sum() == pytest.approx(2 * 3 * 6)


def test_former_names_of_resizing():
    x = ig.tensor(X)
    close(F.upsample_nearest(x, scale_factor=2), X.repeat(2, 2).repeat(2, 3))
    same = F.interpolate(x, size=(9, 7), mode="bilinear", align_corners=True)
    close(F.upsample_bilinear(x, size=(9, 7)), same.numpy())
    close(F.upsample(x, (9, 7), mode="bilinear", align_corners=True), same.numpy())


# -------------------------------------------------------------------------------------------- grids


def naive_bilinear(x, grid, align):
    n, c, h, w = x.shape
    out = np.zeros((n, c, *grid.shape[1:3]))
    for b, i, j in np.ndindex(*grid.shape[:3]):
        px, py = (
            (g + 1) / 2 * (s - 1) if align else ((g + 1) * s - 1) / 2
            for g, s in zip(grid[b, i, j], (w, h), strict=True)
        )  # fmt: skip
        for dy, dx in itertools.product((0, 1), repeat=2):
            y0, x0 = math.floor(py) + dy, math.floor(px) + dx
            if 0 <= y0 < h and 0 <= x0 < w:
                out[b, :, i, j] += x[b, :, y0, x0] * (1 - abs(py - y0)) * (1 - abs(px - x0))
    return out


@pytest.mark.parametrize("align", [False, True])
def test_grid_sample(align):
    grid = RNG.uniform(-1.3, 1.3, (2, 4, 3, 2))
    made = F.grid_sample(ig.tensor(X), ig.tensor(grid), align_corners=align)
    close(made, naive_bilinear(X, grid, align))
    theta = ig.tensor(np.array([[[1.0, 0, 0], [0, 1, 0]], [[0, 1.0, 0], [-1, 0, 0]]]))
    at = F.affine_grid(theta, (2, 3, 5, 5), align)
    turned = F.grid_sample(ig.tensor(X[..., :5]), at, align_corners=align)
    close(turned[0], X[0, :, :, :5])
    close(turned[1], np.rot90(X[1, :, :, :5], -1, (1, 2)))


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_grid_sample_derivatives_and_bits(mode, padding):
    x = ig.tensor(X[:1, :1, :3, :4]).requires_grad_()
    grid = ig.tensor(np.array([[[[-1.4, 0.3], [0.1, 0.2]], [[0.7, 1.6], [2.1, -0.4]]]]))
    grid.requires_grad_(mode != "nearest")

    def sample(a, g):
        return F.grid_sample(a, g, mode, padding, False)

    assert ig.autograd.gradcheck(sample, (x, grid))
    eager = sample(x, grid).detach().numpy()
    np.testing.assert_array_equal(eager, ig.jit(sample)(x, grid).detach().numpy())


# ------------------------------------------------------------------------------------------ windows


def test_fractional_pooling_reads_windows_where_the_samples_say():
    samples = RNG.uniform(0, 1, (2, 3, 2))
    x, draw = ig.tensor(X), ig.tensor(samples)
    y, places = F.fractional_max_pool2d(
        x, 2, output_size=(3, 4), return_indices=True, _random_samples=draw
    )
    for n, c in np.ndindex(2, 3):
        starts = []
        for u, size, count in zip(samples[n, c], (6, 5), (4, 3), strict=True):
            step = (size - 2) / (count - 1)
            first = [int((k + u) * step) - int(u * step) for k in range(count - 1)]
            starts.append([*first, size - 2])
        for i, j in np.ndindex(3, 4):
            top, left = starts[1][i], starts[0][j]
            window = X[n, c, top : top + 2, left : left + 2]
            assert y[n, c, i, j].item() == window.max()
            assert X[n, c].flat[places[n, c, i, j].item()] == window.max()
    assert nn.FractionalMaxPool3d(2, output_ratio=0.5)(x[None]).shape == (1, 2, 1, 2, 3)


def test_pools_with_indices_and_without_windows():
    x = ig.tensor(X)
    both = F.max_pool2d_with_indices(x, 2, 1, 0, 1, False, False)
    for a, b in zip(both, F.max_pool2d(x, 2, 1, return_indices=True), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert F.adaptive_avg_pool2d(x, (0, 3)).shape == (2, 3, 0, 3)


def test_sizes_may_be_symbols():
    n, h, w = (ig.Dim(name) for name in "nhw")

    def read(x, grid):
        return F.grid_sample(x, grid, "bilinear", "reflection", False)

    kinds = (ig.spec((n, 2, h, w), "float64"), ig.spec((n, 4, 3, 2), "float64"))
    program = ig.trace(read, *kinds)
    x, grid = X[:, :2], RNG.uniform(-3, 3, (2, 4, 3, 2))
    np.testing.assert_array_equal(program(x, grid), read(*map(ig.tensor, (x, grid))).numpy())


def test_unpooling_derivative_reads_where_it_wrote():
    x = ig.tensor(np.array([[1.0, 2.0, 3.0]])).requires_grad_()
    y = F.max_unpool1d(x, ig.tensor([[1, 1, 4]]), 2)
    assert y.tolist() == [[0, 2, 0, 0, 3, 0]]
    (y * ig.arange(6)).sum().backward()
    assert x.grad.tolist() == [[1, 1, 4]]


# --------------------------------------------------------------------------------------- embeddings


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_bags(mode):
    table = RNG.standard_normal((6, 3))
    join = {"sum": np.sum, "mean": np.mean, "max": np.max}[mode]
    rows, offsets = np.array([1, 5, 0, 2, 2, 4, 5]), np.array([0, 3, 3])
    weight = ig.tensor(table).requires_grad_()
    made = F.embedding_bag(ig.tensor(rows), weight, ig.tensor(offsets), mode=mode)
    close(made, [join(table[rows[:3]], 0), np.zeros(3), join(table[rows[3:]], 0)])
    fixed = ig.tensor([[1, 5], [0, 2]])
    made = F.embedding_bag(fixed, weight, mode=mode, padding_idx=-1)
    close(made, [table[1], join(table[[0, 2]], 0)])
    made.sum().backward()
    assert weight.grad.numpy()[5].tolist() == [0, 0, 0]
    assert weight.grad.numpy().sum() == pytest.approx(9 if mode == "sum" else 6)


def test_options_of_embeddings():
    table = ig.tensor(np.array([[3.0, 4.0], [0.3, 0.4], [6.0, 8.0]])).requires_grad_()
    y = F.embedding(ig.tensor([0, 0, 1]), table, max_norm=1.0, scale_grad_by_freq=True)
    np.testing.assert_allclose(y.detach().numpy()[0], [0.6, 0.8], rtol=1e-6)
    assert table.detach().numpy()[2].tolist() == [6, 8]
    y.sum().backward()
    assert table.grad.tolist() == [[1, 1], [1, 1], [0, 0]]
    bag = nn.EmbeddingBag(4, 2, mode="sum", padding_idx=0)
    assert bag(ig.tensor([[0, 0]])).tolist() == [[0, 0]]
    frozen = nn.Embedding.from_pretrained(table.detach())
    assert not frozen.weight.requires_grad and frozen(ig.tensor([1])).shape == (1, 2)


# ---------------------------------------------------------------------------------------- attention


def test_heads_as_functions_are_the_layer():
    layer = nn.MultiheadAttention(8, 2)
    q, k = ig.randn(3, 2, 8), ig.randn(5, 2, 8)
    mask = ig.randn(3, 5)
    expected, shares = layer(q, k, k, attn_mask=mask)
    made, weights = F.multi_head_attention_forward(
        q, k, k, 8, 2, layer.in_proj_weight, layer.in_proj_bias, None, None, False, 0.0,
        layer.out_proj.weight, layer.out_proj.bias, attn_mask=mask,
    )  # fmt: skip
    np.testing.assert_allclose(made.detach().numpy(), expected.detach().numpy(), atol=1e-6)
    np.testing.assert_allclose(weights.detach().numpy(), shares.detach().numpy(), atol=1e-6)
    one, share = F.multi_head_attention_forward(
        q[:, 0], k[:, 0], k[:, 0], 8, 2, layer.in_proj_weight, None, q[0, 0], q[0, 0], True, 0.0,
        layer.out_proj.weight, None, key_padding_mask=ig.tensor([False] * 4 + [True]),
    )  # fmt: skip
    assert one.shape == (3, 8) and share.shape == (3, 7)
    np.testing.assert_allclose(share.detach().numpy().sum(-1), 1.0, rtol=1e-6)
    assert not share.detach().numpy()[:, 4].any()


def test_shared_heads():
    q, k = ig.randn(1, 4, 3, 8), ig.randn(1, 2, 5, 8)
    made = F.scaled_dot_product_attention(q, k, k, enable_gqa=True)
    wide = k.repeat_interleave(2, 1)
    expected = F.scaled_dot_product_attention(q, wide, wide)
    np.testing.assert_array_equal(made.numpy(), expected.numpy())


def test_bilinear():
    a, b, w = (
        RNG.standard_normal((4, 3)),
        RNG.standard_normal((4, 2)),
        RNG.standard_normal((5, 3, 2)),
    )
    made = F.bilinear(*map(ig.tensor, (a, b, w)), ig.ones(5, dtype=ig.float64))
    close(made, np.einsum("ni,oij,nj->no", a, w, b) + 1)
    assert nn.Bilinear(3, 2, 5)(ig.ones(4, 3), ig.ones(4, 2)).shape == (4, 5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: F.interpolate(x, 4, align_corners=True), "'nearest' has no align_corners"),
        (lambda x: F.interpolate(x, 4, mode="lanczos"), "lanczos wants antialias"),
        (lambda x: F.interpolate(x, 4, antialias=True), "antialias is for bilinear"),
        (lambda x: F.interpolate(x, scale_factor=0.1, mode="bicubic"), "nothing is left"),
        (lambda x: F.grid_sample(x, x), "2 coordinates last"),
        (lambda x: F.grid_sample(x, x[..., :2], mode="cubic"), "mode is one of"),
        (lambda x: F.affine_grid(x, (2, 3, 4, 4)), "are wanted"),
        (lambda x: F.adaptive_avg_pool2d(x[:, :, :0], 2), "windows over nothing"),
        (lambda x: F.fractional_max_pool2d(x, 3, 5), "5 windows of 3 elements do not fit"),
        (lambda x: F.max_unpool2d(x, x[0], 2), "differ in shape"),
        (lambda x: F.embedding_bag(ig.tensor([1]), x[0, 0]), "takes offsets"),
        (lambda x: F.embedding(x, x[0, 0]), "not integers"),
        (lambda x: F.scaled_dot_product_attention(x, x, x, x[0, 0, 0]), "leading"),
        (lambda x: F.bilinear(x, x, x[0]), "do not fit"),
        (lambda x: F.alpha_dropout(x, 2.0), "between 0 and 1"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ig.Error, match=message):
        call(ig.tensor(X))


def test_alpha_dropout_keeps_mean_and_variance():
    ig.manual_seed(0)
    x = ig.randn(100_000)
    y = F.alpha_dropout(x, 0.3, training=True).numpy()
    assert abs(y.mean()) < 0.02 and abs(y.var() - 1) < 0.03
    assert F.alpha_dropout(x, 0.3) is x
    planes = F.feature_alpha_dropout(ig.ones(50, 4, 7), 0.5, training=True).numpy()
    assert len(np.unique(planes)) == 2 and (planes == planes[:, :, :1]).all()
    hard = F.gumbel_softmax(ig.randn(6, 4), hard=True).numpy()
    assert (np.sort(hard, -1) == [0, 0, 0, 1]).all()
