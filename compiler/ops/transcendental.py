"""Elementwise functions that are not computed exactly: exponentials, logarithms, trigonometry,
powers.

Their bits are the prelude's: NumPy, used by the references, differs in the last place, so nothing
of these is folded.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from intaglio.compiler.op import Array, Ops, V
from intaglio.compiler.ops.elementwise import Binary, Elementwise, Unary, plus, scaled

LN2: Final = math.log(2.0)
LN10: Final = math.log(10.0)


class Function(Unary):
    """Base: floats only, the reference computes in f64."""

    wide = True


class Exp(Function):
    """e to the x."""

    name, compute = "exp", np.exp

    def slope1(self, g: Ops[V], d: V, y: V, x: V) -> Any:
        """d y"""
        return g.mul(d, y)


class Exp2(Function):
    """2 to the x."""

    name, compute = "exp2", np.exp2

    def slope1(self, g: Ops[V], d: V, y: V, x: V) -> Any:
        """d y ln 2"""
        return g.mul(d, scaled(g, y, LN2))


class Expm1(Function):
    """e to the x, less 1, accurate near 0."""

    name, compute = "expm1", np.expm1

    def slope1(self, g: Ops[V], d: V, y: V, x: V) -> Any:
        """d (y + 1)"""
        return g.mul(d, plus(g, y, 1.0))


class Log(Function):
    """The natural logarithm; -inf at 0, NaN below."""

    name, compute, span = "log", np.log, (0.3, 3.0)

    def slope1(self, g: Ops[V], d: V, y: V, x: V) -> Any:
        """d / x"""
        return g.div(d, x)


class Log2(Function):
    """The logarithm to base 2."""

    name, compute, span = "log2", np.log2, (0.3, 3.0)

    def slope1(self, g: Ops[V], d: V, y: V, x: V) -> Any:
        """d / (x ln 2)"""
        return g.div(d, scaled(g, x, LN2))


class Log10(Function):
    """The logarithm to base 10."""

    name, compute, span = "log10", np.log10, (0.3, 3.0)

    def slope1(self, g: Ops[V], d: V, y: V, x: V) -> Any:
        """d / (x ln 10)"""
        return g.div(d, scaled(g, x, LN10))


class Log1p(Function):
    """log(1 + x), accurate near 0."""

    name, compute, span = "log1p", np.log1p, (-0.6, 2.0)

    def slope1(self, g: Ops[V], d: V, y: V, x: V) -> Any:
        """d / (x + 1)"""
        return g.div(d, plus(g, x, 1.0))


class Sin(Function):
    """The sine of radians."""

    name, compute = "sin", np.sin

    def slope1(self, g: Ops[V], d: V, y: V, x: V) -> Any:
        """d cos x"""
        return g.mul(d, g.cos(x))


class Cos(Function):
    """The cosine of radians."""

    name, compute = "cos", np.cos

    def slope1(self, g: Ops[V], d: V, y: V, x: V) -> Any:
        """-d sin x"""
        return g.neg(g.mul(d, g.sin(x)))


class Tan(Function):
    """The tangent of radians."""

    name, compute, span = "tan", np.tan, (-1.2, 1.2)

    def slope1(self, g: Ops[V], d: V, y: V, x: V) -> Any:
        """d (1 + y^2)"""
        return g.mul(d, plus(g, g.mul(y, y), 1.0))


class Tanh(Function):
    """The hyperbolic tangent."""

    name, compute = "tanh", np.tanh

    def slope1(self, g: Ops[V], d: V, y: V, x: V) -> Any:
        """d (1 - y^2)"""
        return g.mul(d, g.sub(g.like(1.0, y), g.mul(y, y)))


class Sinh(Function):
    """The hyperbolic sine."""

    name, compute = "sinh", np.sinh

    def slope1(self, g: Ops[V], d: V, y: V, x: V) -> Any:
        """d cosh x"""
        return g.mul(d, g.cosh(x))


class Cosh(Function):
    """The hyperbolic cosine."""

    name, compute = "cosh", np.cosh

    def slope1(self, g: Ops[V], d: V, y: V, x: V) -> Any:
        """d sinh x"""
        return g.mul(d, g.sinh(x))


def _root_of_complement(g: Ops[V], x: V) -> V:
    """1 / sqrt(1 - x^2)"""
    made: V = g.rsqrt(g.sub(g.like(1.0, x), g.mul(x, x)))
    return made


class Asin(Function):
    """The inverse sine, in [-pi/2, pi/2]; NaN outside [-1, 1]."""

    name, compute, span = "asin", np.arcsin, (-0.8, 0.8)

    def slope1(self, g: Ops[V], d: V, y: V, x: V) -> Any:
        """d / sqrt(1 - x^2)"""
        return g.mul(d, _root_of_complement(g, x))


class Acos(Function):
    """The inverse cosine, in [0, pi]; NaN outside [-1, 1]."""

    name, compute, span = "acos", np.arccos, (-0.8, 0.8)

    def slope1(self, g: Ops[V], d: V, y: V, x: V) -> Any:
        """-d / sqrt(1 - x^2)"""
        return g.neg(g.mul(d, _root_of_complement(g, x)))


class Atan(Function):
    """The inverse tangent, in [-pi/2, pi/2]."""

    name, compute = "atan", np.arctan

    def slope1(self, g: Ops[V], d: V, y: V, x: V) -> Any:
        """d / (1 + x^2)"""
        return g.div(d, plus(g, g.mul(x, x), 1.0))


class Sigmoid(Function):
    """1 / (1 + e^-x)."""

    name = "sigmoid"

    @staticmethod
    def compute(x: Array) -> Any:
        """By the side on which the exponential does not overflow."""
        small = np.exp(-np.abs(x))
        return np.where(x >= 0, 1.0 / (1.0 + small), small / (1.0 + small))

    def slope1(self, g: Ops[V], d: V, y: V, x: V) -> Any:
        """d y (1 - y)"""
        return g.mul(d, g.mul(y, g.sub(g.like(1.0, y), y)))


class Erf(Function):
    """The error function."""

    name, compute = "erf", np.vectorize(math.erf, otypes=[np.float64])

    def slope1(self, g: Ops[V], d: V, y: V, x: V) -> Any:
        """d 2 / sqrt(pi) e^(-x^2)"""
        return g.mul(d, scaled(g, g.exp(g.neg(g.mul(x, x))), 2.0 / math.sqrt(math.pi)))


class Erfc(Function):
    """1 - erf(x), accurate where it is small."""

    name, compute = "erfc", np.vectorize(math.erfc, otypes=[np.float64])

    def slope1(self, g: Ops[V], d: V, y: V, x: V) -> Any:
        """-d 2 / sqrt(pi) e^(-x^2)"""
        return g.mul(d, scaled(g, g.exp(g.neg(g.mul(x, x))), -2.0 / math.sqrt(math.pi)))


class Pow(Binary):
    """a to the b, as C's pow."""

    name, compute, span, wide = "pow", np.power, (0.4, 2.0), True

    def slope(self, g: Ops[V], k: int, d: V, y: V, a: V, b: V) -> Any:
        """d b a^(b-1), which is 0 for b = 0; d y log a, which is 0 at a = 0 for b >= 0 (torch's
        choices)."""
        zero = g.like(0.0, d)
        if k == 0:
            one_less = g.pow(a, g.sub(b, g.like(1.0, b)))
            return g.where(g.eq(b, zero), zero, g.mul(d, g.mul(b, one_less)))
        flat = g.apply("and", (g.eq(a, zero), g.ge(b, zero)))[0]
        return g.mul(d, g.where(flat, zero, g.mul(y, g.log(a))))


class Atan2(Elementwise):
    """The angle of the point (b, a), in [-pi, pi]; C's atan2(a, b)."""

    name, arity, compute, wide = "atan2", 2, np.arctan2, True

    def slope(self, g: Ops[V], k: int, d: V, y: V, a: V, b: V) -> Any:
        """d b / (a^2 + b^2), -d a / (a^2 + b^2); 0 at the origin (torch's choice)."""
        square, zero = g.add(g.mul(a, a), g.mul(b, b)), g.like(0.0, d)
        share = g.where(g.eq(square, zero), zero, g.div(d, square))
        return g.neg(g.mul(share, a)) if k else g.mul(share, b)
