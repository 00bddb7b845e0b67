"""Ops of a user's own: eager, compiled, differentiated, saved, and loaded elsewhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio as ig
from intaglio.autograd import gradcheck, gradgradcheck
from intaglio.compiler.errors import (
    ArgumentError,
    CompileError,
    DTypeError,
    Error,
    FormatError,
    GradientError,
    ShapeError,
    TraceError,
)
from intaglio.compiler.lower import lower
from intaglio.compiler.op import OPS
from intaglio.runtime.compile import optimised
from intaglio.runtime.executor import Executable
from tests.compiler.codegen.harness import COMPILER
from tests.frontend import user_ops
from tests.frontend.user_ops import gelu_fast, inverse, leaky, model, polar, row_sums

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler on this machine")
HERE = Path(__file__).parent / "user_ops.py"


OURS = {name: OPS.pop(name) for name in list(OPS) if name.startswith("test_ops::")}
"""In the registry while this module's tests run; tests of all ops know nothing of them."""


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    """The ops of `user_ops`; those that tests define are gone afterwards too."""
    OPS.update(OURS)
    yield
    for name in [n for n in OPS if n.startswith(("test_ops::", "test_more::"))]:
        del OPS[name]


def numbers(*shape: int) -> ig.Tensor:
    made = np.random.default_rng(len(shape)).standard_normal(shape)
    return ig.from_numpy(made).requires_grad_()


def near(x: ig.Tensor) -> ig.Tensor:
    """Matrices that can be inverted."""
    return x @ x.mT + 2 * ig.eye(x.shape[0], dtype=x.dtype, device=x.device)


CASES: dict[str, Any] = {
    "element": gelu_fast,
    "attribute": lambda x: leaky(x, x * x, slope=0.25),
    "in Python": lambda x: inverse(near(x)),
    "several results": lambda x: polar(x, x * x)[0] * polar(x * 3, x)[1],
    "C": row_sums,
    "all": model,
}


@pytest.mark.parametrize("name", CASES)
def test_it_runs_in_every_way_with_the_same_bits(name: str, tmp_path: Path) -> None:
    f, x = CASES[name], numbers(3, 4)
    want = f(x).detach().numpy()
    fast = ig.jit(f)
    assert np.array_equal(fast(x).detach().numpy(), want)
    program = ig.trace(f, ig.spec((3, ig.Dim("n", max=9)), ig.float64))
    program.save(tmp_path / "model.ig")
    loaded = ig.load(tmp_path / "model.ig", threads=1)
    assert np.array_equal(loaded(x.detach().numpy()), want)
    loaded.save(tmp_path / "again.ig")
    assert (tmp_path / "again.ig").read_bytes() == (tmp_path / "model.ig").read_bytes()
    assert gradcheck(fast, (x,))
    dx = ig.autograd.grad(f(x).sum(), x)[0].numpy()
    assert np.array_equal(ig.autograd.grad(fast(x).sum(), x)[0].numpy(), dx)


@pytest.mark.parametrize("name", [n for n in CASES if n != "all"])
def test_its_derivatives_match_differences(name: str) -> None:
    x = numbers(2, 3)
    assert gradcheck(CASES[name], (x,))
    assert gradgradcheck(CASES[name], (x,))


def test_the_meaning_of_an_element_is_its_code_in_numpy() -> None:
    x = np.linspace(-4, 4, 101).astype(np.float32)
    made = gelu_fast(x)
    assert made.dtype is ig.float32
    np.testing.assert_allclose(made.numpy(), user_ops.fast_gelu(x.astype(np.float64)), 2e-6, 1e-7)
    assert made.numpy().dtype == gelu_fast.op.reference(x).dtype
    short = gelu_fast(ig.tensor(x, dtype=ig.bfloat16))
    assert short.dtype is ig.bfloat16
    np.testing.assert_allclose(short.float().numpy(), made.numpy(), 0.02, 0.02)
    assert gelu_fast(2.0).item() > 1.9


def test_operands_are_promoted_and_spread() -> None:
    x, y = numbers(3, 1).detach(), np.array([0.5, -1.0])
    made = leaky(x, y, slope=2).numpy()
    np.testing.assert_array_equal(made, np.where(x.numpy() > y, x.numpy(), 2 * x.numpy()))
    assert leaky(x.float(), 0.0).dtype is ig.float32


def test_elements_are_fused() -> None:
    program = ig.trace(lambda x: gelu_fast(ig.sin(x)) * 2, ig.spec((5, 7)))
    graph = optimised(program.ir.functions["forward"].graph)
    for target in ("c", "cuda"):
        made = lower(graph, target=target)
        assert len(made.steps) == 1 and "test_ops::gelu_fast" in made.steps[0].ops
        assert not any("gelu" in text for text in made.sources)


def everything(x: Any, y: Any) -> Any:
    """Operators and functions that an element may use."""
    z = abs(-x) ** 2 + 2**-0.5 * x - (1 - y) / (y * y + 1) + np.sqrt(x * x + 1) % 0.75
    z = np.where((x > 0) & ~(y >= 0.5) | np.isnan(x), np.maximum(z, y), np.minimum(z, 0.25))
    z = np.clip(z, -3, 3) + np.tanh(x) * np.square(y) + np.where(np.isfinite(x), 1.0, x)
    return z + np.arctan2(x, y) + np.power(np.abs(x) + 1, y) + (x > y).astype(np.float64) // 1


def test_what_an_element_may_use() -> None:
    op = ig.custom_op("test_more::everything", element=everything)
    x, y = numbers(7, 5), numbers(7, 5) * 0.7
    x.data[0, 0] = float("nan")
    want = everything(x.detach().numpy(), y.detach().numpy())
    np.testing.assert_allclose(op(x, y).detach().numpy(), want, 1e-12)
    assert np.array_equal(ig.jit(op)(x, y).detach().numpy(), op(x, y).detach().numpy(), True)


def test_an_element_may_change_the_dtype() -> None:
    op = ig.custom_op("test_more::above", element=lambda x, y: x > 2 * y)
    made = op(ig.tensor([1.0, 5.0]), ig.tensor([1.0, 2.0]))
    assert made.dtype is ig.bool and made.tolist() == [False, True]
    whole = ig.custom_op("test_more::whole", element=lambda x: (x & 6) << 1)
    assert whole(ig.tensor([7, 1])).tolist() == [12, 0]


def bad_if(x: Any) -> Any:
    return x if x > 0 else -x


@pytest.mark.parametrize(
    ("element", "error", "words"),
    [
        (bad_if, TraceError, "np.where"),
        (lambda x: np.sort(x), ArgumentError, "np.sort can't be used on one element"),
        (lambda x: np.add.reduce(x), ArgumentError, "on elements alone"),
        (lambda x: float(x), TraceError, "has no value"),
        (lambda x: x + "a", DTypeError, "str"),
        (lambda x: np.spacing(x), ArgumentError, "no kernel for the ufunc spacing"),
        (lambda x: np.where(x > 0, 1, 2), DTypeError, "of two numbers"),
        (lambda x: None, ArgumentError, "one element is wanted, not NoneType"),
        (lambda x: x << 1, DTypeError, "shl"),
        (lambda x: x * unknown, ArgumentError, "its element failed: NameError"),  # noqa: F821
    ],
)
def test_what_an_element_may_not(element: Any, error: Any, words: str, request: Any) -> None:
    name = "test_more::bad" + "".join(c for c in request.node.name if c.isalnum())
    op = ig.custom_op(name, element=element)
    with pytest.raises(error, match=words):
        op(ig.ones(3))


def test_integers_in_an_element_ask_for_a_dtype() -> None:
    with pytest.raises(DTypeError, match=r"i64 and the number -1.702; write x.astype"):
        gelu_fast(ig.tensor([1, 2]))


def test_errors_name_the_op_and_the_line() -> None:
    line = r"test_ops::inverse: .*Singular.*test_extend.py:\d+"
    with pytest.raises(Error, match=line) as caught:
        inverse(ig.zeros(2, 2))
    assert isinstance(caught.value.__cause__, np.linalg.LinAlgError)
    fast = ig.jit(lambda x: inverse(x * 1))
    with pytest.raises(Error, match=line) as caught:
        fast(ig.zeros(2, 2))
    assert isinstance(caught.value.__cause__, np.linalg.LinAlgError)
    with pytest.raises(Error, match="test_ops::row_sums: the C function row_sums returned 3"):
        row_sums(ig.full((2, 2), 1e6, dtype=ig.float64))
    with pytest.raises(ArgumentError, match="the argument slopes is unknown"):
        leaky(ig.ones(2), ig.ones(2), slopes=1)
    with pytest.raises(ArgumentError, match=r"polar: f32\[2\]: missing a required argument: 'y'"):
        polar(ig.ones(2))
    with pytest.raises(ArgumentError, match="an elementwise op has an operand"):
        gelu_fast()
    with pytest.raises(ShapeError):
        leaky(ig.ones(2), ig.ones(3))


def test_wrong_rules_are_told() -> None:
    two = ig.custom_op("test_more::two", lambda x: x, vjp=lambda dy, y, x: (dy, dy))
    x = ig.ones(2, requires_grad=True)
    with pytest.raises(GradientError, match="gave 2 derivatives for 1 operands"):
        two(x).sum().backward()
    flat = ig.custom_op("test_more::flat", lambda x: x, vjp=lambda dy, y, x: dy.sum())
    with pytest.raises(GradientError, match=r"its vjp gave f32\[\] for the operand f32\[2\]"):
        flat(x).sum().backward()
    none = ig.custom_op("test_more::none", lambda x: x + 1)
    with pytest.raises(GradientError, match="test_more::none has no derivative"):
        none(x).sum().backward()
    with pytest.raises(ArgumentError, match="its type rule returned 3, which is no type"):
        ig.custom_op("test_more::three", lambda x: x, type=lambda x: 3)(x)
    with pytest.raises(ArgumentError, match="its type rule failed: ZeroDivisionError"):
        ig.custom_op("test_more::zero", lambda x: x, type=lambda x: 1 // 0)(x)
    with pytest.raises(ArgumentError, match="one result in the shape of its operands"):
        ig.custom_op(
            "test_more::shape", element=lambda x: x, type=lambda x: x.with_shape(5)
        )(x)  # fmt: skip
    with pytest.raises(
        Error, match=r"its function returned float32\[3\], and its type says float32"
    ):
        ig.custom_op("test_more::long", lambda x: np.ones(3, np.float32))(x)


@pytest.mark.parametrize(
    "name", ["gelu", "mine:gelu", "mine::", "::x", "a::b c", "a::" + "b" * 200]
)
def test_names_have_a_namespace(name: str) -> None:
    with pytest.raises(ArgumentError, match="it has a namespace"):
        ig.custom_op(name, lambda x: x)


def test_the_same_definition_may_run_again() -> None:
    def define(factor: float) -> Any:
        return ig.custom_op("test_more::again", element=lambda x: x * factor)

    first = define(2.0)
    assert define(2.0).op is first.op
    with pytest.raises(ArgumentError, match="defined already, with other code"):
        define(3.0)
    with pytest.raises(ArgumentError, match="without a name"):
        ig.numpy_op(lambda x: x)


def test_c_from_files(tmp_path: Path) -> None:
    source = "int twice(const void *const *in, void *const *out, const int64_t *sizes) {\n"
    source += "  int64_t n = 1;\n  for (int64_t k = 1; k <= sizes[0]; k++) n *= sizes[k];\n"
    source += "  for (int64_t i = 0; i < n; i++)\n"
    source += "    ((float *)out[0])[i] = 2 * ((const float *)in[0])[i];\n  return 0;\n}\n"
    (tmp_path / "twice.c").write_text(source)
    x = ig.ones(2, 3)
    assert (
        ig.c_op("test_more::twice", tmp_path / "twice.c", "twice")(x.mT).tolist() == [[2.0] * 2] * 3
    )
    (tmp_path / "t.c").write_text("#include <stdint.h>\n" + source)
    shared = tmp_path / "libtwice.so"
    subprocess.run(["cc", "-shared", "-fPIC", tmp_path / "t.c", "-o", shared], check=True)
    assert ig.c_op("test_more::shared", shared, "twice")(ig.ones(0, 3)).shape == (0, 3)
    for bad, words in (("none.c", "there is no file"), ("int f(;{", "no function g"),
                       ("int g(int; {", "the compiler")):  # fmt: skip
        with pytest.raises((ArgumentError, CompileError), match=words):
            ig.c_op(f"test_more::bad{len(bad)}", bad, "g")(x)
    with pytest.raises(ArgumentError, match="has no function thrice"):
        ig.c_op("test_more::thrice", shared, "thrice")(x)


LOAD = """
import sys
import numpy as np
import intaglio.runtime as rt
from intaglio.compiler.errors import FormatError
try:
    rt.load(sys.argv[1])
except FormatError as error:
    print(error)
sys.path.insert(0, sys.argv[2])
import user_ops
model = rt.load(sys.argv[1], ops=[user_ops.gelu_fast, user_ops.row_sums])
print(model(np.load(sys.argv[3])).tobytes().hex())
"""


def test_another_process_needs_the_file_that_defines_them(tmp_path: Path) -> None:
    x = numbers(3, 4).detach()
    ig.trace(model, ig.spec((3, 4), ig.float64)).save(tmp_path / "m.ig")
    np.save(tmp_path / "x.npy", x.numpy())
    told = subprocess.run(
        [sys.executable, "-c", LOAD, tmp_path / "m.ig", HERE.parent, tmp_path / "x.npy"],
        check=True, capture_output=True, text=True, timeout=120,
    ).stdout.splitlines()  # fmt: skip
    assert "the model uses the op 'test_ops::gelu_fast', version 1" in told[0]
    assert "load(path, ops=[...])" in told[0]
    assert told[1] == model(x).numpy().tobytes().hex()
    command = [sys.executable, "-m", "intaglio", "--ops", HERE, "run", tmp_path / "m.ig"]
    named = ["--input", f"x={tmp_path / 'x.npy'}", "--output", tmp_path / "y.npy"]
    ran = subprocess.run([*command, *named], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert np.array_equal(np.load(tmp_path / "y.npy"), model(x).numpy())
    missing = subprocess.run([*command[:3], *command[5:], *named], capture_output=True, text=True)
    assert missing.returncode == 1 and "--ops FILE.py" in missing.stderr


def test_versions(tmp_path: Path) -> None:
    def define(version: int) -> Any:
        return ig.custom_op(
            "test_more::dated",
            lambda x, *, by=1: x * by,
            version=version,
            upgrade=lambda old, attributes: {**attributes, "by": 5},
        )

    newer = define(2)
    ig.trace(lambda x: newer(x, by=3), ig.spec((2,))).save(tmp_path / "two.ig")
    del OPS["test_more::dated"]
    older = define(1)
    ig.trace(lambda x: older(x, by=3), ig.spec((2,))).save(tmp_path / "one.ig")
    with pytest.raises(FormatError, match="of version 2, the code imported here defines version 1"):
        ig.load(tmp_path / "two.ig")
    del OPS["test_more::dated"]
    define(2)
    assert ig.load(tmp_path / "one.ig")(np.ones(2, np.float32)).tolist() == [5, 5]
    with pytest.raises(ArgumentError, match="is no op"):
        ig.load(tmp_path / "two.ig", ops=[np.sin])


def test_in_a_loop_and_without_a_compiler() -> None:
    def step(carry: ig.Tensor, x: ig.Tensor) -> tuple[ig.Tensor, ig.Tensor]:
        made = inverse(near(carry) + gelu_fast(x))
        return made, made * 2

    def f(x: ig.Tensor) -> ig.Tensor:
        return ig.scan(step, x[0], x)[1]

    x = numbers(4, 2, 2)
    want = f(x).detach().numpy()
    assert np.array_equal(ig.jit(f)(x).detach().numpy(), want)
    assert gradcheck(f, (x,))
    graph = ig.trace(f, ig.spec((4, 2, 2), ig.float64)).ir.functions["forward"].graph
    (made,) = Executable(graph, backend="interpret")([x.detach().numpy()])
    np.testing.assert_allclose(made, want, 1e-12)


def test_an_array_that_the_function_keeps_is_copied() -> None:
    kept = np.zeros(3, np.float32)

    def reference(x: Any) -> Any:
        np.multiply(x, 2, out=kept)
        return kept

    twice = ig.custom_op("test_more::kept", reference)
    same = ig.custom_op("test_more::same", lambda x: x)
    x = ig.ones(3)
    first, second, third = twice(x), twice(x * 5), same(x)
    third += 1
    assert (first.tolist(), second.tolist(), x.tolist()) == ([2.0] * 3, [10.0] * 3, [1.0] * 3)

    def writing(x: Any) -> Any:
        x += 1
        return x

    with pytest.raises(Error, match=r"test_more::writing: f32\[3\]: ValueError: .*read-only"):
        ig.custom_op("test_more::writing", writing)(x)


def test_no_stored_plan_outlives_a_definition() -> None:
    def compiled(factor: float) -> Executable:
        op = ig.custom_op("test_more::edited", element=lambda x: x * factor)
        return Executable(ig.trace(lambda x: op(x), ig.spec((3,))).ir.functions["forward"].graph)

    x = np.ones(3, np.float32)
    assert compiled(2.0)([x])[0].tolist() == [2.0] * 3
    del OPS["test_more::edited"]  # as in another process, after an edit
    assert compiled(3.0)([x])[0].tolist() == [3.0] * 3
