"""An elementwise op is one class: eager, compiled, differentiated, printed as C and CUDA, saved and
loaded, without a word about it anywhere else."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio as ig
from intaglio._apply import one
from intaglio.autograd import gradcheck, gradgradcheck
from intaglio.compiler.codegen.head import CUDA_HEAD
from intaglio.compiler.loop import Expr, Operand, Position, call
from intaglio.compiler.lower import lower
from intaglio.compiler.op import OPS, Ops, V
from intaglio.compiler.ops.elementwise import Unary, plus, scaled
from intaglio.compiler.passes.fuse import fuse
from intaglio.runtime.toolchain import HEADERS
from tests.acceptance.models import Array, bits, numbers, save
from tests.samples import cases, graph_of, results


@pytest.fixture(scope="module", autouse=True)
def bump() -> Iterator[None]:
    """`x exp(-x)`, for as long as this module's tests run."""

    class Bump(Unary):
        """x exp(-x): rises to 1/e at 1, then falls."""

        name = "bump"

        @staticmethod
        def compute(x: Array) -> Array:
            return x * np.exp(-x)

        def slope1(self, g: Ops[V], d: V, y: V, x: V) -> Any:
            """d (1 - x) exp(-x)"""
            return g.mul(d, g.mul(plus(g, scaled(g, x, -1.0), 1.0), g.exp(g.neg(x))))

        def element(self, index: tuple[Position, ...], x: Operand) -> Expr:
            """x exp(-x)"""
            return call("mul", x(*index), call("exp", call("neg", x(*index))))

    yield
    del OPS["bump"]


def f(x: ig.Tensor) -> ig.Tensor:
    return (one("bump", x) * ig.sin(x)).sum(1)


def test_it_runs_in_every_way_with_the_same_bits(tmp_path: Path) -> None:
    x = numbers((7, 70))
    y = one("bump", ig.from_numpy(x))
    assert np.allclose(y.numpy(), x * np.exp(-x.astype(np.float64)), atol=1e-6)
    assert y.numpy()[0, 0] != 0
    want = bits(f(ig.from_numpy(x)))
    assert bits(ig.jit(f)(ig.from_numpy(x))) == want
    program = ig.trace(f, ig.spec((ig.Dim("n", max=64), 70)))
    assert "bump(" in str(program)
    model = save(program, tmp_path)
    assert bits(model(x)) == want
    model.save(tmp_path / "again.ig")
    assert (tmp_path / "again.ig").read_bytes() == (tmp_path / "model.ig").read_bytes()
    assert bits(ig.load(tmp_path / "again.ig")(x)) == want


def test_its_derivatives_match_differences(tmp_path: Path) -> None:
    x = ig.from_numpy(numbers((3, 5), dtype=np.float64)).requires_grad_()
    assert gradcheck(f, (x,))
    assert gradgradcheck(f, (x,))
    fast = ig.jit(f)
    assert gradcheck(fast, (x,))
    want = bits(ig.autograd.grad(f(x).sum(), x)[0])
    assert bits(ig.autograd.grad(fast(x).sum(), x)[0]) == want
    program = ig.trace(ig.func.grad(lambda x: f(x).sum()), ig.spec((3, 5), ig.float64))
    assert bits(save(program, tmp_path)(x.detach().numpy())) == want


def test_its_samples_agree_with_its_reference() -> None:
    from intaglio.runtime.executor import compile_graph

    found = cases(["bump"])
    assert len(found) > 5
    for case in found:
        (want,) = results(case)
        (made,) = compile_graph(graph_of(case), backend="native")(list(case.operands))
        assert made.dtype == want.dtype
        np.testing.assert_allclose(made, want, rtol=1e-5, atol=1e-6)


def test_it_is_text_in_c_and_cuda(tmp_path: Path) -> None:
    program = ig.trace(f, ig.spec((7, 70)))
    graph = fuse(program.ir.functions["forward"].graph)
    c = "\n".join(lower(graph, sizes={}).sources)
    cuda = "\n".join(lower(graph, sizes={}, target="cuda").sources)
    for text in (c, cuda):
        assert "_exp_f32(" in text and "_sin_f32(" in text and "bump" not in text
    assert "__global__" in cuda
    if shutil.which("nvcc"):
        (tmp_path / "k.cu").write_text(cuda if CUDA_HEAD in cuda else CUDA_HEAD + cuda)
        command = ["nvcc", "-arch=sm_80", "-fmad=false", "-cubin", *(f"-I{h}" for h in HEADERS)]
        subprocess.run([*command, tmp_path / "k.cu", "-o", tmp_path / "k"], check=True, timeout=300)


def test_wrong_operands_are_refused_by_name() -> None:
    with pytest.raises(ig.DTypeError, match="bump"):
        one("bump", ig.arange(3))
    with pytest.raises(ig.ArgumentError, match="bump"):
        one("bump", ig.ones(3), ig.ones(3))
