"""Windows: smooth weights for the samples of a finite stretch, with torch.signal.windows' names.

`sym` makes a window that is its own mirror image, for filters; without it the window is one period
of a longer one, for spectra. All are f32[m] unless another dtype is given."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from intaglio._apply import constant, one
from intaglio._core import Tensor
from intaglio._dtype_names import as_dtype
from intaglio._functions_create import ones
from intaglio._functions_device import on_device
from intaglio._functions_elementwise import abs, cos, exp, sin
from intaglio._promote import cast, get_default_dtype
from intaglio.compiler.dtypes import float32, float64
from intaglio.compiler.errors import ArgumentError, DTypeError


def _made(
    name: str,
    m: int,
    sym: bool,
    shape: Callable[[Tensor, float], Tensor],
    dtype: Any,
    device: Any,
    requires_grad: bool,
    layout: Any = None,
) -> Tensor:
    """`shape(n, period)` at the samples n = 0 to m - 1, computed in f64."""
    wanted = as_dtype(dtype or get_default_dtype())
    if wanted not in (float32, float64):
        raise DTypeError(f"{name}: windows are float32 or float64, not {wanted}")
    if isinstance(m, bool) or not isinstance(m, int) or m < 0:
        raise ArgumentError(f"{name}: the window's length is a count, not {m!r}")
    if layout is not None and "strided" not in str(layout):
        raise ArgumentError(f"{name}: the layout {layout} is not supported; windows are strided")
    if m < 2:
        made = ones(m, dtype=wanted, device=device)
    else:
        n = on_device(one("iota", dtype=float64, shape=(m,), axis=0), device)
        made = cast(shape(n, float(m - 1 if sym else m)), wanted)
    return made.requires_grad_() if requires_grad else made


def _cosines(a: Sequence[float]) -> Callable[[Tensor, float], Tensor]:
    """The sum of (-1)^k a[k] cos(2 pi k n / period)."""

    def shape(n: Tensor, period: float) -> Tensor:
        turn = n * (2 * math.pi / period)
        total = n * 0.0 + float(a[0])
        for k, factor in enumerate(a[1:], 1):
            total = total + cos(turn * float(k)) * (float(factor) * (-1) ** k)
        return total

    return shape


def general_cosine(
    M: int,
    *,
    a: Sequence[float],
    sym: bool = True,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A sum of cosines of 0, 1, 2, ... turns with the weights a, of alternating sign."""
    if isinstance(a, str | bytes | Tensor) or not isinstance(a, Sequence):
        raise ArgumentError(f"general_cosine: a is a list of weights, not {type(a).__name__}")
    if not a:
        raise ArgumentError("general_cosine: the list of weights a is empty")
    return _made("general_cosine", M, sym, _cosines(a), dtype, device, requires_grad, layout)


def general_hamming(
    M: int,
    *,
    alpha: float = 0.54,
    sym: bool = True,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """alpha - (1 - alpha) cos(2 pi n / period)."""
    shape = _cosines([alpha, 1.0 - alpha])
    return _made("general_hamming", M, sym, shape, dtype, device, requires_grad, layout)


def _fixed(name: str, a: Sequence[float], text: str) -> Callable[..., Tensor]:
    def call(
        M: int,
        *,
        sym: bool = True,
        dtype: Any = None,
        layout: Any = None,
        device: Any = None,
        requires_grad: bool = False,
    ) -> Tensor:
        return _made(name, M, sym, _cosines(a), dtype, device, requires_grad, layout)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = text
    return call


hamming = _fixed("hamming", (0.54, 0.46), "0.54 - 0.46 cos(2 pi n / period): a raised cosine.")
hann = _fixed("hann", (0.5, 0.5), "0.5 - 0.5 cos(2 pi n / period), 0 at the ends.")
blackman = _fixed("blackman", (0.42, 0.5, 0.08), "A sum of three cosines; 0 at the ends.")
nuttall = _fixed(
    "nuttall",
    (0.3635819, 0.4891775, 0.1365995, 0.0106411),
    "The sum of four cosines with the least side lobes (Nuttall, 1981).",
)


def bartlett(
    M: int,
    *,
    sym: bool = True,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A triangle, 0 at the ends."""

    def shape(n: Tensor, period: float) -> Tensor:
        return 1.0 - abs(n * (2.0 / period) - 1.0)

    return _made("bartlett", M, sym, shape, dtype, device, requires_grad, layout)


def cosine(
    M: int,
    *,
    sym: bool = True,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Half a turn of the sine."""

    def shape(n: Tensor, period: float) -> Tensor:
        return sin((n + 0.5) * (math.pi / (period + 1.0)))

    return _made("cosine", M, sym, shape, dtype, device, requires_grad, layout)


def exponential(
    M: int,
    *,
    center: float | None = None,
    tau: float = 1.0,
    sym: bool = True,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """exp(-|n - center| / tau); the center of a window with `sym` is its middle."""
    if tau <= 0:
        raise ArgumentError(f"exponential: tau is above 0, not {tau}")
    if sym and center is not None:
        raise ArgumentError("exponential: a symmetric window has its center in the middle")

    def shape(n: Tensor, period: float) -> Tensor:
        middle = period / 2.0 if center is None else float(center)
        return exp(abs(n - middle) * (-1.0 / tau))

    return _made("exponential", M, sym, shape, dtype, device, requires_grad, layout)


def gaussian(
    M: int,
    *,
    std: float = 1.0,
    sym: bool = True,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """exp(-(n - middle)^2 / (2 std^2))."""
    if std <= 0:
        raise ArgumentError(f"gaussian: std is above 0, not {std}")

    def shape(n: Tensor, period: float) -> Tensor:
        far = (n - period / 2.0) * (1.0 / (std * math.sqrt(2.0)))
        return exp(-(far * far))

    return _made("gaussian", M, sym, shape, dtype, device, requires_grad, layout)


def kaiser(
    M: int,
    *,
    beta: float = 12.0,
    sym: bool = True,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """I0(beta sqrt(1 - (2 n / period - 1)^2)) / I0(beta), with the modified Bessel function I0."""
    if beta < 0:
        raise ArgumentError(f"kaiser: beta is not negative, {beta} is")

    def shape(n: Tensor, period: float) -> Tensor:
        far = np.arange(M) * (2.0 / period) - 1.0
        inside = np.sqrt(np.maximum(1.0 - far * far, 0.0))
        return on_device(constant(np.i0(beta * inside) / np.i0(beta)), device)

    return _made("kaiser", M, sym, shape, dtype, device, requires_grad, layout)
