"""Differences, slopes and areas of samples along a dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from intaglio._core import Tensor
from intaglio._functions_join import cat
from intaglio._functions_movement import narrow, reshape, unsqueeze
from intaglio._functions_prefix import cumsum
from intaglio._functions_reduce import axis_of, sum
from intaglio._promote import spelled, to_float
from intaglio.compiler.dtypes import boolean
from intaglio.compiler.errors import ArgumentError, IndexError, ShapeError


@spelled
def diff(
    input: Tensor,
    n: int = 1,
    dim: int = -1,
    prepend: Tensor | None = None,
    append: Tensor | None = None,
) -> Tensor:
    """The differences of neighbours along `dim`, n times over, of `prepend`, input and `append` in
    a row. Of bools: whether neighbours differ."""
    if not isinstance(n, int) or n < 0:
        raise ArgumentError(f"diff: n is a count of times, not {n!r}")
    if input.ndim == 0:
        raise ShapeError("diff: a tensor without dimensions has no neighbours")
    axis = axis_of("diff", input, dim)
    for part in (prepend, append):
        if part is not None and part.ndim != input.ndim:
            raise ShapeError(f"diff: prepend and append have the dimensions of {input._kind}")
    parts = [p for p in (prepend, input, append) if p is not None]
    if n == 0:
        return input.clone()
    made = cat(parts, axis) if len(parts) > 1 else input
    for _ in range(n):
        rest = made.shape[axis] - 1
        if isinstance(rest, int) and rest <= 0:
            return narrow(made, axis, 0, 0)
        after, before = narrow(made, axis, 1, rest), narrow(made, axis, 0, rest)
        made = after != before if made.dtype is boolean else after - before
    return made


# -------------------------------------------------------------------------------------------- areas


def _panels(name: str, y: Tensor, x: Any, dx: Any, dim: int) -> tuple[Tensor, int] | None:
    """The areas between neighbours along the axis (counted from the front); None where y has no
    samples."""
    axis = axis_of(name, y, dim)
    if y.ndim == 0:
        raise IndexError(f"{name}: {y._kind} has no dimension to go along")
    rest = y.shape[axis] - 1
    if isinstance(rest, int) and rest < 0:
        return None
    if y.dtype is boolean:
        raise ArgumentError(f"{name}: samples are numbers, {y._kind} are not")
    pairs = narrow(y, axis, 1, rest) + narrow(y, axis, 0, rest)
    if x is None:
        return pairs * (dx / 2 if not isinstance(dx, Tensor) else dx / 2.0), axis
    width = _widths(name, y, x, axis)
    made = width * pairs / 2.0
    return made, axis + made.ndim - y.ndim


def _widths(name: str, y: Tensor, x: Tensor, axis: int) -> Tensor:
    """The distances of neighbouring abscissas, shaped to meet y."""
    if x.ndim == 0:
        raise ShapeError(f"{name}: x {x._kind} has no dimension; give the distance as dx")
    if x.ndim == 1:
        if x.shape[0] != y.shape[axis]:
            raise ShapeError(
                f"{name}: x {x._kind} and y {y._kind} differ in their number of samples along"
                f" dim {axis}"
            )
        steps = diff(x)
        return reshape(steps, *[steps.shape[0] if k == axis else 1 for k in range(y.ndim)])
    back = axis - y.ndim
    wide = x
    while wide.ndim < y.ndim:
        wide = unsqueeze(wide, 0)
    own = wide.shape[back]
    if own != y.shape[axis] and own != 1:
        raise ShapeError(f"{name}: x {x._kind} does not fit the samples y {y._kind}")
    return diff(wide, 1, back)


@spelled
def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1) -> Tensor:
    """The area under samples along `dim` by the trapezoidal rule; they lie `dx` (1) apart, or at
    the abscissas x ([n], or what broadcasts with y)."""
    return _area("trapezoid", y, x, dx, dim)


trapz = trapezoid


def _area(name: str, y: Tensor, x: Any, dx: Any, dim: int) -> Tensor:
    _check_spacing(name, x, dx)
    found = _panels(name, y, x, 1.0 if dx is None else dx, dim)
    if found is None:
        return sum(y, dim)
    return sum(to_float(found[0]), found[1])


def _check_spacing(name: str, x: Any, dx: Any) -> None:
    if x is not None and dx is not None:
        raise ArgumentError(f"{name}: give the abscissas x or their distance dx, not both")
    if isinstance(dx, bool | complex):
        raise ArgumentError(f"{name}: dx is a real number, not {dx!r}")


@spelled
def cumulative_trapezoid(
    y: Tensor, x: Tensor | None = None, *, dx: Any = None, dim: int = -1
) -> Tensor:
    """The areas up to each sample but the first, by the trapezoidal rule (see `trapezoid`)."""
    _check_spacing("cumulative_trapezoid", x, dx)
    found = _panels("cumulative_trapezoid", y, x, 1.0 if dx is None else dx, dim)
    if found is None:
        return cumsum(y, dim)
    return cumsum(to_float(found[0]), found[1])


# ------------------------------------------------------------------------------------------- slopes


def _spacings(x: Tensor, spacing: Any, count: int) -> list[Any]:
    """One distance, or one row of abscissas, for each dimension."""
    if spacing is None:
        return [1.0] * count
    if isinstance(spacing, Tensor) and spacing.ndim == 0:
        spacing = spacing.item()
    if isinstance(spacing, int | float):
        return [spacing] * count
    given = [spacing] if isinstance(spacing, Tensor) else list(spacing)
    if len(given) != count:
        raise ArgumentError(
            f"gradient: {x._kind}: spacing has {len(given)} entries for {count} dimensions"
        )
    return given


def _slope(x: Tensor, axis: int, spacing: Any, edge_order: int) -> Tensor:
    """Second-order differences inside, one-sided ones of `edge_order` at both ends."""
    size = x.shape[axis]
    if isinstance(size, int) and size < edge_order + 1:
        raise ShapeError(
            f"gradient: {x._kind}: dim {axis} has fewer than the {edge_order + 1} elements that"
            f" edge_order={edge_order} needs"
        )
    if isinstance(spacing, Tensor):
        if spacing.ndim != 1 or spacing.shape[0] != size:
            raise ShapeError(
                f"gradient: {x._kind}: abscissas {spacing._kind} for the {size} elements of dim"
                f" {axis}"
            )
        ones = [1] * x.ndim
        ones[axis] = size - 1
        return _uneven_slope(x, axis, reshape(diff(spacing), *ones), edge_order)

    def at(k: int) -> Tensor:
        return narrow(x, axis, k if k >= 0 else size + k, 1)

    inner = narrow(x, axis, 2, size - 2) - narrow(x, axis, 0, size - 2)
    if edge_order == 1:
        first, last = (at(1) - at(0)) / spacing, (at(-1) - at(-2)) / spacing
    else:
        half = 2.0 * spacing
        first = (at(0) * -3.0 + at(1) * 4.0 - at(2)) / half
        last = (at(-1) * 3.0 - at(-2) * 4.0 + at(-3)) / half
    return cat([first, inner / (2.0 * spacing), last], axis)


def _uneven_slope(x: Tensor, axis: int, steps: Tensor, edge_order: int) -> Tensor:
    size = x.shape[axis]

    def at(k: int) -> Tensor:
        return narrow(x, axis, k if k >= 0 else size + k, 1)

    def step(k: int) -> Tensor:
        return narrow(steps, axis, k if k >= 0 else size - 1 + k, 1)

    before, after = narrow(steps, axis, 0, size - 2), narrow(steps, axis, 1, size - 2)
    low, middle, high = (narrow(x, axis, k, size - 2) for k in range(3))
    inner = (
        low * (-after / (before * (before + after)))
        + middle * ((after - before) / (before * after))
        + high * (before / (after * (before + after)))
    )
    if edge_order == 1:
        first = (at(1) - at(0)) / step(0)
        last = (at(-1) - at(-2)) / step(-1)
        return cat([first, inner, last], axis)
    a, b = step(0), step(1)
    first = at(0) * (-(a * 2.0 + b) / (a * (a + b))) + at(1) * ((a + b) / (a * b))
    first = first - at(2) * (a / (b * (a + b)))
    a, b = step(-2), step(-1)
    last = at(-3) * (b / (a * (a + b))) - at(-2) * ((a + b) / (a * b))
    last = last + at(-1) * ((b * 2.0 + a) / (b * (a + b)))
    return cat([first, inner, last], axis)


def gradient(
    input: Tensor, *, spacing: Any = None, dim: Any = None, edge_order: int = 1
) -> tuple[Tensor, ...]:
    """The slopes of samples along each dimension of `dim` (all, if None): one tensor of the input's
    shape for each. `spacing` is a distance (1), one distance per dimension, or one row of abscissas
    per dimension. At the ends differences are one-sided, of `edge_order` 1 or 2."""
    if edge_order not in (1, 2):
        raise ArgumentError(f"gradient: edge_order is 1 or 2, not {edge_order!r}")
    if dim is None:
        axes = list(range(input.ndim))
        if isinstance(spacing, Sequence) or (isinstance(spacing, Tensor) and spacing.ndim):
            given = 1 if isinstance(spacing, Tensor) else len(spacing)
            if given != input.ndim:
                raise ArgumentError(
                    f"gradient: {input._kind}: spacing has {given} entries for {input.ndim}"
                    " dimensions"
                )
    else:
        axes = [axis_of("gradient", input, d) for d in ([dim] if isinstance(dim, int) else dim)]
        if len(set(axes)) != len(axes):
            raise ArgumentError(f"gradient: dim {dim} names a dimension twice")
    if input.ndim == 0:
        raise ShapeError("gradient: a tensor without dimensions has no slopes")
    x = to_float(input)
    return tuple(
        _slope(x, axis, s, edge_order)
        for axis, s in zip(axes, _spacings(input, spacing, len(axes)), strict=True)
    )
