"""Find the values of symbols from the sizes of arrays.

A dim in which just one symbol is unknown, and that once, gives its value; this repeats until
nothing new is found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from intaglio.compiler.dims import Size, Symbol, symbols, terms_of


def solve(pairs: Sequence[tuple[Size, int]]) -> dict[str, int]:
    """The symbols' values when each size has the number beside it. What does not fit is left to a
    check with these values."""
    found: dict[str, int] = {}
    left = [(size, value) for size, value in pairs if not isinstance(size, int)]
    while left:
        later = []
        for size, value in left:
            unknown = _only_unknown(size, found)
            if unknown is not None:
                factor, rest = _affine(unknown, size, found)
                if factor:
                    found[unknown.name] = (value - rest) // factor
                    continue
            later.append((size, value))
        if len(later) == len(left):
            break
        left = later
    return found


def determined(sizes: Iterable[Size]) -> set[str]:
    """The names of the symbols that `solve` finds from these sizes, provided that no factor happens
    to be 0."""
    found: dict[str, int] = {}
    left = [size for size in sizes if not isinstance(size, int)]
    while left:
        later = []
        for size in left:
            unknown = _only_unknown(size, found)
            if unknown is not None and _affine(unknown, size, found)[0]:
                found[unknown.name] = 1
            else:
                later.append(size)
        if len(later) == len(left):
            break
        left = later
    return set(found)


def _only_unknown(size: Size, found: Mapping[str, int]) -> Symbol | None:
    unknown = [s for s in symbols(size).values() if s.name not in found]
    return unknown[0] if len(unknown) == 1 else None


def _affine(symbol: Symbol, size: Size, found: Mapping[str, int]) -> tuple[int, int]:
    """(factor, rest) with `size = factor * symbol + rest`; the factor is 0 where it is not of this
    form."""
    factor = rest = 0
    for monomial, coefficient in terms_of(size):
        count = 0
        for atom in monomial:
            if atom == symbol:
                count += 1
            elif isinstance(atom, Symbol):
                coefficient *= found[atom.name]
            else:
                return 0, 0
        if count > 1:
            return 0, 0
        factor, rest = factor + coefficient * count, rest + coefficient * (1 - count)
    return factor, rest
