"""Reading and writing along one dimension, or in the flattened form: gather, index_select,
index_add and their relatives."""

from __future__ import annotations

from typing import Any

from intaglio._apply import apply, one
from intaglio._core import Tensor
from intaglio._functions_elementwise import where
from intaglio._functions_index import checked_index, put_at, wrapped_index
from intaglio._functions_movement import narrow, reshape
from intaglio._functions_reduce import axis_of
from intaglio._promote import as_tensor_like, broadcast_shapes, cast, expand_to, fitting, spelled
from intaglio.compiler.dims import Dim, product
from intaglio.compiler.dtypes import boolean, int32, int64
from intaglio.compiler.errors import DTypeError, ShapeError


@spelled
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices at these indices of a dimension."""
    axis = axis_of("index_select", input, dim)
    index = _index_vector("index_select", input, index)
    if not input.ndim:
        if index.numel() != 1:
            raise ShapeError(
                f"index_select: {input._kind} holds one element, {index._kind} asks for"
                " more or less"
            )
        return one("reshape", apply("take", (reshape(input, 1), index), {"axis": 0})[0], shape=())
    return apply("take", (input, index), {"axis": axis})[0]


def _index_vector(name: str, x: Tensor, index: Tensor) -> Tensor:
    """The index in one dimension, as i64 or i32; one without dimensions counts as one of size 1."""
    index = checked_index(x, index)
    if index.dtype not in (int64, int32):
        raise DTypeError(f"{name}: the index {index._kind} is not i64 or i32")
    if index.ndim > 1:
        raise ShapeError(f"{name}: the index {index._kind} has more than one dimension")
    return index if index.ndim else reshape(index, 1)


def take_rows(input: Tensor, index: Tensor) -> Tensor:
    """The slices of the first dimension at integer positions of any shape: [n, d], [...] -> [...,
    d]."""
    return apply("take", (input, checked_index(input, index)), {"axis": 0})[0]


def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements at these positions of the flattened tensor."""
    flat = reshape(input, input.numel())
    return apply(
        "take", (flat, wrapped_index(checked_index(input, index), input.numel())), {"axis": 0}
    )[0]


@spelled
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """The elements at these positions along `dim`, the other dimensions broadcasting."""
    if dim is None:
        return take(input, reshape(indices, -1))
    axis = axis_of("take_along_dim", input, dim)
    shape = broadcast_shapes(
        tuple(1 if k == axis else s for k, s in enumerate(input.shape)),
        tuple(1 if k == axis else s for k, s in enumerate(indices.shape)),
    )
    x = expand_to(input, (*shape[:axis], input.shape[axis], *shape[axis + 1 :]))
    i = expand_to(indices, (*shape[:axis], indices.shape[axis], *shape[axis + 1 :]))
    i = wrapped_index(checked_index(input, i), input.shape[axis])
    return apply("take_along", (x, i), {"axis": axis})[0]


def aligned(name: str, x: Tensor, index: Tensor, axis: int) -> Tensor:
    """x cut to the index's sizes off the axis."""
    if x.ndim != index.ndim:
        raise ShapeError(
            f"{name}: {x._kind} and the index {index._kind} differ in their dimensions"
        )
    for k, (a, b) in enumerate(zip(x.shape, index.shape, strict=True)):
        if k != axis and a != b:
            if isinstance(a, int) and isinstance(b, int) and b > a:
                raise ShapeError(f"{name}: the index {index._kind} is larger than {x._kind}")
            x = narrow(x, k, 0, b)
    return x


@spelled
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """result[i, j, k] = input[index[i, j, k], j, k] for dim 0, and so on."""
    axis = axis_of("gather", input, dim)
    index = checked_index(input, index)
    if not input.ndim:
        return expand_to(input, tuple(index.shape)).clone()
    if not index.ndim:
        index = reshape(index, 1)
        made = apply("take_along", (aligned("gather", input, index, axis), index), {"axis": axis})[
            0
        ]
        return one("reshape", made, shape=())
    if any(isinstance(s, int) and s == 0 for s in index.shape):
        none = narrow(reshape(input, input.numel()), 0, 0, 0)
        return one("reshape", none, shape=tuple(index.shape))
    x = aligned("gather", input, index, axis)
    return apply("take_along", (x, index), {"axis": axis})[0]


def _by_slices(
    name: str, x: Tensor, dim: int, index: Tensor, source: Tensor | None
) -> tuple[Tensor, int, Tensor, Tensor | None]:
    """The operands of a write to whole slices of a dimension, checked; tensors without dimensions
    as vectors of one element."""
    axis = axis_of(name, x, dim)
    index = _index_vector(name, x, index)
    if source is not None:
        if source.dtype is not x.dtype:
            raise DTypeError(f"{name}: {x._kind} and the source {source._kind} differ in dtype")
        if not source.ndim and x.ndim <= 1:
            source = reshape(source, 1)
    if not x.ndim:
        x = reshape(x, 1)
    if source is not None:
        wanted = (*x.shape[:axis], index.shape[0], *x.shape[axis + 1 :])
        if len(wanted) != source.ndim or any(
            isinstance(a, int) and isinstance(b, int) and a != b
            for a, b in zip(wanted, source.shape, strict=True)
        ):
            raise ShapeError(f"{name}: the source {source._kind} has not the shape {wanted}")
    return x, axis, index, source


def _back(made: Tensor, like: Tensor) -> Tensor:
    return made if like.ndim else one("reshape", made, shape=())


@spelled
def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
    """input with the slices of `source` added at these indices of a dimension, in order."""
    x, axis, index, part = _by_slices("index_add", input, dim, index, source)
    assert part is not None
    if alpha != 1:
        if isinstance(alpha, float) and x.dtype.kind != "f":
            raise DTypeError(f"index_add: alpha {alpha} is no {x.dtype}")
        part = part * alpha
    if x.dtype is boolean:
        made = cast(index_add(cast(x, int64), axis, index, cast(part, int64)), boolean)
        return _back(made, input)
    return _back(apply("index_add", (x, index, part), {"axis": axis})[0], input)


@spelled
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """input with the slices at these indices of a dimension replaced by those of `source`."""
    x, axis, index, part = _by_slices("index_copy", input, dim, index, source)
    assert part is not None
    rest: list[Any] = [slice(None)] * x.ndim
    rest[axis] = index
    return _back(put_at(x, rest, part), input)


@spelled
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """input with the slices at these indices of a dimension filled with a number."""
    if isinstance(value, Tensor) and value.ndim:
        raise ShapeError(f"index_fill: a number is wanted, not {value._kind}")
    x, axis, index, _ = _by_slices("index_fill", input, dim, index, None)
    rest: list[Any] = [slice(None)] * x.ndim
    rest[axis] = index
    return _back(
        put_at(x, rest, as_tensor_like(fitting("index_fill", value, x.dtype), x.dtype)), input
    )


@spelled
def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """input with the elements at these positions of its flattened form replaced by (or increased
    by) the source's elements."""
    if source.dtype is not input.dtype:
        raise DTypeError(f"put: {input._kind} and the source {source._kind} differ in dtype")
    if index.dtype is not int64:
        raise DTypeError(f"put: the index {index._kind} is not i64")
    if index.numel() != source.numel():
        raise ShapeError(f"put: the index {index._kind} and {source._kind} differ in their number")
    flat = reshape(input, input.numel())
    places = wrapped_index(reshape(index, index.numel()), input.numel())
    values = reshape(source, source.numel())
    if accumulate and input.dtype is boolean:  # 1 + 1 is true
        made = put(cast(input, int64), index, cast(source, int64), True)
        return cast(made, boolean)
    op = "index_add" if accumulate else "scatter"
    return reshape(apply(op, (flat, places, values), {"axis": 0})[0], *input.shape)


def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """The coordinates, one tensor for each dimension of `shape`, of positions in its flattened
    form."""
    sizes = (shape,) if isinstance(shape, int | Dim) else tuple(shape)
    if indices.dtype.kind not in "iu":
        raise DTypeError(f"unravel_index: integers are wanted, not {indices._kind}")
    if any(isinstance(s, int) and s < 0 for s in sizes):
        raise ShapeError(f"unravel_index: a size in {sizes} is negative")
    made = []
    for k, size in enumerate(sizes):
        made.append((cast(indices, int64) // product(sizes[k + 1 :])) % size)
    return tuple(made)


def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """input with a number where the mask is true."""
    if not isinstance(mask, Tensor) or mask.dtype is not boolean:
        kind = mask._kind if isinstance(mask, Tensor) else type(mask).__name__
        raise DTypeError(f"masked_fill: the mask is {kind}, not bool")
    if isinstance(value, Tensor) and value.ndim:
        raise ShapeError(f"masked_fill: the value {value._kind} is no number")
    return where(
        mask, as_tensor_like(fitting("masked_fill", value, input.dtype), input.dtype), input
    )
