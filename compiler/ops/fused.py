"""A group of nodes that becomes one kernel, or a few. The pass `fuse` makes them; nothing else
does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from intaglio.compiler.dtypes import int64
from intaglio.compiler.errors import ArgumentError, ShapeError
from intaglio.compiler.ir import Graph
from intaglio.compiler.op import Array, Builder, Op, Ops, Sample, V
from intaglio.compiler.ops import elementwise  # noqa: F401  # the sample's body uses its ops
from intaglio.compiler.types import TensorType


def _sample() -> Sample:
    b = Builder()
    x, y = (b.input(TensorType(int64, (3, 4))) for _ in range(2))
    return Sample("i64[3,4]", "i64[3,4]", body=b.graph([b.mul(b.add(x, y), y)]), kind="map")


class Fused(Op):
    """`body` applied to the operands. `kind` says how it is scheduled: `map`, `row`, `column`, or
    the name of the kernel template it is built around. It means what its nodes mean."""

    name = "fused"
    samples: ClassVar[Sequence[Sample]] = (_sample(),)

    def type(self, *types: TensorType, body: Graph, kind: str) -> tuple[TensorType, ...]:
        """The types of the body's outputs."""
        if not isinstance(body, Graph) or not isinstance(kind, str):
            raise ArgumentError("fused: it takes a graph and a kind")
        if len(types) != len(body.inputs):
            raise ArgumentError(f"fused: {len(types)} operands for {len(body.inputs)} inputs")
        for given, value in zip(types, body.inputs, strict=True):
            if given != value.type:
                raise ShapeError(f"fused: an operand is {given} where its body says {value.type}")
        return tuple(v.type for v in body.outputs)

    def reference(self, *arrays: Array, body: Graph, kind: str) -> tuple[Array, ...]:
        """The body, node by node."""
        from intaglio.compiler.interpret import interpret

        return tuple(interpret(body, arrays))

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        **attributes: Any,
    ) -> Sequence[V | None]:
        """None: derivatives are made before nodes are fused."""
        raise ArgumentError("fused: differentiate before fusing")
