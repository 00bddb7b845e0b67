"""What the ops of linear algebra share: their base class, checks of matrices, and the small matrix
language in which their derivatives are written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic

import numpy as np

from intaglio.compiler.dims import Shape, Size, holds, same_shape
from intaglio.compiler.dtypes import float32, float64, int32, int64
from intaglio.compiler.errors import ArgumentError, DTypeError, LinAlgError, ShapeError
from intaglio.compiler.op import Array, Ops, V
from intaglio.compiler.ops.host import HostCall
from intaglio.compiler.ops.matmul import swapped
from intaglio.compiler.ops.rules import check_count, refused
from intaglio.compiler.types import TensorType


class MatrixOp(HostCall):
    """Base: matrices are the last two dims of an operand, the dims before are a batch. f32 and f64
    only, as LAPACK has them; operands are copied to row-major order first, so that the same numbers
    always meet the same routine in the same layout."""


def check_matrices(op: MatrixOp, types: Sequence[TensorType], count: int, square: bool) -> None:
    """Refuse operands that are not f32 or f64 matrices of one dtype and one batch; the first is
    square if wanted."""
    check_count(op, types, count)
    for type in types:
        if type.dtype not in (float32, float64):
            raise refused(DTypeError, op, types, f"{type.dtype} has no LAPACK; cast to f32 or f64")
        if type.rank < 2:
            raise refused(ShapeError, op, types, "matrices of two dims at least are wanted")
        if type.dtype is not types[0].dtype:
            raise refused(
                DTypeError, op, types, f"the dtypes {types[0].dtype} and {type.dtype} differ"
            )
        if type.rank != types[0].rank or not same_shape(type.shape[:-2], types[0].shape[:-2]):
            raise refused(ShapeError, op, types, "the leading sizes differ")
    first = types[0]
    if square and not holds(first.shape[-2], "==", first.shape[-1]):
        raise refused(
            ShapeError, op, types, f"the sizes {first.shape[-2]} and {first.shape[-1]} differ:"
            " a square matrix is wanted"
        )  # fmt: skip


def check_flags(op: MatrixOp, types: Sequence[TensorType], **flags: Any) -> None:
    """Refuse attributes that are not bools."""
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise refused(ArgumentError, op, types, f"{name} is {value!r}, not a bool")


def info_type(type: TensorType) -> TensorType:
    """The type of a status per matrix: i32 of the batch."""
    return TensorType(int32, type.shape[:-2])


def failed(op: MatrixOp, info: Array, what: str) -> LinAlgError:
    """The error for the first matrix whose status is not zero; `{}` in `what` is that status."""
    place = tuple(int(k) for k in np.argwhere(info)[0])
    which = f"the matrix at {list(place)} of the batch: " if place else ""
    return LinAlgError(f"{op.name}: {which}{what.format(int(info[place]))}")


def converged(op: MatrixOp, function: Callable[[], Any]) -> Any:
    """The result of a LAPACK routine that iterates, its failure as an `Error`."""
    try:
        return function()
    except np.linalg.LinAlgError:
        raise LinAlgError(
            f"{op.name}: the algorithm did not converge; the operand holds NaN or infinity, or is"
            " ill-conditioned"
        ) from None


class Matrices(Generic[V]):
    """Matrix notation over `Ops`, for derivative rules."""

    def __init__(self, g: Ops[V]) -> None:
        self.g = g

    def shape(self, x: V) -> Shape:
        """The shape of a value."""
        return self.g.type_of(x).shape

    def t(self, x: V) -> V:
        """Transposed."""
        return swapped(self.g, x)

    def mm(self, *factors: V) -> V:
        """The product of two or more matrices, from the left."""
        made = factors[0]
        for factor in factors[1:]:
            made = self.g.matmul(made, factor)
        return made

    def sum(self, *terms: V | None) -> V | None:
        """The sum of those terms that are there."""
        made: V | None = None
        for term in terms:
            if term is not None:
                made = term if made is None else self.g.add(made, term)
        return made

    def mask(self, x: V, relation: str, k: int = 0) -> V:
        """Where `column - row` is in `relation` to k, as a bool of the shape of x."""
        g, shape = self.g, self.shape(x)
        rank = len(shape)
        row = g.iota(dtype=int64, shape=shape, axis=rank - 2)
        column = g.iota(dtype=int64, shape=shape, axis=rank - 1)
        return g.apply(relation, (g.sub(column, row), g.full(k, int64, shape)))[0]

    def keep(self, x: V, relation: str, k: int = 0) -> V:
        """x where `column - row` is in `relation` to k, else 0: `("le", 0)` is the lower triangle,
        `("gt", 0)` what is above the diagonal."""
        made: V = self.g.where(self.mask(x, relation, k), x, self.g.like(0.0, x))
        return made

    def half_diagonal(self, x: V) -> V:
        """x with its diagonal halved."""
        half = self.g.mul(x, self.g.like(0.5, x))
        made: V = self.g.where(self.mask(x, "eq"), half, x)
        return made

    def symmetric(self, x: V) -> V:
        """(x + x^T) / 2"""
        made: V = self.g.mul(self.g.add(x, self.t(x)), self.g.like(0.5, x))
        return made

    def rows(self, v: V, columns: Size) -> V:
        """A vector as a matrix that repeats it in every column: element (i, j) is v_i."""
        shape = self.shape(v)
        rank = len(shape)
        made: V = self.g.expand(v, shape=(*shape, columns), axes=tuple(range(rank)))
        return made

    def columns(self, v: V, rows: Size) -> V:
        """A vector as a matrix that repeats it in every row: element (i, j) is v_j."""
        shape = self.shape(v)
        axes = (*range(len(shape) - 1), len(shape))
        made: V = self.g.expand(v, shape=(*shape[:-1], rows, shape[-1]), axes=axes)
        return made

    def each(self, v: V, x: V) -> V:
        """A number per matrix, repeated to the shape of x."""
        shape = self.shape(x)
        made: V = self.g.expand(v, shape=shape, axes=tuple(range(len(shape) - 2)))
        return made

    def diagonal_matrix(self, v: V) -> V:
        """A square matrix with v on its diagonal."""
        wide = self.rows(v, self.shape(v)[-1])
        return self.keep(wide, "eq")

    def identity(self, x: V) -> V:
        """Ones on the diagonal, in the type of x."""
        return self.keep(self.g.like(1.0, x), "eq")

    def part(self, x: V, first: tuple[Size, Size], last: tuple[Size, Size]) -> V:
        """The block of x whose rows and columns lie between two corners."""
        shape = self.shape(x)
        if first == (0, 0) and last == tuple(shape[-2:]):
            return x
        batch = (0,) * (len(shape) - 2)
        made: V = self.g.slice(
            x, starts=(*batch, *first), stops=(*shape[:-2], *last), steps=(1,) * len(shape)
        )
        return made

    def triangular(self, a: V, b: V, *, lower: bool, unit: bool = False, right: bool = False) -> V:
        """x with a x = b, or with x a = b if `right`."""
        if right:
            return self.t(self.triangular(self.t(a), self.t(b), lower=not lower, unit=unit))
        made: V = self.g.solve_triangular(a, b, lower=lower, unit=unit)
        return made
