"""The ops mean what torch's functions of the same name mean, their derivatives and edges too."""

import numpy as np
import pytest

from intaglio.compiler.interpret import interpret
from intaglio.compiler.op import Builder, op_named
from intaglio.compiler.passes.gradient import gradient
from tests.samples import type_of

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

EDGES = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 1e-30, 1e30, -2.5, 0.5, 2.0])
GRID = tuple(np.ascontiguousarray(g.ravel()) for g in np.meshgrid(EDGES, EDGES, indexing="ij"))
UNARY = {
    name: getattr(torch, name)
    for name in (
        "neg", "abs", "sqrt", "rsqrt", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p",
        "sin", "cos", "tan", "tanh", "sinh", "cosh", "asin", "acos", "atan", "sigmoid", "erf",
        "floor", "ceil", "trunc", "round",
    )
} | {"recip": torch.reciprocal}  # fmt: skip
BINARY = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "pow": torch.pow,
    "maximum": torch.maximum, "minimum": torch.minimum, "atan2": torch.atan2,
    "copysign": torch.copysign, "floormod": torch.remainder, "floordiv": torch.floor_divide,
}  # fmt: skip


def close(left, right):
    return np.allclose(left, right, rtol=1e-12, atol=1e-300, equal_nan=True)


def both(name, function, *arrays):
    """(result, gradients) of the sum here and in torch."""
    b = Builder()
    xs = [b.input(type_of(a)) for a in arrays]
    y = b.apply(name, xs)[0]
    ours = interpret(gradient(b.graph([b.sum(y, axes=(0,))]), xs), arrays)[1:]
    derived = name != "floordiv"  # which torch does not differentiate
    theirs = [torch.tensor(a, requires_grad=derived) for a in arrays]
    result = function(*theirs)
    gradients = [np.zeros_like(a) for a in arrays]
    if result.requires_grad:
        found = torch.autograd.grad(result.sum(), theirs, allow_unused=True)
        gradients = [g if f is None else f.numpy() for f, g in zip(found, gradients, strict=True)]
    return op_named(name).reference(*arrays), ours, result.detach().numpy(), gradients


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_operand(name):
    with np.errstate(all="ignore"):
        result, ours, expected, theirs = both(name, UNARY[name], EDGES)
    assert close(result, expected)
    finite = np.isfinite(EDGES) & np.isfinite(theirs[0])
    assert close(ours[0][finite], theirs[0][finite])


@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_operands(name):
    with np.errstate(all="ignore"):
        result, ours, expected, theirs = both(name, BINARY[name], *GRID)
    assert close(result, expected), [
        (a, b, r, e) for a, b, r, e in zip(*GRID, result, expected, strict=True) if not close(r, e)
    ]
    for mine, other in zip(ours, theirs, strict=True):
        usual = np.isfinite(GRID[0]) & np.isfinite(GRID[1]) & np.isfinite(other)
        wrong = [
            (a, b, m, o)
            for a, b, m, o in zip(*(g[usual] for g in GRID), mine[usual], other[usual], strict=True)
            if not close(m, o)
        ]
        assert not wrong


@pytest.mark.parametrize(("name", "function"), [("max", "amax"), ("min", "amin"), ("prod", "prod")])
def test_reductions_with_ties_and_zeros(name, function):
    rows = np.array([[1.0, 3.0, 3.0], [0.0, 2.0, 0.0], [0.0, 4.0, 5.0], [-1.0, -1.0, -1.0]])
    b = Builder()
    x = b.input(type_of(rows))
    y = b.apply(name, [x], {"axes": (1,)})[0]
    found = interpret(gradient(b.graph([b.sum(y, axes=(0,))]), [x]), [rows])[1]
    t = torch.tensor(rows, requires_grad=True)
    getattr(torch, function)(t, 1).sum().backward()
    assert close(found, t.grad.numpy())


def test_gathering_and_scattering():
    x, index = np.arange(12.0).reshape(3, 4), np.array([[0, 3, 1], [2, 2, 0], [1, 1, 1]])
    t, i = torch.tensor(x), torch.tensor(index)
    assert close(op_named("take_along").reference(x, index, axis=1), torch.gather(t, 1, i))
    source = np.arange(9.0).reshape(3, 3)
    expected = t.scatter_add(1, i, torch.tensor(source))
    assert close(op_named("scatter_add").reference(x, index, source, axis=1), expected)
    rows = np.array([2, 0, 2])
    expected = t.index_add(0, torch.tensor(rows), torch.tensor(x))
    assert close(op_named("index_add").reference(x, rows, x, axis=0), expected)
    assert close(op_named("take").reference(x, rows, axis=0), t.index_select(0, torch.tensor(rows)))


def test_positions_of_extremes():
    x = np.array([[1.0, 3.0, 3.0], [np.nan, 9.0, np.nan], [2.0, 2.0, 2.0]])
    for name in ("argmax", "argmin"):
        expected = getattr(torch, name)(torch.tensor(x), 1).numpy()
        assert op_named(name).reference(x, axis=1).tolist() == expected.tolist()
