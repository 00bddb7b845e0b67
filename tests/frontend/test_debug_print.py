"""Values shown while a program runs: eagerly, compiled, from a file, in loops, and never twice."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio as ig
from intaglio import nn, optim
from intaglio.compiler.ir import Node
from intaglio.compiler.passes.prints import expose, silence
from intaglio.compiler.verify import verify
from intaglio.runtime import prints


@pytest.fixture
def shown() -> Iterator[list[str]]:
    texts: list[str] = []
    before = prints.set_print_sink(texts.append)
    yield texts
    prints.set_print_sink(before)


def looped(x: ig.Tensor) -> ig.Tensor:
    h = ig.debug_print(x * 2, "h")

    def body(carry: ig.Tensor, row: ig.Tensor) -> tuple[ig.Tensor, ig.Tensor]:
        carry = carry + row
        ig.debug_print(carry, "carry")
        ig.debug_print(row.sum())
        return carry, carry * 2

    last, _ = ig.scan(body, ig.zeros(3), h)
    ig.debug_print(last.sum(), "total")  # nobody reads what it returns
    return last


def heads(texts: list[str]) -> list[str]:
    return [t.split(":")[0] for t in texts]


LOOPED = ["h", *(f"{n} [round {t}]" for t in (0, 1) for n in ("carry", "debug_print")), "total"]


def test_eager_jit_and_file_show_the_same(shown: list[str], tmp_path: Path) -> None:
    x = ig.arange(6, dtype=ig.float32).reshape(2, 3)
    expected = looped(x)
    eager = list(shown)
    assert heads(eager) == LOOPED
    first = looped.__code__.co_firstlineno + 1
    assert eager[0] == (
        f"h: f32[2,3] (test_debug_print.py:{first})\n[[ 0.,  2.,  4.],\n [ 6.,  8., 10.]]"
    )
    assert eager[-1] == f"total: f32[] (test_debug_print.py:{first + 9}) = 30."
    shown.clear()
    fast = ig.jit(looped)
    for _ in range(2):
        assert np.array_equal(fast(x).numpy(), expected.numpy())
        assert shown == eager
        shown.clear()
    ig.trace(looped, ig.spec(("n", 3))).save(tmp_path / "m.ig")
    model = ig.load(tmp_path / "m.ig")
    assert np.array_equal(model(x.numpy()), expected.numpy())
    assert shown == eager
    shown.clear()
    model(np.ones((3, 3), np.float32))  # the form for all sizes
    assert len(shown) == 8


def test_it_goes_to_standard_output_and_returns_its_operand(
    capsys: pytest.CaptureFixture[str],
) -> None:
    x = ig.tensor([1.5, 2.0])
    assert ig.debug_print(x, "x") is x
    text = capsys.readouterr().out
    assert text.startswith("x: f32[2] (test_debug_print.py:")
    assert text.endswith(") = [1.5, 2. ]\n")
    with pytest.raises(ig.DTypeError, match="debug_print"):
        ig.debug_print(3)  # type: ignore[arg-type]


def test_derivatives_show_nothing_and_are_those_of_the_identity(shown: list[str]) -> None:
    def loss(x: ig.Tensor) -> Any:
        return looped(x).square().sum()

    def silent(x: ig.Tensor) -> Any:
        return (x * 2).sum(0).square().sum()

    x = ig.randn(2, 3).requires_grad_()
    for function in (loss, ig.jit(loss)):
        shown.clear()
        (found,) = ig.autograd.grad(function(x), [x])
        assert heads(shown) == LOOPED
        (expected,) = ig.autograd.grad(silent(x), [x])
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-5)


def test_a_saved_training_step_shows_values_of_both_directions(
    shown: list[str], tmp_path: Path
) -> None:
    layer = nn.Linear(3, 1)
    opt = optim.SGD(layer.parameters(), lr=0.1)

    def step(x: ig.Tensor) -> ig.Tensor:
        opt.zero_grad()
        loss = ig.debug_print(layer(x).square().mean(), "loss")
        loss.backward()
        assert layer.bias is not None and layer.bias.grad is not None
        ig.debug_print(layer.bias.grad, "db")
        opt.step()
        return loss

    ig.Program().trace("step", step, ig.spec(("n", 3))).save(tmp_path / "m.ig")
    model = ig.load(tmp_path / "m.ig")
    x = np.ones((4, 3), np.float32)
    before = model.state_dict()
    loss = model.step(x)
    assert heads(shown) == ["loss", "db"] and shown[0].endswith(f"= {loss:.5f}".rstrip("0"))
    quiet = ig.load(tmp_path / "m.ig", prints=False)
    shown.clear()
    assert quiet.step(x) == loss and shown == []
    after = quiet.state_dict()
    assert any((before[k] != after[k]).any() for k in before)
    assert all(np.array_equal(after[k], v) for k, v in model.state_dict().items())


def test_one_label_shown_twice_is_shown_twice(shown: list[str]) -> None:
    def twice(x: ig.Tensor) -> ig.Tensor:
        for _ in range(2):
            ig.debug_print(x, "x")
        return x + 1

    ig.jit(twice)(ig.ones(2))
    assert heads(shown) == ["x", "x"]


def test_inside_a_function_with_a_derivative_of_its_own(shown: list[str]) -> None:
    def forward(x: ig.Tensor) -> ig.Tensor:
        return ig.debug_print(x * 3, "inner")

    def backward(xs: Any, ys: Any, dys: Any) -> Any:
        return (dys[0] * 3,)

    triple = ig.custom_vjp(forward, backward)
    for function in (triple, ig.jit(triple)):
        shown.clear()
        function(ig.ones(2))
        assert heads(shown) == ["inner"]


def test_texts_of_files_are_escaped(shown: list[str], tmp_path: Path) -> None:
    def sly(x: ig.Tensor) -> ig.Tensor:
        return ig.debug_print(x, "\x1b[31mred\n")

    ig.trace(sly, ig.spec((1,))).save(tmp_path / "m.ig")
    ig.load(tmp_path / "m.ig")(np.ones(1, np.float32))
    assert "\x1b" not in shown[0] and "\n" not in shown[0] and r"\x1b[31mred\n" in shown[0]


def test_large_and_nested(shown: list[str]) -> None:
    def outer(x: ig.Tensor) -> Any:
        def row(carry: ig.Tensor, part: ig.Tensor) -> Any:
            def element(c: ig.Tensor, e: ig.Tensor) -> Any:
                ig.debug_print(e, "e")
                return c + e, None

            return ig.scan(element, carry, part)[0], None

        ig.debug_print(ig.arange(10_000), "many")
        return ig.scan(row, ig.zeros(()), x, reverse=True)[0]

    x = ig.arange(4, dtype=ig.float32).reshape(2, 2)
    outer(x)
    eager = list(shown)
    shown.clear()
    ig.jit(outer)(x)
    assert shown == eager and len(shown[0]) < 200
    assert [t.split(":")[0] for t in shown[1:]] == [
        f"e [round {t}] [round {k}]" for t in (1, 0) for k in (0, 1)
    ]
    assert [float(t.split("= ")[1]) for t in shown[1:]] == [2.0, 3.0, 0.0, 1.0]


def test_the_pass_leaves_no_effect_and_other_graphs_alone() -> None:
    graph = ig.trace(looped, ig.spec((2, 3))).ir.functions["forward"].graph

    def ops(nodes: tuple[Node, ...]) -> set[str]:
        inner = [b for n in nodes for b in n.attributes.values() if hasattr(b, "nodes")]
        return {n.op for n in nodes} | {o for b in inner for o in ops(b.nodes)}

    assert "debug_print" in ops(graph.nodes)
    made, found = expose(graph)
    verify(made)
    assert "debug_print" not in ops(made.nodes) and len(made.outputs) == 5 and len(found) == 3
    quiet = silence(graph)
    verify(quiet)
    assert "debug_print" not in ops(quiet.nodes) and len(quiet.outputs) == 1
    assert expose(quiet) == (quiet, ()) and silence(quiet) is quiet
