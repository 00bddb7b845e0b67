"""Reading and writing parts of tensors by keys: `x[...]`, `x[...] = v` and `index_put`.

Integers, slices, `...` and None make views. Integer tensors become one `take`: the dimensions that
they index are merged, and so are the indices. `x[i] = v` is a `scatter`, in which the last of
several writes to one place stays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from intaglio._apply import apply, constant, full, one, view as apply_view
from intaglio._core import Tensor, counter_of, is_traced, wrap
from intaglio._functions_device import on_place
from intaglio._functions_elementwise import where
from intaglio._functions_movement import permute, reshape
from intaglio._inplace import write
from intaglio._kind import Kind, kind_of
from intaglio._known import known_difference
from intaglio._modes import inference_used, modes
from intaglio._places import to_host
from intaglio._promote import as_tensor_like, broadcast_shapes, cast, expand_to, fitting
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


def _row(x: Tensor, at: int) -> Tensor | None:
    """`x[at]` outside of a trace and without a derivative, at a tenth of the cost: datasets are
    mostly read so. None where it is not such an ordinary case."""
    data, shape = x._data, x._kind.shape
    if (
        data.__class__ is not np.ndarray
        or not shape
        or not -shape[0] <= at < shape[0]
        or modes.trace is not None
        or modes.watch is not None
        or (x.requires_grad and modes.grad)
        or (x._view is not None and x._seen != x._counter[0])  # type: ignore[index]  # views have one
    ):
        return None
    row = x._kind.row
    if row is None:
        row = x._kind.row = _row_of(x._kind)
    cut = data[at, ...]
    counter = x._counter
    if counter is None:
        counter = counter_of(x)
    made = wrap(cut, row.kind)
    made._counter, made._seen = counter, counter[0]
    made._view = view = _new(_RowView)  # type: ignore[assignment]  # reads like the tuple
    view.source = x, cut, at, counter, counter[0], row
    if inference_used:
        made._index = min(x._index, 0)  # made in inference mode if `x` was
    return made


class _Row(NamedTuple):
    """What is the same for all rows of tensors of one kind."""

    part: Kind
    kind: Kind
    rest: tuple[int, ...]
    zeros: tuple[int, ...]
    ones: tuple[int, ...]


def _row_of(kind: Kind) -> _Row:
    rest = tuple(kind.shape[1:])
    part, row = kind_of(kind.dtype, (1, *rest)), kind_of(kind.dtype, rest)
    return _Row(part, row, rest, (0,) * len(rest), (1,) * kind.rank)


class _RowView:
    """The `_view` of a row: (a slice of the tensor, "reshape", attributes). It is made when it is
    first read, which happens to few rows: where the row or the tensor is written to, or captured by
    a trace."""

    __slots__ = ("source", "view")
    source: tuple[Tensor, Any, int, list[int], int, _Row] | None
    view: tuple[Tensor, str, Any]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._made())

    def __getitem__(self, k: int) -> Any:
        return self._made()[k]

    def _made(self) -> tuple[Tensor, str, Any]:
        if self.source is not None:
            x, cut, at, counter, seen, row = self.source
            at = at + x._kind.shape[0] if at < 0 else at
            part = wrap(cut[None], row.part)
            bounds = {"starts": (at, *row.zeros), "stops": (at + 1, *row.rest), "steps": row.ones}
            part._view, part._counter, part._seen = (x, "slice", bounds), counter, seen
            if inference_used:
                part._index = min(x._index, 0)
            self.view, self.source = (part, "reshape", {"shape": row.rest}), None
        return self.view


_new: Final = object.__new__


def getitem(input: Tensor, key: Any) -> Tensor:
    """`x[key]`: a view for integers, slices, `...` and None; a copy where tensors or lists
    index."""
    if key.__class__ is int:
        row = _row(input, key)
        if row is not None:
            return row
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
    return wrapped_index(start, x.shape[axis]) + steps


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
        return x, wrapped_index(indices[0], sizes[0]), where_[0], None
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


def wrapped_index(index: Tensor, size: Any) -> Tensor:
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
        index = wrapped_index(index, size)
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
    number = value
    if not isinstance(value, Tensor):
        number = as_tensor_like(fitting("setitem", value, input.dtype), input.dtype)
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
    write(view, put_at(view, _without_masks(view, rest), cast(number, input.dtype)), "index_put_")


def _trimmed(value: Tensor, like: Tensor) -> Tensor:
    """Without leading dimensions of size 1 that the target does not have."""
    extra = value.ndim - like.ndim
    if extra > 0 and all(s == 1 for s in value.shape[:extra]):
        return (
            reshape(value, *value.shape[extra:]) if like.ndim else one("reshape", value, shape=())
        )
    return value


def put_at(x: Tensor, rest: list[Any], value: Tensor, accumulate: bool = False) -> Tensor:
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
    return put_at(input, rest, cast(as_tensor_like(values, input.dtype), input.dtype), accumulate)
