"""How far two runs of a model are apart: values op by op, and the text that tells it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from intaglio.compiler.dtypes import dtype_of
from intaglio.compiler.text import printable
from intaglio.compiler.types import TensorType
from intaglio.runtime.arrays import Array


@dataclass(frozen=True, slots=True)
class Difference:
    """One result on both sides: the largest error, absolute and relative (to the right side), where
    it is, whether the bits are equal, and whether it lies within the tolerances. `other` is the
    line on the right side, where that is another."""

    op: str
    type: str
    where: str
    other: str
    absolute: float
    relative: float
    position: tuple[int, ...]
    same_bits: bool
    within: bool

    def __str__(self) -> str:
        place = f" ({printable(self.where)})" if self.where else ""
        if self.other and self.other != self.where:
            place += f" and ({printable(self.other)})"
        if self.same_bits:
            return f"{printable(self.op)}: {self.type}{place}: the same bits"
        return (
            f"{printable(self.op)}: {self.type}{place}: {self.absolute:.3g} apart at"
            f" {list(self.position)}, {self.relative:.3g} of the value"
        )


def difference(
    op: str, where: str, other: str, left: Array, right: Array, rtol: float, atol: float
) -> Difference:
    """Compare two arrays. NaN equals NaN; arrays of other types are infinitely far apart."""
    left, right = np.asarray(left), np.asarray(right)
    type = str(TensorType(dtype_of(left.dtype), left.shape))
    if left.dtype != right.dtype or left.shape != right.shape:
        type += f" and {TensorType(dtype_of(right.dtype), right.shape)}"
        return Difference(op, type, where, other, np.inf, np.inf, (), False, False)
    if np.ascontiguousarray(left).tobytes() == np.ascontiguousarray(right).tobytes():
        return Difference(op, type, where, other, 0.0, 0.0, (), True, True)
    a, b = left.astype(np.float64), right.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        apart = np.abs(a - b)
        alike = (a == b) | (np.isnan(a) & np.isnan(b))
        apart = np.where(alike, 0.0, np.where(np.isnan(apart), np.inf, apart))
        relative = np.where(apart == 0, 0.0, apart / np.abs(b))
        outside = apart > atol + rtol * np.where(np.isfinite(b), np.abs(b), 0.0)
    worst = np.unravel_index(int(apart.argmax()), apart.shape)
    return Difference(
        op,
        type,
        where,
        other,
        float(apart.max()),
        float(np.nanmax(relative)),
        tuple(int(k) for k in worst),
        False,
        not outside.any(),
    )


@dataclass(frozen=True)
class Comparison:
    """What `compare` found. `ops` are the ops that both sides ran, in order; `results` the results;
    `compiled` each compiled side's results against its own, op by op; `unmatched` the ops that only
    one side ran."""

    ops: tuple[Difference, ...]
    results: tuple[Difference, ...]
    compiled: tuple[Difference, ...]
    unmatched: tuple[str, ...]
    rtol: float
    atol: float

    @cached_property
    def first(self) -> Difference | None:
        """The first op outside the tolerances; None where all are within."""
        return next((d for d in self.ops if not d.within), None)

    @cached_property
    def first_bits(self) -> Difference | None:
        """The first op with other bits."""
        return next((d for d in self.ops if not d.same_bits), None)

    @property
    def same_bits(self) -> bool:
        """Whether every op and every result has equal bits."""
        return all(d.same_bits for d in (*self.ops, *self.results, *self.compiled))

    @property
    def within(self) -> bool:
        """Whether all results are within the tolerances."""
        return all(d.within for d in (*self.results, *self.compiled))

    def worst(self, count: int = 10) -> tuple[Difference, ...]:
        """The ops that are furthest apart, in relation to their values, the worst first."""
        wild = [d for d in self.ops if not d.same_bits]
        return tuple(sorted(wild, key=lambda d: (-d.relative, -d.absolute))[:count])

    def __str__(self) -> str:
        return "\n".join([self._head(), *self._lines(), *self._ends()])

    def _repr_html_(self) -> str:
        from intaglio.runtime.markup import comparison_html

        return comparison_html(self)

    def _head(self) -> str:
        ops = f"{len(self.ops)} ops"
        if self.same_bits:
            return f"equal bits in {ops} and {len(self.results)} results"
        if self.first is not None:
            return f"the first of {ops} that differs: {self.first}"
        if self.first_bits is not None:
            return f"{ops} within tolerance; the first with other bits: {self.first_bits}"
        return f"equal bits in {ops}"

    def _lines(self) -> list[str]:
        rows = self.worst()
        lines = [f"the worst {len(rows)}:"] if rows else []
        for d in rows:
            place = printable(d.where)
            op = printable(d.op)
            lines.append(f"  {d.relative:9.3g} {d.absolute:9.3g}  {op} {d.type}  {place}".rstrip())
        if self.unmatched:
            shown = ", ".join(map(printable, self.unmatched[:3]))
            more = f" and {len(self.unmatched) - 3} more" if len(self.unmatched) > 3 else ""
            lines.append(f"on one side only: {shown}{more}")
        return lines

    def _ends(self) -> Sequence[str]:
        return [f"  {d}" for d in (*self.results, *self.compiled) if not d.same_bits]
