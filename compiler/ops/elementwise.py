"""Ops that apply one scalar function at every position: the family's base, arithmetic and rounding.

A new one takes its name, its NumPy function and its slope. The slope rule says how an operand's
change `d` reaches the result. Such a Jacobian is diagonal, so that one rule serves reverse mode
(`d` is the result's cotangent) and forward mode (`d` is the operand's tangent) alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from intaglio.compiler.loop import Expr, Operand, Position, call
from intaglio.compiler.op import Array, Op, Ops, Sample, V
from intaglio.compiler.ops.rules import check_count, check_kind, check_same
from intaglio.compiler.types import TensorType

EDGES = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 1e-30, 3.4e38, -2.5, 0.5, 88.8)
"""Values at which float functions go wrong; samples pair each with each."""


def elementwise_samples(kinds: str, arity: int, span: tuple[float, float]) -> tuple[Sample, ...]:
    """Samples of every kind of dtype an op takes, in all the sizes that break kernels, and at the
    edges of the floats."""
    texts: list[str] = []
    if "f" in kinds:
        texts += ["f64[3,4]", "f32[2,3,5]", "f64[]", "f32[]", "f64[1]", "f32[0,3]", "f32[67]"]
    if "i" in kinds:
        texts += ["i64[5]", "i32[3,7]", "i64[]", "i32[0]", "i8[9]", "i16[4]"]
    if "u" in kinds:
        texts += ["u8[6]", "u32[3]"]
    if "b" in kinds:
        texts += ["bool[5]", "bool[]"]
    made = [Sample(*[t] * arity, range=span if t[0] == "f" else (-7, 7)) for t in texts]
    if "f" in kinds:
        for dtype in (np.float32, np.float64):
            edges = np.array(EDGES, dtype)
            grids = np.meshgrid(*[edges] * arity, indexing="ij")
            made.append(Sample(*[np.array(grid.ravel()) for grid in grids], derivative=False))
    return tuple(made)


class Elementwise(Op):
    """Base: operands of one type, a result of that type.

    `kinds` are the dtype kinds it takes, `exact` those for which NumPy gives the defined bits,
    `span` where samples are drawn from, `wide` whether the reference computes f32 in f64 (NumPy's
    own f32 functions are a few units off).
    """

    arity: ClassVar[int] = 1
    kinds: ClassVar[str] = "f"
    span: ClassVar[tuple[float, float]] = (-2.0, 2.0)
    wide: ClassVar[bool] = False
    compute: ClassVar[Callable[..., Any]]
    """The scalar function in NumPy."""
    slope: ClassVar[Callable[..., Any] | None] = None
    """`slope(self, g, k, d, y, *xs)`: the change of the result for the change `d` of operand k.
    None: the derivative is zero."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        if cls.__dict__.get("name") and not cls.__dict__.get("samples"):
            cls.samples = elementwise_samples(cls.kinds, cls.arity, cls.span)
        super().__init_subclass__(**keywords)

    def type(self, *types: TensorType) -> TensorType:
        """The operands' common type."""
        check_count(self, types, self.arity)
        check_kind(self, types, self.kinds)
        check_same(self, types)
        return types[0]

    def reference(self, *arrays: Array) -> Array:
        """The NumPy function, without warnings, in the operands' dtype."""
        dtype = arrays[0].dtype
        if self.wide:
            arrays = tuple(a.astype(np.float64) for a in arrays)
        with np.errstate(all="ignore"):
            return np.asarray(type(self).compute(*arrays)).astype(dtype, copy=False)

    def vjp(
        self,
        g: Ops[V],
        dys: Sequence[V | None],
        ys: Sequence[V],
        xs: Sequence[V],
        needs: Sequence[bool],
    ) -> Sequence[V | None]:
        """The slope rule of every operand that is needed."""
        dy = dys[0]
        if dy is None or self.slope is None or not g.type_of(xs[0]).dtype.is_floating_point:
            return [None] * len(xs)
        return [self.slope(g, k, dy, ys[0], *xs) if need else None for k, need in enumerate(needs)]

    def jvp(
        self, g: Ops[V], dxs: Sequence[V | None], xs: Sequence[V], ys: Sequence[V]
    ) -> Sequence[V | None]:
        """The sum of the slopes of the operands that change."""
        total: V | None = None
        for k, dx in enumerate(dxs):
            if dx is not None and self.slope is not None:
                part = self.slope(g, k, dx, ys[0], *xs)
                total = part if total is None else total if part is None else g.add(total, part)
        return [total]

    def element(self, index: tuple[Position, ...], *xs: Operand) -> Expr:
        """The prelude's function of the same name."""
        return call(self.name, *(x(*index) for x in xs))


class Unary(Elementwise):
    """Base of functions of one operand; their `slope1(g, d, y, x)` needs no operand number."""

    def slope(self, g: Ops[V], k: int, d: V, y: V, x: V) -> Any:
        """The rule of the only operand."""
        return self.slope1(g, d, y, x)

    def slope1(self, g: Ops[V], d: V, y: V, x: V) -> Any:
        """Zero unless a subclass says otherwise."""
        return None


class Binary(Elementwise):
    """Base of functions of two operands."""

    arity = 2


def scaled(g: Ops[V], x: V, factor: float) -> V:
    """`x * factor`."""
    made: V = g.mul(x, g.like(factor, x))
    return made


def plus(g: Ops[V], x: V, term: float) -> V:
    """`x + term`."""
    made: V = g.add(x, g.like(term, x))
    return made


# --------------------------------------------------------------------------------------- arithmetic


class Add(Binary):
    """The sum; integers wrap."""

    name, kinds, exact, compute = "add", "fiu", "fiu", np.add

    def slope(self, g: Ops[V], k: int, d: V, y: V, a: V, b: V) -> Any:
        """d"""
        return d


class Sub(Binary):
    """The difference; integers wrap."""

    name, kinds, exact, compute = "sub", "fiu", "fiu", np.subtract

    def slope(self, g: Ops[V], k: int, d: V, y: V, a: V, b: V) -> Any:
        """d, -d"""
        return g.neg(d) if k else d

    def simplify(self, g: Any, xs: Sequence[Any], node: Any) -> Any:
        """x - 0 = x, also for x = -0."""
        return xs[0] if is_bits(g, xs[1], 0.0) else None


class Mul(Binary):
    """The product; integers wrap."""

    name, kinds, exact, compute = "mul", "fiu", "fiu", np.multiply

    def slope(self, g: Ops[V], k: int, d: V, y: V, a: V, b: V) -> Any:
        """d b, d a"""
        return g.mul(d, a if k else b)

    def simplify(self, g: Any, xs: Sequence[Any], node: Any) -> Any:
        """x * 1 = 1 * x = x."""
        for x, other in (xs, xs[::-1]):
            if is_bits(g, other, 1.0):
                return x
        return None


class Div(Binary):
    """The quotient of floats, rounded once."""

    name, exact, compute, span = "div", "f", np.divide, (0.5, 2.0)

    def slope(self, g: Ops[V], k: int, d: V, y: V, a: V, b: V) -> Any:
        """d / b, -d (a / b) / b: the quotient again, so that the result may be written to in place
        before the derivative is asked for (compiled, the two are one)."""
        return g.neg(g.mul(g.div(d, b), g.div(a, b))) if k else g.div(d, b)

    def simplify(self, g: Any, xs: Sequence[Any], node: Any) -> Any:
        """x / 1 = x; x / 2^k = x * 2^-k: the same number, rounded once."""
        if is_bits(g, xs[1], 1.0):
            return xs[0]
        divisor = g.number_of(xs[1])
        if divisor is None or not np.isfinite(divisor):
            return None
        fraction, exponent = math.frexp(divisor)
        if abs(fraction) != 0.5 or abs(exponent) > 100 or g.type_of(xs[0]).dtype.size < 4:
            return None
        return g.mul(xs[0], g.like(1.0 / divisor, xs[1]))


def is_bits(g: Any, value: Any, number: float) -> bool:
    """Whether a value is a tensor filled with exactly this number (0.0 is not -0.0)."""
    found = g.number_of(value)
    return (
        found is not None
        and found == number
        and (np.signbit(found) == np.signbit(number) or not isinstance(found, float))
    )


class Neg(Unary):
    """The sign flipped, of zero and NaN too; integers wrap."""

    name, kinds, exact, compute = "neg", "fiu", "fiu", np.negative

    def slope1(self, g: Ops[V], d: V, y: V, x: V) -> Any:
        """-d"""
        return g.neg(d)

    def simplify(self, g: Any, xs: Sequence[Any], node: Any) -> Any:
        """--x = x."""
        producer = g.producer(xs[0])
        return producer.inputs[0] if producer is not None and producer.op == self.name else None


class Abs(Unary):
    """The magnitude; its derivative at 0 is 0."""

    name, kinds, exact, compute = "abs", "fiu", "fiu", np.abs

    def slope1(self, g: Ops[V], d: V, y: V, x: V) -> Any:
        """d sign(x)"""
        return g.mul(d, g.sign(x))


class Sign(Unary):
    """-1, 0 (with its sign) or 1; NaN stays."""

    name, kinds, exact = "sign", "fiu", "fiu"

    @staticmethod
    def compute(x: Array) -> Any:
        """NumPy's, with the sign of zero kept."""
        return np.copysign(np.sign(x), x) if x.dtype.kind == "f" else np.sign(x)


class Sqrt(Unary):
    """The square root, rounded once; NaN below zero."""

    name, exact, compute, span = "sqrt", "f", np.sqrt, (0.3, 3.0)

    def slope1(self, g: Ops[V], d: V, y: V, x: V) -> Any:
        """d / (2 y)"""
        return g.div(d, scaled(g, y, 2.0))


class Rsqrt(Unary):
    """1 / sqrt(x), rounded twice."""

    name, exact, span = "rsqrt", "f", (0.3, 3.0)

    @staticmethod
    def compute(x: Array) -> Any:
        """Two rounded steps."""
        return np.divide(np.ones_like(x), np.sqrt(x))

    def slope1(self, g: Ops[V], d: V, y: V, x: V) -> Any:
        """-d y^3 / 2"""
        return g.mul(scaled(g, d, -0.5), g.mul(y, g.mul(y, y)))


class Recip(Unary):
    """1 / x, rounded once."""

    name, exact, span = "recip", "f", (0.3, 3.0)

    @staticmethod
    def compute(x: Array) -> Any:
        """One division."""
        return np.divide(np.ones_like(x), x)

    def slope1(self, g: Ops[V], d: V, y: V, x: V) -> Any:
        """-d y^2"""
        return g.neg(g.mul(d, g.mul(y, y)))


# ----------------------------------------------------------------------------------------- rounding


class Floor(Unary):
    """The largest integer not above x."""

    name, exact, compute = "floor", "f", np.floor


class Ceil(Unary):
    """The smallest integer not below x."""

    name, exact, compute = "ceil", "f", np.ceil


class Trunc(Unary):
    """x without its fraction."""

    name, exact, compute = "trunc", "f", np.trunc


class Round(Unary):
    """The nearest integer, halves to even."""

    name, exact, compute = "round", "f", np.rint


# ----------------------------------------------------------------------------- choosing, remainders


class _Extreme(Binary):
    """The larger or smaller operand; NaN wins; the derivative is split evenly between equal
    operands, as torch does."""

    kinds, exact = "fiu", "fiu"
    loses: ClassVar[str] = ""

    def slope(self, g: Ops[V], k: int, d: V, y: V, a: V, b: V) -> Any:
        """d where this operand won, d / 2 where they are equal."""
        mine, other = (b, a) if k else (a, b)
        lost = g.apply(self.loses, (mine, other))[0]
        half = g.where(g.eq(mine, other), scaled(g, d, 0.5), d)
        return g.where(lost, g.like(0.0, d), half)


class Maximum(_Extreme):
    """The larger operand; NaN if either is; +0 is larger than -0."""

    name, loses = "maximum", "lt"

    @staticmethod
    def compute(a: Array, b: Array) -> Any:
        """NumPy's, with the zeros ordered."""
        if a.dtype.kind in "iu":
            return np.maximum(a, b)
        return np.where(a == b, np.where(np.signbit(a), b, a), np.maximum(a, b))


class Minimum(_Extreme):
    """The smaller operand; NaN if either is; -0 is smaller than +0."""

    name, loses = "minimum", "gt"

    @staticmethod
    def compute(a: Array, b: Array) -> Any:
        """NumPy's, with the zeros ordered."""
        if a.dtype.kind in "iu":
            return np.minimum(a, b)
        return np.where(a == b, np.where(np.signbit(a), a, b), np.minimum(a, b))


class Copysign(Binary):
    """The magnitude of a with the sign of b."""

    name, exact, compute = "copysign", "f", np.copysign

    def slope(self, g: Ops[V], k: int, d: V, y: V, a: V, b: V) -> Any:
        """d where the sign stayed, -d where it changed, 0 at 0."""
        return None if k else g.mul(d, g.mul(g.sign(a), g.copysign(g.like(1.0, b), b)))


class Floordiv(Binary):
    """The quotient rounded down. For integers x // 0 is 0, and the smallest by -1 wraps; for floats
    as Python's `//`."""

    name, kinds, exact, span = "floordiv", "fiu", "iu", (0.5, 4.0)

    @staticmethod
    def compute(a: Array, b: Array) -> Any:
        """NumPy's, with the integers' two special cases made certain."""
        if a.dtype.kind == "f":
            return np.floor_divide(a, b)
        safe, negative = _safe_divisor(b)
        return np.where(b == 0, 0, np.where(negative, np.negative(a), np.floor_divide(a, safe)))


class Floormod(Binary):
    """The remainder with the sign of the divisor, as Python's `%`. For integers x % 0 is 0."""

    name, kinds, exact, span = "floormod", "fiu", "iu", (0.5, 4.0)

    @staticmethod
    def compute(a: Array, b: Array) -> Any:
        """NumPy's, with the integers' two special cases made certain."""
        if a.dtype.kind == "f":
            return np.remainder(a, b)
        safe, negative = _safe_divisor(b)
        return np.where((b == 0) | negative, 0, np.remainder(a, safe))

    def slope(self, g: Ops[V], k: int, d: V, y: V, a: V, b: V) -> Any:
        """d, -d (a // b)"""
        return g.neg(g.mul(d, g.floordiv(a, b))) if k else d


def _safe_divisor(b: Array) -> tuple[Array, Array]:
    """The divisor with 0 and -1 replaced by 1, and where it is -1: division by these is undefined
    in C."""
    negative = (b == -1) if b.dtype.kind == "i" else np.zeros(b.shape, np.bool_)
    return np.where((b == 0) | negative, np.ones_like(b), b), negative
