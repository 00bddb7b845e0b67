"""What is known of traced integers: by how much two of them differ."""

from __future__ import annotations

from typing import Any

import numpy as np

from intaglio._core import Tensor
from intaglio._modes import modes
from intaglio.compiler.ir import Literal, Node, Value

_FOLLOWED = 32
"""Additions that are looked through."""


def known_difference(start: Tensor, stop: Any) -> int | None:
    """stop - start, where it is the same whatever the data: both are the same traced number plus
    integers that are known. None otherwise."""
    if not isinstance(stop, Tensor) or modes.trace is None:
        return None
    values = [modes.trace.read(t) for t in (start, stop)]
    makers = {v: n for n in modes.trace.builder.nodes for v in n.outputs}
    (base, low), (other, high) = (_followed(v, makers) for v in values)
    return high - low if base is other else None


def _followed(value: Value, makers: dict[Value, Node]) -> tuple[Value, int]:
    """The number that a value is made from by adding integers, and their sum."""
    total = 0
    for _ in range(_FOLLOWED):
        node = makers.get(value)
        if node is None:
            break
        if node.op in ("reshape", "cast", "stop_gradient") and len(node.inputs) == 1:
            if node.inputs[0].type.dtype.kind not in "iu":
                break
            value = node.inputs[0]
            continue
        numbers = [_number(v, makers) for v in node.inputs]
        if node.op == "add" and numbers[1] is not None:
            value, total = node.inputs[0], total + numbers[1]
        elif node.op == "add" and numbers[0] is not None:
            value, total = node.inputs[1], total + numbers[0]
        elif node.op == "sub" and numbers[1] is not None:
            value, total = node.inputs[0], total - numbers[1]
        else:
            break
    return value, total


def _number(value: Value, makers: dict[Value, Node]) -> int | None:
    """The integer that every element of a value is, if it is known."""
    node = makers.get(value)
    while node is not None and node.op in ("expand", "reshape", "cast"):
        node = makers.get(node.inputs[0])
    held = None if node is None else node.attributes.get("value")
    if isinstance(held, Literal) and held.array.size == 1:
        held = held.array.item()
    return int(held) if isinstance(held, int | np.integer) and not isinstance(held, bool) else None
