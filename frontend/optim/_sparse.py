"""SparseAdam, which has no meaning here."""

from __future__ import annotations

from typing import Any

from intaglio.compiler.errors import ArgumentError


class SparseAdam:
    """torch's Adam for sparse gradients. Gradients are dense here, so making one raises
    ArgumentError."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise ArgumentError(
            "SparseAdam: there are no sparse gradients in intaglio; use Adam (a step is one pass"
            " over the parameters), or SGD for a large embedding"
        )
