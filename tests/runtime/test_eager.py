"""Single ops run at once: right for every sample of every op, and equal to the compiled program."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from intaglio.compiler.dims import Dim
from intaglio.compiler.dtypes import float32, float64, int64
from intaglio.compiler.errors import Error
from intaglio.compiler.op import Builder, op_named, result_types
from intaglio.compiler.types import TensorType
from intaglio.runtime.eager import evaluate, evaluator, numpy_is_exact
from intaglio.runtime.executor import compile_graph
from intaglio.runtime.settings import num_threads, set_num_threads
from tests.samples import Case, cases, type_of

CASES = cases()
INEXACT = [
    c
    for c in CASES
    if not numpy_is_exact(c.rule, c.types, result_types(c.rule, c.types, c.attributes))
]


def same_bits(made: np.ndarray, want: np.ndarray) -> bool:
    """Equal bits, NaNs being equal to each other."""
    if made.dtype != want.dtype or made.shape != want.shape:
        return False
    if made.dtype.kind == "f" and made.dtype.itemsize in (4, 8):
        nan = np.isnan(made) & np.isnan(want)
        bits = np.dtype(f"u{made.dtype.itemsize}")
        return bool(np.all((made.view(bits) == want.view(bits)) | nan))
    return np.array_equal(made, want)


def close(made: np.ndarray, want: np.ndarray) -> bool:
    """Equal, floats within a few units in the last place of the largest."""
    if made.dtype != want.dtype or made.shape != want.shape:
        return False
    if made.dtype.kind != "f":
        return np.array_equal(made, want)
    scale = 1e-5 if made.dtype.itemsize <= 4 else 1e-12
    return np.allclose(made, want, rtol=scale, atol=scale, equal_nan=True)


@pytest.mark.parametrize("case", CASES, ids=[c.id for c in CASES])
def test_every_op_is_right(case: Case) -> None:
    made = evaluate(case.op, case.operands, case.attributes)
    with np.errstate(all="ignore"):
        want = case.rule.reference(*case.operands, **case.attributes)
    wanted = want if isinstance(want, tuple) else (want,)
    assert len(made) == len(wanted)
    for a, b in zip(made, wanted, strict=True):
        assert isinstance(a, np.ndarray)
        assert close(a, b)


@pytest.mark.parametrize("case", INEXACT, ids=[c.id for c in INEXACT])
def test_operands_in_any_layout(case: Case) -> None:
    made = evaluate(case.op, case.operands, case.attributes)
    turned = [np.array(a, order="F") for a in case.operands]
    for a, b in zip(made, evaluate(case.op, turned, case.attributes), strict=True):
        assert same_bits(a, b)


@pytest.mark.parametrize("op", ["add", "div", "sqrt", "eq", "neg"])
def test_exact_ops_warn_of_nothing(op: str, recwarn: pytest.WarningsRecorder) -> None:
    rule = op_named(op)
    x = np.array([np.inf, -1.0, 0.0, 3e38], np.float32)
    arrays = [x, x[::-1]][: rule.arity]  # type: ignore[attr-defined]  # an elementwise op
    evaluate(op, arrays)
    evaluate(op, [a[0].reshape(()) for a in arrays])
    assert not recwarn.list


def test_types_are_checked() -> None:
    with pytest.raises(Error, match=r"add: f32\[2\], f32\[3\]: the shapes differ"):
        evaluate("add", [np.zeros(2, np.float32), np.zeros(3, np.float32)])
    with pytest.raises(Error, match="no op called 'plus'"):
        evaluate("plus", [np.zeros(2)])
    with pytest.raises(IndexError, match="4 is out of range|index 4"):
        evaluate("index_add", [np.zeros(4), np.array([4]), np.ones(1)], {"axis": 0})


def test_scalars_stay_arrays() -> None:
    for op in ("add", "exp", "neg", "eq"):
        rule = op_named(op)
        x = np.array(0.5, np.float32)
        (made,) = evaluate(op, [x] * rule.arity)  # type: ignore[attr-defined]  # elementwise
        assert isinstance(made, np.ndarray)
        assert made.shape == ()


def test_an_evaluator_is_kept_by_its_caller() -> None:
    x = np.linspace(-3, 3, 50, dtype=np.float32).reshape(5, 10)
    run = evaluator("exp", [type_of(x)])
    assert same_bits(run(x)[0], evaluate("exp", [x])[0])


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2)], ids=str)
@pytest.mark.parametrize("shape", [(3, 70, 5), (1, 4100, 2), (130, 1, 65)], ids=str)
def test_sums_are_those_of_compiled_programs(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    (eager,) = evaluate("sum", [x], {"axes": axes})
    b = Builder()
    v = b.input(type_of(x))
    (special,) = compile_graph(b.graph([b.sum(v, axes=axes)]))([x])
    b = Builder()
    v = b.input(type_of(x).with_shape(*(Dim(f"s{k}") for k in range(3))))
    (general,) = compile_graph(b.graph([b.sum(v, axes=axes)]), general=True)([x])
    assert same_bits(eager, special)
    assert same_bits(eager, general)


@pytest.mark.parametrize("op", sorted({c.op for c in INEXACT}))
def test_eager_is_compiled_bit_for_bit(op: str) -> None:
    mine = [c for c in INEXACT if c.op == op]
    b = Builder()
    outputs, arrays, want = [], [], []
    for case in mine:
        operands = [b.input(t) for t in case.types]
        outputs += b.apply(case.op, operands, case.attributes)
        arrays += case.operands
        want += evaluate(case.op, case.operands, case.attributes)
    made = compile_graph(b.graph(outputs), backend="native")(arrays)
    assert len(made) == len(want)
    for a, c in zip(want, made, strict=True):
        assert same_bits(a, c)


def test_random_bits_of_every_shape_come_from_one_kernel() -> None:
    from intaglio.compiler.ops.create import philox
    from intaglio.runtime import build

    seed, draw = np.array(-5), np.array(1 << 33)
    before = None
    for shape in ((7,), (3, 70), (), (0, 4), (64, 100), (7,)):
        (bits,) = evaluate("random_bits", [seed, draw], {"shape": shape, "word": 3})
        expected = philox(-5, 1 << 33, int(np.prod(shape)), 3).reshape(shape)
        assert bits.dtype == np.uint32
        np.testing.assert_array_equal(bits, expected)
        before = build.compiled[0] if before is None else before
        assert build.compiled[0] == before


def test_a_prepared_call_reports_errors_and_goes_on() -> None:
    types = [TensorType(float32, (4,)), TensorType(int64, (2,)), TensorType(float32, (2,))]
    run = evaluator("index_add", types, {"axis": 0})
    x, source = np.zeros(4, np.float32), np.ones(2, np.float32)
    for _ in range(3):
        (made,) = run(x, np.array([1, 1]), source)
        assert made.tolist() == [0, 2, 0, 0]
        with pytest.raises(Error, match="4"):
            run(x, np.array([1, 4]), source)


def test_prepared_calls_of_one_kernel_for_many_sizes_and_threads() -> None:
    rng = np.random.default_rng(0)
    cases = []
    for m, k, n in ((3, 5, 2), (8, 16, 4), (1, 1, 1), (40, 3, 17)):
        a, b = rng.standard_normal((m, k)), rng.standard_normal((k, n))
        run = evaluator("matmul", [TensorType(float64, a.shape), TensorType(float64, b.shape)])
        cases.append((run, a, b, run(a, b)[0]))
    before = num_threads()
    try:
        for count in (1, 2, 1):
            set_num_threads(count)
            with ThreadPoolExecutor(4) as pool:
                made = list(pool.map(lambda c: c[0](c[1], c[2])[0], cases * 20))
            for (_, _, _, want), got in zip(cases * 20, made, strict=True):
                assert same_bits(got, want)
    finally:
        set_num_threads(before)
