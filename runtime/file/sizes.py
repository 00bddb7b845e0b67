"""Sizes as table entries: polynomials term by term, so that reading one never multiplies out.

A size read from a file is built by the arithmetic of the compiler and then has to be what the entry
says, term by term; anything not in normal form is refused. Only what is cheap to compute with is
let in (`limits.SIZE_*`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from intaglio.compiler.dims import (
    UNBOUNDED,
    Atom,
    Dim,
    Quotient,
    Shape,
    Size,
    Symbol,
    bounds,
    floordiv,
    maximum,
    minimum,
    modulo,
    terms_of,
)
from intaglio.compiler.errors import Error, FormatError
from intaglio.runtime.file import limits
from intaglio.runtime.file.errors import at_most, entry
from intaglio.schemas import program_pb2 as pb

_KINDS: Final = ("//", "%", "min", "max")
_MAKE: Final = (floordiv, modulo, minimum, maximum)
_NUMBERS: Final = {
    "//": pb.Quotient.FLOOR_DIVISION,
    "%": pb.Quotient.MODULO,
    "min": pb.Quotient.MINIMUM,
    "max": pb.Quotient.MAXIMUM,
}
_INT64: Final = range(-(1 << 63), 1 << 63)


class SizeWriter:
    """Puts sizes into a program's table, each once, after what it consists of."""

    def __init__(self, table: pb.Program, string: Callable[[str], int]) -> None:
        self._table, self._string = table.sizes, string
        self._known: dict[Size | Atom, int] = {}

    def inline(self, size: Size) -> int:
        """How a shape holds the size: itself, or -1 - its index."""
        return size if isinstance(size, int) else -1 - self.index(size)

    def index(self, size: Size) -> int:
        """The size's index in the table."""
        found = self._known.get(size)
        if found is None:
            terms = terms_of(size)
            if isinstance(size, int):
                found = self._add(pb.Size(constant=_int64(size)))
            elif len(terms) == 1 and terms[0][1] == 1 and len(terms[0][0]) == 1:
                found = self._atom(terms[0][0][0])
            else:
                found = self._add(self._polynomial(size))
            self._known[size] = found
        return found

    def _add(self, made: pb.Size) -> int:
        self._table.append(made)
        return len(self._table) - 1

    def _polynomial(self, size: Dim) -> pb.Size:
        return pb.Size(
            polynomial=pb.Polynomial(
                coefficients=[_int64(factor) for _, factor in size.terms],
                degrees=[len(monomial) for monomial, _ in size.terms],
                atoms=[self._atom(atom) for monomial, _ in size.terms for atom in monomial],
            )
        )

    def _atom(self, atom: Atom) -> int:
        found = self._known.get(atom)
        if found is None:
            if isinstance(atom, Symbol):
                if atom.extent is not None:
                    raise FormatError(f"size {atom.name}: a loop variable can't be saved")
                made = pb.Size(
                    symbol=pb.Symbol(name=self._string(atom.name), low=atom.low, high=atom.high)
                )
            else:
                left, right = self.index(atom.left), self.index(atom.right)
                kind = _NUMBERS[atom.kind]
                made = pb.Size(quotient=pb.Quotient(kind=kind, left=left, right=right))
            found = self._known[atom] = self._add(made)
        return found


def _int64(number: int) -> int:
    if number not in _INT64:
        raise FormatError(f"the number {number} does not fit 64 bits and can't be saved")
    return number


class SizeReader:
    """The sizes of a program's table, checked one after another."""

    def __init__(self, table: pb.Program, strings: list[str]) -> None:
        self._sizes: list[Size] = []
        self._strings = strings
        self._terms = 0
        for k, made in enumerate(table.sizes):
            field = f"sizes[{k}]"
            size = self._read(made, field)
            terms = terms_of(size)
            self._terms += len(terms)
            at_most(self._terms, limits.ALL_SIZE_TERMS, f"{field}: terms of all sizes")
            at_most(len(str(size)), limits.SIZE_TEXT, f"{field}: characters")
            self._sizes.append(size)

    def at(self, index: int, field: str) -> Size:
        """The size of this index."""
        return entry(self._sizes, index, field)

    def shape(self, inline: list[int], field: str) -> Shape:
        """The shape whose sizes a message holds inline."""
        at_most(len(inline), limits.RANK, f"{field}: dimensions")
        shape = tuple(
            n if n >= 0 else self._symbolic(-1 - n, f"{field}[{k}]") for k, n in enumerate(inline)
        )
        terms = 1
        for size in shape:
            terms *= len(terms_of(size)) or 1
            at_most(terms, limits.SHAPE_TERMS, f"{field}: terms of the number of elements")
        return shape

    def _symbolic(self, index: int, field: str) -> Size:
        size = self.at(index, field)
        if isinstance(size, int):
            raise FormatError(f"{field}: names the constant {size} where it has to hold it")
        if bounds(size)[1] < 0:
            raise FormatError(f"{field}: the size {size} is always negative")
        return size

    def _read(self, made: pb.Size, field: str) -> Size:
        match made.WhichOneof("kind"):
            case "constant":
                return made.constant
            case "symbol":
                return self._symbol(made.symbol, field)
            case "quotient":
                return self._quotient(made.quotient, field)
            case "polynomial":
                return self._polynomial(made.polynomial, field)
        raise FormatError(f"{field}: has no kind")

    def _symbol(self, made: pb.Symbol, field: str) -> Size:
        name = entry(self._strings, made.name, f"{field}.name")
        try:
            return Dim(name, made.low, made.high)
        except Error as error:
            raise FormatError(f"{field}: {error}") from None

    def _quotient(self, made: pb.Quotient, field: str) -> Size:
        if made.kind >= len(_KINDS):
            raise FormatError(f"{field}.kind: there is no kind {made.kind}")
        left, right = self.at(made.left, f"{field}.left"), self.at(made.right, f"{field}.right")
        kind = _KINDS[made.kind]
        if kind in ("//", "%") and bounds(right)[0] < 1:
            raise FormatError(f"{field}.right: the divisor {right} may be zero or less")
        size = _MAKE[made.kind](left, right)
        if terms_of(size) != (((Quotient(kind, left, right),), 1),):
            raise FormatError(f"{field}: {left} {kind} {right} is not in normal form: it is {size}")
        return size

    def _polynomial(self, made: pb.Polynomial, field: str) -> Size:
        at_most(len(made.coefficients), limits.SIZE_TERMS, f"{field}.coefficients")
        at_most(len(made.atoms), limits.SIZE_ATOMS, f"{field}.atoms")
        if len(made.degrees) != len(made.coefficients) or sum(made.degrees) != len(made.atoms):
            raise FormatError(f"{field}.degrees: do not fit the coefficients and atoms")
        stated: list[tuple[tuple[Atom, ...], int]] = []
        total: Size = 0
        at = 0
        for coefficient, degree in zip(made.coefficients, made.degrees, strict=True):
            part: Size = coefficient
            atoms = [self._atom(k, f"{field}.atoms") for k in made.atoms[at : at + degree]]
            for _, dim in atoms:
                part = part * dim
            stated.append((tuple(atom for atom, _ in atoms), coefficient))
            total, at = total + part, at + degree
        if not isinstance(total, Dim) or total.terms != tuple(stated):
            raise FormatError(f"{field}: not in normal form, which is {total}")
        return total

    def _atom(self, index: int, field: str) -> tuple[Atom, Dim]:
        size = self.at(index, field)
        terms = terms_of(size)
        if (
            not isinstance(size, Dim)
            or len(terms) != 1
            or terms[0][1] != 1
            or len(terms[0][0]) != 1
        ):
            raise FormatError(f"{field}: {index} is neither a symbol nor a quotient")
        return terms[0][0][0], size


def check_bytes(shape: Shape, itemsize: int, field: str) -> None:
    """Refuse a shape whose elements take 2^63 bytes or more even with its sizes at their smallest;
    sizes of zero count as one, as they do where arrays are made."""
    total = itemsize
    for size in shape:
        total *= max(bounds(size)[0], 1)
    if total > UNBOUNDED:
        raise FormatError(f"{field}: the shape ({', '.join(map(str, shape))}) overflows 64 bits")
