"""Reading and writing parts of tensors: `x[...]`, gather, scatter and their relatives.

Integers, slices, `...` and None make views. Integer tensors become one `take`: the dimensions that
they index are merged, and so are the indices. `x[i] = v` is a `scatter`, in which the last of
several writes to one place stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from intaglio._apply import apply, constant, full, one, view as apply_view
from intaglio._core import Tensor, is_traced
from intaglio._functions_device import on_place
from intaglio._functions_elementwise import where
from intaglio._functions_movement import narrow, permute, reshape
from intaglio._functions_reduce import axis_of
from intaglio._inplace import write
from intaglio._kind import kind_of
from intaglio._known import known_difference
from intaglio._modes import modes
from intaglio._places import to_host
from intaglio._promote import as_tensor_like, broadcast_shapes, cast, expand_to, spelled
from intaglio.compiler.dims import Dim, bounds, maximum, minimum, product
from intaglio.compiler.dtypes import boolean, int32, int64
from intaglio.compiler.errors import DTypeError, IndexError, ShapeError


def _fail(x: Tensor, message: str) -> IndexError:
    from intaglio._scope import spot, where_of

    return IndexError(f"index: {x._kind}: {message} ({where_of(spot())})")


def _is_array(item: Any) -> bool:
    return isinstance(item, Tensor | np.ndarray | list | bool | np.bool_)


def _as_index(item: Any) -> Tensor:
    if isinstance(item, Tensor):
        return item
    made = constant(np.asarray(item))
    return cast(made, int64) if made.numel() == 0 and made.dtype.kind == "f" else made


def _spelled_out(x: Tensor, key: Any) -> list[Any]:
    """The items of a key, one per dimension (None and bool masks aside), `...` written out."""
    items = list(key) if isinstance(key, tuple) else [key]
    items = [k.item() if isinstance(k, np.generic) else k for k in items]
    items = [int(k) if _is_scalar_index(k) else k for k in items]
    used = 0
    for item in items:
        if item is None or item is Ellipsis or isinstance(item, bool):
            continue
        mask = _is_array(item) and _as_index(item).dtype is boolean
        used += _as_index(item).ndim if mask else 1
    dots = [k for k, item in enumerate(items) if item is Ellipsis]
    if len(dots) > 1:
        raise _fail(x, "an index has only one ...")
    missing = x.ndim - used
    if missing < 0:
        raise _fail(x, f"{used} indices for {x.ndim} dimensions")
    fill = [slice(None)] * missing
    if dots:
        return items[: dots[0]] + fill + items[dots[0] + 1 :]
    return items + fill


def _is_scalar_index(item: Any) -> bool:
    return (
        isinstance(item, Tensor)
        and item.ndim == 0
        and item.dtype.kind in "iu"
        and not is_traced(item)
        and modes.trace is None
    )


def _bounds(x: Tensor, size: Any, item: slice) -> tuple[Any, Any, int]:
    """Start, stop and step of a slice, within the size."""
    step = 1 if item.step is None else int(item.step)
    if step <= 0:
        raise _fail(x, f"the step {step} is not positive; use flip")

    def place(at: Any, default: Any) -> Any:
        if at is None:
            return default
        at = _from_start(at if isinstance(at, Dim) else int(at), size)
        return minimum(maximum(at, 0), size)

    start, stop = place(item.start, 0), place(item.stop, size)
    return start, maximum(start, stop), step


def _from_start(at: Any, size: Any) -> Any:
    """A place counted from the start; negative ones are counted from the end. A symbolic place that
    may be either is taken for what it mostly is, and calls in which it is not are refused."""
    low, high = bounds(at)
    negative = low < 0 and high <= 0
    trace = modes.trace
    if low < 0 <= high and trace is not None:  # neither is certain
        trace.require(*((at, "<=", -1) if negative else (0, "<=", at)))
    return at + size if negative else at


def _basic(x: Tensor, items: Sequence[Any]) -> tuple[Tensor, list[Any]]:
    """The view for integers, slices and None; array items stay, one per remaining dimension."""
    starts, stops, steps, shape = [], [], [], []
    rest: list[Any] = []
    axis = 0
    for item in items:
        if item is None:
            shape.append(1)
            rest.append(slice(None))
            continue
        if _is_array(item):
            index = _as_index(item)
            count = index.ndim if index.dtype is boolean else 1
            if not count:  # a single bool indexes a new dimension of size 1
                shape.append(1)
            for size in x.shape[axis : axis + count]:
                starts.append(0)
                stops.append(size)
                steps.append(1)
                shape.append(size)
            known = index.dtype is boolean and not isinstance(item, Tensor)
            rest += _known_positions(x, np.asarray(item), axis) if known else [index]
            axis += count
            continue
        size = x.shape[axis]
        if isinstance(item, slice):
            start, stop, step = _bounds(x, size, item)
            shape.append((stop - start + step - 1) // step)
            rest.append(slice(None))
        else:
            start = _position(x, size, item)
            stop, step = start + 1, 1
        starts.append(start)
        stops.append(stop)
        steps.append(step)
        axis += 1
    made = x
    if any(a != 0 for a in starts) or tuple(stops) != tuple(x.shape) or any(s != 1 for s in steps):
        attributes = {"starts": tuple(starts), "stops": tuple(stops), "steps": tuple(steps)}
        made = apply_view("slice", x, attributes)
    if tuple(shape) != tuple(made.shape):
        made = apply_view("reshape", made, {"shape": tuple(shape)}, copies=True)
    elif made is x:
        made = apply_view("reshape", x, {"shape": tuple(shape)}, copies=True)
    return made, rest


def _position(x: Tensor, size: Any, item: Any) -> Any:
    if isinstance(item, Dim):
        return _from_start(item, size)
    if not hasattr(item, "__index__"):
        raise _fail(
            x, f"{type(item).__name__} is no index: use integers, slices, None, ... or tensors"
        )
    at = item.__index__()
    if isinstance(size, int) and not -size <= at < size:
        raise _fail(x, f"{at} is out of range for size {size}")
    return at + size if at < 0 else at


def getitem(input: Tensor, key: Any) -> Tensor:
    """`x[key]`: a view for integers, slices, `...` and None; a copy where tensors or lists
    index."""
    items = _spelled_out(input, key)
    for axis, places in _moving(input, items):
        input = apply("take", (input, places), {"axis": axis})[0]
    view, rest = _basic(input, items)
    if all(isinstance(r, slice) for r in rest):
        return view
    moved, flat, front, after = _merged(view, _without_masks(view, rest))
    made = apply("take", (moved, flat), {"axis": front})[0]
    return made if after is None else permute(made, *after)


def _moving(x: Tensor, items: list[Any]) -> list[tuple[int, Tensor]]:
    """The slices whose ends are data of a trace: the dimension of each and the places it covers. In
    `items` a slice of everything takes their place."""
    found: list[tuple[int, Tensor]] = []
    axis = 0
    for k, item in enumerate(items):
        if isinstance(item, slice) and (_is_data(item.start) or _is_data(item.stop)):
            found.append((axis, _places(x, axis, item)))
            items[k] = slice(None)
        mask = _is_array(item) and _as_index(item).dtype is boolean
        axis += 0 if item is None else _as_index(item).ndim if mask else 1
    return found


def _is_data(end: Any) -> bool:
    """Whether an end of a slice is a tensor of a trace."""
    return isinstance(end, Tensor) and modes.trace is not None


def _places(x: Tensor, axis: int, item: slice) -> Tensor:
    """The places that `start : start + n` covers; negative ones are counted from the end."""
    start, length = item.start, None
    if _is_data(start) and item.step in (None, 1):
        length = known_difference(start, item.stop)
    if length is None or length < 0:
        from intaglio._trace_errors import data_dependent

        raise data_dependent("the length of a slice (write x[i : i + n] with n known)", x)
    start = checked_index(x, start)
    steps = one("iota", dtype=start.dtype, shape=(length,), axis=0)
    return _wrapped(start, x.shape[axis]) + steps


def _set_moving(x: Tensor, moving: list[tuple[int, Tensor]], key: Any, value: Any) -> None:
    """Assign to a part whose place is data: cut it out, assign to it, put it back."""
    part, parts = x, []
    for axis, places in moving:
        parts.append((part, axis, places))
        part = apply("take", (part, places), {"axis": axis})[0]
    setitem(part, key, value)
    for whole, axis, places in reversed(parts):
        wide = tuple(places.shape[0] if k == axis else 1 for k in range(whole.ndim))
        index = expand_to(reshape(places, *wide), tuple(part.shape))
        part = apply("scatter", (whole, index, part), {"axis": axis})[0]
    write(x, part, "index_put_")


def _without_masks(x: Tensor, rest: Sequence[Any]) -> list[Any]:
    """Bool masks replaced by the positions where they are true."""
    out: list[Any] = []
    for item in rest:
        if not isinstance(item, Tensor) or item.dtype is not boolean:
            out.append(item)
            continue
        if modes.trace is not None:
            from intaglio._trace_errors import data_dependent

            raise data_dependent("a bool mask as index", item)
        out += _known_positions(x, to_host(item._data), len(out))
    return out


def _known_positions(x: Tensor, mask: Any, axis: int) -> list[Tensor]:
    """Where a mask over the dimensions from `axis` on is true; one tensor for each of them."""
    for k, size in enumerate(mask.shape):
        if size != x.shape[axis + k]:
            raise _fail(x, f"the mask of shape {mask.shape} does not fit dimension {axis + k}")
    return [constant(positions) for positions in np.nonzero(np.atleast_1d(mask))]


def _merged(x: Tensor, rest: Sequence[Any]) -> tuple[Tensor, Tensor, int, list[int] | None]:
    """x with its indexed dimensions merged into one, the index into that one, where it is, and the
    order that puts the index dimensions of the result in their place."""
    where_ = [k for k, r in enumerate(rest) if isinstance(r, Tensor)]
    indices = [checked_index(x, rest[k]) for k in where_]
    try:
        shape = broadcast_shapes(*(i.shape for i in indices))
    except ShapeError as error:
        raise _fail(x, str(error)) from None
    sizes = [x.shape[k] for k in where_]
    if len(where_) == 1:
        return x, _wrapped(indices[0], sizes[0]), where_[0], None
    flat = _flat([expand_to(i, shape) for i in indices], sizes)
    together = where_ == list(range(where_[0], where_[-1] + 1))
    others = [k for k in range(x.ndim) if k not in where_]
    front = where_[0] if together else 0
    order = others[:front] + where_ + others[front:]
    moved = permute(x, *order) if order != list(range(x.ndim)) else x
    merged = (*moved.shape[:front], product(tuple(sizes)), *moved.shape[front + len(where_) :])
    return reshape(moved, *merged), flat, front, None


def checked_index(x: Tensor, index: Tensor) -> Tensor:
    """The index as i64 or i32; an error where it is of no integer dtype."""
    if index.dtype.kind not in "iu":
        raise DTypeError(f"index: {x._kind}: only integers and bools index, not {index._kind}")
    index = index if index.dtype in (int64, int32) else cast(index, int64)
    return on_place(index, x._kind.place)


def _wrapped(index: Tensor, size: Any) -> Tensor:
    """Negative indices counted from the end; what is out of range stays so."""
    data = index._data
    if isinstance(data, np.ndarray) and (data.size == 0 or data.min() >= 0):
        return index
    return where(index < 0, index + size, index)


def _flat(indices: Sequence[Tensor], sizes: Sequence[Any]) -> Tensor:
    """One index into merged dimensions; out of range as soon as one of them is."""
    flat: Tensor | None = None
    outside: Tensor | None = None
    for index, size in zip(indices, sizes, strict=True):
        index = _wrapped(index, size)
        wrong = (index < 0) | (index >= size)
        outside = wrong if outside is None else outside | wrong
        flat = index if flat is None else flat * size + index
    assert flat is not None and outside is not None
    return where(outside, -1, flat)


def setitem(input: Tensor, key: Any, value: Any) -> None:
    """`x[key] = value`, in place."""
    items = _spelled_out(input, key)
    if moving := _moving(input, items):
        _set_moving(input, moving, tuple(items), value)
        return
    number = value if isinstance(value, Tensor) else as_tensor_like(value, input.dtype)
    if len(items) == 1 and _is_array(items[0]) and _as_index(items[0]).dtype is boolean:
        mask = _as_index(items[0])
        if number.ndim == 0 and mask.ndim == input.ndim:
            write(input, where(mask, cast(number, input.dtype), input), "index_put_")
            return
    view, rest = _basic(input, items)
    if all(isinstance(r, slice) for r in rest):
        number = (
            cast(number, input.dtype)
            if number.dtype.kind != "f" or input.dtype.kind == "f"
            else number
        )
        write(view, expand_to(_trimmed(number, view), tuple(view.shape)), "index_put_")
        return
    write(view, _put(view, _without_masks(view, rest), cast(number, input.dtype)), "index_put_")


def _trimmed(value: Tensor, like: Tensor) -> Tensor:
    """Without leading dimensions of size 1 that the target does not have."""
    extra = value.ndim - like.ndim
    if extra > 0 and all(s == 1 for s in value.shape[:extra]):
        return (
            reshape(value, *value.shape[extra:]) if like.ndim else one("reshape", value, shape=())
        )
    return value


def _put(x: Tensor, rest: list[Any], value: Tensor, accumulate: bool = False) -> Tensor:
    """x with the indexed elements replaced by (or, accumulating, increased by) the value."""
    moved, flat, front, _ = _merged(x, rest)
    arrays = [k for k, r in enumerate(rest) if isinstance(r, Tensor)]
    shape = (*moved.shape[:front], *flat.shape, *moved.shape[front + 1 :])
    value = expand_to(_trimmed(value, _stub(shape, value)), shape)
    count = product(tuple(flat.shape))
    value = reshape(value, *moved.shape[:front], count, *moved.shape[front + 1 :])
    flat = reshape(flat, count)
    if accumulate and x.dtype is boolean:  # 1 + 1 is true
        numbers = (cast(moved, int64), flat, cast(value, int64))
        made = cast(apply("index_add", numbers, {"axis": front})[0], boolean)
    elif accumulate:
        made = apply("index_add", (moved, flat, value), {"axis": front})[0]
    else:
        wide = tuple(count if k == front else 1 for k in range(moved.ndim))
        flat = expand_to(reshape(flat, *wide), tuple(value.shape))
        made = apply("scatter", (moved, flat, value), {"axis": front})[0]
    return _unmerged(made, x, arrays)


def _stub(shape: tuple[Any, ...], value: Tensor) -> Tensor:
    return full(0, kind_of(value.dtype, shape))


def _unmerged(made: Tensor, x: Tensor, arrays: list[int]) -> Tensor:
    """Back from merged dimensions to the shape of x."""
    if len(arrays) == 1:
        return made
    together = arrays == list(range(arrays[0], arrays[-1] + 1))
    others = [k for k in range(x.ndim) if k not in arrays]
    front = arrays[0] if together else 0
    order = others[:front] + arrays + others[front:]
    made = reshape(made, *(x.shape[k] for k in order))
    return permute(made, *(order.index(k) for k in range(x.ndim)))


def index_put(
    input: Tensor, indices: Sequence[Any], values: Tensor, accumulate: bool = False
) -> Tensor:
    """input with the elements at the indices replaced by the values, or increased by them; an index
    of None stands for a whole dimension."""
    if len(indices) > input.ndim:
        raise _fail(input, f"{len(indices)} indices for {input.ndim} dimensions")
    items = [slice(None) if i is None else _as_index(i) for i in indices]
    rest: list[Any] = _without_masks(input, items)
    rest += [slice(None)] * (input.ndim - len(rest))
    return _put(input, rest, cast(as_tensor_like(values, input.dtype), input.dtype), accumulate)


# ------------------------------------------------------------------------------------- by dimension


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
    return apply("take", (flat, _wrapped(checked_index(input, index), input.numel())), {"axis": 0})[
        0
    ]


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
    i = _wrapped(checked_index(input, i), input.shape[axis])
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
    return _back(_put(x, rest, part), input)


@spelled
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """input with the slices at these indices of a dimension filled with a number."""
    if isinstance(value, Tensor) and value.ndim:
        raise ShapeError(f"index_fill: a number is wanted, not {value._kind}")
    x, axis, index, _ = _by_slices("index_fill", input, dim, index, None)
    rest: list[Any] = [slice(None)] * x.ndim
    rest[axis] = index
    return _back(_put(x, rest, as_tensor_like(value, x.dtype)), input)


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
    places = _wrapped(reshape(index, index.numel()), input.numel())
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
    number = (
        cast(value, input.dtype)
        if isinstance(value, Tensor)
        else as_tensor_like(value, input.dtype)
    )
    return where(mask, number, input)
