"""How a tensor prints: as torch prints it, with dtype, device and grad_fn where they are not the
usual.

All elements shown have one width and one notation, chosen from those that are shown: with an
exponent where the largest is more than a thousand times the smallest, above 1e8 or (unless all are
whole) below 1e-4. Of many elements the first and last few along each dimension are shown."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from intaglio._core import Array, Parameter, Tensor
from intaglio._modes import modes
from intaglio._places import is_data, to_host
from intaglio.compiler.dtypes import boolean, float32, int64
from intaglio.compiler.errors import ArgumentError


@dataclass(frozen=True, slots=True)
class Options:
    """Digits after the point, elements from which on some are left out, elements shown at each end
    then, characters per line, and whether exponents are used (None: where they help)."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


PROFILES: Final = {
    "default": Options(),
    "short": Options(precision=2, threshold=1000, edgeitems=2),
    "full": Options(threshold=math.inf),
}
_options: Final[list[Options]] = [Options()]


def set_printoptions(
    precision: int | None = None, threshold: float | None = None, edgeitems: int | None = None,
    linewidth: int | None = None, profile: str | None = None, sci_mode: bool | None = None,
) -> None:  # fmt: skip
    """Say how tensors print from now on: `precision` digits after the point, `threshold` elements
    from which on only `edgeitems` at each end are shown, `linewidth` characters per line, exponents
    always or never (`sci_mode`); or all of that by `profile`: "default", "short" or "full"."""
    chosen = _options[0]
    if profile is not None:
        if profile not in PROFILES:
            raise ArgumentError(f"set_printoptions: {profile!r} is none of {', '.join(PROFILES)}")
        chosen = PROFILES[profile]
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems,
             "linewidth": linewidth}  # fmt: skip
    changes: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
    _options[0] = replace(chosen, sci_mode=sci_mode, **changes)


def get_printoptions() -> dict[str, Any]:
    """How tensors print now, by the names of `set_printoptions`."""
    now = _options[0]
    return {name: getattr(now, name) for name in Options.__slots__}


def show(tensor: Tensor) -> str:
    """The text of a tensor; for a traced one its type and the author's line that prints it."""
    prefix = "tensor("
    data = tensor._data
    if not is_data(data):
        from intaglio._scope import spot, where_of

        return f"<traced {tensor._kind} ({where_of(spot())})>"
    if modes.trace is not None:
        return f"<tensor {tensor._kind}, read while tracing>"
    data = to_host(data)
    values = data.astype(np.float32) if tensor.dtype.kind == "f" and data.itemsize < 4 else data
    text = "[]" if data.size == 0 else _Printer(values, _options[0]).text(len(prefix))
    made = _with_remarks(prefix + text, len(prefix), _remarks(tensor, data), _options[0].linewidth)
    return f"Parameter containing:\n{made}" if isinstance(tensor, Parameter) else made


def _remarks(tensor: Tensor, data: Array) -> list[str]:
    """What is said behind the elements."""
    words = []
    if tensor.is_cuda:
        words.append(f"device={str(tensor.device)!r}")
    if data.size == 0 and data.ndim != 1:
        words.append(f"size={tuple(data.shape)}")
    if tensor.dtype not in (float32, int64, boolean) or (
        data.size == 0 and tensor.dtype is not float32
    ):
        words.append(f"dtype={tensor.dtype!r}")
    if tensor._node is not None:
        words.append(f"grad_fn={tensor._node!r}")
    elif tensor.requires_grad:
        words.append("requires_grad=True")
    return words


def _with_remarks(text: str, indent: int, remarks: list[str], width: int) -> str:
    """The remarks behind the text, each on a new line where it would be too long."""
    filled = len(text) - text.rfind("\n") + 1
    for remark in remarks:
        if filled + len(remark) + 2 > width:
            text += ",\n" + " " * indent + remark
            filled = indent + len(remark)
        else:
            text += ", " + remark
            filled += len(remark) + 2
    return text + ")"


class _Printer:
    """The elements of an array with one width and notation."""

    def __init__(self, values: Array, options: Options) -> None:
        self.options, self.values = options, values
        self.shortened = values.size > options.threshold
        self.floating = values.dtype.kind == "f"
        self.whole = self.exponent = False
        self.width = 1
        shown = self._shown(values) if self.shortened else values
        self._choose(shown.reshape(-1))

    def _shown(self, values: Array) -> Array:
        """The elements at the ends of every dimension."""
        edge = self.options.edgeitems
        for axis, size in enumerate(values.shape):
            if size > 2 * edge:
                ends = [*range(edge), *range(size - edge, size)]
                values = np.take(values, ends, axis)
        return values

    def _choose(self, shown: Array) -> None:
        if not self.floating:
            self.width = max((len(self.one(x)) for x in shown.tolist()), default=1)
            return
        finite = np.abs(shown[np.isfinite(shown) & (shown != 0)].astype(np.float64))
        self.whole = bool(np.all(finite == np.ceil(finite)))
        if not finite.size:
            return
        largest, smallest = float(finite.max()), float(finite.min())
        wide = largest / smallest > 1000.0 or largest > 1e8
        self.exponent = wide or (not self.whole and smallest < 1e-4)
        if self.options.sci_mode is not None:
            self.exponent = self.options.sci_mode
        nonzero = shown[np.isfinite(shown) & (shown != 0)]
        self.width = max(len(self.one(float(x)).strip()) for x in nonzero)

    def one(self, value: Any) -> str:
        """An element, right-aligned."""
        if not self.floating:
            text = str(value)
        elif self.exponent:
            text = f"{value:.{self.options.precision}e}"
        elif self.whole:
            text = f"{value:.0f}" + ("." if math.isfinite(value) else "")
        else:
            text = f"{value:.{self.options.precision}f}"
        return text.rjust(self.width)

    def text(self, indent: int) -> str:
        """All elements, nested in brackets; further lines begin `indent` characters in."""
        return self._nested(self.values, indent)

    def _nested(self, values: Array, indent: int) -> str:
        if values.ndim == 0:
            return self.one(values.item())
        if values.ndim == 1:
            return self._row(values, indent)
        edge = self.options.edgeitems
        parts: list[str]
        if self.shortened and len(values) > 2 * edge:
            first = [self._nested(v, indent + 1) for v in values[:edge]]
            parts = [*first, "...", *(self._nested(v, indent + 1) for v in values[-edge:])]
        else:
            parts = [self._nested(v, indent + 1) for v in values]
        between = "," + "\n" * (values.ndim - 1) + " " * (indent + 1)
        return "[" + between.join(parts) + "]"

    def _row(self, values: Array, indent: int) -> str:
        edge = self.options.edgeitems
        per_line = max(1, (self.options.linewidth - indent) // (self.width + 2))
        if self.shortened and len(values) > 2 * edge:
            words = [*map(self.one, values[:edge].tolist()), " ...",
                     *map(self.one, values[-edge:].tolist())]  # fmt: skip
        else:
            words = [self.one(x) for x in values.tolist()]
        lines = [", ".join(words[k : k + per_line]) for k in range(0, len(words), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
