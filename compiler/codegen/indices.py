"""Questions about index polynomials: their stride along a variable, and the range they need."""

from __future__ import annotations

from typing import Final

from intaglio.compiler.dims import Quotient, Size, Symbol, _raw, bounds, terms_of

INT32: Final = 1 << 31


def affine(size: Size, symbol: Symbol) -> tuple[Size, Size] | None:
    """`size` as base + stride * symbol; None when it is no such thing."""
    base: Size = 0
    stride: Size = 0
    for monomial, factor in terms_of(size):
        times = sum(1 for a in monomial if a == symbol)
        if any(isinstance(a, Quotient) and _mentions(a, symbol) for a in monomial) or times > 1:
            return None
        part: Size = factor
        for atom in monomial:
            if atom != symbol:
                part = part * as_size(atom)
        base, stride = (base, stride + part) if times else (base + part, stride)
    return base, stride


def as_size(atom: Symbol | Quotient) -> Size:
    """An atom as a size."""
    return _raw({(atom,): 1})


def _mentions(atom: Symbol | Quotient, symbol: Symbol) -> bool:
    if isinstance(atom, Symbol):
        return atom == symbol
    return mentions(atom.left, symbol) or mentions(atom.right, symbol)


def mentions(size: Size, symbol: Symbol) -> bool:
    """Whether a symbol occurs in a size."""
    return any(_mentions(a, symbol) for monomial, _ in terms_of(size) for a in monomial)


def fits_int32(size: Size) -> bool:
    """Whether a size and everything it is made of certainly fit in 32 bits."""
    low, high = bounds(size)
    if low < -INT32 or high >= INT32:
        return False
    for monomial, factor in terms_of(size):
        if abs(factor) >= INT32:
            return False
        for a in monomial:
            if isinstance(a, Quotient) and not (fits_int32(a.left) and fits_int32(a.right)):
                return False
            if isinstance(a, Symbol) and a.high >= INT32:
                return False
    return True
