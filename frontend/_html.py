"""What notebooks show of tensors and modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from intaglio._core import Tensor
from intaglio.runtime.markup import block, table

if TYPE_CHECKING:
    from intaglio.nn import Module

SMALL = 16
"""Rows and columns up to which a matrix is shown as a table."""


def tensor_html(tensor: Tensor) -> str:
    """The type, and the elements: as a table where they are a small matrix."""
    title = f"{type(tensor).__name__} {tensor._kind}"
    title += " requires_grad" if tensor.requires_grad else ""
    data = tensor._data
    if not isinstance(data, np.ndarray) or data.ndim != 2 or not 0 < max(data.shape) <= SMALL:
        return block(repr(tensor))
    kind = tensor.dtype.kind
    values = data.astype(np.float32) if tensor.dtype.name in ("bf16", "f16") else data
    rows = [[f"{x:.5g}" if kind == "f" else str(x) for x in row] for row in values.tolist()]
    return table(title, (), rows)


def module_html(module: Module) -> str:
    """Every module inside with its class and parameters, and how many numbers there are in all."""
    rows = []
    for name, inner in module.named_modules():
        own = list(inner.named_parameters(recurse=False))
        shapes = ", ".join(f"{n}: {p._kind}" for n, p in own)
        count = sum(int(p.numel()) for _, p in own)
        told = type(inner).__name__ + (f"({inner.extra_repr()})" if inner.extra_repr() else "")
        rows.append((name, told, shapes, count if own else ""))
    total = sum(int(p.numel()) for p in module.parameters())
    mode = "training" if module.training else "evaluation"
    title = f"{type(module).__name__}: {total:,} parameters, in {mode} mode"
    return table(title, ("name", "module", "parameters", "numbers"), rows)
