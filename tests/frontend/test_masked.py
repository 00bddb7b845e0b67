"""Masked reductions against NumPy's masked arrays, and windows against their formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import intaglio as ig
from tests.frontend.equal_bits import same

RANDOM = np.random.default_rng(6)
X = RANDOM.standard_normal((4, 6))
MASK = RANDOM.random((4, 6)) < 0.6
MASK[2] = False
HELD = np.ma.array(X, mask=~MASK)


@pytest.mark.parametrize(
    ("name", "neutral"),
    [
        ("sum", 0.0),
        ("prod", 1.0),
        ("mean", np.nan),
        ("var", np.nan),
        ("std", np.nan),
        ("amax", -np.inf),
        ("amin", np.inf),
    ],
)
def test_reductions(name: str, neutral: float) -> None:
    function = getattr(ig.masked, name)
    (made,) = same(lambda x, m: function(x, 1, mask=m), X, MASK)
    spelled = {"amax": "max", "amin": "min"}.get(name, name)
    options = {"ddof": 1} if name in ("var", "std") else {}
    wanted = getattr(HELD, spelled)(1, **options).filled(np.nan)
    for k in range(4):
        if k == 2:
            np.testing.assert_equal(made[k], neutral)
        elif MASK[k].sum() > 1:
            np.testing.assert_allclose(made[k], wanted[k])


def test_others_leave_out_what_is_masked() -> None:
    def several(x: Any, m: Any) -> Any:
        return (
            ig.masked.softmax(x, 1, mask=m),
            ig.masked.logsumexp(x, 1, mask=m),
            ig.masked.cumsum(x, 1, mask=m),
            ig.masked.median(x, 1, mask=m),
            ig.masked.norm(x, 3.0, 1, mask=m),
            ig.masked.argmax(x, 1, mask=m),
        )

    shares, logs, sums, middle, length, place = same(several, X, MASK)
    e = np.where(MASK, np.exp(X), 0)
    live = [0, 1, 3]
    np.testing.assert_allclose(shares[live], e[live] / e[live].sum(1, keepdims=True))
    np.testing.assert_allclose(logs[live], np.log(e[live].sum(1)))
    assert np.isneginf(logs[2]) and np.isnan(shares[2]).all() and np.isnan(middle[2])
    np.testing.assert_allclose(sums, np.cumsum(np.where(MASK, X, 0), 1))
    np.testing.assert_allclose(length, (np.where(MASK, np.abs(X), 0) ** 3).sum(1) ** (1 / 3))
    np.testing.assert_array_equal(place[live], HELD.argmax(1)[live])


def test_derivatives_stay_where_the_mask_is() -> None:
    x = ig.tensor(X, requires_grad=True)
    mask = ig.tensor(MASK)
    for name in ("sum", "mean", "var", "logsumexp"):
        live = mask | ig.tensor([[False], [False], [True], [False]])
        function = getattr(ig.masked, name)
        assert ig.autograd.gradcheck(lambda t, f=function, m=live: f(t, 1, mask=m), [x])
    ig.masked.sum(x, mask=mask).backward()
    np.testing.assert_array_equal(x.grad.numpy(), MASK)


def test_masks_refuse() -> None:
    with pytest.raises(ig.IndexError, match="more dimensions"):
        ig.masked.sum(ig.ones(3), mask=ig.ones(2, 3, dtype=ig.bool))
    with pytest.raises(ig.DTypeError, match="no mean"):
        ig.masked.mean(ig.arange(3))


NUMPY = {
    "hann": np.hanning,
    "hamming": np.hamming,
    "blackman": np.blackman,
    "bartlett": np.bartlett,
}


@pytest.mark.parametrize("name", sorted(NUMPY))
def test_windows(name: str) -> None:
    window = getattr(ig.signal.windows, name)
    for m in (0, 1, 2, 9):
        np.testing.assert_allclose(window(m, dtype=ig.float64).numpy(), NUMPY[name](m), atol=1e-12)
    periodic = getattr(ig, f"{name}_window")(8, dtype=ig.float64)
    np.testing.assert_allclose(periodic.numpy(), NUMPY[name](9)[:8], atol=1e-12)
    traced = ig.jit(lambda: window(9))()
    assert traced.numpy().tobytes() == window(9).numpy().tobytes()


def test_windows_with_parameters() -> None:
    made = ig.signal.windows.kaiser(9, beta=5.0, dtype=ig.float64)
    np.testing.assert_allclose(made.numpy(), np.kaiser(9, 5.0))
    n = np.arange(9)
    np.testing.assert_allclose(
        ig.signal.windows.gaussian(9, std=2.0, dtype=ig.float64).numpy(),
        np.exp(-((n - 4) ** 2) / 8),
    )
    np.testing.assert_allclose(
        ig.signal.windows.exponential(9, tau=2.0, dtype=ig.float64).numpy(), np.exp(-abs(n - 4) / 2)
    )
    with pytest.raises(ig.ArgumentError, match="above 0"):
        ig.signal.windows.gaussian(9, std=0.0)
    with pytest.raises(ig.DTypeError, match="float32 or float64"):
        ig.signal.windows.hann(9, dtype=ig.float16)
