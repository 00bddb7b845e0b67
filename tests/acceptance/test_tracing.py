"""Tracing never lies: what would freeze a value is refused with the line and a remedy, or what was
read is looked at again, and the program is traced anew."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import nn
from tests.acceptance.models import bits, save

HERE = Path(__file__).name
N = ig.Dim("n", min=1, max=64)
SPEC = ig.spec((N, 3))


def branches(x: ig.Tensor) -> ig.Tensor:
    if x.sum() > 0:  # line of branches
        return x
    return -x


def loops(x: ig.Tensor) -> ig.Tensor:
    while (x * x).sum() > 1:  # line of loops
        x = x / 2
    return x


def scales(x: ig.Tensor) -> ig.Tensor:
    return x * float(x[0, 0])  # line of scales


def counts(x: ig.Tensor) -> ig.Tensor:
    return x * int(x[0, 0].to(ig.int64))  # line of counts


def items(x: ig.Tensor) -> ig.Tensor:
    return x * x.max().item()  # line of items


def lists(x: ig.Tensor) -> ig.Tensor:
    return x * x.tolist()[0][0]  # line of lists


def arrays(x: ig.Tensor) -> ig.Tensor:
    return x + ig.from_numpy(np.asarray(x))  # line of arrays


def numpies(x: ig.Tensor) -> ig.Tensor:
    return x + ig.from_numpy(x.numpy() * 2)  # line of numpies


def lengths(x: ig.Tensor) -> ig.Tensor:
    return x / len(x)  # line of lengths


def walks(x: ig.Tensor) -> ig.Tensor:
    return sum(row.sum() for row in x) * x  # line of walks


def indexes(x: ig.Tensor) -> ig.Tensor:
    return x * [1.0, 2.0, 3.0][x.argmax()]  # line of indexes


def contains(x: ig.Tensor) -> ig.Tensor:
    return x if 1.0 in x else -x  # line of contains


def selects(x: ig.Tensor) -> ig.Tensor:
    return x[x > 0]  # line of selects


def nonzeros(x: ig.Tensor) -> ig.Tensor:
    return ig.nonzero(x)  # line of nonzeros


READS: list[tuple[Callable[[ig.Tensor], ig.Tensor], str, str]] = [
    (branches, "bool()", "ig.where"),
    (loops, "bool()", "ig.where"),
    (scales, "float()", "compute with the tensor itself"),
    (counts, "int()", "compute with the tensor itself"),
    (items, "item()", "compute with the tensor itself"),
    (lists, "tolist()", "compute with the tensor itself"),
    (arrays, "", "compute with the tensor itself"),
    (numpies, "numpy()", "compute with the tensor itself"),
    (lengths, "len()", "x.shape[0]"),
    (walks, "", "symbolic"),
    (indexes, "", "compute with the tensor itself"),
    (contains, "", ""),
    (selects, "", "depends on data"),
    (nonzeros, "nonzero", "depends on data"),
]


def line_of(function: Callable[..., Any]) -> int:
    lines = Path(__file__).read_text().splitlines()
    marker = f"# line of {function.__name__}"
    return next(k for k, line in enumerate(lines, 1) if line.endswith(marker))


@pytest.mark.parametrize(("function", "name", "remedy"), READS, ids=[f.__name__ for f, *_ in READS])
def test_reading_a_traced_value_is_refused(
    function: Callable[..., Any], name: str, remedy: str
) -> None:
    with pytest.raises(ig.TraceError) as caught:
        ig.trace(function, SPEC)
    message = str(caught.value)
    line = line_of(function)
    assert name in message and remedy in message
    text = Path(__file__).read_text().splitlines()[line - 1].partition("  #")[0].strip()
    assert f"{HERE}:{line}" in message and text in message
    assert not ig.is_tracing()
    x = ig.ones(2, 3)
    if function is not lengths and function is not walks:
        with pytest.raises(ig.TraceError, match=re.escape(f"{HERE}:{line}")):
            ig.jit(function)(x)
    assert isinstance(function(x), ig.Tensor)


def test_fixed_sizes_may_be_read() -> None:
    x = ig.ones(2, 3)
    assert bits(ig.jit(lengths)(x)) == bits(lengths(x))
    assert bits(ig.jit(walks)(x)) == bits(walks(x))


def test_a_traced_value_that_outlived_its_trace_is_refused() -> None:
    kept = []

    def keep(x: ig.Tensor) -> ig.Tensor:
        kept.append(x * 2)
        return x

    with pytest.raises(ig.TraceError, match="'kept' was .* another list"):
        ig.trace(keep, SPEC)
    for use in (lambda x: x + 1, lambda x: x * x, ig.exp, lambda x: ig.ones(3) + x):
        with pytest.raises(ig.TraceError, match=f"trace that has ended.*{HERE}"):
            use(kept[0])
    with pytest.raises(ig.TraceError):
        kept[0].numpy()


class Counter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: ig.Tensor) -> ig.Tensor:
        self.calls += 1
        return x * self.calls


def test_changing_a_plain_attribute_while_tracing_is_refused() -> None:
    with pytest.raises(ig.TraceError, match=r"Counter\.calls was 0 and is 1.*buffer"):
        ig.trace(Counter(), SPEC)
    with pytest.raises(ig.TraceError, match=r"Counter\.calls"):
        ig.jit(Counter())(ig.ones(1, 3))


@pytest.mark.parametrize(
    ("draw", "told"),
    [(random.random, "Python's random"), (lambda: float(np.random.rand()), "NumPy's random")],
)
def test_other_random_generators_are_refused(draw: Callable[[], float], told: str) -> None:
    def noisy(x: ig.Tensor) -> ig.Tensor:
        return x * draw()

    with pytest.raises(ig.TraceError, match=f"{told}.*ig.rand"):
        ig.trace(noisy, SPEC)
    with pytest.raises(ig.TraceError, match=told):
        ig.jit(noisy)(ig.ones(1, 3))


# ------------------------------------------------------------------------ captured and changing

SCALE = 2.0
TABLE = {"factor": 3.0, "parts": [1.0, 2.0]}


def reads_globals(x: ig.Tensor) -> ig.Tensor:
    return x * SCALE + TABLE["factor"] + sum(TABLE["parts"])


def test_globals_that_change_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    fast, x = ig.jit(reads_globals), ig.ones(2, 3)
    assert fast(x).numpy()[0, 0] == 8.0
    monkeypatch.setitem(globals(), "SCALE", 5.0)
    assert fast(x).numpy()[0, 0] == 11.0
    assert "SCALE" in fast.explain().splitlines()[-1]
    monkeypatch.setitem(TABLE, "factor", 10.0)
    assert fast(x).numpy()[0, 0] == reads_globals(x).numpy()[0, 0] == 18.0
    TABLE["parts"].append(4.0)
    try:
        assert fast(x).numpy()[0, 0] == reads_globals(x).numpy()[0, 0] == 22.0
    finally:
        TABLE["parts"].pop()
    made = fast.compilations
    assert fast(x).numpy()[0, 0] == 18.0
    assert fast.compilations == made, "a form that fits again is used again"


def test_closures_that_change_are_seen() -> None:
    factor, bias = 2.0, ig.zeros(3)

    def f(x: ig.Tensor) -> ig.Tensor:
        return x * factor + bias

    fast, x = ig.jit(f), ig.ones(2, 3)
    assert fast(x).numpy()[0, 0] == 2.0
    factor = 3.0
    assert fast(x).numpy()[0, 0] == 3.0
    assert "'factor'" in fast.explain().splitlines()[-1]
    made = fast.compilations
    bias += 1  # captured by reference: no new trace
    assert fast(x).numpy()[0, 0] == 4.0 and fast.compilations == made
    bias = ig.full((3,), 9.0)
    assert fast(x).numpy()[0, 0] == 12.0
    assert "'bias'" in fast.explain().splitlines()[-1]


class Noisy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin, self.p, self.scale = nn.Linear(3, 3), 0.5, 1.0

    def forward(self, x: ig.Tensor) -> ig.Tensor:
        return F.dropout(self.lin(x) * self.scale, self.p, self.training)


def test_modules_that_change_are_seen() -> None:
    model, x = Noisy(), ig.ones(4, 3)
    fast = ig.jit(model)

    def same() -> bool:
        ig.manual_seed(1)
        want = bits(model(x))
        ig.manual_seed(1)
        return bits(fast(x)) == want

    assert same()
    model.eval()
    assert same() and "training" in fast.explain().splitlines()[-1]
    model.scale = 3.0
    assert same() and "scale" in fast.explain().splitlines()[-1]
    with ig.no_grad():
        model.lin.weight.mul_(2)
    made = fast.compilations
    assert same() and fast.compilations == made + 0
    model.lin.bias = None
    assert same()
    model.lin = nn.Linear(3, 3)
    assert same()
    model.train()
    model.p = 0.25
    assert same()


def test_the_training_flag_is_in_the_file(tmp_path: Path) -> None:
    model, x = Noisy(), np.ones((4, 3), np.float32)
    program = ig.trace(model.eval(), ig.spec((N, 3)))
    program.trace("noisy", model.train(), ig.spec((N, 3)))
    model.eval()
    loaded = save(program, tmp_path)
    assert dict(loaded.program.functions["forward"].training) == {"": False}
    assert dict(loaded.program.functions["noisy"].training) == {"": True}
    assert bits(loaded(x)) == bits(loaded(x)) == bits(model(ig.from_numpy(x)))
    assert bits(loaded.noisy(x)) != bits(loaded.noisy(x))


def test_frozen_constants_are_listed() -> None:
    table = np.arange(3, dtype=np.float32)
    program = ig.trace(lambda x: x * ig.tensor(table) * SCALE, SPEC)
    listed = "\n".join(program.constants)
    assert "SCALE" in listed and f"{HERE}:" in listed and "f32[3]" in listed


# ---------------------------------------------------------------------------- views and in-place


def writes_views(x: ig.Tensor) -> tuple[ig.Tensor, ...]:
    y = x.clone()
    row, column = y[0], y[:, 1]
    row += 10
    column.mul_(2)
    y[1:, 2] = column[1:] - 1
    part = y.t()[0]
    part.clamp_(max=5)
    y[y > 15] = -1.0
    return y, row, column, part


def test_views_and_writes_mean_the_same_in_a_trace(tmp_path: Path) -> None:
    x = np.arange(9, dtype=np.float32).reshape(3, 3)
    want = [bits(t) for t in writes_views(ig.from_numpy(x))]
    assert [bits(t) for t in ig.jit(writes_views)(ig.from_numpy(x))] == want
    model = save(ig.trace(writes_views, ig.spec((3, 3))), tmp_path)
    assert [bits(t) for t in model(x)] == want


def test_writes_reach_captured_tensors_and_their_views() -> None:
    table = ig.zeros(3, 3)
    row = table[1]

    def add(x: ig.Tensor) -> ig.Tensor:
        row.add_(x)
        table[2] = row * 2
        return table.sum()

    fast = ig.jit(add)
    for k in range(1, 4):
        assert fast(ig.ones(3)).item() == 9.0 * k
        assert np.array_equal(row.numpy(), np.full(3, k)) and table.numpy()[2, 0] == 2 * k
    with_data = table.numpy()
    assert with_data[1, 0] == 3


def grows(x: ig.Tensor) -> ig.Tensor:
    x += 1  # line of grows
    return x * 2


def clears(x: ig.Tensor) -> ig.Tensor:
    x[0].zero_()  # line of clears
    return x


@pytest.mark.parametrize("function", [grows, clears])
def test_writing_to_an_argument_reaches_the_caller_of_a_compiled_function(
    function: Callable[..., Any],
) -> None:
    start = np.arange(6, dtype=np.float32).reshape(2, 3)
    eager, compiled, array = ig.tensor(start), ig.tensor(start), start.copy()
    want = bits(function(eager))
    fast = ig.jit(function)
    assert bits(fast(compiled)) == want and bits(compiled) == bits(eager)
    assert compiled._version == 1
    assert bits(fast(array)) == want and np.array_equal(array, eager.numpy())


@pytest.mark.parametrize("function", [grows, clears])
def test_a_program_writes_to_a_copy_of_its_argument_and_says_so(
    function: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    program = ig.trace(function, ig.spec((2, 3)))
    told = rf"writes in place to its argument x.*do not see.*{HERE}:{line_of(function)}"
    assert re.search(told, caplog.text)
    start = np.arange(6, dtype=np.float32).reshape(2, 3)
    given = start.copy()
    assert bits(save(program, tmp_path)(given)) == bits(function(ig.tensor(start)))
    assert np.array_equal(given, start)


def test_writes_to_an_argument_that_its_caller_cannot_take_over_are_refused() -> None:
    scale = ig.ones(3, requires_grad=True)

    def gathers(x: ig.Tensor) -> ig.Tensor:
        return x.add_(scale)  # line of gathers

    told = rf"requires grad.*clone.*{HERE}:{line_of(gathers)}"
    with pytest.raises(ig.TraceError, match=told):
        ig.jit(gathers)(ig.ones(2, 3))
    base = ig.zeros(4)
    with pytest.raises(ig.ArgumentError, match="shares its memory"):
        ig.jit(lambda x, y: x.add_(y))(base[:3], base[1:])
    frozen = np.ones((2, 3), np.float32)
    frozen.flags.writeable = False
    with pytest.raises(ig.ArgumentError, match="read-only"):
        ig.jit(grows)(frozen)


def test_an_error_in_a_trace_leaves_every_tensor_as_it_was() -> None:
    model = nn.Linear(3, 3)
    before = {n: bits(p) for n, p in model.state_dict().items()}

    def broken(x: ig.Tensor) -> ig.Tensor:
        with ig.no_grad():
            model.weight.mul_(2)
        model(x).sum().backward()
        return model(x) + ig.ones(5)

    with pytest.raises(ig.ShapeError, match=HERE):
        ig.jit(broken)(ig.ones(2, 3))
    assert {n: bits(p) for n, p in model.state_dict().items()} == before
    assert model.weight.grad is None and not ig.is_tracing()
    assert model(ig.ones(2, 3)).detach().numpy().shape == (2, 3)
