"""Orthogonal polynomials: Chebyshev's four kinds (also shifted to [0, 1]), Hermite's two,
Laguerre's and Legendre's, by their three-term recurrences (Abramowitz & Stegun 22.7).

The degree may be a tensor, one for each element: then as many steps are taken as the largest one
wants, and each element keeps the value of its own. That number of steps is data, so a trace takes
only degrees that are numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from intaglio._apply import full
from intaglio._core import Tensor
from intaglio._custom import custom_vjp
from intaglio._functions_elementwise import trunc, where
from intaglio._functions_scan import scan
from intaglio._functions_special import (
    Formula,
    Tensors,
    derivative,
    documented,
    float_pair,
    wide,
)
from intaglio._kind import kind_of
from intaglio._modes import modes
from intaglio._promote import cast, into, to_float
from intaglio.compiler.dtypes import float64
from intaglio.compiler.errors import TraceError

_UNROLLED: Final = 32
"""Steps up to which the recurrence is written out; more are a loop."""


class Family(NamedTuple):
    """A sequence of polynomials: the one of degree 1, and the one of degree k + 1 from k (a float
    or a tensor without dimensions), x and the two before: `step(k, x, last, before)`. Degrees
    beyond the limit (in f64, else) are NaN, as in torch."""

    first: Callable[[Tensor], Tensor]
    step: Callable[[Any, Tensor, Tensor, Tensor], Tensor]
    limits: tuple[float, float] = (math.inf, math.inf)


def _doubling(k: Any, x: Tensor, last: Tensor, before: Tensor) -> Tensor:
    """2 x P_k - P_(k-1), of all kinds of Chebyshev's."""
    return (x + x) * last - before


def _shifted(first: Callable[[Tensor], Tensor]) -> Family:
    return Family(
        lambda x: first(x + x - 1.0),
        lambda k, x, last, before: _doubling(k, x + x - 1.0, last, before),
    )


_CHEBYSHEV: Final[dict[str, Callable[[Tensor], Tensor]]] = {
    "t": lambda x: x,
    "u": lambda x: x + x,
    "v": lambda x: x + x - 1.0,
    "w": lambda x: x + x + 1.0,
}
_HERMITE_LIMITS: Final = (512.0, 128.0)
_FAMILIES: Final[dict[str, Family]] = {
    **{f"chebyshev_polynomial_{k}": Family(f, _doubling) for k, f in _CHEBYSHEV.items()},
    **{f"shifted_chebyshev_polynomial_{k}": _shifted(f) for k, f in _CHEBYSHEV.items()},
    "hermite_polynomial_h": Family(
        lambda x: x + x,
        lambda k, x, last, before: (x + x) * last - before * (k + k),
        _HERMITE_LIMITS,
    ),
    "hermite_polynomial_he": Family(
        lambda x: x, lambda k, x, last, before: x * last - before * k, _HERMITE_LIMITS
    ),
    "laguerre_polynomial_l": Family(
        lambda x: 1.0 - x,
        lambda k, x, last, before: ((1.0 - x + (k + k)) * last - before * k) / (k + 1.0),
    ),
    "legendre_polynomial_p": Family(
        lambda x: x,
        lambda k, x, last, before: (x * (k + k + 1.0) * last - before * k) / (k + 1.0),
    ),
}


def _evaluated(x: Tensor, n: Tensor | None, family: Family, top: int) -> Tensor:
    """The polynomial of degree `top`, or where n is given of each element's degree n <= top."""
    before = x * 0.0 + 1.0 if top >= 0 else x * 0.0
    if top < 1:
        return before
    last = family.first(x)
    if n is None:
        if top - 1 <= _UNROLLED:
            for k in range(1, top):
                before, last = last, family.step(float(k), x, last, before)
            return last
    else:
        last = where(n < 1.0, before, last)
        if top - 1 <= _UNROLLED:
            for k in range(1, top):
                new = family.step(float(k), x, last, before)
                before, last = where(n > k, last, before), where(n > k, new, last)
            return last
    return _looped(x, n, family, top, last, before)


def _looped(
    x: Tensor, n: Tensor | None, family: Family, top: int, last: Tensor, before: Tensor
) -> Tensor:
    """The steps from degree 1 to `top` as one loop."""

    def step(carry: tuple[Tensor, Tensor, Tensor], _: None) -> tuple[Any, None]:
        k, last, before = carry
        new = family.step(k, x, last, before)
        if n is not None:
            new, last = where(n > k, new, last), where(n > k, last, before)
        return (k + 1.0, new, last), None

    one = full(1.0, kind_of(float64, (), x._kind.place))
    (_, made, _), _ = scan(step, (one, last, before), length=top - 1)
    found: Tensor = made
    return found


def _fixed_forward(x: Tensor, *, name: str, top: int) -> Tensor:
    return cast(_evaluated(wide(x), None, _FAMILIES[name], top), x.dtype)


def _fixed_backward(xs: Tensors, ys: Tensors, dys: Tensors, *, name: str, top: int) -> Tensors:
    slope = derivative(lambda x: _evaluated(x, None, _FAMILIES[name], top), (wide(xs[0]),), 0)
    return (cast(wide(dys[0]) * slope, xs[0].dtype),)


def _varied(x: Tensor, n: Tensor, name: str, top: int, limit: float) -> Tensor:
    """The polynomial of each element's own degree; 0 for negative ones."""
    made = _evaluated(x, n, _FAMILIES[name], max(top, 0))
    made = where(n < 0.0, 0.0, made)
    return where((n > limit) | (n != n), math.nan, made)


def _varied_forward(x: Tensor, n: Tensor, *, name: str, top: int, limit: float) -> Tensor:
    return cast(_varied(wide(x), trunc(wide(n)), name, top, limit), x.dtype)


def _varied_backward(
    xs: Tensors, ys: Tensors, dys: Tensors, *, name: str, top: int, limit: float
) -> tuple[Tensor | None, ...]:
    n = trunc(wide(xs[1]))
    slope = derivative(lambda x: _varied(x, n, name, top, limit), (wide(xs[0]),), 0)
    return cast(wide(dys[0]) * slope, xs[0].dtype), None


_fixed = custom_vjp(_fixed_forward, _fixed_backward, "polynomial")
_by_element = custom_vjp(_varied_forward, _varied_backward, "polynomial")


def _polynomial_function(name: str, text: str) -> Formula:
    def call(input: Any, n: Any, *, out: Tensor | None = None) -> Tensor:
        if isinstance(n, int | float) and isinstance(input, Tensor | np.ndarray):
            made = _of_one_degree(name, to_float(input), n)
        else:
            made = _of_many_degrees(name, input, n)
        return made if out is None else into(out, made)

    return documented(call, name, text)


def _limit(name: str, x: Tensor) -> float:
    return _FAMILIES[name].limits[0 if x.dtype is float64 else 1]


def _of_one_degree(name: str, x: Tensor, n: float) -> Tensor:
    if n != n or n > _limit(name, x):
        return x * math.nan
    made: Tensor = _fixed(x, name=name, top=max(int(n), -1))
    return made


def _of_many_degrees(name: str, input: Any, n: Any) -> Tensor:
    x, degrees = float_pair(name, input, n)
    if modes.trace is not None:
        raise _refused(name, degrees)
    limit = _limit(name, x)
    data = degrees.cpu().detach().numpy()
    data = data[np.isfinite(data) & (data <= limit)].astype(np.float64)
    top = int(data.max()) if data.size else -1
    made: Tensor = _by_element(x, degrees, name=name, top=top, limit=limit)
    return made


def _refused(name: str, n: Tensor) -> TraceError:
    from intaglio._trace_errors import at

    return at(
        f"{name}: the number of steps depends on data: the degrees {n._kind} are known only when"
        " the program runs; give a number as n, or run it outside of the traced function"
    )


# --------------------------------------------------------------------------------- public functions

_DEGREE: Final = " of degree n (a number, or one for each element); 0 for negative n."


def _chebyshev(kind: str, word: str) -> Formula:
    name = f"chebyshev_polynomial_{kind}"
    return _polynomial_function(name, f"Chebyshev's polynomial of the {word} kind" + _DEGREE)


def _shifted_chebyshev(kind: str, word: str) -> Formula:
    name = f"shifted_chebyshev_polynomial_{kind}"
    text = f"Chebyshev's polynomial of the {word} kind at 2 x - 1," + _DEGREE
    return _polynomial_function(name, text)


chebyshev_polynomial_t = _chebyshev("t", "first")
chebyshev_polynomial_u = _chebyshev("u", "second")
chebyshev_polynomial_v = _chebyshev("v", "third")
chebyshev_polynomial_w = _chebyshev("w", "fourth")
shifted_chebyshev_polynomial_t = _shifted_chebyshev("t", "first")
shifted_chebyshev_polynomial_u = _shifted_chebyshev("u", "second")
shifted_chebyshev_polynomial_v = _shifted_chebyshev("v", "third")
shifted_chebyshev_polynomial_w = _shifted_chebyshev("w", "fourth")
hermite_polynomial_h = _polynomial_function(
    "hermite_polynomial_h", "The physicists' Hermite polynomial" + _DEGREE
)
hermite_polynomial_he = _polynomial_function(
    "hermite_polynomial_he", "The probabilists' Hermite polynomial" + _DEGREE
)
laguerre_polynomial_l = _polynomial_function(
    "laguerre_polynomial_l", "Laguerre's polynomial" + _DEGREE
)
legendre_polynomial_p = _polynomial_function(
    "legendre_polynomial_p", "Legendre's polynomial" + _DEGREE
)
