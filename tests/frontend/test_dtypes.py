"""Every dtype through the front end: short floats rounded once per function, eager and compiled
with equal bits, with derivatives; integers at their edges."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import intaglio as ig
import intaglio.nn.functional as F

HALVES = {ig.float16: np.dtype(np.float16), ig.bfloat16: np.dtype(ml_dtypes.bfloat16)}
FLOATS = (ig.float64, ig.float32, ig.float16, ig.bfloat16)
INTEGERS = (ig.int64, ig.int32, ig.int16, ig.int8, ig.uint8)


def normal(*shape: int, seed: int = 0) -> ig.Tensor:
    """Normal numbers in f32."""
    return ig.tensor(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def bits(x: ig.Tensor) -> np.ndarray[Any, Any]:
    """The bits of a tensor's elements."""
    array = np.ascontiguousarray(x.detach().numpy())
    return array.view(f"u{array.dtype.itemsize}")


def network(x: ig.Tensor, w: ig.Tensor, b: ig.Tensor) -> tuple[ig.Tensor, ...]:
    """A layer, a norm, an attention, sums, an index and a prefix sum."""
    h = F.layer_norm(F.gelu(x @ w + b), (24,))
    attended = F.scaled_dot_product_attention(h, h, h, is_causal=True)
    loss = (attended * h).mean() + ig.logsumexp(h, 1).sum()
    return loss, attended, h.cumsum(1), h.sort(dim=0)[0], h[:, ::2].max(1)[0], h.std(0)


@pytest.mark.parametrize("dtype", HALVES)
def test_eager_compiled_and_loaded_have_equal_bits(dtype: ig.DType, tmp_path: Any) -> None:
    x, w, b = (normal(*s, seed=k).to(dtype) for k, s in enumerate([(9, 16), (16, 24), (24,)]))
    eager = network(x, w, b)
    program = ig.trace(network, x, w, b)
    program.save(tmp_path / "m.ig")
    for made in (ig.jit(network)(x, w, b), ig.load(tmp_path / "m.ig")(x, w, b)):
        for one, other in zip(eager, made, strict=True):
            other = other if isinstance(other, ig.Tensor) else ig.from_numpy(other)
            assert one.dtype is dtype and other.dtype is dtype
            np.testing.assert_array_equal(bits(one), bits(other))


@pytest.mark.parametrize("dtype", HALVES)
def test_convolutions_and_loops_have_equal_bits(dtype: ig.DType) -> None:
    image, w1 = normal(2, 3, 11, 11).to(dtype), normal(32, 3, 3, 3, seed=1).to(dtype)
    w2 = (normal(32, 32, 3, 3, seed=2) * 0.1).to(dtype)
    lstm, steps = ig.nn.LSTM(8, 5).to(dtype), normal(3, 2, 8).to(dtype)

    def images(x: ig.Tensor, w1: ig.Tensor, w2: ig.Tensor) -> tuple[ig.Tensor, ...]:
        h = F.max_pool2d(F.relu(F.conv2d(x, w1, padding=1)), 2)
        return F.relu(F.conv2d(h, w2, padding=1) + h), F.conv_transpose2d(h, w2, stride=2)

    pairs = list(zip(images(image, w1, w2), ig.jit(images)(image, w1, w2), strict=True))
    pairs.append((lstm(steps)[0], ig.jit(lambda x: lstm(x)[0])(steps)))
    for eager, compiled in pairs:
        assert eager.dtype is dtype
        np.testing.assert_array_equal(bits(eager), bits(compiled))


def test_composites_round_once() -> None:
    """Each is the f32 function of the same numbers, rounded."""
    composites = [
        lambda x: F.softmax(x, -1),
        lambda x: F.log_softmax(x, -1),
        lambda x: F.layer_norm(x, (40,)),
        lambda x: F.rms_norm(x, (40,), eps=1e-5),
        lambda x: F.gelu(x),
        lambda x: F.silu(x),
        lambda x: F.softplus(x),
        lambda x: F.mse_loss(x, x.flip(0)),
        lambda x: F.cross_entropy(x, ig.arange(6)),
        lambda x: F.avg_pool1d(x, 3),
        lambda x: F.group_norm(x.reshape(2, 3, 40), 3),
        lambda x: F.batch_norm(x, None, None, training=True),
        lambda x: ig.addcmul(x, x, x, value=0.3),
        lambda x: ig.lerp(x, x.flip(0), 0.3),
        lambda x: x.mean(1),
        lambda x: x.var(0),
        lambda x: ig.logsumexp(x, 1),
        lambda x: ig.linalg.vector_norm(x, dim=1),
        lambda x: ig.hypot(x, x),
    ]
    for dtype, twin in HALVES.items():
        x = normal(6, 40).to(dtype)
        for function in composites:
            made, wide = function(x), function(x.float())
            assert made.dtype is dtype
            expected = wide.numpy().astype(twin).view(np.uint16)
            np.testing.assert_array_equal(bits(made), expected)


def test_nothing_overflows_on_the_way() -> None:
    x = ig.full((70000,), 2.0, dtype=ig.float16)
    assert x.mean().item() == 2.0
    assert ig.hypot(x[:1] * 150, x[:1] * 200).item() == 500.0
    assert ig.linalg.vector_norm(x[:4] * 150).item() == 600.0
    assert x.sum().item() == np.inf  # 140000 is no f16
    assert ig.sum(x, dtype=ig.float32).item() == 140000.0


@pytest.mark.parametrize("dtype", HALVES)
def test_derivatives_are_those_of_f32_rounded(dtype: ig.DType) -> None:
    x = normal(5, 8).to(dtype).requires_grad_(True)
    w = normal(8, 3, seed=1).to(dtype).requires_grad_(True)
    F.cross_entropy(F.silu(x) @ w, ig.tensor([0, 1, 2, 0, 1])).backward()
    x32, w32 = (t.detach().float().requires_grad_(True) for t in (x, w))
    F.cross_entropy(F.silu(x32) @ w32, ig.tensor([0, 1, 2, 0, 1])).backward()
    for one, other in ((x, x32), (w, w32)):
        assert one.grad is not None and other.grad is not None
        assert one.grad.dtype is dtype
        close = 2.0**-9 if dtype is ig.float16 else 2.0**-6
        np.testing.assert_allclose(
            one.grad.float().numpy(), other.grad.numpy(), rtol=4 * close, atol=close
        )


def test_running_statistics_keep_their_dtype() -> None:
    x = normal(16, 3).to(ig.bfloat16)
    for dtype in (ig.float32, ig.bfloat16):
        mean, variance = ig.zeros(3, dtype=dtype), ig.ones(3, dtype=dtype)
        made = F.batch_norm(x, mean, variance, training=True, momentum=1.0)
        assert made.dtype is ig.bfloat16 and mean.dtype is dtype
        np.testing.assert_allclose(mean.float().numpy(), x.float().mean(0).numpy(), atol=4e-3)


def test_every_cast_between_dtypes() -> None:
    numbers = [0.0, 1.0, 2.5, 100.0, 120.25]
    every = (*FLOATS, *INTEGERS, ig.bool)
    for source in every:
        x = ig.tensor(numbers, dtype=ig.float64).to(source)
        all_compiled = ig.jit(lambda t: tuple(t.to(dtype) for dtype in every))(x)
        for target, compiled in zip(every, all_compiled, strict=True):
            eager = x.to(target)
            assert eager.dtype is target and compiled.dtype is target
            np.testing.assert_array_equal(bits(eager), bits(compiled))
            back = eager.to(ig.float64).numpy()
            if target is not ig.bool and source is not ig.bool:
                whole = x.to(ig.float64).numpy()
                whole = np.trunc(whole) if target in INTEGERS else whole
                assert abs(back - whole).max() <= (0.5 if target is ig.bfloat16 else 0.1)


# ----------------------------------------------------------------------------------- integer edges


@pytest.mark.parametrize("dtype", (ig.int64, ig.int32, ig.int16, ig.int8))
def test_signed_edges_are_defined(dtype: ig.DType) -> None:
    low = int(np.iinfo(dtype.numpy).min)
    a = ig.tensor([low, low, 7, -7, 0] * 20, dtype=dtype)
    b = ig.tensor([-1, 0, 0, 2, 0] * 20, dtype=dtype)

    def edges(a: ig.Tensor, b: ig.Tensor) -> tuple[ig.Tensor, ...]:
        return ig.floor_divide(a, b), ig.remainder(a, b), ig.fmod(a, b), -a, ig.abs(a), a * b

    wanted = (
        [low, 0, 0, -4, 0],
        [0, 0, 0, 1, 0],
        [0, 0, 0, -1, 0],
        [low, low, -7, 7, 0],
        [low, low, 7, 7, 0],
        [low, 0, 0, -14, 0],
    )
    for made in (edges(a, b), ig.jit(edges)(a, b)):
        for got, want in zip(made, wanted, strict=True):
            assert got.dtype is dtype
            assert got.tolist() == want * 20


@pytest.mark.parametrize("dtype", INTEGERS)
def test_shifts_by_the_width_and_more_shift_everything_out(dtype: ig.DType) -> None:
    width = 8 * dtype.itemsize
    a = ig.tensor([1, 5, 100] * 30, dtype=dtype)
    for count in (width, width + 1, 100):
        n = ig.full((90,), count, dtype=dtype)
        for left, right in ((a << n, a >> n), ig.jit(lambda a, n: (a << n, a >> n))(a, n)):
            assert not left.any().item() and not right.any().item()
    if dtype is not ig.uint8:
        minus = ig.full((3,), -5, dtype=dtype)
        assert (minus >> ig.full((3,), width, dtype=dtype)).tolist() == [-1] * 3


def test_floats_that_fit_no_integer() -> None:
    numbers = [float("nan"), float("inf"), -float("inf"), 1e30, -1e30, -1.9, 1.9]
    ends = {ig.int64: (-(1 << 63), (1 << 63) - 1), ig.int32: (-(1 << 31), (1 << 31) - 1)}
    for source in FLOATS:
        x = ig.tensor(numbers * 10, dtype=ig.float64).to(source)
        for target, (low, high) in ends.items():
            wanted = [0, high, low, high, low, -1, 1] * 10
            assert x.to(target).tolist() == wanted
            assert ig.jit(lambda t, d=target: t.to(d))(x).tolist() == wanted


def test_integers_of_every_width_wrap() -> None:
    for dtype in INTEGERS:
        info = np.iinfo(dtype.numpy)
        high = ig.full((70,), int(info.max), dtype=dtype)
        one = ig.ones(70, dtype=dtype)
        for made in (high + one, ig.jit(ig.add)(high, one)):
            assert made.dtype is dtype
            assert set(made.tolist()) == {int(info.min)}
        total = high.sum()
        assert total.dtype is ig.int64
        if dtype is not ig.int64:
            assert total.item() == 70 * int(info.max)
