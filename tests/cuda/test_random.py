"""Random functions with folds, products and movement, fused: the bits of the C."""

from __future__ import annotations

import random

import pytest

from intaglio.compiler.dims import Dim
from intaglio.compiler.dtypes import float32, float64
from intaglio.compiler.ir import Graph, Value
from intaglio.compiler.lower import lower
from intaglio.compiler.op import Builder
from intaglio.runtime.compile import optimised
from tests.compiler.codegen.harness import COMPILER as CC, build
from tests.cuda.emulator import COMPILER, emulate
from tests.cuda.programs import f32, operands

pytestmark = pytest.mark.skipif(not (COMPILER and CC), reason="needs gcc and g++")
COLUMNS = 130
FEW, MANY = 6, 60


def random_function(seed: int) -> Graph:
    """A function of x, y: f32[n,130] and w: f32[130,130] without NaN."""
    rng = random.Random(seed)
    b = Builder()
    rows = Dim("n")
    values = [b.input(f32(rows, COLUMNS)) for _ in range(2)]
    w = b.input(f32(COLUMNS, COLUMNS))
    for _ in range(14):
        values.append(_node(b, rng, values, w))
    return b.graph([*rng.sample(values[2:], 3), b.sum(values[-1], axes=(0, 1))])


def _node(b: Builder, rng: random.Random, values: list[Value], w: Value) -> Value:
    x, y = rng.choice(values[-5:]), rng.choice(values)
    shape = x.type.shape
    made: Value
    match rng.randrange(10):
        case 0:
            made = b.apply(rng.choice(("sum", "max", "min")), (x,), {"axes": (1,)})[0]
            made = b.tanh(b.expand(made, shape=shape, axes=(0,)))
        case 1:
            made = b.apply(rng.choice(("sum", "max")), (x,), {"axes": (0,)})[0]
            made = b.tanh(b.expand(made, shape=shape, axes=(1,)))
        case 2:
            made = b.sigmoid(b.matmul(x, rng.choice((w, b.permute(w, axes=(1, 0))))))
        case 3:
            made = b.flip(x, axes=(rng.randrange(2),))
        case 4:
            cut = b.slice(x, starts=(0, 30), stops=(shape[0], 100), steps=(1, 1))
            made = b.pad(cut, low=(0, 20), high=(0, 40), value=0.25)
        case 5:
            made = b.where(b.lt(x, y), b.neg(x), y)
        case 6:
            wide = b.sum(b.cast(x, dtype=float64), axes=(1,))
            made = b.expand(b.tanh(b.cast(wide, dtype=float32)), shape=shape, axes=(0,))
        case 7:
            made = b.apply(rng.choice(("tanh", "erf", "abs", "floor")), (x,))[0]
        case _:
            made = b.apply(rng.choice(("add", "sub", "maximum", "minimum")), (x, b.tanh(y)))[0]
    return made


def check(count: int) -> None:
    """Compare so many functions, for one size and for any."""
    graphs = [random_function(seed) for seed in range(count)]
    sizes = {"n": 45}
    forms = [optimised(g, chosen) for g in graphs for chosen in (sizes, None)]
    cuda = emulate([lower(form, target="cuda") for form in forms])
    native = build([lower(form) for form in forms])
    for k, (one, other) in enumerate(zip(cuda, native, strict=True)):
        given = operands(graphs[k // 2], sizes, seed=k)
        left = {name: sizes[name] for name in one.lowered.size_names}
        expected = other(*given, sizes=left)
        for reverse in (False, True):
            found = one(*given, sizes=left, reverse=reverse)
            assert [a.tobytes() for a in found] == [e.tobytes() for e in expected], (
                k // 2,
                reverse,
            )


def test_random_functions_have_the_bits_of_c() -> None:
    check(FEW)


@pytest.mark.long
def test_many_random_functions_have_the_bits_of_c() -> None:
    check(MANY)
