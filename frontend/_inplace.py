"""Writing to tensors in place: into the shared memory eagerly, as a functional update in a trace.

An in-place op is its ordinary op followed by `write`. The tensor takes over the result's place on
the tape; if it is a view, so does what it is a view of: the parent becomes the old parent with the
view's elements replaced, up to the root. Other views notice by the write counter and bring
themselves up to date when they are next read (`_apply.refresh`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from intaglio._apply import constant, one, refresh
from intaglio._core import Tensor, counter_of, is_inference
from intaglio._modes import inference_used, modes
from intaglio._places import copied, is_writable, store
from intaglio._strides import dense
from intaglio.compiler.dtypes import int64
from intaglio.compiler.errors import DTypeError, GradientError, ShapeError
from intaglio.compiler.op import op_named

if TYPE_CHECKING:
    from intaglio._tape import Entry

_RANK = {"b": 0, "u": 1, "i": 1, "f": 2}


def write(tensor: Tensor, result: Tensor, name: str = "in place") -> Tensor:
    """Let `tensor` hold the elements of `result`, a tensor of the same shape."""
    if inference_used and modes.trace is None and not modes.inference and is_inference(tensor):
        raise GradientError(
            f"{name}: {tensor._kind} was made in inference_mode, so it is not to be written to"
            " outside; write to a clone() of it"
        )
    if result._kind is not tensor._kind:
        result = _fit(tensor, result, name)
    taped = modes.grad and (result.requires_grad or tensor.requires_grad)
    if taped:
        check_leaf(tensor, name)
        if result._node is None and result.requires_grad:
            # a leaf: what is written is a copy of it on the tape, from where its derivative comes
            result = one("reshape", result, shape=tuple(result.shape))
    if tensor._view is not None and tensor._seen != counter_of(tensor)[0]:
        refresh(tensor)
    if tensor._view is not None:
        _check_places(tensor, name)
    if modes.trace is not None:
        modes.trace.touch(tensor)
    else:
        data = tensor._data
        if not is_writable(data):
            raise GradientError(
                f"{name}: several elements of {tensor._kind} share one place in memory, or it is"
                " read-only; write to a clone() of it"
            )
        store(data, result._data)
    _take_over(tensor, result, taped)
    counter_of(tensor)[0] += 1
    version = counter_of(tensor)[0]
    tensor._seen = version
    _propagate(tensor, taped, version)
    return tensor


def _take_over(tensor: Tensor, result: Tensor, taped: bool) -> None:
    if taped and not result.requires_grad:  # what was there has the derivative zero, not none
        result = _kept_on_tape(tensor, result)
    if modes.trace is not None:
        tensor._data = modes.trace.read(result)
    if taped:
        tensor._node, tensor._index = result._node, result._index
        tensor.requires_grad = result.requires_grad


def _kept_on_tape(tensor: Tensor, result: Tensor) -> Tensor:
    """The result as one of the overwritten tensor too."""
    from intaglio._apply import full
    from intaglio._kind import kind_of
    from intaglio.compiler.dtypes import boolean

    everywhere = full(True, kind_of(boolean, tuple(tensor.shape), tensor._kind.place))
    return one("where", everywhere, result, _old(tensor))


def _propagate(view: Tensor, taped: bool, version: int) -> None:
    """Bring the tensors that `view` is a view of up to date, up to the root."""
    while view._view is not None:
        parent, op, attributes = view._view
        if modes.trace is None and not taped:
            return
        if op == "stop_gradient":
            if modes.trace is None:
                return
            modes.trace.touch(parent)
            parent._data = view._data
        else:
            if taped:
                check_leaf(parent, "in place")
            if parent._view is not None and parent._seen != version:
                parent._seen = version - 1
            old = _old(parent)
            updated = put_back(op, attributes, old, view)
            if modes.trace is not None:
                modes.trace.touch(parent)
            _take_over(parent, updated, taped)
        parent._seen = version
        view = parent


def retape(tensor: Tensor, entry: Entry, index: int) -> None:
    """Let a tensor that was written to off the tape be a result of an entry; what it is a view of
    follows."""
    tensor._node, tensor._index, tensor.requires_grad = entry, index, True
    version = counter_of(tensor)[0]
    tensor._seen = version
    _propagate(tensor, True, version)


def _old(parent: Tensor) -> Tensor:
    """The parent as it was before the write, for `put_back` to read its other elements from."""
    from intaglio._core import wrap

    data = modes.trace.read(parent) if modes.trace is not None else parent._data
    old = wrap(data, parent._kind)
    old._node, old._index, old.requires_grad = parent._node, parent._index, parent.requires_grad
    return old


def put_back(op: str, attributes: Any, parent: Tensor, part: Tensor) -> Tensor:
    """`parent` with the elements that the view `op` shows replaced by `part`."""
    if op == "reshape":
        return one("reshape", part, shape=tuple(parent.shape))
    if op == "permute":
        axes = attributes["axes"]
        return one("permute", part, axes=tuple(sorted(range(len(axes)), key=axes.__getitem__)))
    if op == "slice":
        return slice_update(parent, part, **attributes)
    if op == "bitcast":
        return one("bitcast", part, dtype=parent.dtype)
    if op == "strided":
        return _strided_update(parent, part, attributes)
    raise GradientError(
        f"in place: several elements of a view made by {op} share one place; write to a clone()"
    )


def _strided_update(parent: Tensor, part: Tensor, attributes: Any) -> Tensor:
    """`parent` with the elements that `strided` shows replaced: written to their flat places."""
    flat, count = parent.numel(), part.numel()
    if part._kind.shape == () or count != 0:
        counted = one("iota", dtype=int64, shape=(flat,), axis=0)
        places = one("strided", one("reshape", counted, shape=tuple(parent.shape)), **attributes)
        index = one("reshape", places, shape=(count,))
        whole, source = (one("reshape", x, shape=(n,)) for x, n in ((parent, flat), (part, count)))
        parent_ = one("scatter", whole, index, source, axis=0)
        return one("reshape", parent_, shape=tuple(parent.shape))
    return parent


def _check_places(tensor: Tensor, name: str) -> None:
    """Refuse to write where several elements of a view lie at one place."""
    view = tensor
    while view._view is not None:
        parent, op, attributes = view._view
        if op == "strided" and _overlaps(attributes, parent.shape):
            raise GradientError(
                f"{name}: several elements of {tensor._kind}, a view made by unfold or as_strided,"
                " share one place in memory; write to a clone() of it"
            )
        view = parent


def _overlaps(attributes: Any, shape: Any) -> bool:
    """Whether steps meet: sorted, each must lead beyond all that the smaller ones reach."""
    along = dense(shape)
    columns = zip(*attributes["steps"], strict=True) if attributes["steps"] else ()
    steps = [sum((a * b for a, b in zip(column, along, strict=True)), 0) for column in columns]
    if any(not isinstance(s, int) for s in (*steps, *attributes["shape"])):
        return False
    reach = 0
    for step, size in sorted(zip(steps, attributes["shape"], strict=False)):
        if size > 1:
            if step <= reach:
                return True
            reach += step * (size - 1)
    return False


def slice_update(parent: Tensor, part: Tensor, starts: Any, stops: Any, steps: Any) -> Tensor:
    """`parent` with a strided box of it replaced by `part`: along each axis in turn, what lies
    before, the part (spread by the step and filled up from the parent) and what lies after."""
    shape = parent.shape
    rank = len(shape)
    if all(steps[k] == 1 for k in range(rank)):
        if is_state(parent):  # of whose memory only the part is then written
            return one("dynamic_update_slice", parent, part, _place(starts))
        return _box_update(parent, part, starts, stops)
    mask, spread = _spread(parent, part, starts, stops, steps)
    return one("where", mask, spread, parent)


def is_state(tensor: Tensor) -> bool:
    """Whether a traced tensor is a captured one, or that with some elements replaced."""
    trace = modes.trace
    if trace is None or tensor.requires_grad:
        return False
    value = trace.read(tensor)
    captured = {c.value for c in trace.captures.values()}
    for node in reversed(trace.builder.nodes):
        if value in captured:
            break
        if value in node.outputs:
            op = op_named(node.op)
            if not (op.updates_operand or op.keeps_order):
                return False
            value = node.inputs[0]
    return value in captured


def _place(starts: Any) -> Tensor:
    """The beginning of a box as data: i64[rank]."""
    if all(isinstance(s, int) for s in starts):
        return constant(np.array(starts, np.int64))
    parts = [one("reshape", one("size", value=s), shape=(1,)) for s in starts]
    return parts[0] if len(parts) == 1 else one("concat", *parts, axis=0)


def _box_update(parent: Tensor, part: Tensor, starts: Any, stops: Any) -> Tensor:
    rank = len(parent.shape)
    for k in reversed(range(rank)):
        size = parent.shape[k]
        if starts[k] == 0 and stops[k] == size:
            continue
        low = [starts[j] if j < k else 0 for j in range(rank)]
        high = [stops[j] if j < k else parent.shape[j] for j in range(rank)]
        ones = (1,) * rank
        pieces = []
        if starts[k] != 0:
            ends = tuple(starts[k] if j == k else high[j] for j in range(rank))
            pieces.append(one("slice", parent, starts=tuple(low), stops=ends, steps=ones))
        pieces.append(part)
        if stops[k] != size:
            begins = tuple(stops[k] if j == k else low[j] for j in range(rank))
            pieces.append(one("slice", parent, starts=begins, stops=tuple(high), steps=ones))
        part = one("concat", *pieces, axis=k)
    return part


def _spread(
    parent: Tensor, part: Tensor, starts: Any, stops: Any, steps: Any
) -> tuple[Tensor, Tensor]:
    """`part` spread to the parent's shape, and the mask of where it lies."""
    from intaglio._apply import full
    from intaglio._kind import kind_of
    from intaglio.compiler.dtypes import boolean

    rank = len(parent.shape)
    here = full(True, kind_of(boolean, tuple(part.shape)))
    made = []
    for value, fill in ((here, False), (part, _zero(part))):
        wide = tuple(s for n in part.shape for s in (n, 1))
        x = one("reshape", value, shape=wide)
        high = tuple(h for step in steps for h in (0, step - 1))
        x = one("pad", x, low=(0,) * (2 * rank), high=high, value=fill)
        x = one("reshape", x, shape=tuple(n * s for n, s in zip(part.shape, steps, strict=True)))
        room = [n - a for n, a in zip(parent.shape, starts, strict=True)]
        cut = tuple(min(n, r) for n, r in zip(x.shape, room, strict=True))
        x = one("slice", x, starts=(0,) * rank, stops=cut, steps=(1,) * rank)
        after = tuple(r - n for r, n in zip(room, cut, strict=True))
        made.append(one("pad", x, low=tuple(starts), high=after, value=fill))
    return made[0], made[1]


def _zero(tensor: Tensor) -> Any:
    return {"f": 0.0, "b": False}.get(tensor.dtype.kind, 0)


def _fit(tensor: Tensor, result: Tensor, name: str) -> Tensor:
    if tuple(result.shape) != tuple(tensor.shape):
        raise ShapeError(
            f"{name}: the result {result._kind} does not fit the {tensor._kind} that is written to"
        )
    if _RANK[result.dtype.kind] > _RANK[tensor.dtype.kind]:
        raise DTypeError(
            f"{name}: the result {result._kind} cannot be cast to the {tensor._kind} that is"
            " written to"
        )
    return result if result.dtype is tensor.dtype else one("cast", result, dtype=tensor.dtype)


def check_leaf(tensor: Tensor, name: str) -> None:
    """Refuse to write to a leaf that requires grad, or to a view of one."""
    root = tensor
    while root._view is not None and root._view[1] != "stop_gradient":
        root = root._view[0]
    if root.requires_grad and root._node is None:
        raise GradientError(
            f"{name}: {tensor._kind} is a leaf that requires grad, or a view of one; write to it"
            " under no_grad(), or to a clone()"
        )


def in_place(function: Callable[..., Any], name: str) -> Callable[..., Tensor]:
    """The in-place form of a function of a tensor: `add_` from `add`."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if not (modes.grad and self.requires_grad):
            return write(self, function(self, *args, **kwargs), name)
        check_leaf(self, name)
        if self._view is not None and self._seen != counter_of(self)[0]:
            refresh(self)
        before = _old(self)
        result = function(before, *args, **kwargs)
        if modes.trace is None and before._counter is not None:  # the derivative reads it
            before = _old(self)
            before._data = copied(before._data)
            result = function(before, *args, **kwargs)
        return write(self, result, name)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"`{name[:-1]}` whose result is written into this tensor."
    return method


def replace(tensor: Tensor, value: Tensor) -> None:
    """`tensor.data = value`: let it hold other data, of any shape, apart from the tape."""
    if modes.trace is not None:
        modes.trace.touch(tensor)
        tensor._data, tensor._kind = modes.trace.read(value), value._kind
    else:
        tensor._data, tensor._kind = value._data, value._kind
    tensor._view = None
    counter_of(tensor)[0] += 1


def reshaped_in_place(function: Callable[..., Tensor], name: str) -> Callable[..., Tensor]:
    """The form of a view that changes the tensor's own shape: `t_` from `t`. The tensor becomes a
    view of what it was, so that writes to it still reach what it was a view of."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if modes.grad and self.requires_grad:
            check_leaf(self, name)
        before = _old(self)
        before._view, before._seen = self._view, self._seen
        before._counter = counter_of(self)
        made = function(before, *args, **kwargs)
        if modes.trace is not None:
            modes.trace.touch(self)
        for slot in ("_data", "_kind", "_node", "_index", "requires_grad", "_view", "_seen"):
            setattr(self, slot, getattr(made, slot))
        return self

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"`{name[:-1]}` of this tensor, in place."
    return method
