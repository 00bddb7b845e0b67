"""Reading images at positions that are data (Jaderberg et al. 2015): grids of positions, and the
elements around them weighted by distance."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Final

import intaglio as ig
from intaglio._scope import entered
from intaglio._tensor import Tensor
from intaglio.compiler.dims import product
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError

MODES: Final = ("bilinear", "nearest", "bicubic")
PADDINGS: Final = ("zeros", "border", "reflection")
CUBIC: Final = -0.75
"""The free parameter of Keys' cubic convolution (1981), as image libraries choose it."""


def affine_grid(theta: Tensor, size: Sequence[Any], align_corners: bool | None = None) -> Tensor:
    """The positions that an image of `size` ([n, c, h, w] or [n, c, d, h, w]) reads under the
    affine maps `theta` ([n, 2, 3] or [n, 3, 4]): [n, h, w, 2] or [n, d, h, w, 3], from -1 to 1, x
    first. With `align_corners` -1 and 1 are the centres of the corners' elements, else their
    edges."""
    spatial = tuple(size)[2:]
    rank = len(spatial)
    if theta.dtype.kind != "f":
        raise DTypeError(f"affine_grid: theta {theta._kind} is not floating-point")
    if rank not in (2, 3) or tuple(theta.shape) != (size[0], rank, rank + 1):
        raise ShapeError(
            f"affine_grid: theta {theta._kind} and the size {tuple(size)}: [n, 2, 3] with four"
            " sizes or [n, 3, 4] with five are wanted"
        )
    if any(isinstance(s, int) and s < 1 for s in size):
        raise ShapeError(f"affine_grid: the size {tuple(size)} is not positive")
    with entered("affine_grid"):
        moved = theta[:, :, rank].reshape(theta.shape[0], *(1,) * rank, rank)
        for k in range(rank):
            axis = rank - 1 - k
            line = _line(spatial[axis], theta, bool(align_corners))
            line = line.reshape(-1, *(1,) * (rank - 1 - axis))
            slope = theta[:, :, k].reshape(theta.shape[0], *(1,) * rank, rank)
            moved = moved + line.unsqueeze(-1) * slope
        return moved.expand(theta.shape[0], *spatial, rank)


def _line(count: Any, like: Tensor, align: bool) -> Tensor:
    """The positions of `count` elements from -1 to 1."""
    if isinstance(count, int) and count <= 1:
        return ig.zeros((count,), dtype=like.dtype, device=like.device)
    steps = ig.arange(count, device=like.device).to(like.dtype)
    line = steps * 2.0 / (count - 1) - 1.0
    return line if align else line * (count - 1) / count


def _check_grid(name: str, x: Tensor, grid: Tensor, mode: str) -> None:
    rank = x.ndim - 2
    if rank not in (2, 3) or grid.ndim != x.ndim:
        raise ShapeError(
            f"{name}: {x._kind} and the grid {grid._kind}: [n, c, h, w] with [n, h, w, 2] or"
            " [n, c, d, h, w] with [n, d, h, w, 3] are wanted"
        )
    if grid.shape[0] != x.shape[0] or grid.shape[-1] != rank:
        raise ShapeError(
            f"{name}: {x._kind} and the grid {grid._kind}: the same n, and {rank} coordinates last"
        )
    if x.dtype is not grid.dtype or x.dtype.kind != "f":
        raise DTypeError(f"{name}: {x._kind} and the grid {grid._kind}: one floating-point dtype")
    if any(isinstance(s, int) and s < 1 for s in x.shape[2:]):
        raise ShapeError(f"{name}: {x._kind}: an image without elements")
    if mode == "bicubic" and rank != 2:
        raise ArgumentError(f"{name}: {x._kind}: bicubic is for two dimensions")


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """The image read at the grid's positions. input: [n, c, h, w] with grid [n, h', w', 2], or [n,
    c, d, h, w] with [n, d', h', w', 3]; positions from -1 to 1, x first.

    `mode` is `bilinear` (between the neighbours, trilinear in three dimensions), `nearest` (halves
    to even) or `bicubic`. Outside of the image there are `zeros`, the `border`'s elements, or its
    `reflection`. `align_corners` as in `affine_grid`."""
    if mode not in MODES:
        raise ArgumentError(f"grid_sample: mode is one of {MODES}, not {mode!r}")
    if padding_mode not in PADDINGS:
        raise ArgumentError(f"grid_sample: padding_mode is one of {PADDINGS}, not {padding_mode!r}")
    _check_grid("grid_sample", input, grid, mode)
    if input.dtype.size < 4:  # places among many elements take more digits than two bytes hold
        wide = grid_sample(input.float(), grid.float(), mode, padding_mode, align_corners)
        return wide.to(input.dtype)
    rank, align = input.ndim - 2, bool(align_corners)
    sizes = tuple(input.shape[2:])
    with entered("grid_sample"):
        given = [grid[..., rank - 1 - k] for k in range(rank)]
        at = [_unnormalized(p, size, align) for p, size in zip(given, sizes, strict=True)]
        if mode == "bicubic":
            return _cubic(input, at, padding_mode, align)
        at = [_inside(p, s, padding_mode, align) for p, s in zip(at, sizes, strict=True)]
        if mode == "nearest":
            return _read(input, [ig.round(p.detach()) for p in at]) + _no_slope(at, input)
        low = [ig.floor(p.detach()) for p in at]
        total: Tensor | None = None
        for corner in itertools.product((0, 1), repeat=rank):
            places = [a + c for a, c in zip(low, corner, strict=True)]
            weight = _weight(at, low, corner)
            part = _read(input, places) * weight.unsqueeze(1)
            total = part if total is None else total + part
        assert total is not None
        return total


def _no_slope(at: Sequence[Tensor], x: Tensor) -> Tensor:
    """Zeros that tie the grid to the result, so that its derivative is zero and not missing."""
    tied = at[0] - at[0].detach()
    return ig.where(tied == tied, tied * 0.0, 0.0).unsqueeze(1)


def _weight(at: Sequence[Tensor], low: Sequence[Tensor], corner: Sequence[int]) -> Tensor:
    """How much the neighbour counts: the product over dimensions of 1 - its distance."""
    weight: Tensor | None = None
    for p, a, c in zip(at, low, corner, strict=True):
        part = p - a if c else (a + 1.0) - p
        weight = part if weight is None else weight * part
    assert weight is not None
    return weight


def _unnormalized(p: Tensor, size: Any, align: bool) -> Tensor:
    """From -1 .. 1 to places among `size` elements."""
    if align:
        return (p + 1.0) / 2.0 * (size - 1)
    return ((p + 1.0) * size - 1.0) / 2.0


def _inside(p: Tensor, size: Any, padding: str, align: bool) -> Tensor:
    """Places moved into the image as the padding says."""
    if padding == "zeros":
        return p
    if padding == "reflection":
        p = _reflected(p, 0.0, size - 1) if align else _reflected(p, -0.5, size)
    top = size - 1
    return ig.where(p <= 0.0, 0.0, ig.where(p >= top, ig.zeros_like(p) + top, p))


def _reflected(p: Tensor, low: float, span: Any) -> Tensor:
    """Mirrored at `low` and at `low + span`, as often as needed."""
    if isinstance(span, int) and span == 0:
        return ig.zeros_like(p) * p
    distance = ig.abs(p - low)
    flips = ig.floor(distance.detach() / span)
    extra = distance - flips * span
    even = ig.remainder(flips, 2.0) == 0
    return ig.where(even, extra + low, (span - extra) + low)


def _read(x: Tensor, places: Sequence[Tensor]) -> Tensor:
    """x: [n, c, *S] at whole places [n, *T] along each dimension: [n, c, *T], zeros outside."""
    sizes = tuple(x.shape[2:])
    inside: Tensor | None = None
    flat: Tensor | None = None
    for p, size in zip(places, sizes, strict=True):
        here = (p >= 0.0) & (p <= size - 1)
        inside = here if inside is None else inside & here
        at = ig.where(here, p, 0.0).to(ig.int64)
        flat = at if flat is None else flat * size + at
    assert inside is not None and flat is not None
    n, c, shape = x.shape[0], x.shape[1], tuple(flat.shape[1:])
    count = product(shape)
    index = flat.reshape(n, 1, count).expand(n, c, count)
    found = x.reshape(n, c, product(sizes)).gather(2, index).reshape(n, c, *shape)
    return ig.where(inside.unsqueeze(1), found, 0.0)


def cubic_weights(t: Any) -> tuple[Any, Any, Any, Any]:
    """The weights of the four neighbours of a point at distance t from the second (Keys 1981)."""

    def near(d: Any) -> Any:
        return ((CUBIC + 2.0) * d - (CUBIC + 3.0)) * d * d + 1.0

    def far(d: Any) -> Any:
        return ((CUBIC * d - 5.0 * CUBIC) * d + 8.0 * CUBIC) * d - 4.0 * CUBIC

    return far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)


def _cubic(x: Tensor, at: Sequence[Tensor], padding: str, align: bool) -> Tensor:
    """Rows of four by rows of four."""
    low = [ig.floor(p.detach()) for p in at]
    down, right = (cubic_weights(p - a) for p, a in zip(at, low, strict=True))
    sizes = tuple(x.shape[2:])
    total: Tensor | None = None
    for i in range(4):
        row: Tensor | None = None
        y = _inside(low[0] + (i - 1.0), sizes[0], padding, align)
        for j in range(4):
            place = _inside(low[1] + (j - 1.0), sizes[1], padding, align)
            part = _read(x, [ig.trunc(y), ig.trunc(place)]) * right[j].unsqueeze(1)
            row = part if row is None else row + part
        assert row is not None
        total = row * down[i].unsqueeze(1) if total is None else total + row * down[i].unsqueeze(1)
    assert total is not None
    return total


def _by_number(name: str, names: Sequence[str], number: int) -> str:
    if not 0 <= number < len(names):
        raise ArgumentError(f"{name}: {number} is none of 0 to {len(names) - 1}: {names}")
    return names[number]


def grid_sampler(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """`grid_sample` with modes by number: 0 bilinear, 1 nearest, 2 bicubic; 0 zeros, 1 border, 2
    reflection."""
    mode = _by_number("grid_sampler", MODES, interpolation_mode)
    padding = _by_number("grid_sampler", PADDINGS, padding_mode)
    return grid_sample(input, grid, mode, padding, align_corners)


def grid_sampler_2d(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """`grid_sampler` of images [n, c, h, w]."""
    _check_rank("grid_sampler_2d", input, 4)
    return grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners)


def grid_sampler_3d(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """`grid_sampler` of images [n, c, d, h, w]."""
    _check_rank("grid_sampler_3d", input, 5)
    return grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners)


def _check_rank(name: str, x: Tensor, rank: int) -> None:
    if x.ndim != rank:
        raise ShapeError(f"{name}: {x._kind}: {rank} dimensions are wanted")
