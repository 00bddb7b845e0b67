"""Ops that hold graphs: the loop `scan`, and `custom_vjp`, a piece of program with a derivative of
its own.

`scan` runs its body `length` times. The body maps (carries, slices, constants) to (new carries,
slices of the results): what is carried goes round, slice t of every stacked operand goes in, and
slice t of every stacked result comes out.

Its derivative is a scan the other way round (see `scan_derivative`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from intaglio.compiler.dims import Dim, Size, holds, same_shape
from intaglio.compiler.dtypes import float64, int64
from intaglio.compiler.errors import ArgumentError, ShapeError
from intaglio.compiler.ir import Graph, Node, Value
from intaglio.compiler.op import (
    Array,
    Builder,
    Op,
    Ops,
    Sample,
    V,
    has_effect,
    op_named,
    run_graph,
)
from intaglio.compiler.ops import (  # noqa: F401  # the samples' bodies use their ops
    create,
    elementwise,
    index,
    matmul,
    movement,
    transcendental,
)
from intaglio.compiler.ops.rules import check_size, refused
from intaglio.compiler.ops.scan_derivative import ScanDerivative
from intaglio.compiler.types import TensorType
from intaglio.compiler.where import join


def _is_float(type: TensorType) -> bool:
    return type.dtype.is_floating_point


def _same_type(a: TensorType, b: TensorType) -> bool:
    return a.dtype is b.dtype and same_shape(a.shape, b.shape)


def _bodies() -> tuple[Sample, ...]:
    vector, matrix = TensorType(float64, (3,)), TensorType(float64, (3, 3))
    b = Builder()
    h, x, w = b.input(vector), b.input(vector), b.input(matrix)
    row = b.reshape(b.matmul(b.reshape(h, shape=(1, 3)), w), shape=(3,))
    cell = b.graph([new := b.tanh(b.add(row, x)), b.mul(new, x)])
    b = Builder()
    total, x = b.input(vector), b.input(vector)
    running = b.graph([after := b.add(total, x), after])
    b = Builder()
    x, w = b.input(vector), b.input(vector)
    mapped = b.graph([b.sin(b.mul(x, w))])
    b = Builder()
    count, state = b.input(TensorType(int64, ())), b.input(TensorType(float64, (2,)))
    x, table = b.input(TensorType(float64, (2,))), b.input(TensorType(float64, (5, 2)))
    more = b.add(count, b.full(1, int64))
    moved = b.add(b.mul(state, b.take(table, count, axis=0)), x)
    counting = b.graph([more, moved, b.mul(moved, x), count])
    rnn: dict[str, Any] = {"body": cell, "carries": 1, "xs": 1}
    return (
        Sample("f64[3]", "f64[4,3]", "f64[3,3]", length=4, reverse=False, **rnn),
        Sample("f64[3]", "f64[5,3]", "f64[3,3]", length=5, reverse=True, **rnn),
        Sample("f64[3]", "f64[0,3]", "f64[3,3]", length=0, reverse=False, **rnn),
        Sample("f64[3]", "f64[6,3]", body=running, carries=1, xs=1, length=6, reverse=False),
        Sample(
            np.array(1),
            "f64[2]",
            "f64[4,2]",
            "f64[5,2]",
            body=counting,
            carries=2,
            xs=1,
            length=4,
            reverse=False,
        ),
        Sample("f64[2,3]", "f64[3]", body=mapped, carries=0, xs=1, length=2, reverse=False),
    )


class Scan(Op):
    """`scan(*carries, *xs, *constants; body, carries, xs, length, reverse)` gives the final
    carries, then the stacked results."""

    name = "scan"
    kernel: ClassVar[str] = "scan"
    samples = _bodies()

    def type(
        self,
        *types: TensorType,
        body: Graph,
        carries: int,
        xs: int,
        length: Size,
        reverse: bool,
    ) -> tuple[TensorType, ...]:
        """The carries' types, then the body's other results with a leading dim of `length`."""
        check_size(self, types, "length", length)
        counts_fit = (
            isinstance(body, Graph)
            and isinstance(reverse, bool)
            and all(isinstance(n, int) and n >= 0 for n in (carries, xs))
            and carries + xs <= len(types) == len(body.inputs)
            and carries <= len(body.outputs)
        )
        if not counts_fit:
            raise refused(ArgumentError, self, types, "the body does not fit the operands")
        inner = [
            *types[:carries],
            *(self._slice(types, t, length) for t in types[carries : carries + xs]),
            *types[carries + xs :],
        ]
        for k, (given, value) in enumerate(zip(inner, body.inputs, strict=True)):
            if not _same_type(given, value.type):
                rule = f"the body's input {k} is {value.type}, not {given}"
                raise refused(ShapeError, self, types, rule)
        for k, (before, after) in enumerate(zip(body.inputs, body.outputs[:carries], strict=False)):
            if not _same_type(before.type, after.type):
                rule = f"the carry {k} goes in as {before.type} and comes out as {after.type}"
                raise refused(ShapeError, self, types, rule)
        stacked = (v.type.with_shape(length, *v.type.shape) for v in body.outputs[carries:])
        return (*types[:carries], *stacked)

    def _slice(self, types: Sequence[TensorType], stacked: TensorType, length: Size) -> TensorType:
        if not stacked.shape or not holds(stacked.shape[0], "==", length):
            raise refused(ShapeError, self, types, f"{stacked} is no stack of {length}")
        return stacked.with_shape(*stacked.shape[1:])

    def reference(
        self, *arrays: Array, body: Graph, carries: int, xs: int, length: int, reverse: bool
    ) -> tuple[Array, ...]:
        """The loop in Python."""
        from intaglio.compiler.interpret import interpret

        state, rest = list(arrays[:carries]), arrays[carries + xs :]
        stacked = [
            np.empty((length, *(int(s) for s in v.type.shape)), v.type.dtype.numpy)  # type: ignore[arg-type]  # sizes are numbers when running
            for v in body.outputs[carries:]
        ]
        for t in reversed(range(length)) if reverse else range(length):
            slices = [np.asarray(x[t]) for x in arrays[carries : carries + xs]]
            made = interpret(body, [*state, *slices, *rest], {})
            state = made[:carries]
            for stack, y in zip(stacked, made[carries:], strict=True):
                stack[t] = y
        return (*state, *stacked)

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        operands: Sequence[V],
        needs: Sequence[bool],
        /,
        **attributes: Any,
    ) -> Sequence[V | None]:
        """The scan of the body's derivative the other way round, and products behind it."""
        return ScanDerivative(g, dys, ys, operands, needs, **attributes).run()

    def jvp(
        self,
        g: Ops[V],
        dxs: Sequence[V | None],
        operands: Sequence[V],
        ys: Sequence[V],
        /,
        **attributes: Any,
    ) -> Sequence[V | None]:
        """The scan that carries the tangents beside the values."""
        return _scan_tangents(g, dxs, operands, **attributes)

    def prune(self, node: Node, used: Sequence[bool]) -> Node:
        """Without carries, stacked results and operands that serve no used result."""
        from intaglio.compiler.passes.dce import dce

        body, carries, xs = (node.attributes[k] for k in ("body", "carries", "xs"))
        assert isinstance(body, Graph) and isinstance(carries, int) and isinstance(xs, int)
        live, read = _live(body, carries, used)
        kept = [k for k, v in enumerate(body.inputs) if (k in live if k < carries else v in read)]
        small = dce(
            body.replace(
                inputs=[body.inputs[k] for k in kept], outputs=[body.outputs[k] for k in live]
            )
        )
        if len(kept) == len(body.inputs) and len(live) == len(body.outputs):
            if small.nodes == body.nodes:
                return node
            small = body.replace(nodes=small.nodes)
        attributes = {
            **node.attributes,
            "body": small,
            "carries": sum(k < carries for k in kept),
            "xs": sum(carries <= k < carries + xs for k in kept),
        }
        operands, results = [node.inputs[k] for k in kept], [node.outputs[k] for k in live]
        return Node(node.op, operands, results, attributes, node.where)

    def with_results(
        self, node: Node, block: str, values: Sequence[Value]
    ) -> tuple[Node, Sequence[Value]]:
        """Stacked results more."""
        body, length = node.attributes[block], node.attributes["length"]
        assert isinstance(body, Graph) and isinstance(length, int | Dim)
        longer = body.replace(outputs=(*body.outputs, *values))
        stacks = [Value(v.type.with_shape(length, *v.type.shape), v.hint) for v in values]
        attributes = {**node.attributes, block: longer}
        outputs = (*node.outputs, *stacks)
        return Node(node.op, node.inputs, outputs, attributes, node.where), stacks

    def hoisted(self, node: Node) -> tuple[list[Node], Node] | None:
        """What is computed from constants of the loop alone."""
        body, carries, xs = (node.attributes[k] for k in ("body", "carries", "xs"))
        assert isinstance(body, Graph) and isinstance(carries, int) and isinstance(xs, int)
        first = carries + xs
        outside = dict(zip(body.inputs[first:], node.inputs[first:], strict=True))
        taken = _same_in_all_rounds(body, set(outside))
        if not taken:
            return None
        before = []
        for inner in taken:
            copy = inner.with_inputs([outside[v] for v in inner.inputs])
            outside.update(zip(inner.outputs, copy.outputs, strict=True))
            before.append(copy)
        gone = {n for n in taken if _computes(n)}
        rest = [n for n in body.nodes if n not in gone]
        read = {v for n in rest for v in n.inputs} | set(body.outputs)
        more = [v for inner in taken if inner in gone for v in inner.outputs if v in read]
        smaller = body.replace(inputs=(*body.inputs, *more), nodes=rest)
        operands = [*node.inputs, *(outside[v] for v in more)]
        attributes = {**node.attributes, "body": smaller}
        return before, Node(node.op, operands, node.outputs, attributes, node.where)

    def merge(self, first: Node, second: Node) -> tuple[Node, dict[Value, Value]] | None:
        """Loops that carry the same become one loop with the stacked results of both."""
        from intaglio.compiler.passes.cse import cse

        one, two = first.attributes, second.attributes
        a, b, carries = one["body"], two["body"], one["carries"]
        same = all(one[k] == two[k] for k in ("carries", "xs", "length", "reverse"))
        if not (
            same and isinstance(a, Graph) and isinstance(b, Graph) and isinstance(carries, int)
        ):
            return None
        build = Builder()
        inputs = [build.input(v.type) for v in a.inputs]
        outputs = [*build.inline(a, inputs), *build.inline(b, inputs)]
        both = cse(build.graph(outputs))
        split = len(a.outputs)
        if both.outputs[:carries] != both.outputs[split : split + carries]:
            return None
        body = both.replace(outputs=both.outputs[:split] + both.outputs[split + carries :])
        ys = second.outputs[carries:]
        attributes = {**one, "body": body}
        results = [*first.outputs, *ys]
        where = join(first.where, second.where)
        here = {v: v for v in results}
        here.update(zip(second.outputs[:carries], first.outputs[:carries], strict=True))
        return Node(self.name, first.inputs, results, attributes, where), here


def _same_in_all_rounds(body: Graph, constants: set[Value]) -> list[Node]:
    """The nodes of a loop's body that compute something from its constants alone, and the nodes
    that move or fill elements for them."""
    fixed = set(constants)
    candidates: list[Node] = []
    for node in body.nodes:
        if fixed.issuperset(node.inputs) and not (op_named(node.op).checks or has_effect(node)):
            candidates.append(node)
            fixed.update(node.outputs)
    wanted: set[Value] = set()
    taken: list[Node] = []
    for node in reversed(candidates):
        if _computes(node) or not wanted.isdisjoint(node.outputs):
            taken.append(node)
            wanted.update(node.inputs)
    return taken[::-1]


def _computes(node: Node) -> bool:
    """Whether a node does more than to move elements or fill memory, which costs nothing."""
    return bool(node.inputs) and not isinstance(op_named(node.op), movement.Movement)


def _live(body: Graph, carries: int, used: Sequence[bool]) -> tuple[list[int], set[Value]]:
    """The outputs of a scan's body that reach a used result, by way of the carries, and what they
    read."""
    from intaglio.compiler.passes.dce import dce

    live = [k for k, wanted in enumerate(used) if wanted]
    while True:
        part = dce(body.replace(outputs=[body.outputs[k] for k in live]))
        read = {v for n in part.nodes for v in n.inputs} | set(part.outputs)
        more = [k for k in range(carries) if k in live or body.inputs[k] in read]
        grown = sorted({*live, *more})
        if grown == live:
            return live, read
        live = grown


def _scan_tangents(
    g: Ops[Any],
    dxs: Sequence[Any],
    operands: Sequence[Any],
    *,
    body: Graph,
    carries: int,
    xs: int,
    length: Size,
    reverse: bool,
) -> list[Any]:
    """The tangents of a scan's results, by a scan whose body maps (carries, their tangents; slices,
    theirs; constants, theirs) to (new carries, their tangents; tangents of the result slices)."""
    from intaglio.compiler.passes.gradient import jvp
    from intaglio.compiler.passes.prints import silence

    body = silence(body)
    floats = [_is_float(v.type) for v in body.inputs]
    moving = [k for k, dx in enumerate(dxs) if floats[k] and (k < carries or dx is not None)]
    step = jvp(body, [body.inputs[k] for k in moving])
    tangents = dict(zip(moving, step.inputs[len(body.inputs) :], strict=True))
    starts = {k: g.like(0.0, operands[k]) if dxs[k] is None else dxs[k] for k in moving}
    inputs: list[Value] = []
    given: list[Any] = []
    for part in (range(carries), range(carries, carries + xs), range(carries + xs, len(operands))):
        chosen = [k for k in part if k in tangents]
        inputs += [*(body.inputs[k] for k in part), *(tangents[k] for k in chosen)]
        given += [*(operands[k] for k in part), *(starts[k] for k in chosen)]
    out_floats = [k for k, v in enumerate(body.outputs) if _is_float(v.type)]
    out_tangents = dict(zip(out_floats, step.outputs[len(body.outputs) :], strict=True))
    carried = [k for k in out_floats if k < carries]
    stacked = [k for k in out_floats if k >= carries]
    outputs = [
        *body.outputs[:carries],
        *(out_tangents[k] for k in carried),
        *(out_tangents[k] for k in stacked),
    ]
    made = g.apply(
        "scan",
        given,
        {
            "body": step.replace(inputs=inputs, outputs=outputs),
            "carries": carries + len(carried),
            "xs": xs + sum(carries <= k < carries + xs for k in moving),
            "length": length,
            "reverse": reverse,
        },
    )
    found = dict(zip((*carried, *stacked), made[carries:], strict=True))
    return [found.get(k) for k in range(len(body.outputs))]


def _custom_sample() -> Sample:
    """log(1 + e^x), whose own derivative is written with the sigmoid."""
    type = TensorType(float64, (3, 2))
    b = Builder()
    x = b.input(type)
    body = b.graph([b.log1p(b.exp(x))])
    b = Builder()
    x, _, dy = b.input(type), b.input(type), b.input(type)
    backward = b.graph([b.mul(dy, b.sigmoid(x))])
    return Sample("f64[3,2]", body=body, backward=backward, scope="softplus")


class CustomVjp(Op):
    """The results of `body`, differentiated by `backward`: (operands, results, their cotangents) to
    the float operands' cotangents.

    The pass `inline` replaces it by its body once nothing is left to differentiate.
    """

    name = "custom_vjp"
    samples = (_custom_sample(),)

    def type(
        self, *types: TensorType, body: Graph, backward: Graph, scope: str
    ) -> tuple[TensorType, ...]:
        """The body's results."""
        if not (isinstance(body, Graph) and isinstance(backward, Graph) and isinstance(scope, str)):
            raise refused(ArgumentError, self, types, "it takes two graphs and a name")
        results = tuple(v.type for v in body.outputs)
        floats = tuple(t for t in types if _is_float(t))
        for name, found, expected in (
            ("the body's inputs", body.inputs, types),
            ("the derivative's inputs", backward.inputs, (*types, *results, *results)),
            ("the derivative's outputs", backward.outputs, floats),
        ):
            have = [v.type for v in found]
            if len(have) != len(expected) or not all(map(_same_type, have, expected)):
                wanted = ", ".join(map(str, expected))
                rule = f"{name} are ({', '.join(map(str, have))}), not ({wanted})"
                raise refused(ShapeError, self, types, rule)
        return results

    def reference(self, *arrays: Array, body: Graph, backward: Graph, scope: str) -> Any:
        """The body."""
        from intaglio.compiler.interpret import interpret

        return tuple(interpret(body, arrays, {}))

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        *,
        body: Graph,
        backward: Graph,
        scope: str,
    ) -> Sequence[V | None]:
        """The derivative block, written out."""
        given = [g.like(0.0, y) if dy is None else dy for dy, y in zip(dys, ys, strict=True)]
        made = iter(run_graph(g, backward, [*xs, *ys, *given]))
        return [next(made) if _is_float(g.type_of(x)) else None for x in xs]
