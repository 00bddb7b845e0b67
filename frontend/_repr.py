"""How a tensor prints: as torch prints it, with dtype and grad_fn where they are not the usual."""

from __future__ import annotations

import numpy as np

from intaglio._core import Parameter, Tensor
from intaglio._modes import modes
from intaglio._places import is_data, to_host
from intaglio.compiler.dtypes import boolean, float32, int64


def show(tensor: Tensor) -> str:
    """The text of a tensor; for a traced one its type and the author's line that prints it."""
    name = "Parameter containing:\ntensor" if isinstance(tensor, Parameter) else "tensor"
    data = tensor._data
    if not is_data(data):
        from intaglio._scope import spot, where_of

        return f"<traced {tensor._kind} ({where_of(spot())})>"
    if modes.trace is not None:
        return f"<tensor {tensor._kind}, read while tracing>"
    data, kind = to_host(data), tensor.dtype.kind
    values = data.astype(np.float32) if tensor.dtype.name in ("bf16", "f16") else data
    if data.size == 0:
        text = "[]" if data.ndim == 1 else str(values.tolist())
    else:
        text = _elements(values, kind, len(name.splitlines()[-1]) + 1)
    words = [text]
    if data.size == 0 and data.ndim != 1:
        words.append(f"size={tuple(data.shape)}")
    if tensor.dtype not in (float32, int64, boolean):
        words.append(f"dtype={tensor.dtype!r}")
    if tensor.is_cuda:
        words.append(f"device={tensor.device!r}")
    if tensor._node is not None:
        words.append(f"grad_fn={tensor._node!r}")
    elif tensor.requires_grad:
        words.append("requires_grad=True")
    return f"{name}({', '.join(words)})"


def _elements(values: np.ndarray, kind: str, indent: int) -> str:
    if kind == "b":
        if values.ndim == 0:
            return str(bool(values))
        width = 4 if values.all() else 5
        return np.array2string(
            values,
            separator=", ",
            prefix=" " * indent,
            threshold=1000,
            max_line_width=80,
            formatter={"bool": lambda x: str(x).rjust(width)},
        )
    if kind != "f":
        return np.array2string(
            values,
            separator=", ",
            prefix=" " * indent,
            threshold=1000,
            edgeitems=3,
            max_line_width=80,
        )
    finite = values[np.isfinite(values)]
    whole = bool(finite.size == 0 or np.all(finite == np.trunc(finite)))
    largest = float(np.max(np.abs(finite))) if finite.size else 0.0
    smallest = float(np.min(np.abs(finite[finite != 0]))) if np.any(finite != 0) else 1.0
    wide = largest >= 1e8 or (not whole and (largest / smallest > 1000.0 or smallest < 1e-4))

    def one(x: float) -> str:
        if np.isnan(x) or np.isinf(x):
            return "nan" if np.isnan(x) else "inf" if x > 0 else "-inf"
        if wide:
            return f"{x:.4e}"
        return f"{x:.0f}." if whole else f"{x:.4f}"

    flat = values.reshape(-1)
    shown = flat if flat.size <= 1000 else np.concatenate([flat[:64], flat[-64:]])
    width = max((len(one(float(x))) for x in shown if np.isfinite(x) and x), default=1)
    if values.ndim == 0:
        return one(float(values))
    return np.array2string(
        values,
        separator=", ",
        prefix=" " * indent,
        threshold=1000,
        edgeitems=3,
        max_line_width=80,
        formatter={"float_kind": lambda x: one(float(x)).rjust(width)},
    )
