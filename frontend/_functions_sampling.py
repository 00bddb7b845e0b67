"""Samples of named distributions: choices by weight, counts, and tensors filled in place.

Everything is made of uniform numbers by ops alone, with no loop whose length depends on data, so
that a traced draw gives the eager numbers. Counts of small mean come from inversion (the terms of
the distribution added up until they pass one uniform number); those of mean 10 and more from
Hörmann's transformed rejection (1993: PTRS for Poisson, BTRS for binomial numbers) with a fixed
number of tries, of which one at least succeeds but for one time in 10^10."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from intaglio._apply import apply, constant, full, one
from intaglio._core import Tensor
from intaglio._functions_device import on_place
from intaglio._functions_elementwise import abs, ceil, exp, floor, log, log1p, sqrt, tan, where
from intaglio._functions_prefix import cumsum
from intaglio._functions_random import (
    Generator,
    check_elements,
    integers,
    normal01,
    uniform01,
)
from intaglio._functions_scan import scan
from intaglio._inplace import write
from intaglio._kind import kind_of
from intaglio._modes import no_grad
from intaglio._promote import broadcast_shapes, cast, expand_to, into
from intaglio.compiler.dtypes import DType, boolean, float32, float64, int64
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError

_MOST_CATEGORIES: Final = 1 << 24


def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Indices drawn with the rows' weights as probabilities: input [n] or [rows, n], the result
    i64[..., num_samples]. Without replacement the indices of a row differ, and are the first to
    come of n exponential waiting times with the weights as rates."""
    _check_weights(input, num_samples, replacement)
    if out is not None and out.dtype is not int64:
        raise DTypeError(f"multinomial: out {out._kind} is not int64")
    with no_grad():
        weights = cast(input.detach(), float64)
        rows = weights if weights.ndim == 2 else one("reshape", weights, shape=(1, *weights.shape))
        made = (_with_replacement if replacement else _race)(rows, num_samples, generator)
        made = one("reshape", made, shape=(*input.shape[:-1], num_samples))
    return made if out is None else into(out, made)


def _check_weights(x: Tensor, count: int, replacement: bool) -> None:
    if x.dtype.kind != "f":
        raise DTypeError(f"multinomial: weights are floating-point, {x._kind} is not")
    if x.ndim not in (1, 2):
        raise ShapeError(f"multinomial: {x._kind}: weights are [n] or [rows, n]")
    if not isinstance(count, int) or count <= 0:
        raise ArgumentError(f"multinomial: num_samples is a count above 0, not {count!r}")
    size = x.shape[-1]
    if isinstance(size, int):
        if size > _MOST_CATEGORIES:
            raise ShapeError(f"multinomial: {x._kind}: at most 2^24 categories")
        if not replacement and count > size:
            raise ArgumentError(
                f"multinomial: {x._kind} has no {count} different categories; draw with replacement"
            )
    finite = (lambda w: (w >= 0) & (w < math.inf), "are finite and not negative", "weights")
    check_elements("multinomial", x, *finite)
    check_elements("multinomial", x.detach().sum(-1), lambda w: w > 0, "are above 0", "sums")
    if not replacement:
        enough = (lambda n: n >= count, f"are {count} at least", "the counts of positive weights")
        check_elements("multinomial", (x.detach() > 0).sum(-1), *enough)


def _with_replacement(rows: Tensor, count: int, generator: Generator | None) -> Tensor:
    """Places of uniform numbers among the running sums."""
    u = on_place(uniform01((rows.shape[0], count), float64, generator), rows._kind.place)
    edges = cumsum(rows / rows.sum(-1, True), -1)
    place = one("search", edges, u, right=True)
    last = apply("argmax", (edges,), {"axis": 1})[0]  # the last category of any weight
    last = expand_to(one("reshape", last, shape=(rows.shape[0], 1)), tuple(place.shape))
    return apply("minimum", (place, last))[0]


def _race(rows: Tensor, count: int, generator: Generator | None) -> Tensor:
    u = on_place(uniform01(tuple(rows.shape), float64, generator), rows._kind.place)
    rate = where(rows > 0, rows, 1e-300)
    order = apply("topk", (log1p(-u) / rate,), {"k": count, "axis": 1, "largest": True})
    return order[1]


# ------------------------------------------------------------------------------------------- counts

_TERMS: Final = 58
"""Terms of a distribution of mean 10 at most: what is left is below 10^-20."""
_TRIES: Final = 16


def _log_factorial(k: Tensor) -> Tensor:
    """log(k!) of f64 numbers from 0 on: Stirling's series at k + 8, with the factors between taken
    off again."""
    n = k + 1.0
    between = n
    for step in range(1, 7):
        between = between * (n + float(step))
    z = n + 7.0
    inverse = 1.0 / z
    square = inverse * inverse
    series = inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260)))
    return (z - 0.5) * log(z) - z + (0.5 * math.log(2 * math.pi)) + series - log(between)


def _inverted(u: Tensor, first: Tensor, ratio: Callable[[Tensor], Tensor]) -> Tensor:
    """How many partial sums of the terms are not above u; `ratio(k)` is term k + 1 over term k."""

    def step(carry: Any, k: Tensor) -> tuple[Any, None]:
        term, total, count = carry
        total = total + term
        return (term * ratio(k), total, count + cast(u >= total, float64)), None

    zeros = full(0, u._kind)
    steps = on_place(constant(np.arange(_TERMS, dtype=np.float64)), u._kind.place)
    (_, _, count), _ = scan(step, (first, zeros, zeros), steps)
    made: Tensor = count
    return made


def _rejected(
    shape: tuple[Any, ...],
    place: Any,
    generator: Generator | None,
    propose: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    otherwise: Tensor,
) -> Tensor:
    """The first accepted one of a fixed number of proposals `propose(u, v) -> (value, whether)`."""
    u = on_place(uniform01((_TRIES, *shape), float64, generator), place)
    v = on_place(uniform01((_TRIES, *shape), float64, generator), place)

    def step(carry: Any, pair: Any) -> tuple[Any, None]:
        found, made = carry
        value, accepted = propose(pair[0] - 0.5, 1.0 - pair[1])
        return (found | accepted, where(found, made, where(accepted, value, made))), None

    none = full(False, kind_of(boolean, shape, place))
    (_, made), _ = scan(step, (none, otherwise), (u, v))
    result: Tensor = made
    return result


def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Poisson numbers with the elements as means, in their dtype."""
    if input.dtype.kind != "f":
        raise DTypeError(f"poisson: rates are floating-point, {input._kind} is not")
    check_elements("poisson", input, lambda x: x >= 0, "are not negative", "rates")
    shape, place = tuple(input.shape), input._kind.place
    with no_grad():
        rate = cast(input.detach(), float64)
        u = on_place(uniform01(shape, float64, generator), place)
        low = rate.clamp(max=10.0)
        few = _inverted(u, exp(-low), lambda k: low / (k + 1.0))
        high = rate.clamp(min=10.0)
        many = _rejected(shape, place, generator, _poisson_proposal(high), floor(high))
        return cast(where(rate < 10.0, few, many), input.dtype)


def _poisson_proposal(rate: Tensor) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    b = sqrt(rate) * 2.53 + 0.931
    a = b * 0.02483 - 0.059
    scale = 1.1239 + 1.1328 / (b - 3.4)
    bound = 0.9277 - 3.6224 / (b - 2.0)
    log_rate = log(rate)

    def propose(u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        left = 0.5 - abs(u)
        k = floor((a * 2.0 / left + b) * u + rate + 0.43)
        quick = (left >= 0.07) & (v <= bound)
        inside = (k >= 0.0) & ((left >= 0.013) | (v <= left))
        whole = k.clamp(min=0.0)
        height = log(v) + log(scale) - log(a / (left * left) + b)
        fits = height <= whole * log_rate - rate - _log_factorial(whole)
        return whole, quick | (inside & fits)

    return propose


def binomial(count: Tensor, prob: Tensor, generator: Generator | None = None) -> Tensor:
    """How many of `count` trials of probability `prob` succeed; the two broadcast, and share their
    floating-point dtype."""
    if count.dtype.kind != "f" or count.dtype is not prob.dtype:
        raise DTypeError(
            f"binomial: count {count._kind} and prob {prob._kind} must share a floating-point dtype"
        )
    check_elements("binomial", count, lambda x: x >= 0, "are not negative", "counts")
    check_elements("binomial", prob, lambda p: (p >= 0) & (p <= 1), "lie between 0 and 1")
    shape, place = broadcast_shapes(count.shape, prob.shape), count._kind.place
    with no_grad():
        n = floor(cast(expand_to(count.detach(), shape), float64))
        given = cast(expand_to(prob.detach(), shape), float64)
        p = where(given > 0.5, 1.0 - given, given)
        u = on_place(uniform01(shape, float64, generator), place)
        small = n * p < 10.0
        few = _binomial_terms(u, n, where(small, p, 0.0))
        most = where(small, 40.0, n)
        proposal = _binomial_proposal(most, where(small, 0.5, p))
        many = _rejected(shape, place, generator, proposal, floor(most * p))
        made = where(small, few, many)
        return cast(where(given > 0.5, n - made, made), count.dtype)


def _binomial_terms(u: Tensor, n: Tensor, p: Tensor) -> Tensor:
    odds = p / (1.0 - p)
    made = _inverted(u, exp(n * log1p(-p)), lambda k: odds * (n - k).clamp(min=0.0) / (k + 1.0))
    return apply("minimum", (made, n))[0]


def _binomial_proposal(n: Tensor, p: Tensor) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    q = 1.0 - p
    spread = sqrt(n * p * q)
    b = spread * 2.53 + 1.15
    a = b * 0.0248 - 0.0873 + p * 0.01
    bound = 0.92 - 4.2 / b
    alpha = (2.83 + 5.1 / b) * spread
    odds = log(p / q)
    middle = floor((n + 1.0) * p)
    top = _log_factorial(middle) + _log_factorial(n - middle)

    def propose(u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        left = 0.5 - abs(u)
        k = floor((a * 2.0 / left + b) * u + n * p + 0.5)
        quick = (left >= 0.07) & (v <= bound)
        inside = (k >= 0.0) & (k <= n)
        whole = where(inside, k, middle)
        height = log(v * alpha / (a / (left * left) + b))
        ways = top - _log_factorial(whole) - _log_factorial(n - whole)
        return whole, inside & (quick | (height <= ways + (whole - middle) * odds))

    return propose


# ----------------------------------------------------------------------------------------- in place


def _float_of(dtype: DType) -> DType:
    """The dtype in which numbers for a tensor of this one are made."""
    if dtype.kind != "f":
        return float64
    return float32 if dtype.size < 4 else dtype


def _fresh(x: Tensor, generator: Generator | None, dtype: DType | None = None) -> Tensor:
    """Uniform numbers for every element of x."""
    return on_place(uniform01(tuple(x.shape), dtype or x.dtype, generator), x._kind.place)


def _need_float(name: str, x: Tensor) -> None:
    if x.dtype.kind != "f":
        raise DTypeError(f"{name}: {x._kind} is not floating-point")


def uniform_(
    input: Tensor, a: float = 0.0, b: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Filled with uniform numbers in [a, b)."""
    _need_float("uniform_", input)
    if not a <= b:
        raise ArgumentError(f"uniform_: there is no number from {a} below {b}")
    made = _fresh(input, generator)
    return write(input, made * (b - a) + a if (a, b) != (0.0, 1.0) else made, "uniform_")


def normal_(
    input: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Filled with normal numbers."""
    _need_float("normal_", input)
    if not std >= 0:
        raise ArgumentError(f"normal_: std is not negative, {std} is")
    made = on_place(normal01(tuple(input.shape), input.dtype, generator), input._kind.place)
    return write(input, made * std + mean if (mean, std) != (0.0, 1.0) else made, "normal_")


_DIGITS: Final = {"f16": 11, "bf16": 8, "f32": 24, "f64": 53}


def _default_range(dtype: DType) -> int:
    """One more than the largest number that `random_` draws."""
    if dtype.kind == "f":
        return (1 << _DIGITS[dtype.name]) + 1
    if dtype.kind == "b":
        return 2
    return 1 << min(dtype.size * 8 - (dtype.kind == "i"), 63) if dtype.size < 8 else (1 << 63) - 1


def random_(
    input: Tensor,
    low: int | None = None,
    high: int | None = None,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Filled with whole numbers in [low, high), or [0, low); without arguments with all that the
    dtype holds from 0 on (of floats: up to where every whole number has its place)."""
    if low is None:
        start, stop = 0, _default_range(input.dtype)
    else:
        start, stop = (low, high) if high is not None else (0, low)
    if start >= stop:
        raise ArgumentError(f"random_: there is no whole number from {start} below {stop}")
    made = integers(start, stop, tuple(input.shape), input.dtype, generator)
    return write(input, on_place(made, input._kind.place), "random_")


def bernoulli_(input: Tensor, p: Any = 0.5, *, generator: Generator | None = None) -> Tensor:
    """Filled with 1 (probability p, a number or a tensor that broadcasts) and 0."""
    check_elements("bernoulli_", p, lambda x: (x >= 0) & (x <= 1), "lie between 0 and 1")
    u = _fresh(input, generator, float64 if _is_wide(p) else float32)
    return write(input, cast(u < p, input.dtype), "bernoulli_")


def _is_wide(p: Any) -> bool:
    return isinstance(p, Tensor) and p.dtype is float64


def exponential_(
    input: Tensor, lambd: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Filled with exponential numbers of this rate; 0 is not among them."""
    _need_float("exponential_", input)
    if not lambd > 0:
        raise ArgumentError(f"exponential_: lambd is above 0, not {lambd}")
    wide = _float_of(input.dtype)
    u = _fresh(input, generator, wide)
    most = -(2.0**-54) if wide is float64 else -(2.0**-25)
    return write(input, log(1.0 - u).clamp(max=most) * (-1.0 / lambd), "exponential_")


def cauchy_(
    input: Tensor, median: float = 0.0, sigma: float = 1.0, *, generator: Generator | None = None
) -> Tensor:
    """Filled with Cauchy numbers: `median` and half the distance of the quartiles, `sigma`."""
    _need_float("cauchy_", input)
    if not sigma > 0:
        raise ArgumentError(f"cauchy_: sigma is above 0, not {sigma}")
    u = _fresh(input, generator, _float_of(input.dtype))
    return write(input, tan((u - 0.5) * math.pi) * sigma + median, "cauchy_")


def log_normal_(
    input: Tensor, mean: float = 1.0, std: float = 2.0, *, generator: Generator | None = None
) -> Tensor:
    """Filled with numbers whose logarithms are normal, of this mean and deviation."""
    _need_float("log_normal_", input)
    if not std > 0:
        raise ArgumentError(f"log_normal_: std is above 0, not {std}")
    made = normal01(tuple(input.shape), _float_of(input.dtype), generator)
    return write(input, exp(on_place(made, input._kind.place) * std + mean), "log_normal_")


def geometric_(input: Tensor, p: float, *, generator: Generator | None = None) -> Tensor:
    """Filled with how many trials of probability p it takes to succeed once: 1, 2, ..."""
    if not 0 < p < 1:
        raise ArgumentError(f"geometric_: p lies between 0 and 1, not {p}")
    u = _fresh(input, generator, _float_of(input.dtype))
    made = ceil(log(1.0 - u) / math.log1p(-p)).clamp(min=1.0)
    return write(input, cast(made, input.dtype), "geometric_")
