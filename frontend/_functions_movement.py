"""Functions that move, repeat, cut and join elements without computing with them."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from intaglio._apply import apply, link, one, view as apply_view
from intaglio._core import Tensor, wrap
from intaglio._functions_device import on_device
from intaglio._functions_reduce import axis_of
from intaglio._kind import Size
from intaglio._modes import modes, set_grad_enabled
from intaglio._promote import (
    as_tensor_like,
    broadcast_shapes as common_shape,
    cast,
    expand_to,
    number_dtype,
    spelled,
    wrapped,
)
from intaglio.compiler.dims import Dim, product
from intaglio.compiler.dtypes import DType, boolean, int64
from intaglio.compiler.errors import ArgumentError, DTypeError, IndexError as AxisError, ShapeError
from intaglio.compiler.ir import Value


def sizes(given: Sequence[Any]) -> tuple[Any, ...]:
    """Sizes given one by one or as one sequence."""
    if len(given) == 1 and isinstance(given[0], tuple | list):
        given = given[0]
    return tuple(s.item() if isinstance(s, Tensor) else s for s in given)


def inferred(name: str, x: Tensor, shape: tuple[Any, ...]) -> tuple[Any, ...]:
    """The shape with a -1 replaced by the size that makes the number of elements fit."""
    unknown = [k for k, s in enumerate(shape) if isinstance(s, int) and s == -1]
    if not unknown:
        return shape
    if len(unknown) > 1:
        raise ShapeError(f"{name}: {x._kind}: only one size may be -1 in {shape}")
    known = product(tuple(s for k, s in enumerate(shape) if k != unknown[0]))
    total = x.numel()
    if known == 0 or (isinstance(total, int) and isinstance(known, int) and total % known):
        raise ShapeError(f"{name}: {x._kind}: {total} elements cannot be arranged as {shape}")
    return shape[: unknown[0]] + (total // known,) + shape[unknown[0] + 1 :]


def reshape(input: Tensor, *shape: Any) -> Tensor:
    """The same elements in row-major order in another shape; one size may be -1. A view where the
    memory allows it."""
    target = inferred("reshape", input, sizes(shape))
    return apply_view("reshape", input, {"shape": target}, copies=True)


def view(input: Tensor, *shape: Any) -> Tensor:
    """`reshape` that never copies; or the same bits as another dtype."""
    if len(shape) == 1 and isinstance(shape[0], DType):
        return _seen_as(input, shape[0])
    target = inferred("view", input, sizes(shape))
    made = apply_view("reshape", input, {"shape": target}, copies=True)
    if made._view is None and not isinstance(input._data, Value) and made.numel():
        raise ShapeError(
            f"view: {input._kind} does not lie in memory so that it can be seen as {target};"
            " use reshape, which copies"
        )
    return made


def _seen_as(input: Tensor, dtype: DType) -> Tensor:
    """The same bits as another dtype of the same size: a view."""
    made = one("bitcast", input, dtype=dtype)
    if isinstance(made._data, np.ndarray):
        made._data = input._data.view(dtype.numpy)
    return link(made, input, "bitcast", {"dtype": dtype})


def view_as(input: Tensor, other: Tensor) -> Tensor:
    """The same elements in the shape of another tensor."""
    return view(input, *other.shape)


def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """The same elements in the shape of another tensor."""
    return reshape(input, *other.shape)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The dimensions from `start_dim` to `end_dim` merged into one."""
    if not input.ndim:
        return reshape(input, 1)
    first, last = axis_of("flatten", input, start_dim), axis_of("flatten", input, end_dim)
    if first > last:
        raise ArgumentError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    shape = input.shape
    return reshape(
        input, *shape[:first], product(tuple(shape[first : last + 1])), *shape[last + 1 :]
    )


def ravel(input: Tensor) -> Tensor:
    """All elements in one dimension."""
    return reshape(input, input.numel())


def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """One dimension split into several; one size may be -1."""
    axis = axis_of("unflatten", input, dim)
    parts = list(sizes)
    if -1 in parts:
        rest = product(tuple(s for s in parts if s != -1))
        parts[parts.index(-1)] = input.shape[axis] // rest
    return reshape(input, *input.shape[:axis], *parts, *input.shape[axis + 1 :])


def permute(input: Tensor, *dims: Any) -> Tensor:
    """The dimensions in another order: a view."""
    order = sizes(dims)
    if len(order) != input.ndim:
        raise ShapeError(
            f"permute: {input._kind}: {order} does not name its {input.ndim} dimensions"
        )
    axes = tuple(axis_of("permute", input, d) for d in order)
    if len(set(axes)) != len(axes):
        raise ArgumentError(f"permute: {input._kind}: {order} names a dimension twice")
    return apply_view("permute", input, {"axes": axes})


def transpose(input: Tensor, dim0: Any = None, dim1: Any = None) -> Tensor:
    """Two dimensions exchanged; with no or one sequence of dimensions as NumPy's transpose."""
    if dim1 is None:
        return permute(input, *(range(input.ndim)[::-1] if dim0 is None else dim0))
    a, b = axis_of("transpose", input, dim0), axis_of("transpose", input, dim1)
    axes = list(range(input.ndim))
    if axes:
        axes[a], axes[b] = axes[b], axes[a]
    return apply_view("permute", input, {"axes": tuple(axes)})


swapaxes = swapdims = transpose


def movedim(input: Tensor, source: Any, destination: Any) -> Tensor:
    """Dimensions moved to other places, the rest in order."""
    sources = (source,) if isinstance(source, int) else tuple(source)
    targets = (destination,) if isinstance(destination, int) else tuple(destination)
    a = [axis_of("movedim", input, d) for d in sources]
    b = [axis_of("movedim", input, d) for d in targets]
    if len(a) != len(b) or len(set(a)) != len(a) or len(set(b)) != len(b):
        raise ArgumentError(
            f"movedim: {input._kind}: {source} and {destination} are not as many distinct"
            " dimensions"
        )
    if not input.ndim:
        return permute(input)
    rest = [k for k in range(input.ndim) if k not in a]
    place = dict(zip(b, a, strict=True))
    following = iter(rest)
    return permute(input, *(place[k] if k in place else next(following) for k in range(input.ndim)))


moveaxis = movedim


def t(input: Tensor) -> Tensor:
    """The transposed matrix (at most two dimensions)."""
    if input.ndim > 2:
        raise ShapeError(f"t: {input._kind} has more than two dimensions; use mT or transpose")
    return permute(input, *range(input.ndim)[::-1])


def reversed_dims(input: Tensor) -> Tensor:
    """All dimensions in reverse order: `x.T`."""
    return permute(input, *range(input.ndim)[::-1])


def matrix_transpose(input: Tensor) -> Tensor:
    """The last two dimensions exchanged: `x.mT`."""
    if input.ndim < 2:
        raise ShapeError(f"mT: {input._kind} has fewer than two dimensions")
    return transpose(input, -1, -2)


adjoint = matrix_transpose


@spelled
def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Without its dimensions of size 1 (or those of `dim` that have size 1): a view."""
    rank = input.ndim
    if dim is None:
        drop = set(range(rank))
    else:
        drop = {axis_of("squeeze", input, d) for d in ((dim,) if isinstance(dim, int) else dim)}
    shape = tuple(s for k, s in enumerate(input.shape) if not (k in drop and s == 1))
    return apply_view("reshape", input, {"shape": shape}, copies=True)


@spelled
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """With a new dimension of size 1 at `dim`: a view."""
    rank = input.ndim + 1
    if not -rank <= dim < rank:
        raise AxisError(f"unsqueeze: {input._kind}: dim {dim} is out of range")
    at = dim % rank
    shape = (*input.shape[:at], 1, *input.shape[at:])
    return apply_view("reshape", input, {"shape": shape}, copies=True)


expand_dims = unsqueeze


def expand(input: Tensor, *shape: Any) -> Tensor:
    """Repeated along dimensions of size 1 and new leading ones, without memory; -1 keeps a size."""
    target = sizes(shape)
    more = len(target) - input.ndim
    if more < 0:
        raise ShapeError(f"expand: {input._kind} has more dimensions than {target}")
    own = (1,) * more + tuple(input.shape)
    if any(isinstance(s, int) and s < 0 for s in target[:more]):
        raise ShapeError(f"expand: {input._kind}: a new dimension of {target} has no size to keep")
    wanted = tuple(
        b if isinstance(a, int) and a == -1 else a for a, b in zip(target, own, strict=True)
    )
    if wanted == tuple(input.shape):
        return apply_view("reshape", input, {"shape": wanted}, copies=True)
    axes = tuple(range(more, len(target)))
    return apply_view("expand", input, {"shape": wanted, "axes": axes})


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """Expanded to the shape of another tensor."""
    return expand(input, *other.shape)


def broadcast_to(input: Tensor, shape: Sequence[Any]) -> Tensor:
    """Expanded to a shape."""
    return expand(input, *shape)


def broadcast_shapes(*shapes: Any) -> tuple[Any, ...]:
    """The common shape of shapes; an integer stands for a shape of one dimension."""
    given = [(s,) if isinstance(s, int | Dim) else tuple(s) for s in shapes]
    for shape in given:
        if any(isinstance(s, int) and s < 0 for s in shape):
            raise ShapeError(f"broadcast_shapes: a size in {shape} is negative")
    return Size(common_shape(*given))


def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """All expanded to their common shape."""
    shape = common_shape(*(x.shape for x in tensors))
    return tuple(expand_to(x, shape) for x in tensors)


def repeat(input: Tensor, *repeats: Any) -> Tensor:
    """The whole tensor laid side by side, this often along each dimension."""
    counts = sizes(repeats)
    more = len(counts) - input.ndim
    if more < 0:
        raise ShapeError(f"repeat: {input._kind}: {counts} has fewer numbers than dimensions")
    own = (1,) * more + tuple(input.shape)
    wide = tuple(s for n, size in zip(counts, own, strict=True) for s in (n, size))
    x = one("reshape", input, shape=own)
    x = one("expand", x, shape=wide, axes=tuple(range(1, 2 * len(own), 2)))
    shape = tuple(n * s for n, s in zip(counts, own, strict=True))
    return owned(one("reshape", x, shape=shape))


def owned(x: Tensor, *operands: Tensor) -> Tensor:
    """x with memory of its own: for a composite's result that may be an operand, a view of one, or
    what its last op left in an operand's memory, where a write to it would be seen."""
    if any(x is y for y in operands) or x._view is not None:
        return clone(x)
    return x if x._counter is None or isinstance(x._data, Value) else clone(x)


def tile(input: Tensor, *dims: Any) -> Tensor:
    """`repeat` that also takes fewer numbers than dimensions."""
    counts = sizes(dims)
    return repeat(input, *((1,) * (input.ndim - len(counts)) + counts))


@spelled
def repeat_interleave(
    input: Tensor, repeats: Any = None, dim: int | None = None, *, output_size: Any = None
) -> Tensor:
    """Each element repeated in place this often along `dim` (of the flattened tensor, if None).
    With `repeats` alone: each position as often as its number says. `output_size` is the size that
    the caller expects, and is checked."""
    if repeats is None:
        index = one("iota", dtype=int64, shape=(input.numel(),), axis=0)
        return repeat_interleave(index, input, 0, output_size=output_size)
    if isinstance(repeats, tuple | list):
        repeats = as_tensor_like(repeats, int64)
    if isinstance(repeats, Tensor):
        from intaglio._functions_data import repeat_by_counts

        return _of_size(repeat_by_counts(input, repeats, dim), dim, output_size)
    if isinstance(repeats, int) and repeats < 0:
        raise ArgumentError(f"repeat_interleave: {repeats} repeats are fewer than none")
    x = ravel(input) if dim is None else input
    axis = 0 if dim is None else axis_of("repeat_interleave", x, dim)
    x = unsqueeze(x, axis + 1)
    x = expand(x, *x.shape[: axis + 1], repeats, *x.shape[axis + 2 :])
    made = owned(one("reshape", x, shape=_merged(tuple(x.shape), axis)))
    return _of_size(made, dim, output_size)


def _of_size(x: Tensor, dim: int | None, expected: Any) -> Tensor:
    size = x.shape[0 if dim is None else dim]
    if expected is not None and size != expected:
        raise ShapeError(f"repeat_interleave: the result has {size} entries, not {expected}")
    return x


def _merged(shape: tuple[Any, ...], axis: int) -> tuple[Any, ...]:
    return (*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :])


def narrow(input: Tensor, dim: int, start: Any, length: Any) -> Tensor:
    """`length` positions from `start` along a dimension: a view."""
    if not input.ndim:
        raise ShapeError(f"narrow: {input._kind} has no dimension to cut")
    axis = axis_of("narrow", input, dim)
    size = input.shape[axis]
    if isinstance(start, Tensor) and (start.ndim or start.dtype.kind not in "iu"):
        raise DTypeError(f"narrow: start is an integer, not {start._kind}")
    if isinstance(start, Tensor) and isinstance(start._data, Value):
        counted = one("iota", dtype=int64, shape=(length,), axis=0)
        places = expand_to(cast(start, int64), (length,))
        return apply("take", (input, apply("add", (counted, places))[0]), {"axis": axis})[0]
    start, length = (int(x) if isinstance(x, Tensor) else x for x in (start, length))
    if isinstance(length, int) and length < 0:
        raise ArgumentError(f"narrow: {input._kind}: a length of {length} is negative")
    if isinstance(start, int) and isinstance(size, int) and not -size <= start <= size:
        raise AxisError(f"narrow: {input._kind}: start {start} is out of range for size {size}")
    if isinstance(start, int) and start < 0:
        start = start + size
    starts = tuple(start if k == axis else 0 for k in range(input.ndim))
    stops = tuple(start + length if k == axis else s for k, s in enumerate(input.shape))
    ones = (1,) * input.ndim
    return apply_view("slice", input, {"starts": starts, "stops": stops, "steps": ones})


@spelled
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along a dimension, without it: views."""
    if not input.ndim:
        raise AxisError(f"unbind: {input._kind} has no dimension {dim}")
    axis = axis_of("unbind", input, dim)
    size = input.shape[axis]
    if isinstance(size, Dim):
        raise ShapeError(f"unbind: {input._kind}: the number of slices is symbolic; use ig.scan")
    return tuple(select(input, axis, k) for k in range(size))


@spelled
def select(input: Tensor, dim: int, index: Any) -> Tensor:
    """The slice at an index of a dimension, without it: a view."""
    axis = axis_of("select", input, dim)
    size = input.shape[axis] if input.ndim else 0
    if isinstance(index, int) and isinstance(size, int) and not -size <= index < size:
        raise AxisError(f"select: {input._kind}: index {index} is out of range for size {size}")
    part = narrow(input, axis, index, 1)
    shape = (*input.shape[:axis], *input.shape[axis + 1 :])
    return apply_view("reshape", part, {"shape": shape}, copies=True)


def flip(input: Tensor, *dims: Any, **named: Any) -> Tensor:
    """The elements in reverse order along the dimensions (`flip(x, 0, 1)`, `dims=(0, 1)`), along
    all where none are named: a copy."""
    chosen: Any = named.get("dims", named.get("axis", dims or None))
    if chosen is None:
        chosen = tuple(range(input.ndim))
    axes = tuple(sorted(axis_of("flip", input, d) for d in sizes((chosen,) if named else chosen)))
    if len(set(axes)) != len(axes):
        raise ArgumentError(f"flip: {input._kind}: {axes} names a dimension twice")
    if not axes or not input.ndim:
        return input.clone()
    return clone(one("flip", input, axes=axes))


def fliplr(input: Tensor) -> Tensor:
    """Reversed along the second dimension."""
    if input.ndim < 2:
        raise ShapeError(f"fliplr: {input._kind} has fewer than two dimensions")
    return flip(input, 1)


def flipud(input: Tensor) -> Tensor:
    """Reversed along the first dimension."""
    if not input.ndim:
        raise ShapeError(f"flipud: {input._kind} has no dimension to reverse")
    return flip(input, 0)


@spelled
def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turned by k quarters in the plane of two dimensions."""
    if len(dims) != 2 or input.ndim < 2:
        raise ArgumentError(f"rot90: {input._kind}: {tuple(dims)} is no plane of two dimensions")
    a, b = (axis_of("rot90", input, d) for d in dims)
    if a == b:
        raise ArgumentError(f"rot90: {input._kind}: {tuple(dims)} names a dimension twice")
    turns = k % 4
    if turns == 0:
        return clone(input)
    if turns == 2:
        return flip(input, a, b)
    return clone(transpose(flip(input, b), a, b) if turns == 1 else flip(transpose(input, a, b), b))


def pad_sides(input: Tensor, low: Sequence[Any], high: Sequence[Any], value: Any = 0) -> Tensor:
    """Room of a constant value added before and after along each dimension; negative sizes cut."""
    cut_low = tuple(builtins.max(-a, 0) if isinstance(a, int) else 0 for a in low)
    cut_high = tuple(builtins.max(-b, 0) if isinstance(b, int) else 0 for b in high)
    if any(cut_low) or any(cut_high):
        stops = tuple(s - c for s, c in zip(input.shape, cut_high, strict=True))
        input = one("slice", input, starts=cut_low, stops=stops, steps=(1,) * input.ndim)
    grow_low = tuple(builtins.max(a, 0) if isinstance(a, int) else a for a in low)
    grow_high = tuple(builtins.max(b, 0) if isinstance(b, int) else b for b in high)
    kind = input.dtype.kind
    number: Any = float(value) if kind == "f" else bool(value) if kind == "b" else int(value)
    return one("pad", input, low=grow_low, high=grow_high, value=number)


def atleast_1d(*tensors: Any) -> Any:
    """With at least one dimension; of several tensors (or a sequence) a tuple."""
    return _of_each(lambda x: reshape(x, 1) if x.ndim == 0 else x, tensors)


def atleast_2d(*tensors: Any) -> Any:
    """With at least two dimensions, new ones in front; of several tensors a tuple."""
    return _of_each(lambda x: reshape(x, 1, -1) if x.ndim < 2 else x, tensors)


def atleast_3d(*tensors: Any) -> Any:
    """With at least three dimensions: a vector becomes [1, n, 1], a matrix [m, n, 1]; of several
    tensors a tuple."""

    def widened(x: Tensor) -> Tensor:
        if x.ndim < 2:
            return reshape(x, 1, x.numel(), 1)
        return unsqueeze(x, 2) if x.ndim == 2 else x

    return _of_each(widened, tensors)


def _of_each(function: Callable[[Tensor], Tensor], given: tuple[Any, ...]) -> Any:
    """The function of the only tensor, or a tuple of it of several."""
    if len(given) == 1 and isinstance(given[0], Tensor):
        return function(given[0])
    parts = given[0] if len(given) == 1 and isinstance(given[0], tuple | list) else given
    made = []
    for x in parts:
        x = wrapped(x)
        made.append(function(x if isinstance(x, Tensor) else as_tensor_like(x, number_dtype(x))))
    return made[0] if len(given) == 1 and parts is given else tuple(made)


# --------------------------------------------------------------------------- copies and conversions


def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy with memory of its own, which derivatives flow through."""
    made = apply("reshape", (input,), {"shape": tuple(input.shape)})[0]
    if not isinstance(made._data, Value):
        made._data, made._counter = made._data.copy(), None
    return made


def contiguous(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """input itself if it lies densely in row-major order, else a copy that does."""
    return input if input.is_contiguous() else clone(input)


def detach(input: Tensor) -> Tensor:
    """The same memory, through which no derivative flows."""
    if modes.trace is not None:
        with set_grad_enabled(False):
            made = apply("stop_gradient", (input,))[0]
    else:
        made = wrap(input._data, input._kind)
    return link(made, input, "stop_gradient", {})


def to(
    input: Tensor,
    *targets: Any,
    dtype: Any = None,
    device: Any = None,
    copy: bool = False,
    non_blocking: bool = False,
    other: Tensor | None = None,
    memory_format: Any = None,
) -> Tensor:
    """input with another dtype or device: `x.to(ig.float64)`, `x.to("cuda")`, `x.to(other)`; input
    itself when nothing changes, unless `copy`."""
    from intaglio._dtype_names import as_dtype

    for target in (*targets, *(() if other is None else (other,))):
        if isinstance(target, Tensor):
            dtype, device = target.dtype, target.device
        elif isinstance(target, str):
            device = target
        elif not isinstance(target, bool):
            dtype = target
    wanted = input.dtype if dtype is None else as_dtype(dtype)
    made = on_device(cast(input, wanted), device)
    return clone(made) if copy and made is input else made


def bools(x: Tensor) -> Tensor:
    """x as bools."""
    return cast(x, boolean)
