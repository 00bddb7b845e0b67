"""Pooling, normalization, convolution and resizing beside torch, in f64: results, gradients,
positions, state names, random weights' shapes, running statistics."""

import numpy as np
import pytest

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn

torch = pytest.importorskip("torch")
TF = torch.nn.functional
pytestmark = pytest.mark.torch


def close(ours, theirs, what=""):
    ours, theirs = np.asarray(ours.detach().numpy()), theirs.detach().numpy()
    assert ours.shape == theirs.shape, what
    assert ours.dtype == theirs.dtype, what
    np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-9, err_msg=what)


def both(call, *arrays):
    """A function of (functional module, tensors) in both libraries: results and gradients."""
    made = []
    for lib, f in ((ig, F), (torch, TF)):
        xs = [lib.tensor(a) for a in arrays]
        for x in xs:
            if x.dtype == lib.float64:
                x.requires_grad_()
        ys = call(f, *xs)
        ys = ys if isinstance(ys, tuple) else (ys,)
        y = ys[0]
        weights = np.random.default_rng(2).standard_normal(tuple(y.shape))
        (y * lib.tensor(weights)).sum().backward()
        made.append([*ys, *(x.grad for x in xs if x.requires_grad)])
    for k, (a, b) in enumerate(zip(*made, strict=True)):
        close(a, b, str(k))


def data(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


# ------------------------------------------------------------------------------------------ pooling

SHAPES = {1: (2, 3, 17), 2: (2, 3, 11, 14), 3: (2, 2, 7, 8, 6)}
WINDOWS = [
    {"kernel_size": 2},
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": 3, "stride": 1, "padding": 1},
    {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    {"kernel_size": 4, "stride": 3, "padding": 2, "ceil_mode": True},
    {"kernel_size": 2, "stride": 4},
]


def of_rank(options, rank):
    """Some options as tuples."""
    made = dict(options)
    made["kernel_size"] = tuple(made["kernel_size"] + (k == rank - 1) for k in range(rank))
    return made


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("options", WINDOWS)
def test_max_pool(options, dilation, rank):
    given = of_rank(options, rank) if dilation == 2 else options
    both(
        lambda f, x: getattr(f, f"max_pool{rank}d")(
            x, dilation=dilation, return_indices=True, **given
        ),
        data(*SHAPES[rank]),
    )


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("options", WINDOWS)
def test_avg_pool(options, include, rank):
    given = of_rank(options, rank) if include else options
    both(
        lambda f, x: getattr(f, f"avg_pool{rank}d")(x, count_include_pad=include, **given),
        data(*SHAPES[rank]),
    )


@pytest.mark.parametrize("rank", [2, 3])
def test_avg_pool_with_another_divisor(rank):
    both(
        lambda f, x: getattr(f, f"avg_pool{rank}d")(x, 3, 2, 1, divisor_override=5),
        data(*SHAPES[rank]),
    )


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_pooling_without_a_batch(rank):
    shape = SHAPES[rank][1:]
    both(lambda f, x: getattr(f, f"max_pool{rank}d")(x, 2), data(*shape))
    both(lambda f, x: getattr(f, f"avg_pool{rank}d")(x, 2), data(*shape))


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": (9, 11), "stride": (3, 2), "padding": (4, 5)},
        {"kernel_size": (2, 80), "stride": (1, 7)},
        {"kernel_size": (3, 70), "stride": (2, 1), "padding": (1, 35), "ceil_mode": True},
    ],
)
def test_large_windows(options):
    x = data(2, 2, 12, 90)
    both(lambda f, x: f.max_pool2d(x, return_indices=True, **options), x)
    both(lambda f, x: f.avg_pool2d(x, count_include_pad=False, **options), x)


def test_maxima_of_equal_and_extreme_elements():
    x = np.round(data(2, 3, 9, 9))
    x[0, 0, :4, :4] = -np.inf
    x[0, 1, 2, 3], x[1, 1, 5:7, 5:7] = np.nan, np.inf
    both(lambda f, x: f.max_pool2d(x, 3, 2, 1, return_indices=True), x)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("output", [1, 2, 3, 5])
def test_adaptive_pooling(output, rank):
    x = data(*SHAPES[rank])
    both(lambda f, x: getattr(f, f"adaptive_avg_pool{rank}d")(x, output), x)
    both(lambda f, x: getattr(f, f"adaptive_max_pool{rank}d")(x, output, True), x)


@pytest.mark.parametrize("output", [(3, None), (None, 2), (4, 7), (1, 14), (1, 1)])
def test_adaptive_pooling_with_sizes_for_each_dimension(output):
    x = data(*SHAPES[2])
    both(lambda f, x: f.adaptive_avg_pool2d(x, output), x)
    both(lambda f, x: f.adaptive_max_pool2d(x, output, True), x)


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_lp_pool(p, ceil_mode):
    both(lambda f, x: f.lp_pool1d(x, p, 3, 2, ceil_mode), np.abs(data(*SHAPES[1])))
    both(lambda f, x: f.lp_pool2d(x, p, (3, 2), 2, ceil_mode), np.abs(data(*SHAPES[2])))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_max_unpool(rank):
    def call(f, x):
        values, positions = getattr(f, f"max_pool{rank}d")(x, 2, return_indices=True)
        return getattr(f, f"max_unpool{rank}d")(values * values, positions, 2)

    both(call, data(*SHAPES[rank]))


# ------------------------------------------------------------------------------------ normalization


@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 7), (1, 3, 9), (4, 3, 5, 6), (2, 3, 2, 3, 4)])
@pytest.mark.parametrize("plain", [False, True])
def test_batch_norm_by_the_batch(shape, plain):
    w, b = data(3, seed=3), data(3, seed=4)
    if plain:
        both(lambda f, x: f.batch_norm(x, None, None, training=True), data(*shape))
    else:
        both(lambda f, x, w, b: f.batch_norm(x, None, None, w, b, True, 0.1, 1e-3),
             data(*shape), w, b)  # fmt: skip


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 5, 6)])
def test_batch_norm_by_running_statistics(shape):
    mean, var = data(3, seed=5), np.abs(data(3, seed=6))
    both(lambda f, x, w, b, m, v: f.batch_norm(x, m.detach(), v.detach(), w, b) + 0 * (m + v).sum(),
         data(*shape), data(3, seed=3), data(3, seed=4), mean, var)  # fmt: skip


@pytest.mark.parametrize("shape", [(5, 6, 4), (3, 6, 4, 5), (2, 6, 2, 3, 4)])
def test_instance_group_and_response_norm(shape):
    w, b = data(6, seed=3), data(6, seed=4)
    both(lambda f, x, w, b: f.instance_norm(x, None, None, w, b), data(*shape), w, b)
    both(lambda f, x, w, b: f.group_norm(x, 3, w, b, 1e-3), data(*shape), w, b)
    both(lambda f, x: f.group_norm(x, 2), data(*shape))
    both(lambda f, x: f.local_response_norm(x, 3, 0.1, 0.75, 2.0), data(*shape))
    both(lambda f, x: f.local_response_norm(x, 4), data(*shape))


NORMS = {
    "batch_1d": (lambda n: n.BatchNorm1d(4), (6, 4)),
    "batch_1d_long": (lambda n: n.BatchNorm1d(4, momentum=0.3), (3, 4, 5)),
    "batch_2d": (lambda n: n.BatchNorm2d(4, eps=1e-3), (3, 4, 5, 6)),
    "batch_2d_average": (lambda n: n.BatchNorm2d(4, momentum=None), (3, 4, 5, 6)),
    "batch_2d_plain": (lambda n: n.BatchNorm2d(4, affine=False), (3, 4, 5, 6)),
    "batch_2d_untracked": (lambda n: n.BatchNorm2d(4, track_running_stats=False), (3, 4, 5, 6)),
    "batch_no_bias": (lambda n: n.BatchNorm1d(4, bias=False), (6, 4)),
    "batch_3d": (lambda n: n.BatchNorm3d(4), (2, 4, 3, 4, 5)),
    "instance_1d": (lambda n: n.InstanceNorm1d(4, affine=True), (3, 4, 7)),
    "instance_2d": (lambda n: n.InstanceNorm2d(4), (3, 4, 5, 6)),
    "instance_tracked": (lambda n: n.InstanceNorm2d(4, track_running_stats=True), (3, 4, 5, 6)),
    "instance_unbatched": (lambda n: n.InstanceNorm2d(4, affine=True), (4, 5, 6)),
    "group": (lambda n: n.GroupNorm(2, 4), (3, 4, 5)),
    "response": (lambda n: n.LocalResponseNorm(2), (3, 4, 5)),
}


def same_state(ours, theirs):
    ours.double()
    theirs.double()
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator).double())
    for (key, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert tuple(a.shape) == tuple(b.shape), key
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})


@pytest.mark.parametrize("name", NORMS)
def test_norm_layers_in_training_and_evaluation(name):
    make, shape = NORMS[name]
    ours, theirs = make(nn), make(torch.nn)
    same_state(ours, theirs)
    for step in range(3):
        compare(ours, theirs, data(*shape, seed=step) * 2 + 1)
    ours.eval(), theirs.eval()
    compare(ours, theirs, data(*shape, seed=9))


def compare(ours, theirs, array, *more):
    results = []
    for lib, module in ((ig, ours), (torch, theirs)):
        for p in module.parameters():
            p.grad = None
        x = lib.tensor(array).requires_grad_()
        y = module(x, *more)
        ys = y if isinstance(y, tuple) else (y,)
        weights = np.random.default_rng(2).standard_normal(tuple(ys[0].shape))
        (ys[0] * lib.tensor(weights)).sum().backward()
        state = list(module.state_dict().values())
        results.append([*ys, x.grad, *(p.grad for p in module.parameters()), *state])
    for k, (a, b) in enumerate(zip(*results, strict=True)):
        close(a, b, str(k))


# ----------------------------------------------------------------------------- layers by themselves

LAYERS = {
    "max_1d": (lambda n: n.MaxPool1d(3, 2, 1), (2, 3, 9)),
    "max_2d": (lambda n: n.MaxPool2d((3, 2), padding=1, ceil_mode=True), (2, 3, 9, 8)),
    "max_2d_indices": (lambda n: n.MaxPool2d(2, return_indices=True), (2, 3, 9, 8)),
    "max_3d": (lambda n: n.MaxPool3d(2), (2, 3, 5, 4, 6)),
    "avg_1d": (lambda n: n.AvgPool1d(3, 2, 1), (2, 3, 9)),
    "avg_2d": (lambda n: n.AvgPool2d(3, padding=1, count_include_pad=False), (2, 3, 9, 8)),
    "avg_3d": (lambda n: n.AvgPool3d(2), (2, 3, 5, 4, 6)),
    "adaptive_avg_1d": (lambda n: n.AdaptiveAvgPool1d(4), (2, 3, 9)),
    "adaptive_avg_2d": (lambda n: n.AdaptiveAvgPool2d((1, 1)), (2, 3, 9, 8)),
    "adaptive_avg_3d": (lambda n: n.AdaptiveAvgPool3d(2), (2, 3, 5, 4, 6)),
    "adaptive_max_1d": (lambda n: n.AdaptiveMaxPool1d(4), (2, 3, 9)),
    "adaptive_max_2d": (lambda n: n.AdaptiveMaxPool2d((None, 3)), (2, 3, 9, 8)),
    "adaptive_max_3d": (lambda n: n.AdaptiveMaxPool3d(2), (2, 3, 5, 4, 6)),
    "lp_2d": (lambda n: n.LPPool2d(2, 2, ceil_mode=True), (2, 3, 9, 8)),
    "zero_pad": (lambda n: n.ZeroPad2d((1, 2, 0, 3)), (2, 3, 4, 5)),
    "constant_pad": (lambda n: n.ConstantPad1d(2, 1.5), (2, 3, 4)),
    "reflection_pad": (lambda n: n.ReflectionPad2d(2), (2, 3, 4, 5)),
    "replication_pad": (lambda n: n.ReplicationPad1d((3, 1)), (2, 3, 4)),
    "circular_pad": (lambda n: n.CircularPad2d((1, 2, 1, 0)), (2, 3, 4, 5)),
    "upsample": (lambda n: n.Upsample(scale_factor=2), (2, 3, 4, 5)),
    "upsample_size": (lambda n: n.Upsample((7, 9), mode="bilinear"), (2, 3, 4, 5)),
    "upsample_bilinear": (lambda n: n.UpsamplingBilinear2d(scale_factor=2), (2, 3, 4, 5)),
    "upsample_nearest": (lambda n: n.UpsamplingNearest2d((6, 9)), (2, 3, 4, 5)),
    "pixel_shuffle": (lambda n: n.PixelShuffle(2), (2, 8, 3, 4)),
    "pixel_unshuffle": (lambda n: n.PixelUnshuffle(2), (2, 3, 4, 6)),
    "channel_shuffle": (lambda n: n.ChannelShuffle(3), (2, 6, 4, 5)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_without_weights(name):
    make, shape = LAYERS[name]
    ours, theirs = make(nn), make(torch.nn)
    same_state(ours, theirs)
    compare(ours, theirs, np.abs(data(*shape)) if name.startswith("lp") else data(*shape))


CONVOLUTIONS = {
    "1d": (lambda n: n.Conv1d(4, 6, 3), (2, 4, 9)),
    "1d_same": (lambda n: n.Conv1d(4, 6, 4, padding="same", dilation=2), (2, 4, 9)),
    "1d_valid": (lambda n: n.Conv1d(4, 6, 3, padding="valid", bias=False), (2, 4, 9)),
    "1d_circular": (lambda n: n.Conv1d(4, 6, 3, padding=2, padding_mode="circular"), (2, 4, 9)),
    "2d": (lambda n: n.Conv2d(4, 6, 3, 2, 1), (2, 4, 9, 8)),
    "2d_unbatched": (lambda n: n.Conv2d(4, 6, (3, 2), padding=(0, 1)), (4, 9, 8)),
    "2d_groups": (lambda n: n.Conv2d(4, 6, 3, dilation=(1, 2), groups=2), (2, 4, 9, 8)),
    "2d_depthwise": (lambda n: n.Conv2d(4, 8, 3, padding=1, groups=4), (2, 4, 9, 8)),
    "2d_reflect": (lambda n: n.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), (2, 4, 9, 8)),
    "2d_replicate": (
        lambda n: n.Conv2d(4, 6, 3, padding="same", padding_mode="replicate"),
        (2, 4, 9, 8),
    ),
    "3d": (lambda n: n.Conv3d(2, 3, 2, (1, 2, 1), 1), (2, 2, 4, 5, 6)),
    "transposed_1d": (lambda n: n.ConvTranspose1d(4, 6, 3, 2, 1, 1), (2, 4, 5)),
    "transposed_2d": (lambda n: n.ConvTranspose2d(4, 6, 3, (2, 1), 1, groups=2), (2, 4, 5, 4)),
    "transposed_3d": (
        lambda n: n.ConvTranspose3d(2, 3, 2, 2, output_padding=1, bias=False, dilation=2),
        (2, 2, 2, 3, 3),
    ),
}


@pytest.mark.skipif(not hasattr(F, "conv2d"), reason="functional has no convolutions")
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution_layers(name):
    make, shape = CONVOLUTIONS[name]
    ours, theirs = make(nn), make(torch.nn)
    same_state(ours, theirs)
    compare(ours, theirs, data(*shape))


@pytest.mark.skipif(not hasattr(F, "conv2d"), reason="functional has no convolutions")
def test_output_size_of_a_transposed_convolution():
    ours, theirs = nn.ConvTranspose2d(3, 2, 3, 2, 1), torch.nn.ConvTranspose2d(3, 2, 3, 2, 1)
    same_state(ours, theirs)
    for size in ([9, 9], [10, 9], [10, 10]):
        compare(ours, theirs, data(1, 3, 5, 5), size)


# ----------------------------------------------------------------------------------------- resizing


@pytest.mark.parametrize("how", [{"size": 7}, {"size": 3}, {"scale_factor": 2},
                                 {"scale_factor": 1.7}, {"scale_factor": 0.6}])  # fmt: skip
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_interpolate(rank, how):
    x = data(2, 2, *(5, 6, 4)[:rank])
    linear = ("linear", "bilinear", "trilinear")[rank - 1]
    for mode in ("nearest", "nearest-exact", "area", linear):
        both(lambda f, x, mode=mode: f.interpolate(x, mode=mode, **how), x)
    both(lambda f, x: f.interpolate(x, mode=linear, align_corners=True, **how), x)
    if "scale_factor" in how:
        both(lambda f, x: f.interpolate(x, mode=linear, recompute_scale_factor=True, **how), x)


# ------------------------------------------------------------------------------------------ dropout


@pytest.mark.parametrize(
    ("name", "shape"),
    [("Dropout1d", (50, 40, 3)), ("Dropout2d", (50, 40, 2, 3)), ("Dropout3d", (50, 40, 1, 2, 3))],
)
def test_channel_dropout_drops_whole_channels(name, shape):
    layer = getattr(nn, name)(0.3)
    made = layer(ig.ones(shape)).numpy().reshape(2000, -1)
    assert (made == made[:, :1]).all()
    assert set(np.unique(made)) == {0.0, np.float32(1 / 0.7)}
    assert abs((made[:, 0] == 0).mean() - 0.3) < 0.05
    assert repr(layer) == repr(getattr(torch.nn, name)(0.3))
    x = ig.ones(shape)
    assert layer.eval()(x) is x
