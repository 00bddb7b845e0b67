"""Runs one op at once: one evaluator per op, operand types and attributes, fixed for good.

Where NumPy gives the defined bits (an op says so by `exact`: movement, integers, comparisons,
`+ - * / sqrt`) the evaluator is the op's NumPy function; elsewhere it is the op's own kernel,
compiled for run-time extents. So an eager result is the compiled one, bit for bit."""

from __future__ import annotations

import contextvars
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from intaglio.compiler.dtypes import dtype_of
from intaglio.compiler.errors import Error
from intaglio.compiler.interpret import evaluating
from intaglio.compiler.ir import Graph, Value
from intaglio.compiler.op import Op, located, op_named, result_types
from intaglio.compiler.ops.control import CustomVjp, Scan
from intaglio.compiler.ops.convert import Cast
from intaglio.compiler.ops.elementwise import Elementwise
from intaglio.compiler.ops.host import HostCall
from intaglio.compiler.types import TensorType
from intaglio.compiler.where import Places
from intaglio.runtime.arrays import Array
from intaglio.runtime.eager_calls import has_compiler
from intaglio.runtime.eager_kernels import kernel_evaluator, loop_evaluator, shared_evaluator
from intaglio.runtime.prints import emit, exposed_loop, show, shown_text
from intaglio.runtime.spare import LARGE, empty

Evaluator = Callable[..., tuple[Array, ...]]
"""Takes the operands' arrays, gives the results' arrays."""

_EVALUATORS: Final[dict[Any, Evaluator]] = {}
REMEMBERED: Final = 16384
"""Evaluators that `evaluate` keeps; beyond, it starts anew."""
UNCOMPILED: Final = 2
"""Runs of a loop before it is compiled: most loops of a program's start run once."""
SHARED: Final = 1 << 20
"""Bytes of a result from which on threads share the work of an op that NumPy could do too."""
REPEATED: Final = 4096
"""Bytes up to which the result of an op without operands is kept and copied."""


def evaluate(
    op: str, arrays: Sequence[Array], attributes: Mapping[str, Any] = {}
) -> tuple[Array, ...]:
    """The results of an op for these arrays. Checks types first: raises what the op's type rule
    raises."""
    key = (op, tuple([(a.dtype, a.shape) for a in arrays]), tuple(attributes.items()))
    found = _EVALUATORS.get(key)
    if found is None:
        types = [TensorType(dtype_of(a.dtype), a.shape) for a in arrays]
        found = evaluator(op, types, attributes)
        if len(_EVALUATORS) >= REMEMBERED:
            _EVALUATORS.clear()
        _EVALUATORS[key] = found
    return found(*arrays)


def evaluator(
    op: str, types: Sequence[TensorType], attributes: Mapping[str, Any] = {}
) -> Evaluator:
    """The evaluator of an op for operands of these types (with known sizes). To be kept by callers
    that apply the same op again: a call of it checks nothing but indices."""
    rule = op_named(op)
    results = result_types(rule, types, attributes)
    if isinstance(rule, HostCall):
        wanted = [(t.dtype.numpy, t.shape) for t in results]
        return lambda *arrays: rule.called(arrays, attributes, wanted)
    if numpy_is_exact(rule, types, results):
        if not types:
            return _made_once(rule, attributes)
        return _ufunc(rule, types, results) or _reference(rule, attributes)
    if isinstance(rule, CustomVjp):
        return graph_evaluator(attributes["body"])
    if any(isinstance(value, Graph) for value in attributes.values()):
        return _loop(rule, types, attributes)
    if any(size == 0 for t in (*types, *results) for size in t.shape):
        return _reference(rule, attributes)
    return kernel_evaluator(rule, types, results, attributes)


def graph_evaluator(graph: Graph, of: Callable[..., Evaluator] = evaluator) -> Evaluator:
    """The evaluator of a graph with known sizes: those of its nodes (`of` op, types and attributes)
    one after the other. A value is let go after its last use."""
    slots: dict[Value, int] = {v: k for k, v in enumerate(graph.inputs)}
    last: dict[Value, int] = {}
    for number, node in enumerate(graph.nodes):
        for v in node.outputs:
            slots[v] = len(slots)
        last.update((v, number) for v in (*node.inputs, *node.outputs))
    for v in graph.outputs:
        last.pop(v, None)
    dead: list[list[int]] = [[] for _ in graph.nodes]
    for v, number in last.items():
        dead[number].append(slots[v])
    steps = []
    for node, done in zip(graph.nodes, dead, strict=True):
        made = of(node.op, [v.type for v in node.inputs], node.attributes)
        if op_named(node.op).effect:
            made = _shower(str(node.attributes["label"]), node.where)
        steps.append((made, [slots[v] for v in node.inputs], done, node.where))
    outputs = [slots[v] for v in graph.outputs]

    def run(*arrays: Array) -> tuple[Array, ...]:
        values: list[Any] = list(arrays)
        for step, operands, done, where in steps:
            try:
                values += step(*[values[k] for k in operands])
            except Error as error:
                raise located(error, where) from error.__cause__
            for k in done:
                values[k] = None
        return tuple([values[k] for k in outputs])

    return run


def _shower(label: str, where: Places) -> Evaluator:
    """Shows its operand, which is its result."""

    def run(array: Array) -> tuple[Array, ...]:
        emit(shown_text(array, label, where))
        return (array,)

    return run


def numpy_is_exact(rule: Op, types: Sequence[TensorType], results: Sequence[TensorType]) -> bool:
    """Whether the op's NumPy reference gives the bits of its kernel for these operands, and is no
    slower: it is with short floats."""
    exact: str = getattr(rule, "exact", "")
    halves = any(t.dtype.is_half for t in (*types, *results))
    if halves and isinstance(rule, Elementwise | Cast) and 0 not in results[0].shape:
        return False
    return all(t.dtype.kind in exact for t in types or results)


# -------------------------------------------------------------------------------------- evaluators


class _Silent(threading.local):
    """NumPy's ufuncs without floating-point warnings: a context of each thread in which they are
    off. (`np.errstate` around each call would take four times as long as the call.)"""

    def __init__(self) -> None:
        self.run: Any = contextvars.copy_context().run
        self.run(np.seterr, all="ignore")


_CONTEXTS_WORK: Final = int(np.__version__.split(".")[0]) >= 2
"""Since NumPy 2 the error state belongs to the context; before, to the thread."""
_silent = _Silent() if _CONTEXTS_WORK else None


def _ufunc(
    rule: Op, types: Sequence[TensorType], results: Sequence[TensorType]
) -> Evaluator | None:
    """An elementwise op that is just a NumPy ufunc, called directly; None when it is more."""
    function = getattr(rule, "compute", None)
    if _silent is None or not isinstance(rule, Elementwise) or not isinstance(function, np.ufunc):
        return None
    dtypes = [t.dtype.numpy for t in types]
    if rule.wide:
        return None
    if function.resolve_dtypes((*dtypes, None))[-1] != results[0].dtype.numpy:
        return None
    small = _ufunc_evaluator(function, len(types), results[0].shape == ())
    if _bytes(results[0]) < LARGE:
        return small
    return _large(rule, function, types, results[0])


def _bytes(type: TensorType) -> int:
    shape: tuple[Any, ...] = type.shape
    return int(math.prod(shape)) * type.dtype.size


def _large(
    rule: Op, function: np.ufunc, types: Sequence[TensorType], result: TensorType
) -> Evaluator:
    """Large results lie in memory used before. Floats that make many bytes are computed by the
    op's kernel, which all threads share: it has the same bits."""
    shape: tuple[Any, ...] = result.shape
    dtype, nbytes = result.dtype.numpy, _bytes(result)
    assert _silent is not None
    silent = _silent
    kernel: Callable[[Sequence[Array]], Array | None] | None = None
    if nbytes >= SHARED and types[0].dtype.kind == "f" and has_compiler():
        kernel = shared_evaluator(rule, types, result)

    def run(*arrays: Array) -> tuple[Array, ...]:
        made = None if kernel is None else kernel(arrays)
        if made is None:
            made = empty(shape, dtype, nbytes)
            silent.run(function, *arrays, made)
        return (made,)

    return run


def _ufunc_evaluator(function: np.ufunc, operands: int, number: bool) -> Evaluator:
    """Calls of a ufunc; of results without dimensions NumPy makes numbers, not arrays."""
    assert _silent is not None
    silent, asarray = _silent, np.asarray

    if number:

        def single(*arrays: Array) -> Any:
            return asarray(silent.run(function, *arrays))

    elif operands == 2:

        def single(a: Array, b: Array) -> Any:  # type: ignore[misc]  # the same, for two
            return silent.run(function, a, b)

    else:

        def single(*arrays: Array) -> Any:
            return silent.run(function, *arrays)

    def run(*arrays: Array) -> tuple[Array, ...]:
        return (single(*arrays),)

    run.single = single  # type: ignore[attr-defined]  # for who wants no tuple
    return run


def _reference(rule: Op, attributes: Mapping[str, Any]) -> Evaluator:
    """The op's NumPy reference."""

    def run(*arrays: Array) -> tuple[Array, ...]:
        return tuple(map(np.asarray, rule.results(*arrays, **attributes)))

    return run


def _made_once(rule: Op, attributes: Mapping[str, Any]) -> Evaluator:
    """An op without operands: a copy of its small result; a large one is made each time."""
    reference = _reference(rule, attributes)
    (made,) = reference()
    if made.nbytes > REPEATED:
        return reference
    return lambda: (made.copy(),)


def _loop(rule: Op, types: Sequence[TensorType], attributes: Mapping[str, Any]) -> Evaluator:
    """An op that holds graphs: its reference, with every node inside run by its own evaluator. What
    is to be shown inside is shown afterwards. A loop that runs often is compiled: the same bits."""
    exposed = exposed_loop(rule, types, attributes)
    reference = _reference(rule, attributes if exposed is None else exposed[0])

    compiles = exposed is None and isinstance(rule, Scan) and len(attributes["body"].nodes) > 0
    compiles = compiles and not any(0 in t.shape for t in types)
    calls = 0
    compiled: Evaluator | None = None

    def run(*arrays: Array) -> tuple[Array, ...]:
        nonlocal calls, compiled
        if compiled is not None:
            return compiled(*arrays)
        calls += 1
        if compiles and calls > UNCOMPILED:
            compiled = loop_evaluator(rule, types, attributes)
            return compiled(*arrays)
        with evaluating(evaluate):
            made = reference(*arrays)
        if exposed is None:
            return made
        _, count, shown = exposed
        show(shown, made[count:])
        return made[:count]

    return run
