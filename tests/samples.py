"""The ops' samples as arrays: what the generic tests of every back end run over."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from intaglio.compiler.dtypes import dtype_named, dtype_of
from intaglio.compiler.ir import Attributes, Graph
from intaglio.compiler.op import OPS, Array, Builder, Op, Sample, op_named
from intaglio.compiler.ops.host import HostCall
from intaglio.compiler.types import TensorType


class Case(NamedTuple):
    """One sample of one op, its operands filled."""

    id: str
    op: str
    operands: tuple[Array, ...]
    attributes: Attributes
    sample: Sample

    @property
    def rule(self) -> Op:
        """The op's class."""
        return op_named(self.op)

    @property
    def is_host(self) -> bool:
        """Whether the op runs in Python: there is no kernel to test."""
        return isinstance(self.rule, HostCall)

    @property
    def types(self) -> tuple[TensorType, ...]:
        """The operands' types."""
        return tuple(map(type_of, self.operands))

    @property
    def differentiable(self) -> bool:
        """Whether finite differences are meaningful here: smooth, and all floats in f64."""
        floats = [a for a in self.operands if a.dtype.kind == "f"]
        return (
            bool(floats) and self.sample.derivative and all(a.dtype == np.float64 for a in floats)
        )


def type_of(array: Array) -> TensorType:
    """The type of an array."""
    return TensorType(dtype_of(array.dtype), array.shape)


def parse_type(text: str) -> TensorType:
    """`"f32[3,4]"` as a type."""
    found = re.fullmatch(r"(\w+)\[([\d,]*)\]", text)
    assert found, text
    return TensorType(
        dtype_named(found[1]), tuple(int(size) for size in found[2].split(",") if size)
    )


def fill(operand: str | Array, span: tuple[float, float], random: np.random.Generator) -> Array:
    """An operand of a sample as an array; types are filled from `span`."""
    if not isinstance(operand, str):
        return np.asarray(operand)
    type = parse_type(operand)
    shape = tuple(int(str(size)) for size in type.shape)
    if type.dtype.kind == "b":
        return np.asarray(random.random(shape) < 0.5)
    if type.dtype.kind == "f":
        return np.asarray(random.uniform(*span, shape)).astype(type.dtype.numpy)
    low = max(int(span[0]), int(np.iinfo(type.dtype.numpy).min))
    high = min(int(span[1]), int(np.iinfo(type.dtype.numpy).max))
    return np.asarray(random.integers(low, high, shape, endpoint=True)).astype(type.dtype.numpy)


def make_case(name: str, number: int, sample: Sample) -> Case:
    """The case of an op's sample; the same arrays in every run."""
    label = f"{name}-{number}"
    random = np.random.default_rng(zlib.crc32(label.encode()))
    operands = tuple(fill(o, sample.range, random) for o in sample.operands)
    return Case(label, name, operands, sample.attributes, sample)


def cases(names: Sequence[str] | None = None) -> list[Case]:
    """Every sample of every op in the registry (or of those named), in a fixed order."""
    op_named("add")  # fills the registry
    chosen = sorted(OPS) if names is None else names
    return [make_case(n, k, s) for n in chosen for k, s in enumerate(op_named(n).samples)]


def graph_of(case: Case) -> Graph:
    """A graph of just this op applied to inputs of the case's types."""
    b = Builder()
    inputs = [b.input(t) for t in case.types]
    return b.graph(b.apply(case.op, inputs, case.attributes))


def results(case: Case) -> tuple[Array, ...]:
    """What the reference gives."""
    made: Any = case.rule.reference(*case.operands, **case.attributes)
    return made if isinstance(made, tuple) else (made,)
