"""What an author asks to see while a program runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from intaglio.compiler.errors import ArgumentError
from intaglio.compiler.op import Array, Op, Ops, Sample, V
from intaglio.compiler.ops.rules import check_count, refused
from intaglio.compiler.types import TensorType


class DebugPrint(Op):
    """`debug_print(x; label)`: the value itself, which is shown when the program has run.

    The pass `prints` makes results of such operands; whoever runs the program shows them. A node
    that is left when a graph is lowered costs nothing and shows nothing."""

    name, exact = "debug_print", "fiub"
    effect: ClassVar[bool] = True
    samples = (Sample("f64[3,5]", label="h"), Sample("f32[]", label=""), Sample("i64[0]", label=""))

    def moves(self, **attributes: Any) -> bool:
        """Elements move."""
        return True

    def type(self, *types: TensorType, label: str) -> TensorType:
        """The operand's type."""
        check_count(self, types, 1)
        if not isinstance(label, str):
            raise refused(ArgumentError, self, types, "the label is a text")
        return types[0]

    def reference(self, x: Array, *, label: str) -> Array:
        """The value."""
        return x

    def fold(self, arrays: Sequence[Array], *, label: str) -> None:
        """Never: a constant, too, is to be shown."""
        return

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
        *,
        label: str,
    ) -> Sequence[V | None]:
        """That of the identity; it shows nothing."""
        return [dys[0] if needs[0] and g.type_of(xs[0]).dtype.is_floating_point else None]

    def jvp(
        self, g: Ops[V], dxs: Sequence[V | None], xs: Sequence[V], ys: Sequence[V], *, label: str
    ) -> Sequence[V | None]:
        """That of the identity."""
        return [dxs[0]]
