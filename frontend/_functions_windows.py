"""torch's windows at the root: `hann_window(n, periodic=True)` and its like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from intaglio._core import Tensor
from intaglio._dtype_names import as_dtype
from intaglio._promote import cast, get_default_dtype
from intaglio.compiler.dtypes import float64
from intaglio.compiler.errors import DTypeError
from intaglio.signal import windows


def _window(name: str, function: Callable[..., Tensor], text: str) -> Callable[..., Tensor]:
    def call(
        window_length: int,
        periodic: bool = True,
        *,
        dtype: Any = None,
        layout: Any = None,
        device: Any = None,
        pin_memory: bool = False,
        requires_grad: bool = False,
    ) -> Tensor:
        return _cast_to(dtype, function, window_length, not periodic, layout=layout,
                        device=device, requires_grad=requires_grad)  # fmt: skip

    call.__name__ = call.__qualname__ = name
    call.__doc__ = f"{text}; `periodic` for spectra, else symmetric. f32[window_length]."
    return call


def _cast_to(
    dtype: Any,
    function: Callable[..., Tensor],
    length: int,
    sym: bool,
    requires_grad: bool = False,
    pin_memory: bool = False,
    **options: Any,
) -> Tensor:
    """A window of any floating-point dtype, computed in f64."""
    wanted = as_dtype(dtype or get_default_dtype())
    if wanted.kind != "f":
        raise DTypeError(f"windows are floating-point, {wanted} is not")
    made = cast(function(length, sym=sym, dtype=float64, **options), wanted)
    return made.requires_grad_() if requires_grad else made


hann_window = _window("hann_window", windows.hann, "The Hann window")
bartlett_window = _window("bartlett_window", windows.bartlett, "The triangular window")
blackman_window = _window("blackman_window", windows.blackman, "The Blackman window")


def hamming_window(
    window_length: int,
    periodic: bool = True,
    alpha: float = 0.54,
    beta: float = 0.46,
    *,
    dtype: Any = None,
    **options: Any,
) -> Tensor:
    """alpha - beta cos(2 pi n / period); `periodic` for spectra, else symmetric."""
    weights = [alpha, beta]
    return _cast_to(
        dtype, windows.general_cosine, window_length, not periodic, a=weights, **options
    )


def kaiser_window(
    window_length: int,
    periodic: bool = True,
    beta: float = 12.0,
    *,
    dtype: Any = None,
    **options: Any,
) -> Tensor:
    """The Kaiser window; `periodic` for spectra, else symmetric."""
    return _cast_to(dtype, windows.kaiser, window_length, not periodic, beta=beta, **options)
