"""f16 and bf16 in kernels: conversions for every bit pattern, one rounding per op whether or not
ops share a kernel, sums carried in f32."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from intaglio.compiler.dtypes import DType, dtype_named, float32
from intaglio.compiler.errors import DTypeError
from intaglio.compiler.interpret import interpret
from intaglio.compiler.ir import Graph, Value
from intaglio.compiler.lower import lower
from intaglio.compiler.op import Builder, Sample
from intaglio.compiler.passes.fuse import fuse
from intaglio.compiler.passes.widen import widen
from intaglio.compiler.types import TensorType
from tests.compiler.codegen.harness import COMPILER, Array, Function, build
from tests.samples import Case, cases, graph_of, make_case

sys.path.insert(0, str(Path(__file__).parents[2] / "native"))
from prelude_kernels import compile_c  # the folder of the prelude's own tests

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler on this machine")

HALVES = {"f16": np.dtype(np.float16), "bf16": np.dtype(ml_dtypes.bfloat16)}
BUILDS = {
    "native": (),
    "avx2": ("-mno-avx512f",),
    "without F16C": ("-mno-avx512f", "-mno-f16c"),
    "any": ("-DIG_FORCE_WIDTH=4",),
}
LANES = (64, 16, 1)
TEXT = """
void widenN_T(const uint16_t *p, float *q, int n) {
  for (int i = 0; i < n; i += N) igN_store_f32(q + i, igN_load_T(p + i, N), N);
}
void narrowN_T(const float *p, uint16_t *q, int n) {
  for (int i = 0; i < n; i += N) igN_store_T(q + i, igN_load_f32(p + i, N), N);
}
void nearestN_T(const float *p, float *q, int n) {
  for (int i = 0; i < n; i += N) igN_store_f32(q + i, igN_nearest_T(igN_load_f32(p + i, N)), N);
}
void bitsN_T(const uint16_t *p, int32_t *q, int n) {
  for (int i = 0; i < n; i += N) igN_store_i32(q + i, igN_bitcast_T_i32(igN_load_T(p + i, N)), N);
}
void floatsN_T(const int32_t *p, uint16_t *q, int n) {
  for (int i = 0; i < n; i += N) igN_store_T(q + i, igN_bitcast_i32_T(igN_load_i32(p + i, N)), N);
}
"""


@functools.cache
def built(build: str) -> ctypes.CDLL:
    """The conversions as loops over arrays."""
    text = '#include "ig_prelude.h"\n'
    for lanes in LANES:
        for half in HALVES:
            text += TEXT.replace("N", str(lanes)).replace("_T", f"_{half}")
    return compile_c(text, ("-O1", *BUILDS[build]))


def converted(build: str, name: str, given: Array, made: type) -> Array:
    """A conversion of an array, whose length is a multiple of 64."""
    result = np.empty(given.shape, made)
    pointers = [ctypes.c_void_p(a.ctypes.data) for a in (given, result)]
    built(build)[name](*pointers, ctypes.c_int(given.size))
    return result


def floats() -> Array:
    """Floats of every exponent, each half's values and what lies between neighbours, all edges."""
    random = np.random.default_rng(1)
    whole = random.integers(0, 1 << 32, 1 << 17, dtype=np.uint64).astype(np.uint32)
    found = [whole.view(np.float32)]
    for dtype in HALVES.values():
        here = np.arange(1 << 16, dtype=np.uint16).view(dtype).astype(np.float32)
        bits = here.view(np.uint32)
        step = np.uint32(1 << (12 if dtype == np.float16 else 15))
        found += [(bits + step * k + j).view(np.float32) for k in (0, 1) for j in (0, 1)]
        found.append((bits - np.uint32(1)).view(np.float32))
    return np.concatenate(found)


def quiet(bits: Array, half: str) -> Array:
    """Bit patterns with every NaN made quiet."""
    infinite, first = (0x7C00, 0x200) if half == "f16" else (0x7F80, 0x40)
    nan = (bits & 0x7FFF) > infinite
    return np.where(nan, bits | first, bits).astype(np.uint16)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("half", HALVES)
def test_every_conversion_is_that_of_numpy(build: str, half: str) -> None:
    every = np.arange(1 << 16, dtype=np.uint16)
    wide = every.view(HALVES[half]).astype(np.float32)
    given = floats()
    with np.errstate(all="ignore"):
        expected = given.astype(HALVES[half])
    numbers = ~np.isnan(given)
    for lanes in LANES:
        got = converted(build, f"widen{lanes}_{half}", every, np.float32)
        np.testing.assert_array_equal(got, wide)
        assert np.array_equal(np.signbit(got), np.signbit(wide))
        narrow = converted(build, f"narrow{lanes}_{half}", given, np.uint16)
        np.testing.assert_array_equal(narrow[numbers], expected.view(np.uint16)[numbers])
        assert np.isnan(narrow.view(HALVES[half])[~numbers].astype(np.float32)).all()
        nearest = converted(build, f"nearest{lanes}_{half}", given, np.float32)
        again = converted(build, f"widen{lanes}_{half}", narrow, np.float32)
        assert nearest.tobytes() == again.tobytes()


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("half", HALVES)
def test_bits_come_through_memory_and_bitcasts(build: str, half: str) -> None:
    every = np.arange(1 << 16, dtype=np.uint16)
    for lanes in LANES:
        bits = converted(build, f"bits{lanes}_{half}", every, np.int32)
        np.testing.assert_array_equal(bits, quiet(every, half))
        back = converted(build, f"floats{lanes}_{half}", bits, np.uint16)
        np.testing.assert_array_equal(back, quiet(every, half))
        wide = converted(build, f"widen{lanes}_{half}", every, np.float32)
        narrow = converted(build, f"narrow{lanes}_{half}", wide, np.uint16)
        np.testing.assert_array_equal(narrow, quiet(every, half))


# ------------------------------------------------------------------------------- the registry's ops


def as_half(array: Array, dtype: np.dtype) -> Array:
    """An f32 array in a short float; another as it is."""
    with np.errstate(over="ignore"):
        return array.astype(dtype) if array.dtype == np.float32 else array


def half_cases() -> list[Case]:
    """The first samples of every op that has f32 ones and takes short floats, in both."""
    found: list[Case] = []
    for case in cases():
        if not any(a.dtype == np.float32 and a.size for a in case.operands):
            continue
        for half, dtype in HALVES.items():
            operands = tuple(as_half(a, dtype) for a in case.operands)
            made = case._replace(id=f"{case.id}-{half}", operands=operands)
            if sum(c.op == case.op and c.id.endswith(f"-{half}") for c in found) < 1:
                with contextlib.suppress(DTypeError):
                    graph_of(made)
                    found.append(made)
    for half in HALVES:
        wide = {"range": (-300.0, 300.0)}
        for source in ("f64", "i64", "u8", "bool"):
            sample = Sample(f"{source}[70]", **wide, dtype=dtype_named(half))
            found.append(make_case("cast", len(found), sample)._replace(id=f"cast-{source}-{half}"))
        for target in ("f64", "i32", "i8", "bool", "f16", "bf16"):
            sample = Sample(f"{half}[70]", **wide, dtype=dtype_named(target))
            found.append(make_case("cast", len(found), sample)._replace(id=f"cast-{half}-{target}"))
        sample = Sample(f"{half}[70]", dtype=dtype_named("i16"))
        found.append(make_case("bitcast", len(found), sample)._replace(id=f"bitcast-{half}"))
        sample = Sample("i16[70]", range=(-32768, 31743), dtype=dtype_named(half))
        found.append(make_case("bitcast", len(found), sample)._replace(id=f"bitcast-to-{half}"))
    return found


@pytest.fixture(scope="module")
def compiled() -> dict[str, Function]:
    """The chosen samples, compiled for their sizes."""
    found = half_cases()
    made = build([lower(graph_of(c), sizes={}) for c in found])
    return {c.id: f for c, f in zip(found, made, strict=True)}


@pytest.mark.parametrize("case", half_cases(), ids=lambda c: c.id)
def test_kernels_compute_in_f32_and_round_once(case: Case, compiled: dict[str, Function]) -> None:
    found = compiled[case.id](*case.operands)
    expected = case.rule.results(*case.operands, **case.attributes)
    for got, want in zip(found, expected, strict=True):
        assert got.dtype == want.dtype and got.shape == want.shape
        if want.dtype.kind in "iub":
            np.testing.assert_array_equal(got, want)
            continue
        digits = 2.0**-10 if np.float16 in (want.dtype, case.operands[0].dtype) else 2.0**-7
        digits = digits if want.dtype in HALVES.values() else 0.0  # a cast away from halves
        close = {"rtol": digits, "atol": digits / 1000}
        with np.errstate(invalid="ignore"):  # signalling NaNs among the bit patterns
            np.testing.assert_allclose(got.astype(np.float64), want.astype(np.float64), **close)


def test_most_ops_take_short_floats() -> None:
    assert len({c.op for c in half_cases()}) > 80


# --------------------------------------------------------------------------------- whole functions


def chain(dtype: DType) -> Graph:
    """Arithmetic, functions, a selection, casts, a sum and a maximum along rows, a product."""
    b = Builder()
    x, y, w = (b.input(TensorType(dtype, s)) for s in ((9, 70), (9, 70), (70, 5)))
    z = b.add(b.mul(x, y), b.like(0.1, x))
    z = b.where(b.gt(z, x), b.exp(b.neg(z)), b.div(z, b.maximum(y, x)))
    wide = b.sqrt(b.abs(b.cast(z, dtype=float32)))
    rows = b.sum(z, axes=(1,))
    z = b.sub(z, b.expand(rows, shape=(9, 70), axes=(0,)))
    top = b.max(z, axes=(1,))
    product = b.maximum(b.matmul(z, w), b.full(0.0, dtype, (9, 5)))
    columns = b.sum(b.mul(z, z), axes=(0,))
    outputs = [z, rows, top, product, columns, wide, b.cast(wide, dtype=dtype)]
    return b.graph(outputs)


def values_of(half: str) -> list[Array]:
    """Operands of the chain: large and small values, subnormals, infinities, NaN."""
    random = np.random.default_rng(3)
    x, y, w = (random.normal(size=s) for s in ((9, 70), (9, 70), (70, 5)))
    x[0, :9] = 6e-8, -3e-7, 6e4, -6e4, np.inf, -np.inf, np.nan, 0.0, -0.0
    y[1] *= 2.0**-14
    return [a.astype(np.float32).astype(HALVES[half]) for a in (x, y, w)]


@pytest.mark.parametrize("half", HALVES)
def test_ops_in_one_kernel_have_the_bits_of_ops_one_by_one(half: str) -> None:
    graph, operands = chain(dtype_named(half)), values_of(half)
    fused = fuse(widen(graph))
    assert len(fused.nodes) < len(graph.nodes) / 3
    together, general = build([lower(fused, sizes={}), lower(fused)])
    singles = []
    for node in graph.nodes:
        b = Builder()
        inputs = [b.input(v.type) for v in node.inputs]
        singles.append(b.graph(b.apply(node.op, inputs, node.attributes)))
    apart = build([lower(single, sizes={}) for single in singles])
    known: dict[Value, Array] = dict(zip(graph.inputs, operands, strict=True))
    for node, function in zip(graph.nodes, apart, strict=True):
        made = function(*[known[v] for v in node.inputs])
        known.update(zip(node.outputs, made, strict=True))
    wanted = [known[v] for v in graph.outputs]
    for form in (together, general):
        for got, want in zip(form(*operands), wanted, strict=True):
            assert got.dtype == want.dtype
            assert got.tobytes() == want.tobytes()


@pytest.mark.parametrize("half", HALVES)
def test_the_reference_rounds_after_every_op_too(half: str) -> None:
    """+ - * / and roundings are the reference's bits: the sum of products is rounded twice."""
    b = Builder()
    x, y = (b.input(TensorType(dtype_named(half), (4096,))) for _ in range(2))
    graph = b.graph([b.add(b.mul(x, y), b.div(x, y)), b.round(b.sub(x, b.mul(y, y)))])
    (function,) = build([lower(fuse(graph), sizes={})])
    bits = np.random.default_rng(5).integers(0, 1 << 16, (2, 4096)).astype(np.uint16)
    operands = [row.view(HALVES[half]) for row in bits]
    with np.errstate(all="ignore"):
        once = operands[0].astype(np.float32) * operands[1].astype(np.float32)
        twice = once.astype(HALVES[half]).astype(np.float32)
    for got, want in zip(function(*operands), interpret(graph, operands), strict=True):
        np.testing.assert_array_equal(got.astype(np.float64), want.astype(np.float64))
    assert not np.array_equal(once, twice, equal_nan=True)


def test_long_sums_are_carried_in_f32() -> None:
    """A sum of ones past 2048 would stand still in f16."""
    b = Builder()
    x = b.input(TensorType(dtype_named("f16"), (30000,)))
    (function,) = build([lower(b.graph([b.sum(x, axes=(0,))]), sizes={})])
    (total,) = function(np.ones(30000, np.float16))
    assert total == 30000


def test_a_pass_casts_around_products_alone() -> None:
    graph = chain(dtype_named("bf16"))
    widened = widen(graph)
    assert widen(widened) is widened
    casts = sum(n.op == "cast" for n in widened.nodes) - sum(n.op == "cast" for n in graph.nodes)
    assert casts == 3
