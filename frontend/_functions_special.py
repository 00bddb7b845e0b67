"""What the special functions share: working precision, polynomials, and public functions made of a
formula and its derivative.

Every special function is computed in f64, whatever its operand's dtype, and rounded once at the
end. A formula is plain tensor code whose branches are chosen by `where`; the branch that is not
taken gets an operand on which it is harmless, so that formulas can also be differentiated op by
op. The first derivative is stated (`slope`) in terms of other formulas, the further ones follow
from those."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from math import comb
from typing import Any

from intaglio._apply import full
from intaglio._backward import grad
from intaglio._core import Tensor, wrap
from intaglio._custom import custom_vjp
from intaglio._functions_elementwise import where
from intaglio._modes import enable_grad
from intaglio._promote import (
    cast,
    check_numbers,
    float_dtype,
    into,
    pair,
    result_type,
    to_float,
    wrapped,
)
from intaglio.compiler.dtypes import float64

Formula = Callable[..., Tensor]
Tensors = tuple[Tensor, ...]


def polynomial(x: Tensor, coefficients: Sequence[float]) -> Tensor:
    """The polynomial with these coefficients, constant term first, by Horner's rule."""
    made = x * coefficients[-1] + coefficients[-2] if len(coefficients) > 1 else x * 0.0
    for c in reversed(coefficients[:-2]):
        made = made * x + c
    return made


def chosen(condition: Tensor, x: Tensor, harmless: float) -> Tensor:
    """x where the condition holds, else a number: the operand of a branch."""
    return where(condition, x, harmless)


@cache
def bernoulli(n: int) -> Fraction:
    """The Bernoulli number B_n (B_1 = -1/2), by its recurrence."""
    if n == 0:
        return Fraction(1)
    return -sum((comb(n + 1, k) * bernoulli(k) for k in range(n)), Fraction(0)) / (n + 1)


def wide(x: Tensor) -> Tensor:
    """x in the working precision."""
    return cast(x, float64)


def special_function(formula: Formula, slope: Formula, name: str, text: str) -> Formula:
    """The public function of one real operand: `formula(x)`, and `slope(x, y)` its derivative."""

    def forward(x: Tensor) -> Tensor:
        return cast(formula(wide(x)), x.dtype)

    def backward(xs: Tensors, ys: Tensors, dys: Tensors) -> Tensors:
        made = wide(dys[0]) * slope(wide(xs[0]), wide(ys[0]))
        return (cast(made, xs[0].dtype),)

    run = custom_vjp(forward, backward, name)

    def call(input: Any, *, out: Tensor | None = None) -> Tensor:
        made: Tensor = run(to_float(input))
        return made if out is None else into(out, made)

    return documented(call, name, text)


def special_function2(
    formula: Formula,
    slopes: Callable[[Tensor, Tensor], Tensors],
    name: str,
    text: str,
    numbers: str = "one",
) -> Formula:
    """The public function of two real operands: `formula(a, b)`, and `slopes(a, b)` its two
    derivatives. `numbers`: see `check_numbers`."""

    def forward(a: Tensor, b: Tensor) -> Tensor:
        return cast(formula(wide(a), wide(b)), a.dtype)

    def backward(xs: Tensors, ys: Tensors, dys: Tensors) -> Tensors:
        d = wide(dys[0])
        return tuple(cast(d * s, xs[0].dtype) for s in slopes(wide(xs[0]), wide(xs[1])))

    run = custom_vjp(forward, backward, name)

    def call(input: Any, other: Any, *, out: Tensor | None = None) -> Tensor:
        made: Tensor = run(*float_pair(name, input, other, numbers))
        return made if out is None else into(out, made)

    return documented(call, name, text)


def derivative(formula: Formula, xs: Tensors, k: int) -> Tensor:
    """The derivative of a formula by its operand k, found op by op."""
    with enable_grad():
        mine = tuple(wrap(x._data, x._kind) for x in xs)  # the same values as leaves of a tape
        mine[k].requires_grad_(True)
        made = formula(*mine)
        (slope,) = grad(made, (mine[k],), full(1.0, made._kind))
    assert slope is not None, "every operand of a formula takes part in it"
    return slope


def float_pair(name: str, a: Any, b: Any, numbers: str = "one") -> tuple[Tensor, Tensor]:
    """Two operands in their common floating-point dtype and shape; see `check_numbers`."""
    check_numbers(name, (a, b), numbers)
    return pair(name, a, b, float_dtype(result_type(wrapped(a), wrapped(b))))


def documented(call: Formula, name: str, text: str) -> Formula:
    """The function under its public name and with its docstring."""
    call.__name__ = call.__qualname__ = name
    call.__doc__ = text
    return call
