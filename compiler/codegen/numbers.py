"""Numbers and sizes as C text, bit for bit, whatever the locale.

Finite floats are printed as hexadecimal literals, the others as bit patterns, so that NaN payloads,
infinities, minus zero and subnormals come out exactly as they went in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from intaglio.compiler.dims import Atom, Size, Symbol, bounds, terms_of
from intaglio.compiler.dtypes import DType, float32, float64

COMPUTE: Final = {"i16": "i32", "i8": "i32", "u8": "i32", "f16": "f32", "bf16": "f32"}
"""The type in which short integers and short floats are computed."""

C_TYPES: Final = {
    "f64": "double",
    "f32": "float",
    "f16": "uint16_t",
    "bf16": "uint16_t",
    "i64": "int64_t",
    "i32": "int32_t",
    "i16": "int16_t",
    "i8": "int8_t",
    "u8": "uint8_t",
    "u32": "uint32_t",
    "bool": "uint8_t",
}
"""How an element lies in memory."""


def compute_type(dtype: DType) -> str:
    """The name of the prelude's type in which values of this dtype are computed."""
    return COMPUTE.get(dtype.name, dtype.name)


def integer(value: int) -> str:
    """An integer literal of at least the size it needs."""
    if -(1 << 31) < value < 1 << 31:
        return str(value)
    if value == -(1 << 63):
        return f"(-{(1 << 63) - 1}ll - 1)"
    return f"{value}ll"


def constant(value: int | float | bool, dtype: DType) -> str:
    """A scalar literal of this dtype's compute type, with exactly the bits of the value in it."""
    if dtype.kind == "f":
        return _floating(rounded(value, dtype), float64 if dtype is float64 else float32)
    if dtype.kind == "b":
        return "1" if value else "0"
    bits = 8 * dtype.size
    whole = int(value) & ((1 << bits) - 1)
    if dtype.kind == "i" and whole >> (bits - 1):
        whole -= 1 << bits
    if dtype.name == "u32":
        return f"{whole}u"
    if whole == -(1 << 31):
        return f"(-{(1 << 31) - 1} - 1)"
    return integer(whole)


def rounded(value: int | float, dtype: DType) -> int | float:
    """A number as this float type holds it; short ones are made of f32."""
    if not dtype.is_half:
        return value
    with np.errstate(all="ignore"):
        return float(np.asarray(value).astype(np.float32).astype(dtype.numpy))


def _floating(value: int | float, dtype: DType) -> str:
    wide = dtype == float64
    with np.errstate(all="ignore"):
        exact = np.asarray(value).astype(dtype.numpy)
    if not np.isfinite(exact):
        if wide:
            return f"ig1_bitcast_i64_f64((int64_t)0x{int(exact.view(np.uint64)):016x}ull)"
        return f"ig1_bitcast_u32_f32(0x{int(exact.view(np.uint32)):08x}u)"
    return float(exact).hex() + ("" if wide else "f")


def size_text(size: Size, name: Callable[[Symbol], str]) -> str:
    """A size as a C expression of int64_t; `name` gives the C names of symbols. Terms are ordered
    by their text, so that the order in which sizes were made does not show."""
    terms = []
    for monomial, factor in terms_of(size):
        pieces = sorted(_atom_text(a, name) for a in monomial)
        if factor not in (1, -1) or not pieces:
            pieces.append(integer(abs(factor)))
        terms.append((factor < 0, not monomial, " * ".join(pieces)))
    text = ""
    for negative, _, body in sorted(terms):
        if not text:
            text = f"-{body}" if negative else body
        else:
            text += f" {'-' if negative else '+'} {body}"
    return text or "0"


def is_atomic(text: str) -> bool:
    """Whether a C expression needs no brackets as an operand."""
    return text.replace("_", "").isalnum()


def bracketed(text: str) -> str:
    """The expression, in brackets where an operand needs them."""
    return text if is_atomic(text) else f"({text})"


def _atom_text(atom: Atom, name: Callable[[Symbol], str]) -> str:
    if isinstance(atom, Symbol):
        return name(atom)
    left, right = size_text(atom.left, name), size_text(atom.right, name)
    if atom.kind in ("min", "max"):
        left, right = sorted((left, right))
        return f"ig_{atom.kind}imum_of({left}, {right})"
    if bounds(atom.left)[0] >= 0 and bounds(atom.right)[0] > 0:
        sign = "/" if atom.kind == "//" else "%"
        return f"({bracketed(left)} {sign} {bracketed(right)})"
    function = "floordiv" if atom.kind == "//" else "floormod"
    return f"ig1_{function}_i64({left}, {right})"
