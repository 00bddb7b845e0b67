"""Kernels of single ops for eager use: a one-node graph over run-time extents, in few canonical
layouts, so that one compiled kernel serves every shape.

An elementwise op sees its operands as one long row. A reduction sees neighbouring dims merged as
long as all of them are reduced or none is; that keeps the order in which elements are joined. A
matrix product sees one batch dim or none, and operands that are transposed in memory as they lie.
Of convolutions and windows tells `eager_spatial`. Every other op gets one size per dim, equal sizes
sharing one. Operands that fit no canonical layout are copied first."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from intaglio.compiler.dims import Dim
from intaglio.compiler.dtypes import uint8
from intaglio.compiler.ir import Graph, Value
from intaglio.compiler.op import Builder, Op
from intaglio.compiler.ops.convert import Cast
from intaglio.compiler.ops.convolution import Convolution
from intaglio.compiler.ops.elementwise import Elementwise
from intaglio.compiler.ops.matmul import Matmul
from intaglio.compiler.ops.reduce import Reduction
from intaglio.compiler.ops.window_rules import Window
from intaglio.compiler.types import TensorType
from intaglio.runtime.arrays import DENSE, Array, is_dense
from intaglio.runtime.eager_calls import Evaluator, as_dense, calls_of, kernel_of
from intaglio.runtime.eager_spatial import convolution_evaluator, window_evaluator
from intaglio.runtime.executor import Executable
from intaglio.runtime.prepared import Row
from intaglio.runtime.spare import LARGE, empty


def kernel_evaluator(
    rule: Op,
    types: Sequence[TensorType],
    results: Sequence[TensorType],
    attributes: Mapping[str, Any],
) -> Evaluator:
    """The evaluator that runs the op's own kernel for operands of these types."""
    if isinstance(rule, Elementwise | Cast):
        return _elementwise(rule, types, results[0], attributes)
    if getattr(rule, "flat", False):
        return _flat(rule, types, results[0], attributes)
    if isinstance(rule, Reduction):
        return _reduction(rule, types[0], results[0], attributes["axes"])
    if isinstance(rule, Matmul):
        return _product(rule, types, results[0])
    if isinstance(rule, Convolution):
        return convolution_evaluator(rule, types, results[0], attributes)
    if isinstance(rule, Window):
        return window_evaluator(rule, types, results[0], attributes)
    return _other(rule, types, attributes)


def _one(rule: Op, types: Sequence[TensorType], attributes: Mapping[str, Any]) -> Graph:
    b = Builder()
    operands = [b.input(t) for t in types]
    return b.graph(b.apply(rule.name, operands, attributes))


def _flat(
    rule: Op, types: Sequence[TensorType], result: TensorType, attributes: Mapping[str, Any]
) -> Evaluator:
    rest = {name: value for name, value in attributes.items() if name != "shape"}

    def graph() -> Graph:
        b = Builder()
        operands = [b.input(t) for t in types]
        b.input(TensorType(uint8, (Dim("n"),)))
        return b.graph(b.apply(rule.name, operands, {**rest, "shape": (Dim("n"),)}))

    kernel = kernel_of((rule.name, *map(str, types), *rest.items()), graph)
    shape: tuple[Any, ...] = result.shape
    dtype, length = result.dtype.numpy, _count(shape)
    quick: Row | None = None

    def run(*arrays: Array) -> tuple[Array, ...]:
        nonlocal quick
        dense = [as_dense(a) for a in arrays]
        if quick is None:
            (made,) = kernel([*dense, np.empty(length, np.uint8)])
            quick = kernel.row()
            return (made.reshape(shape),)
        made = np.empty(shape, dtype)
        quick([*dense, dense[0]], length, made)
        return (made,)

    return run


def _elementwise(
    rule: Op, types: Sequence[TensorType], result: TensorType, attributes: Mapping[str, Any]
) -> Evaluator:
    row = [t.with_shape(Dim("n")) for t in types]
    key = (rule.name, *(t.dtype.name for t in types), *attributes.values())
    kernel = kernel_of(key, lambda: _one(rule, row, attributes))
    shape: tuple[Any, ...] = result.shape
    dtype, length = result.dtype.numpy, _count(shape)
    nbytes = length * dtype.itemsize
    quick: Row | None = None

    def run(*arrays: Array) -> tuple[Array, ...]:
        if quick is None:
            return first(arrays)
        dense = [a if a.flags.num & DENSE == DENSE else as_dense(a) for a in arrays]
        made = empty(shape, dtype, nbytes) if nbytes >= LARGE else np.empty(shape, dtype)
        quick(dense, length, made)
        return (made,)

    def first(arrays: Sequence[Array]) -> tuple[Array, ...]:
        nonlocal quick
        flat = [as_dense(a).reshape(-1) for a in arrays]
        (made,) = kernel(flat)
        quick = kernel.row()
        return (made.reshape(shape),)

    return run


def shared_evaluator(
    rule: Op, types: Sequence[TensorType], result: TensorType
) -> Callable[[Sequence[Array]], Array | None]:
    """An elementwise op of large operands as a kernel that all threads share. An operand may repeat
    one number (all its strides are 0). None for operands that lie otherwise."""
    shape: tuple[Any, ...] = result.shape
    dtype, length = result.dtype.numpy, _count(shape)
    nbytes = length * dtype.itemsize
    rows: dict[tuple[bool, ...], Row | None] = {}

    def run(arrays: Sequence[Array]) -> Array | None:
        numbers = []
        given = []
        for a in arrays:
            number = not any(a.strides)
            if not number and a.flags.num & DENSE != DENSE:
                return None
            numbers.append(number)
            given.append(np.asarray(a[(0,) * a.ndim]) if number else a)
        pattern = tuple(numbers)
        row = rows.get(pattern)
        if row is not None:
            made = empty(shape, dtype, nbytes)
            row(given, length, made)
            return made
        if all(pattern):
            return None
        kernel = _row_kernel(rule, types, pattern)
        (flat,) = kernel([a.reshape(-1) if a.ndim else a for a in given])
        rows[pattern] = kernel.row()
        return flat.reshape(shape)

    return run


def _row_kernel(rule: Op, types: Sequence[TensorType], numbers: tuple[bool, ...]) -> Executable:
    """The kernel of an elementwise op over rows, some operands of which are single numbers."""
    n = Dim("n")

    def graph() -> Graph:
        b = Builder()
        operands = []
        for t, number in zip(types, numbers, strict=True):
            v = b.input(t.with_shape() if number else t.with_shape(n))
            operands.append(b.expand(v, shape=(n,), axes=()) if number else v)
        return b.graph(b.apply(rule.name, operands))

    return kernel_of((rule.name, *(t.dtype.name for t in types), numbers), graph)


def _reduction(rule: Op, type: TensorType, result: TensorType, axes: tuple[int, ...]) -> Evaluator:
    groups = [
        (reduced, [type.shape[k] for k in group])
        for reduced, group in itertools.groupby(range(type.rank), lambda k: k in axes)
    ]
    reduced = tuple(k for k, (inside, _) in enumerate(groups) if inside)
    merged = tuple(_count(sizes) for _, sizes in groups)
    wide = type.with_shape(*(Dim(f"d{k}") for k in range(len(groups))))
    key = (rule.name, type.dtype.name, len(groups), reduced)
    kernel = calls_of(kernel_of(key, lambda: _one(rule, [wide], {"axes": reduced})))
    shape = result.shape

    def run(x: Array) -> tuple[Array, ...]:
        (made,) = kernel([as_dense(x).reshape(merged)])
        return (made.reshape(shape),)

    return run


def _count(sizes: Sequence[Any]) -> int:
    total = 1
    for size in sizes:
        total *= size
    return total


def _product(rule: Op, types: Sequence[TensorType], result: TensorType) -> Evaluator:
    batched = types[0].rank > 2
    dtype = types[0].dtype
    outer = (_count(types[0].shape[:-2]),) if batched else ()
    shape = result.shape

    def flat(x: Array) -> tuple[Array, bool]:
        """The operand with at most one batch dim, and whether its last two dims are swapped."""
        swapped = not is_dense(x) and is_dense(x.swapaxes(-1, -2))
        if swapped:
            x = x.swapaxes(-1, -2)
        x = as_dense(x)
        return x.reshape(*outer, *x.shape[-2:]), swapped

    kernels: dict[tuple[bool, bool], Callable[[Sequence[Array]], list[Array]]] = {}

    def run(a: Array, b: Array) -> tuple[Array, ...]:
        (a, left), (b, right) = flat(a), flat(b)
        kernel = kernels.get((left, right))
        if kernel is None:
            key = (rule.name, dtype.name, batched, left, right)
            graph = kernel_of(key, lambda: _product_graph(rule, dtype, batched, left, right))
            kernel = kernels[left, right] = calls_of(graph)
        return (kernel([a, b])[0].reshape(shape),)

    return run


def _product_graph(rule: Op, dtype: Any, batched: bool, left: bool, right: bool) -> Graph:
    batch = (Dim("b"),) if batched else ()
    m, n, k = Dim("m"), Dim("n"), Dim("k")
    b = Builder()

    def operand(rows: Dim, columns: Dim, swapped: bool) -> Value:
        if not swapped:
            return b.input(TensorType(dtype, (*batch, rows, columns)))
        x = b.input(TensorType(dtype, (*batch, columns, rows)))
        last = len(batch)
        turned: Value = b.permute(x, axes=(*range(last), last + 1, last))
        return turned

    return b.graph(b.apply(rule.name, (operand(m, k, left), operand(k, n, right))))


def _other(rule: Op, types: Sequence[TensorType], attributes: Mapping[str, Any]) -> Evaluator:
    sizes = dict.fromkeys(size for t in types for size in t.shape)
    names: dict[Any, Dim] = {size: Dim(f"d{k}") for k, size in enumerate(sizes)}
    open_types = [t.with_shape(*(names[s] for s in t.shape)) for t in types]
    key = (rule.name, tuple(map(str, open_types)), tuple(sorted(attributes.items())))
    kernel = calls_of(kernel_of(key, lambda: _one(rule, open_types, attributes)))

    def run(*arrays: Array) -> tuple[Array, ...]:
        return tuple(kernel([as_dense(a) for a in arrays]))

    return run


def loop_evaluator(
    rule: Op, types: Sequence[TensorType], attributes: Mapping[str, Any]
) -> Evaluator:
    """The evaluator of a loop: all its steps as one function, for any number of them."""
    first, last = attributes["carries"], attributes["carries"] + attributes["xs"]
    length = Dim("t") if last > first else attributes["length"]
    open_types = [
        t.with_shape(length, *t.shape[1:]) if first <= k < last else t for k, t in enumerate(types)
    ]
    options = {**attributes, "length": length}
    key = (rule.name, tuple(map(str, open_types)), tuple(sorted(options.items())))
    kernel = calls_of(kernel_of(key, lambda: _one(rule, open_types, options)))

    def run(*arrays: Array) -> tuple[Array, ...]:
        return tuple(kernel([as_dense(a) for a in arrays]))

    return run
