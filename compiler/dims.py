"""Sizes that may be unknown until a program runs: integer polynomials over named symbols, in normal
form.

A size is an `int` or a `Dim`. A `Dim` is a sum of terms, each an integer coefficient times a
product of *atoms*: a named `Symbol` with bounds, or a floor-division, modulo, minimum or maximum of
two sizes. Arithmetic keeps the sum sorted and collects like terms, and gives back a plain `int` as
soon as nothing symbolic is left, so two sizes are known to be equal exactly when `a == b`. The
kernels' index arithmetic uses the same algebra: there the symbols are loop variables."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Union

from intaglio.compiler.errors import ArgumentError, ShapeError, TraceError

UNBOUNDED: Final = (1 << 63) - 1
"""The largest size there is; the upper bound of a symbol that names none."""


class Symbol:
    """An unknown size with inclusive bounds. `extent` is set for loop variables only: their
    exclusive upper bound."""

    __slots__ = ("extent", "high", "low", "name")

    def __init__(self, name: str, low: int, high: int, extent: Size | None = None) -> None:
        self.name, self.low, self.high, self.extent = name, low, high, extent

    @property
    def key(self) -> tuple[object, ...]:
        """What makes two symbols the same: name and bounds; a loop variable is only itself."""
        return (
            ("loop", id(self))
            if self.extent is not None
            else ("size", self.name, self.low, self.high)
        )

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Symbol) and self.key == other.key)

    def __hash__(self) -> int:
        return hash(self.key)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Quotient:
    """An atom that no polynomial expresses: `kind` is one of `//`, `%`, `min`, `max`."""

    kind: str
    left: Size
    right: Size

    def __str__(self) -> str:
        if self.kind in ("min", "max"):
            return f"{self.kind}({self.left},{self.right})"
        return f"{_operand(self.left)}{self.kind}{_operand(self.right)}"


Atom = Symbol | Quotient
Monomial = tuple[Atom, ...]  # sorted by text, an atom stands once per power
Size = Union[int, "Dim"]
Shape = tuple[Size, ...]


class Dim:
    """A symbolic size. `Dim("n", min=1, max=4096)` makes a new symbol; arithmetic makes the rest.

    Supports `+ - * // %` with integers and other sizes, `minimum`, `maximum`, and `==` by normal
    form. Comparisons by `<` are not defined: use `compare`, which can also answer "not known"."""

    __slots__ = ("__dict__", "terms")
    terms: tuple[tuple[Monomial, int], ...]

    def __init__(self, name: str, min: int = 1, max: int | None = None) -> None:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or name in ("min", "max"):
            raise ArgumentError(
                f"Dim: {name!r} is no name: letters, digits and _ only, and neither min nor max"
            )
        high = UNBOUNDED if max is None else max
        if not 0 <= min <= high <= UNBOUNDED:
            raise ArgumentError(f"Dim {name}: the bounds {min} to {max} are empty or negative")
        self.terms = (((Symbol(name, min, high),), 1),)

    @cached_property
    def _hash(self) -> int:
        return hash(self.terms)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Dim) and self.terms == other.terms)

    def __add__(self, other: Size) -> Size:
        return _sum(self, other, 1) if isinstance(other, int | Dim) else NotImplemented

    __radd__ = __add__

    def __sub__(self, other: Size) -> Size:
        return _sum(self, other, -1) if isinstance(other, int | Dim) else NotImplemented

    def __rsub__(self, other: Size) -> Size:
        return _sum(other, self, -1) if isinstance(other, int | Dim) else NotImplemented

    def __neg__(self) -> Size:
        return self * -1

    def __mul__(self, other: Size) -> Size:
        return _product(self, other) if isinstance(other, int | Dim) else NotImplemented

    __rmul__ = __mul__

    def __lt__(self, other: Size) -> bool:
        return _decided(self, "<", other)

    def __le__(self, other: Size) -> bool:
        return _decided(self, "<=", other)

    def __gt__(self, other: Size) -> bool:
        return _decided(other, "<", self)

    def __ge__(self, other: Size) -> bool:
        return _decided(other, "<=", self)

    def __floordiv__(self, other: Size) -> Size:
        return floordiv(self, other) if isinstance(other, int | Dim) else NotImplemented

    def __rfloordiv__(self, other: Size) -> Size:
        return floordiv(other, self) if isinstance(other, int | Dim) else NotImplemented

    def __mod__(self, other: Size) -> Size:
        return modulo(self, other) if isinstance(other, int | Dim) else NotImplemented

    def __rmod__(self, other: Size) -> Size:
        return modulo(other, self) if isinstance(other, int | Dim) else NotImplemented

    @cached_property
    def _text(self) -> str:
        parts: list[str] = []
        for monomial, factor in self.terms:
            body = "*".join(str(a) if isinstance(a, Symbol) else f"({a})" for a in monomial)
            if not body:
                piece = str(abs(factor))
            else:
                piece = body if abs(factor) == 1 else f"{abs(factor)}*{body}"
            sign = "-" if factor < 0 else "+"
            parts.append(piece if not parts and factor > 0 else f"{sign}{piece}")
        return "".join(parts)

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Dim({self._text})"

    @cached_property
    def bounds(self) -> tuple[int, int]:
        """The smallest and the largest value, as far as interval arithmetic knows (inclusive)."""
        low = high = 0
        for monomial, factor in self.terms:
            a = b = 1
            for atom in monomial:
                lo, hi = _atom_bounds(atom)
                corners = (a * lo, a * hi, b * lo, b * hi)
                a, b = min(corners), max(corners)
            low, high = low + min(a * factor, b * factor), high + max(a * factor, b * factor)
        return low, high


def _operand(size: Size) -> str:
    text = str(size)
    return text if text.isalnum() else f"({text})"


def _raw(terms: Mapping[Monomial, int]) -> Size:
    """The size with these terms: an int when only the empty monomial is left."""
    left = {m: c for m, c in terms.items() if c}
    if not left:
        return 0
    if len(left) == 1 and () in left:
        return left[()]
    made = object.__new__(Dim)
    made.terms = tuple(sorted(left.items(), key=lambda t: (-len(t[0]), [_order(a) for a in t[0]])))
    return made


def _order(atom: Atom) -> tuple[str, int]:
    return str(atom), id(atom) if isinstance(atom, Symbol) and atom.extent is not None else 0


def terms_of(size: Size) -> tuple[tuple[Monomial, int], ...]:
    """The terms of a size; a plain int is one term with the empty monomial."""
    return size.terms if isinstance(size, Dim) else (((), size),) if size else ()


def _sum(left: Size, right: Size, sign: int) -> Size:
    terms = dict(terms_of(left))
    for monomial, factor in terms_of(right):
        terms[monomial] = terms.get(monomial, 0) + sign * factor
    return _raw(terms)


def _product(left: Size, right: Size) -> Size:
    terms: dict[Monomial, int] = {}
    for m, c in terms_of(left):
        for n, d in terms_of(right):
            key = tuple(sorted(m + n, key=_order)) if m and n else m or n
            terms[key] = terms.get(key, 0) + c * d
    return _raw(terms)


def loop_variable(name: str, extent: Size) -> Dim:
    """A fresh variable that runs from 0 to `extent` (exclusive); equal only to itself."""
    high = max(bounds(extent)[1] - 1, 0)
    made = object.__new__(Dim)
    made.terms = (((Symbol(name, 0, high, extent),), 1),)
    return made


def bounds(size: Size) -> tuple[int, int]:
    """The inclusive bounds of a size, as far as they are known."""
    return size.bounds if isinstance(size, Dim) else (size, size)


def _atom_bounds(atom: Atom) -> tuple[int, int]:
    if isinstance(atom, Symbol):
        return atom.low, atom.high
    (a, b), (c, d) = bounds(atom.left), bounds(atom.right)
    match atom.kind:
        case "min":
            return min(a, c), min(b, d)
        case "max":
            return max(a, c), max(b, d)
        case "%" if c > 0:
            return 0, min(d - 1, b) if a >= 0 else d - 1
        case "//" if c > 0:
            return min(a // c, a // d), max(b // c, b // d)
    return -UNBOUNDED, UNBOUNDED


def _split(size: Size, divisor: Size) -> tuple[Size, Size]:
    """`size = quotient * divisor + rest` with every term that divides exactly taken into the
    quotient."""
    over = terms_of(divisor)
    if len(over) != 1:
        return (1, 0) if size == divisor else (0, size)
    (base, factor), quotient, rest = over[0], {}, {}
    for monomial, c in terms_of(size):
        left = list(monomial)
        for atom in base:
            if atom not in left:
                break
            left.remove(atom)
        else:
            whole, part = divmod(c, factor)
            quotient[tuple(left)] = whole
            if part:
                rest[monomial] = part
            continue
        rest[monomial] = c
    return _raw(quotient), _raw(rest)


def _largest(size: Size) -> Size:
    """An upper bound of a size in which loop variables are replaced by their last value."""
    total: Size = 0
    for monomial, factor in terms_of(size):
        part: Size = factor
        for atom in monomial:
            if factor > 0 and isinstance(atom, Symbol) and atom.extent is not None:
                part = part * (atom.extent - 1)
            elif isinstance(atom, Symbol) and (atom.extent is None or factor < 0):
                part = part * (0 if atom.extent is not None else _raw({(atom,): 1}))
            else:
                lo, hi = _atom_bounds(atom)
                part = part * (hi if factor > 0 else lo)
        total = total + part
    return total


def floordiv(left: Size, right: Size) -> Size:
    """`left // right` (rounded down, `right` > 0), with whatever divides exactly taken out."""
    if isinstance(left, int) and isinstance(right, int):
        return left // right
    if right == 1 or left == 0:
        return left
    quotient, rest = _split(left, right)
    if rest == 0 or _within(rest, right):
        return quotient
    return quotient + _raw({(Quotient("//", rest, right),): 1})


def modulo(left: Size, right: Size) -> Size:
    """`left % right` with the sign of `right` (> 0), with whatever divides exactly dropped."""
    if isinstance(left, int) and isinstance(right, int):
        return left % right
    if right == 1 or left == 0:
        return 0
    _, rest = _split(left, right)
    if rest == 0 or _within(rest, right):
        return rest
    return _raw({(Quotient("%", rest, right),): 1})


def _within(rest: Size, divisor: Size) -> bool:
    """Whether 0 <= rest < divisor is certain."""
    return bounds(rest)[0] >= 0 and bounds(divisor - 1 - _largest(rest))[0] >= 0


def in_steps(size: Size) -> Size:
    """A size that is negative exactly where `size` is, without what never decides it: `16*o+i-32`
    becomes `o-2` where 0 <= i < 16."""
    terms = terms_of(size)
    step = math.gcd(*(c for m, c in terms if m and abs(c) > 1))
    if step <= 1:
        return size
    whole = _raw({m: c // step for m, c in terms if m and c % step == 0})
    low, high = bounds(_raw({m: c for m, c in terms if not m or c % step}))
    return whole + low // step if low // step == high // step else size


def minimum(left: Size, right: Size) -> Size:
    """The smaller of two sizes; stays symbolic only where the bounds do not decide."""
    order = compare(left, right)
    if order is not None:
        return left if order <= 0 else right
    low, high = bounds(right - left)
    if low >= 0 or high <= 0:
        return left if low >= 0 else right
    return _raw({(Quotient("min", *sorted((left, right), key=str)),): 1})


def maximum(left: Size, right: Size) -> Size:
    """The larger of two sizes; stays symbolic only where the bounds do not decide."""
    low, high = bounds(right - left)
    if low >= 0 or high <= 0:
        return right if low >= 0 else left
    return _raw({(Quotient("max", *sorted((left, right), key=str)),): 1})


def compare(left: Size, right: Size) -> int | None:
    """-1, 0 or 1 when `left` is certainly smaller, equal or larger; None when that is not known."""
    gap = left - right
    low, high = bounds(gap)
    if low == high == 0:
        return 0
    if low > 0:
        return 1
    if high < 0:
        return -1
    return None


def _decided(left: Size, relation: str, right: Size) -> bool:
    """What Python code that compares sizes gets to see; raises `TraceError` where the bounds of the
    symbols leave it open."""
    if not isinstance(left, int | Dim) or not isinstance(right, int | Dim):
        return NotImplemented
    low, high = bounds(left - right)
    limit = 0 if relation == "<=" else -1
    if high <= limit or low > limit:
        return high <= limit
    named = ", ".join(
        f"{s.name} from {s.low} to {'any size' if s.high >= UNBOUNDED else s.high}"
        for s in symbols(left, right).values()
    )
    raise TraceError(
        f"{left} {relation} {right}: not the same for all sizes ({named}), so Python can't choose"
        " when tracing; bound the size, as in Dim('n', min=1, max=128), or trace with a number"
    )


def symbols(*sizes: Size) -> dict[str, Symbol]:
    """The named symbols that occur in these sizes, by name, in order of appearance."""
    found: dict[str, Symbol] = {}
    for size in sizes:
        for monomial, _ in terms_of(size):
            for atom in monomial:
                if isinstance(atom, Symbol):
                    found.setdefault(atom.name, atom)
                else:
                    found |= symbols(atom.left, atom.right) | found
    return found


def substitute(size: Size, values: Mapping[Symbol, Size]) -> Size:
    """The size with symbols replaced by other sizes."""
    if isinstance(size, int):
        return size
    total: Size = 0
    for monomial, factor in size.terms:
        part: Size = factor
        for atom in monomial:
            part = part * _substitute_atom(atom, values)
        total = total + part
    return total


_COMBINE: Final = {"//": floordiv, "%": modulo, "min": minimum, "max": maximum}


def _substitute_atom(atom: Atom, values: Mapping[Symbol, Size]) -> Size:
    if isinstance(atom, Symbol):
        return values.get(atom, _raw({(atom,): 1}))
    return _COMBINE[atom.kind](substitute(atom.left, values), substitute(atom.right, values))


def evaluate(size: Size, values: Mapping[str, int]) -> int:
    """The number that a size is when its symbols have these values; `KeyError` names a missing
    one."""
    if isinstance(size, int):
        return size
    total = 0
    for monomial, factor in size.terms:
        for atom in monomial:
            if isinstance(atom, Symbol):
                factor *= values[atom.name]
            else:
                part = _COMBINE[atom.kind](
                    evaluate(atom.left, values), evaluate(atom.right, values)
                )
                assert isinstance(part, int)
                factor *= part
        total += factor
    return total


def product(sizes: Shape) -> Size:
    """The number of elements of a shape."""
    total: Size = 1
    for size in sizes:
        total = total * size
    return total


# -------------------------------------------------------------------------------------- constraints


@dataclass(frozen=True, slots=True)
class Constraint:
    """A relation between sizes that only a call can check: `left relation right`, relation being
    `==`, `<=` or `<`."""

    left: Size
    relation: str
    right: Size
    where: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.left} {self.relation} {self.right}"

    def holds(self, values: Mapping[str, int]) -> bool:
        """Whether the relation is true for these values of the symbols."""
        a, b = evaluate(self.left, values), evaluate(self.right, values)
        return a == b if self.relation == "==" else a <= b if self.relation == "<=" else a < b


Collector = tuple[list[Constraint], set[Constraint]]
_collector: ContextVar[Collector | None] = ContextVar("constraints", default=None)


@contextmanager
def collecting(found: list[Constraint]) -> Iterator[list[Constraint]]:
    """Let relations that can't be decided be appended to `found` instead of being refused."""
    token = _collector.set((found, set(found)))
    try:
        yield found
    finally:
        _collector.reset(token)


def holds(left: Size, relation: str, right: Size) -> bool:
    """Whether a relation (`==`, `<=`, `<`) holds: decided here, or recorded as a constraint of the
    function being built.

    False when it is certainly broken, and when it is not decidable and nobody collects constraints.
    """
    low, high = bounds(left - right)
    if relation == "==":
        if low == high == 0:
            return True
        broken = low > 0 or high < 0
    else:
        limit = 0 if relation == "<=" else -1
        if high <= limit:
            return True
        broken = low > limit
    collector = _collector.get()
    if broken or collector is None:
        return False
    found, known = collector
    constraint = Constraint(left, relation, right)
    if constraint not in known:
        known.add(constraint)
        found.append(constraint)
    return True


def same_shape(left: Shape, right: Shape) -> bool:
    """Whether two shapes are equal, under the constraints that may be recorded on the way."""
    return len(left) == len(right) and all(
        holds(a, "==", b) for a, b in zip(left, right, strict=True)
    )


# ------------------------------------------------------------------------------------ the text form

_TOKEN: Final = re.compile(r"\s*(?:(\d+)|([A-Za-z_][A-Za-z0-9_]*)|(//|[-+*%(),]))")


def parse_size(text: str, named: Mapping[str, Dim]) -> Size:
    """The size that `str()` printed as `text`, over the symbols `named`; raises `ShapeError` for
    other text."""
    tokens: list[str] = []
    position = 0
    while position < len(text.rstrip()):
        found = _TOKEN.match(text, position)
        if not found:
            raise ShapeError(f"{text!r} is no size: unexpected {text[position]!r}")
        tokens.append(found.group().strip())
        position = found.end()
    value, rest = _parse_sum(tokens, named)
    if rest:
        raise ShapeError(f"{text!r} is no size: unexpected {rest[0]!r}")
    return value


def _parse_sum(tokens: list[str], named: Mapping[str, Dim]) -> tuple[Size, list[str]]:
    negative = tokens[:1] == ["-"]
    value, tokens = _parse_product(tokens[1:] if negative else tokens, named)
    value = -value if negative else value
    while tokens and tokens[0] in "+-":
        sign = tokens[0]
        other, tokens = _parse_product(tokens[1:], named)
        value = value + other if sign == "+" else value - other
    return value, tokens


def _parse_product(tokens: list[str], named: Mapping[str, Dim]) -> tuple[Size, list[str]]:
    value, tokens = _parse_atom(tokens, named)
    while tokens and tokens[0] in ("*", "//", "%"):
        sign = tokens[0]
        other, tokens = _parse_atom(tokens[1:], named)
        value = value * other if sign == "*" else _COMBINE[sign](value, other)
    return value, tokens


def _parse_atom(tokens: list[str], named: Mapping[str, Dim]) -> tuple[Size, list[str]]:
    if not tokens:
        raise ShapeError("a size ends too early")
    head, rest = tokens[0], tokens[1:]
    if head.isdigit():
        return int(head), rest
    if head in ("min", "max") and rest[:1] == ["("]:
        left, rest = _parse_sum(rest[1:], named)
        if rest[:1] != [","]:
            raise ShapeError(f"{head} takes two sizes")
        right, rest = _parse_sum(rest[1:], named)
        return _COMBINE[head](left, right), _expect(rest, ")")
    if head == "(":
        value, rest = _parse_sum(rest, named)
        return value, _expect(rest, ")")
    if head not in named:
        raise ShapeError(f"the size {head!r} is not declared")
    return named[head], rest


def _expect(tokens: list[str], token: str) -> list[str]:
    if tokens[:1] != [token]:
        raise ShapeError(f"a size lacks its {token!r}")
    return tokens[1:]
