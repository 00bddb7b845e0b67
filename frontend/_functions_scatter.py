"""Writing at positions that are data: scatter and its kinds, whole slices by index, and boxes.

Each is one op that replaces or joins elements in the order of the index. In a compiled function
that updates a state by one of them, only these elements of the state's memory are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from intaglio._apply import apply, full, one
from intaglio._core import Tensor
from intaglio._functions_elementwise import where
from intaglio._functions_gather import aligned
from intaglio._functions_index import checked_index
from intaglio._functions_movement import narrow, reshape
from intaglio._functions_reduce import axis_of
from intaglio._halves import rounded_once
from intaglio._inplace import slice_update
from intaglio._kind import kind_of
from intaglio._promote import as_tensor_like, broadcast_shapes, cast, expand_to, spelled
from intaglio.compiler.dims import product
from intaglio.compiler.dtypes import boolean, int64, uint8
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError

_REDUCTIONS = {"sum": "add", "prod": "prod", "amax": "max", "amin": "min", "mean": "mean"}


def _source(name: str, x: Tensor, index: Tensor, src: Any) -> Tensor:
    if not isinstance(src, Tensor):
        return expand_to(as_tensor_like(src, x.dtype), tuple(index.shape))
    if src.ndim != index.ndim:
        raise ShapeError(
            f"{name}: the source {src._kind} and the index {index._kind} differ in dimensions"
        )
    for k, (a, b) in enumerate(zip(src.shape, index.shape, strict=True)):
        if a != b:
            src = narrow(src, k, 0, b)
    if src.dtype is not x.dtype:
        raise DTypeError(f"{name}: {x._kind} and the source {src._kind} differ in dtype")
    return src


def _scattered(name: str, x: Tensor, dim: int, index: Tensor, src: Any, kind: str) -> Tensor:
    """x with the source's elements joined to it at the index: `set`, `add`, `max`, `min`,
    `prod`."""
    axis = axis_of(name, x, dim)
    if not x.ndim:
        flat = reshape(src, -1) if isinstance(src, Tensor) else src
        made = _scattered(name, reshape(x, 1), 0, reshape(index, -1), flat, kind)
        return one("reshape", made, shape=())
    index = checked_index(x, index)
    if any(isinstance(s, int) and s == 0 for s in index.shape):
        return x.clone()
    if x.dtype is boolean and kind != "set":  # 1 + 1 is true
        numbers = cast(src, int64) if isinstance(src, Tensor) else int(src)
        return cast(_scattered(name, cast(x, int64), axis, index, numbers, kind), boolean)
    source = _source(name, x, index, src)
    if x.dtype is boolean and kind != "set":  # add is or, as everywhere; a product is and
        kind = {"add": "max", "prod": "min"}.get(kind, kind)
        joined = _scattered(name, cast(x, uint8), dim, index, cast(source, uint8), kind)
        return cast(joined, boolean)
    part = aligned(name, x, index, axis)
    op = {"set": "scatter", "add": "scatter_add"}.get(kind, "scatter_join")
    attributes = {"axis": axis} | ({"kind": kind} if op == "scatter_join" else {})
    made = apply(op, (part, index, source), attributes)[0]
    if part is x:
        return made
    return slice_update(x, made, (0,) * x.ndim, tuple(part.shape), (1,) * x.ndim)


@spelled
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """input with src[i, j, k] added at [index[i, j, k], j, k] for dim 0, and so on, in order."""
    return _scattered("scatter_add", input, dim, index, src, "add")


@spelled
def scatter(
    input: Tensor,
    dim: int,
    index: Tensor,
    src: Any = None,
    *,
    value: Any = None,
    reduce: str | None = None,
) -> Tensor:
    """input with src[i, j, k] written at [index[i, j, k], j, k] for dim 0, and so on; of several
    writes to one place the last one stays. `reduce` adds ('add') or multiplies ('multiply')."""
    kinds = {None: "set", "add": "add", "multiply": "prod"}
    if reduce not in kinds:
        raise ArgumentError(f"scatter: reduce is None, 'add' or 'multiply', not {reduce!r}")
    source = value if src is None else src
    return _scattered("scatter", input, dim, index, source, kinds[reduce])


@spelled
@rounded_once
def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """input with src[i, j, k] joined to it at [index[i, j, k], j, k] for dim 0, and so on: `reduce`
    is 'sum', 'prod', 'mean', 'amax' or 'amin'. Without `include_self` the elements that the index
    names start anew."""
    kind = _kind_of_reduction("scatter_reduce", reduce)

    def join(x: Tensor, value: Any, kind: str) -> Tensor:
        return _scattered("scatter_reduce", x, dim, index, value, kind)

    return _reduced(input, src, kind, include_self, join)


def _kind_of_reduction(name: str, reduce: str) -> str:
    if reduce not in _REDUCTIONS:
        raise ArgumentError(f"{name}: reduce is one of {sorted(_REDUCTIONS)}, not {reduce!r}")
    return _REDUCTIONS[reduce]


def _reduced(
    x: Tensor, src: Tensor, kind: str, include: bool, join: Callable[[Tensor, Any, str], Tensor]
) -> Tensor:
    if not include:
        x = join(x, _neutral(x, kind), "set")
    if kind != "mean":
        return join(x, src, kind)
    ones = where(x == x, 1, 1) if include else where(x == x, 0, 0)
    count = join(cast(ones, int64), 1, "add")
    if not include:
        count = where(count == 0, 1, count)
    total = join(x, src, "add")
    if x.dtype.kind == "f":
        return total / cast(count, x.dtype)
    return apply("floordiv", (total, cast(count, x.dtype)))[0]


def _neutral(x: Tensor, kind: str) -> Any:
    """What joined with any number gives that number."""
    import numpy as np

    if kind in ("add", "mean"):
        return 0
    if kind == "prod":
        return 1
    if x.dtype.kind == "f":
        return float("-inf") if kind == "max" else float("inf")
    if x.dtype is boolean:
        return kind == "min"
    limits = np.iinfo(x.dtype.numpy.str)
    return int(limits.min if kind == "max" else limits.max)


# ----------------------------------------------------------------------------------- whole slices


def _slices(name: str, x: Tensor, dim: int, index: Tensor, source: Any) -> tuple[int, Tensor, Any]:
    """The axis, the index spread over the slices' elements, and the source."""
    axis = axis_of(name, x, dim)
    index = checked_index(x, index)
    flat = reshape(index, -1) if index.ndim != 1 else index
    shape = (*x.shape[:axis], flat.shape[0], *x.shape[axis + 1 :])
    if isinstance(source, Tensor):
        if source.ndim == x.ndim - 1 and index.ndim == 0:
            source = reshape(source, *shape)
        source = expand_to(source, shape)
    wide = tuple(flat.shape[0] if k == axis else 1 for k in range(x.ndim))
    return axis, expand_to(reshape(flat, *wide), shape), source


@spelled
@rounded_once
def index_reduce(
    input: Tensor,
    dim: int,
    index: Tensor,
    source: Tensor,
    reduce: str,
    *,
    include_self: bool = True,
) -> Tensor:
    """input with the slices of `source` joined to it at these indices of a dimension: `reduce` is
    'prod', 'mean', 'amax' or 'amin'."""
    kind = _kind_of_reduction("index_reduce", reduce)
    axis, wide, source = _slices("index_reduce", input, dim, index, source)

    def join(x: Tensor, value: Any, kind: str) -> Tensor:
        return _scattered("index_reduce", x, axis, wide, value, kind)

    return _reduced(input, source, kind, include_self, join)


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """input with the elements where the mask is true replaced by the source's first elements, in
    order."""
    if mask.dtype is not boolean:
        raise DTypeError(f"masked_scatter: the mask is {mask._kind}, not bool")
    if source.dtype is not input.dtype:
        raise DTypeError(f"masked_scatter: {input._kind} and {source._kind} differ in dtype")
    shape = broadcast_shapes(input.shape, mask.shape)
    count = product(tuple(shape))
    wide = reshape(expand_to(mask, shape), count)
    number = one("cumulative", cast(wide, int64), axis=0, kind="sum", reverse=False) - 1
    place = where(wide, number, 0)
    taken = apply("take", (reshape(source, source.numel()), place), {"axis": 0})[0]
    made = where(wide, taken, reshape(expand_to(input, shape), count))
    return reshape(made, *shape)


# ----------------------------------------------------------------------------------------- boxes


def _starts(name: str, x: Tensor, starts: Any) -> Tensor:
    """One i64 for each dimension, from a tensor or a sequence of integers and tensors."""
    if isinstance(starts, Tensor):
        made = cast(starts, int64)
    else:
        parts = [_one_start(name, x, s) for s in starts]
        if not parts:
            return full(0, kind_of(int64, (0,)))
        made = parts[0] if len(parts) == 1 else apply("concat", parts, {"axis": 0})[0]
    if tuple(made.shape) != (x.ndim,):
        raise ShapeError(
            f"{name}: {x._kind}: one start for each dimension is wanted, not {made._kind}"
        )
    return made


def _one_start(name: str, x: Tensor, start: Any) -> Tensor:
    if isinstance(start, Tensor):
        if start.dtype.kind not in "iu" or start.ndim:
            raise DTypeError(f"{name}: {x._kind}: a start is an integer, not {start._kind}")
        return reshape(cast(start, int64), 1)
    return reshape(as_tensor_like(start, int64), 1)


def dynamic_slice(input: Tensor, starts: Any, sizes: Sequence[Any]) -> Tensor:
    """The box of `sizes` that begins at `starts`: one integer (or 0-d integer tensor) for each
    dimension, or one tensor of them. A start is moved into range so that the whole box fits; it may
    depend on data in a trace, the sizes may not."""
    begin = _starts("dynamic_slice", input, starts)
    return apply("dynamic_slice", (input, begin), {"sizes": tuple(sizes)})[0]


def dynamic_update_slice(input: Tensor, update: Tensor, starts: Any) -> Tensor:
    """input with the box that begins at `starts` (as in `dynamic_slice`) replaced by `update`."""
    begin = _starts("dynamic_update_slice", input, starts)
    return apply("dynamic_update_slice", (input, cast(update, input.dtype), begin))[0]
