"""Sizes: arithmetic is right for every value of the symbols, and equal sizes have equal forms."""

import random

import pytest

from intaglio.compiler import dims
from intaglio.compiler.dims import Constraint, Dim
from intaglio.compiler.errors import ArgumentError, ShapeError, TraceError

NAMED = {"n": Dim("n", max=9), "m": Dim("m", max=7), "k": Dim("k", min=0, max=5)}


def random_size(rng, depth):
    """A size and a Python function of the symbols' values that it must equal."""
    if depth == 0:
        if rng.random() < 0.6:
            name = rng.choice(list(NAMED))
            return NAMED[name], lambda v: v[name]
        number = rng.randint(-3, 8)
        return number, lambda v: number
    (a, f), (b, g) = random_size(rng, depth - 1), random_size(rng, depth - 1)
    kind = rng.choice(["+", "-", "*", "//", "%", "min", "max"])
    if kind in ("//", "%") and dims.bounds(b)[0] <= 0:
        kind = "+"
    made = {
        "+": lambda: (a + b, lambda v: f(v) + g(v)),
        "-": lambda: (a - b, lambda v: f(v) - g(v)),
        "*": lambda: (a * b, lambda v: f(v) * g(v)),
        "//": lambda: (dims.floordiv(a, b), lambda v: f(v) // g(v)),
        "%": lambda: (dims.modulo(a, b), lambda v: f(v) % g(v)),
        "min": lambda: (dims.minimum(a, b), lambda v: min(f(v), g(v))),
        "max": lambda: (dims.maximum(a, b), lambda v: max(f(v), g(v))),
    }
    return made[kind]()


def random_values(rng):
    return {name: rng.randint(*dims.bounds(dim)) for name, dim in NAMED.items()}


@pytest.mark.parametrize("seed", range(400))
def test_arithmetic_bounds_and_text(seed):
    rng = random.Random(seed)
    size, meaning = random_size(rng, rng.randint(1, 4))
    low, high = dims.bounds(size)
    for _ in range(20):
        values = random_values(rng)
        assert dims.evaluate(size, values) == meaning(values)
        assert low <= meaning(values) <= high
    back = dims.parse_size(str(size), NAMED)
    assert back == size
    assert str(back) == str(size)
    replaced = dims.substitute(size, {s: values[s.name] for s in dims.symbols(size).values()})
    assert replaced == meaning(values)


def test_normal_form_decides_equality():
    n, m = NAMED["n"], NAMED["m"]
    assert (n + m) * (n - m) == n * n - m * m
    assert n * m // m == n
    assert (n * 4 + 2) // 2 == n * 2 + 1
    assert (n * m) % n == 0
    assert n - n == 0
    assert isinstance(n + 1 - n, int)
    assert hash(n + m) == hash(m + n)
    assert n != m
    assert Dim("n") != n  # other bounds


def test_loop_indices_lose_division():
    n, m = Dim("n"), Dim("m")
    i, j, k = (dims.loop_variable(x, e) for x, e in (("i", n), ("j", m), ("k", 64)))
    assert (i * m + j) // m == i
    assert (i * m + j) % m == j
    assert (i * m * 64 + j * 64 + k) // 64 == i * m + j
    assert (i * m * 64 + j * 64 + k) // (m * 64) == i
    assert (i * 64 + k) % 64 == k
    assert (i + k) // 64 != i  # not decidable: stays a division


def test_signs_lose_what_never_decides_them():
    outer, inner = dims.loop_variable("o", 9), dims.loop_variable("i", 16)
    assert dims.in_steps(16 * outer + inner - 32) == outer - 2
    assert dims.in_steps(31 - 16 * outer - inner) == 1 - outer
    assert dims.in_steps(2 * outer - 1) == outer - 1
    assert dims.in_steps(16 * outer + 2 * inner - 32) == 8 * outer + inner - 16
    for size in (inner - 3, 7, 8 * outer + inner - 32):
        assert dims.in_steps(size) == size
    for gap in (16 * outer + inner - 32, 31 - 16 * outer - inner, 2 * outer + 3 - 2 * inner):
        simpler = dims.in_steps(gap)
        for o in range(9):
            for i in range(16):
                values = {"o": o, "i": i}
                assert (dims.evaluate(gap, values) < 0) == (dims.evaluate(simpler, values) < 0)


def test_relations_are_decided_or_recorded():
    n, m = Dim("n", max=10), Dim("m", max=10)
    assert dims.holds(n, "<=", 10)
    assert not dims.holds(n, "==", 0)
    assert not dims.holds(n, "==", m)  # nobody collects
    with dims.collecting([]) as found:
        assert dims.holds(n, "==", m)
        assert dims.holds(n, "==", m)
        assert not dims.holds(n, "<", 1)
    assert found == [Constraint(n, "==", m)]
    assert found[0].holds({"n": 3, "m": 3})
    assert not found[0].holds({"n": 3, "m": 4})


@pytest.mark.parametrize("name", ["", "1n", "a b", "n;", "min", "n\n"])
def test_names_are_checked(name):
    with pytest.raises(ArgumentError):
        Dim(name)


@pytest.mark.parametrize(
    "text", ["", "n+", "q", "(n", "n)", "min(n", "min(n,)", "n $", "2n n", "--n"]
)
def test_text_is_checked(text):
    with pytest.raises(ShapeError):
        dims.parse_size(text, NAMED)


def test_python_compares_sizes_where_their_bounds_decide():
    n, m = Dim("n", min=2, max=32), Dim("m")
    assert n <= 32 and not n > 32 and n >= 2 and n > 1 and n < n + m
    assert not n * m < 2 and max(n, 2) is n and min(n, 40) is n
    with pytest.raises(TraceError, match=r"n < 10: .*n from 2 to 32.*max=128"):
        bool(n < 10)
    with pytest.raises(TraceError, match="m from 1 to any size"):
        max(n, m)
    with pytest.raises(TypeError):
        bool(n < "10")
