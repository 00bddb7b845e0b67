"""Runs one op at once on a device: one evaluator per op, operand types and attributes.

A result that is only another look at its operand shares its memory. Every other op is its own
kernel, compiled for run-time extents in few canonical layouts, so that one module serves every
shape: an op that takes each element by itself sees dims joined as far as its operands allow, each
operand repeated along some of them; a reduction sees neighbouring dims merged; a product one batch
dim or none; the rest one size per dim. Operands that fit none of these are copied first. Operands
on the CPU are taken where they hold one number."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from intaglio.compiler.dims import Dim, Size
from intaglio.compiler.errors import DeviceError, Error
from intaglio.compiler.ir import Graph
from intaglio.compiler.loop import Buffer, Const, Load, Operand, Position, Unfusable
from intaglio.compiler.op import Builder, Op, op_named, result_types
from intaglio.compiler.ops.host import HostCall
from intaglio.compiler.ops.matmul import Matmul
from intaglio.compiler.ops.reduce import Reduction
from intaglio.compiler.schedule.domain import axes_of
from intaglio.compiler.schedule.storage import View, dense, view_of
from intaglio.compiler.types import TensorType
from intaglio.runtime.arrays import Array
from intaglio.runtime.device.array import DeviceArray, dense_strides
from intaglio.runtime.device.copying import joined
from intaglio.runtime.device.device import Device
from intaglio.runtime.eager import evaluator, graph_evaluator
from intaglio.runtime.executor import Executable

Evaluator = Callable[..., tuple[Any, ...]]
SCALARS: Final = 4096
"""Numbers from the CPU that a device keeps."""
DENSE_NUMBERS: Final = 4096
"""Bytes up to which a constant that repeats a number may lie densely on the CPU."""


def device_evaluator(
    device: Device, op: str, types: Sequence[TensorType], attributes: Mapping[str, Any] = {}
) -> Evaluator:
    """The evaluator of an op on a device, for operands of these types (with known sizes)."""
    rule = op_named(op)
    results = result_types(rule, types, attributes)
    inner = _evaluator(device, rule, types, results, attributes)

    def run(*arrays: Any) -> tuple[Any, ...]:
        placed = [a if a.__class__ is DeviceArray else _number(device, op, a) for a in arrays]
        for a in placed:
            if a.device is not device:
                raise _apart(op, a.device.name, device.name)
        return inner(*placed)

    return run


def device_graph_evaluator(device: Device, graph: Graph) -> Evaluator:
    """The evaluator of a graph with known sizes: those of its nodes, one after the other."""
    return graph_evaluator(graph, functools.partial(device_evaluator, device))


def _evaluator(
    device: Device,
    rule: Op,
    types: Sequence[TensorType],
    results: Sequence[TensorType],
    attributes: Mapping[str, Any],
) -> Evaluator:
    if rule.effect:
        shown = evaluator(rule.name, types, attributes)
        return lambda *arrays: (shown(*[a.to_host() for a in arrays]), arrays)[1]
    if not types:
        return _created(device, rule, results[0], attributes)
    if isinstance(rule, HostCall) or any(0 in t.shape for t in (*types, *results)):
        return _on_host(device, rule, types, attributes)
    if any(isinstance(value, Graph) for value in attributes.values()):
        kernel = Executable(_one(rule, types, attributes), device=device)
        return lambda *arrays: tuple(kernel([_dense(a) for a in arrays]))
    looked = _looking(rule, types, attributes)
    if looked is not None:
        return looked
    if is_pointwise(rule, types, results, attributes):
        return _pointwise(device, rule, types, results[0], attributes)
    if isinstance(rule, Reduction):
        return _reduction(device, rule, types[0], results[0], attributes["axes"])
    if isinstance(rule, Matmul):
        return _product(device, rule, types, results[0])
    return _other(device, rule, types, attributes)


def _one(rule: Op, types: Sequence[TensorType], attributes: Mapping[str, Any]) -> Graph:
    b = Builder()
    return b.graph(b.apply(rule.name, [b.input(t) for t in types], attributes))


def _kernel(device: Device, key: tuple[Any, ...], make: Callable[[], Graph]) -> Executable:
    return device.kept(("eager", *key), lambda: Executable(make(), general=True, device=device))


def numbers(sizes: Sequence[Size]) -> tuple[int, ...]:
    """Sizes that are all known."""
    return tuple(n for n in sizes if isinstance(n, int))


def _dense(array: DeviceArray) -> DeviceArray:
    return array if array.is_dense else array.copy()


# ----------------------------------------------------------------------------- from and to the CPU


def _number(device: Device, op: str, array: Any) -> DeviceArray:
    """A CPU operand that holds one number, on the device."""
    if not _is_number(array):
        raise _apart(op, "cpu", device.name)
    return number_on(device, array) if array.size else device.upload(array)


def _is_number(array: Array) -> bool:
    """Whether an array holds one number: stored once, or as a small constant, densely."""
    if not any(s for n, s in zip(array.shape, array.strides, strict=True) if n > 1):
        return True
    if not array.size or array.flags.writeable or array.nbytes > DENSE_NUMBERS:
        return array.size == 1
    bits = array.reshape(-1).view(np.uint8).reshape(array.size, -1)
    return bool((bits == bits[0]).all())


def number_on(device: Device, array: Array) -> DeviceArray:
    """An array that holds one number, on the device: stored once, not to be written."""
    first = np.asarray(array[(slice(0, 1),) * array.ndim]).reshape(())
    key = ("number", array.dtype, first.tobytes())
    kept: dict[Any, DeviceArray] = device.kept("numbers", dict)
    if len(kept) > SCALARS:
        kept.clear()
    found = kept.get(key)
    if found is None:
        found = kept[key] = device.upload(first)
        found.writable = False
    return found.look(array.shape, (0,) * array.ndim, 0)


def _apart(op: str, one: str, other: str) -> DeviceError:
    return DeviceError(
        f"{op}: its operands lie on different devices, {one} and {other}; move one of them with"
        f" .to({other!r})"
    )


def _on_host(
    device: Device, rule: Op, types: Sequence[TensorType], attributes: Mapping[str, Any]
) -> Evaluator:
    """An op that runs in Python, or that has nothing for a kernel to do."""
    inner = evaluator(rule.name, types, attributes)
    return lambda *arrays: tuple([device.upload(y) for y in inner(*[a.to_host() for a in arrays])])


def _created(
    device: Device, rule: Op, result: TensorType, attributes: Mapping[str, Any]
) -> Evaluator:
    """An op without operands. A result of one number is stored once."""
    inner = evaluator(rule.name, (), attributes)
    _, position = axes_of(result.shape)
    try:
        value = rule.element(position, **attributes) if rule.element is not None else None
    except Unfusable:
        value = None
    if isinstance(value, Const):
        number = np.broadcast_to(
            np.array(value.value).astype(result.dtype.numpy), numbers(result.shape)
        )
        return lambda: (_number(device, rule.name, number),)
    return lambda: tuple([device.upload(y) for y in inner()])


# -------------------------------------------------------------------------------------------- looks


def _looking(
    rule: Op, types: Sequence[TensorType], attributes: Mapping[str, Any]
) -> Evaluator | None:
    """The evaluator of an op that is another look at its operand; None of any other."""
    graph = _one(rule, types, attributes)
    (node,) = graph.nodes
    if len(types) != 1 or view_of(node, View(0, 0, dense(types[0].shape))) is None:
        return None
    shape, size = node.output.type.shape, types[0].dtype.size
    sizes = numbers(shape)
    known: dict[tuple[int, ...], tuple[tuple[int, ...], int]] = {}

    def look(array: DeviceArray) -> tuple[DeviceArray, ...]:
        if rule.keeps_order:
            return (array.reshape(sizes),)
        found = known.get(array.strides)
        if found is None:
            made = view_of(node, View(0, 0, tuple(s // size for s in array.strides)))
            if made is None:
                return look(array.copy())
            found = known[array.strides] = _in_bytes(made, size)
        return (array.look(sizes, *found),)

    return look


def _in_bytes(view: View, size: int) -> tuple[tuple[int, ...], int]:
    """A view's strides and offset in bytes."""
    strides = tuple(s * size for s in view.strides if isinstance(s, int))
    assert isinstance(view.offset, int)
    return strides, view.offset * size


# ---------------------------------------------------------------------------------- element by one


def is_pointwise(
    rule: Op, types: Sequence[TensorType], results: Sequence[TensorType], attributes: Any
) -> bool:
    """Whether an element of the only result needs the elements at its own position alone."""
    shape = results[0].shape
    if len(results) != 1 or rule.element is None or any(t.shape != shape for t in types):
        return False
    _, position = axes_of(shape)
    seen: set[tuple[Position, ...]] = set()

    def operand(type: TensorType) -> Operand:
        buffer = Buffer(type.dtype, type.shape, dense(type.shape))

        def load(index: Any, guard: Any) -> Load:
            seen.add(tuple(index))
            return Load(buffer, index, guard)

        return Operand(type, load)

    try:
        rule.element(position, *map(operand, types), **attributes)
    except Unfusable:
        return False
    return seen <= {tuple(position)}


def _pointwise(
    device: Device,
    rule: Op,
    types: Sequence[TensorType],
    result: TensorType,
    attributes: Mapping[str, Any],
) -> Evaluator:
    shape = numbers(result.shape)
    dtypes = tuple(t.dtype for t in types)
    known: dict[Any, tuple[Executable, list[tuple[int, ...]], tuple[int, ...]]] = {}

    def graph(rank: int, kept: Sequence[tuple[int, ...]]) -> Graph:
        sizes = tuple(Dim(f"d{k}") for k in range(rank))
        b = Builder()
        b.input(TensorType(result.dtype, sizes))  # names every size
        operands = []
        for dtype, axes in zip(dtypes, kept, strict=True):
            x = b.input(TensorType(dtype, tuple(sizes[k] for k in axes)))
            operands.append(x if len(axes) == rank else b.expand(x, shape=sizes, axes=axes))
        return b.graph(b.apply(rule.name, operands, attributes))

    def run(*arrays: DeviceArray) -> tuple[DeviceArray, ...]:
        layout = tuple([a.strides for a in arrays])
        found = known.get(layout)
        if found is None:
            sizes, steps = joined(shape, layout)
            if not sizes:  # one element
                sizes, steps = [1], [[a.itemsize] for a in arrays]
            kept = [_repeated(sizes, s, a.itemsize) for s, a in zip(steps, arrays, strict=True)]
            if None in kept:
                fits = zip(arrays, kept, strict=True)
                return run(*[a.copy() if k is None else a for a, k in fits])
            axes = [k for k in kept if k is not None]
            key = ("pointwise", rule.name, *_key(attributes), dtypes, len(sizes), tuple(axes))
            kernel = _kernel(device, key, lambda: graph(len(sizes), axes))
            found = known[layout] = kernel, [tuple(sizes[k] for k in a) for a in axes], tuple(sizes)
        kernel, shapes, whole = found
        sizes_alone = DeviceArray(device, None, 0, result.dtype.numpy, whole)  # nobody reads it
        given = [a.look(s, None, 0) for a, s in zip(arrays, shapes, strict=True)]
        made: Any = kernel([sizes_alone, *given])[0]
        return (made.reshape(shape),)

    return run


def _repeated(sizes: Sequence[int], steps: Sequence[int], itemsize: int) -> tuple[int, ...] | None:
    """The dims along which an operand is not repeated, if it is dense along those."""
    kept = tuple(k for k, step in enumerate(steps) if step)
    ideal = dense_strides([sizes[k] for k in kept], itemsize)
    return kept if ideal == tuple(steps[k] for k in kept) else None


def _key(attributes: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple((n, v.hex() if isinstance(v, float) else v) for n, v in sorted(attributes.items()))


# ---------------------------------------------------------------------------------------- the rest


def _reduction(
    device: Device, rule: Op, type: TensorType, result: TensorType, axes: tuple[int, ...]
) -> Evaluator:
    groups = [
        (reduced, math.prod([type.shape[k] for k in group]))
        for reduced, group in itertools.groupby(range(type.rank), lambda k: k in axes)
    ]
    reduced = tuple(k for k, (inside, _) in enumerate(groups) if inside)
    merged = numbers([size for _, size in groups])
    wide = type.with_shape(*(Dim(f"d{k}") for k in range(len(groups))))
    kernel = _kernel(
        device,
        (rule.name, type.dtype.name, len(groups), reduced),
        lambda: _one(rule, [wide], {"axes": reduced}),
    )
    shape = numbers(result.shape)

    def run(x: DeviceArray) -> tuple[DeviceArray, ...]:
        made: Any = kernel([_dense(x).reshape(merged)])[0]
        return (made.reshape(shape),)

    return run


def _product(
    device: Device, rule: Op, types: Sequence[TensorType], result: TensorType
) -> Evaluator:
    dtype, batched = types[0].dtype, types[0].rank > 2
    outer = (math.prod(types[0].shape[:-2]),) if batched else ()
    shape = numbers(result.shape)

    def flat(x: DeviceArray) -> tuple[DeviceArray, bool]:
        """The operand with at most one batch dim, and whether its last two dims are swapped."""
        (*batch, m, k), (*steps, down, across) = x.shape, x.strides
        turned = x.look((*batch, k, m), (*steps, across, down), 0)
        swapped = turned.is_dense and not x.is_dense
        x = turned if swapped else _dense(x)
        return x.reshape((*outer, *x.shape[-2:])), swapped

    def graph(left: bool, right: bool) -> Graph:
        batch = (Dim("b"),) if batched else ()
        m, n, k = Dim("m"), Dim("n"), Dim("k")
        b = Builder()

        def operand(rows: Dim, columns: Dim, swapped: bool) -> Any:
            sizes = (columns, rows) if swapped else (rows, columns)
            x = b.input(TensorType(dtype, (*batch, *sizes)))
            last = len(batch)
            return b.permute(x, axes=(*range(last), last + 1, last)) if swapped else x

        return b.graph(b.apply(rule.name, (operand(m, k, left), operand(k, n, right))))

    def run(a: DeviceArray, b: DeviceArray) -> tuple[DeviceArray, ...]:
        (a, left), (b, right) = flat(a), flat(b)
        key = (rule.name, dtype.name, batched, left, right)
        kernel = _kernel(device, key, lambda: graph(left, right))
        made: Any = kernel([a, b])[0]
        return (made.reshape(shape),)

    return run


def _other(
    device: Device, rule: Op, types: Sequence[TensorType], attributes: Mapping[str, Any]
) -> Evaluator:
    """One size per dim, equal sizes sharing one; with fixed sizes where attributes depend on
    them."""
    sizes = dict.fromkeys(size for t in types for size in t.shape)
    names: dict[Any, Dim] = {size: Dim(f"d{k}") for k, size in enumerate(sizes)}
    wide = [t.with_shape(*(names[size] for size in t.shape)) for t in types]
    key = (rule.name, tuple(map(str, wide)), *_key(attributes))
    try:
        kernel = _kernel(device, key, lambda: _one(rule, wide, attributes))
    except Error:
        fixed = (rule.name, tuple(map(str, types)), *_key(attributes))
        kernel = _kernel(device, fixed, lambda: _one(rule, types, attributes))
    return lambda *arrays: tuple(kernel([_dense(a) for a in arrays]))
