"""The prelude's functions: equal bits everywhere, errors in ulp, integers."""

from __future__ import annotations

import functools
import math
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import prelude_inputs as inputs
import prelude_kernels as kernels
from prelude_kernels import Build, bits


@functools.cache
def native() -> Build:
    """All functions for blocks of 64 and 1 with this machine's widest vectors."""
    return Build(lengths=(64, 1))


def same_bits(build: Build, length: int, count: int = 4001) -> None:
    """Every function of `build` gives the bits of the native blocks of 64."""
    for name, operands, _ in build.functions.values():
        given = inputs.operands(operands, count)
        expected = bits(native()(name, *given))
        got = bits(build(name, *given, length=length))
        wrong = np.flatnonzero(got != expected)
        at = [a[wrong[:1]] for a in given]
        assert not wrong.size, f"{name}, blocks of {length}: {wrong.size} differ, first at {at}"


def test_scalars_have_the_bits_of_blocks() -> None:
    same_bits(native(), 1)


def test_blocks_of_32_have_the_bits_of_blocks_of_64() -> None:
    chosen = [
        f
        for f in kernels.functions()
        if f[2] == "f32" or f[0].startswith(("cast_f", "exp_f64", "lt_"))
    ]
    same_bits(Build("-O1", lengths=(32,), only=chosen), 32)


def test_other_vectors_have_the_same_bits() -> None:
    """AVX2 (on a machine that has it) against the native build."""
    names = [n for n in native().functions if not n.startswith("bitcast") and "mod" not in n]
    names = [
        n
        for n in names
        if n.endswith(("f32", "u32", "bool", "i64")) or n[:3] in ("exp", "log", "sin", "pow")
    ]
    chosen = [native().functions[n] for n in names]
    same_bits(Build("-O1", "-mno-avx512f", lengths=(64,), only=chosen), 64)


def test_the_form_for_any_machine_has_the_same_bits() -> None:
    names = [
        "exp",
        "log1p",
        "sin",
        "tanh",
        "erf",
        "pow",
        "maximum",
        "minimum",
        "floor",
        "round",
        "div",
        "sqrt",
        "lt",
        "select",
        "floordiv",
        "sigmoid",
        "atan2",
    ]
    chosen = [f for f in kernels.functions() if f[0] in {f"{n}_f32" for n in names}]
    chosen += [
        f
        for f in kernels.functions()
        if f[0] in ("mulhi_u32", "cast_f32_i64", "cast_u32_f32", "log_f64", "shr_i64")
    ]
    same_bits(Build("-O1", "-DIG_FORCE_WIDTH=4", lengths=(32,), only=chosen), 32)


# Largest errors allowed, in ulp, and the range in which each is measured besides all floats.
# docs/maths.md states what was found over all inputs.
LIMITS = {
    "exp": 0.9,
    "expm1": 1.6,
    "exp2": 0.9,
    "log": 0.95,
    "log1p": 1.3,
    "log2": 1.6,
    "log10": 1.6,
    "sin": 1.7,
    "cos": 1.7,
    "tan": 2.9,
    "tanh": 2.5,
    "sinh": 2.5,
    "cosh": 1.5,
    "asin": 2.5,
    "acos": 1.3,
    "atan": 2.2,
    "sigmoid": 2.1,
    "erf": 2.0,
    "erfc": 4.5,
}
RANGES = {
    "exp": 104.0,
    "expm1": 90.0,
    "exp2": 150.0,
    "sinh": 90.0,
    "cosh": 90.0,
    "sigmoid": 104.0,
    "tanh": 10.0,
    "erf": 4.0,
    "erfc": 10.5,
    "asin": 1.0,
    "acos": 1.0,
}


def reference(name: str, x: np.ndarray) -> np.ndarray:
    """The function in extended precision (erf and erfc: f64, of which f32 takes no notice)."""
    wide = x.astype(np.longdouble)
    if name in ("erf", "erfc"):
        return np.array([getattr(math, name)(float(v)) for v in x], np.longdouble)
    if name == "sigmoid":
        return 1 / (1 + np.exp(-wide))
    return getattr(np, {"asin": "arcsin", "acos": "arccos", "atan": "arctan"}.get(name, name))(wide)


def ulps(got: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """The distance in units of the exact result's last place; 0 where that is not finite."""
    info = np.finfo(got.dtype)
    exponent = np.maximum(np.frexp(np.abs(exact))[1] - 1, info.minexp)
    finite = np.abs(exact) <= info.max
    distance = np.abs(got.astype(np.longdouble) - exact) / np.ldexp(
        np.longdouble(1), exponent - info.nmant
    )
    return np.where(finite, distance, 0)


@pytest.mark.parametrize("name", kernels.ELEMENTARY)
def test_f32_errors(name: str) -> None:
    count = 1 << (14 if name in ("erf", "erfc") else 17)
    x = inputs.floats(np.float32, count)
    span = RANGES.get(name, 8.0)
    x = np.concatenate([x, np.linspace(-span, span, count, dtype=np.float32)])
    with np.errstate(all="ignore"):
        exact = reference(name, x)
        got = native()(name + "_f32", x)
        worst = ulps(got, exact)
        rounded = exact.astype(np.float32)
    assert worst.max() <= LIMITS[name], (worst.max(), x[worst.argmax()])
    np.testing.assert_array_equal(np.isnan(got), np.isnan(rounded))
    edge = np.isinf(rounded)
    np.testing.assert_array_equal(got[edge], rounded[edge])


F64_LIMITS = {"tan": 1.6, "erfc": 6.0, "erf": 2.4} | dict.fromkeys(
    ("tanh", "asin", "atan", "sinh", "expm1", "sigmoid"), 2.2
)


@pytest.mark.parametrize("name", [n for n in kernels.ELEMENTARY if n not in ("erf", "erfc")])
def test_f64_errors(name: str) -> None:
    """Against x87's 64-bit mantissa; libm's f64 is not accurate enough to judge."""
    if np.finfo(np.longdouble).nmant < 63:
        pytest.skip("long double is no wider than double here")
    span = {
        "exp": 700.0,
        "expm1": 700.0,
        "exp2": 1020.0,
        "sinh": 700.0,
        "cosh": 700.0,
        "sigmoid": 700.0,
        "asin": 1.0,
        "acos": 1.0,
    }
    x = np.random.default_rng(1).uniform(-1, 1, 20000) * span.get(name, 8.0)
    if name.startswith("log"):
        x = np.concatenate([np.abs(x), inputs.floats(np.float64, 4000)])
    with np.errstate(all="ignore"):
        worst = ulps(native()(name + "_f64", x), reference(name, x))
    assert worst.max() <= F64_LIMITS.get(name, 1.35), (worst.max(), x[worst.argmax()])


HARD = {  # results rounded from 160-bit arithmetic
    ("sin", 5.319372648326541e255): 1.0,
    ("cos", 5.319372648326541e255): -4.687165924254624e-19,
    ("sin", 1e22): -0.8522008497671888,
    ("cos", 1e22): 0.5232147853951389,
    ("sin", 1e300): -0.8178819121159085,
    ("cos", 45.553093477052): -6.1898063658835770e-19,
    ("sin", 23323.183860250625): 3.1691808593323914e-16,
    ("tan", 1.5707963267948966): 1.633123935319537e16,
    ("erf", 0.5): 0.5204998778130465,
    ("erf", 1e-300): 1.1283791670955126e-300,
    ("erfc", 0.5): 0.4795001221869535,
    ("erfc", 10.0): 2.088487583762545e-45,
    ("erfc", 26.0): 5.663192408856143e-296,
    ("erfc", -3.0): 1.9999779095030015,
}


def test_f64_hard_cases() -> None:
    for (name, x), exact in HARD.items():
        got = native()(name + "_f64", np.array([x]))[0]
        assert abs(got - exact) <= 5 * np.spacing(abs(exact)), (name, x, got, exact)


def test_pow() -> None:
    rng = np.random.default_rng(3)
    x, y = np.exp(rng.uniform(-8, 8, 20000)), rng.uniform(-40, 40, 20000)
    exact = np.power(
        x.astype(np.float32).astype(np.longdouble), y.astype(np.float32).astype(np.longdouble)
    )
    assert ulps(native()("pow_f32", x, y), exact).max() <= 0.51
    if np.finfo(np.longdouble).nmant >= 63:
        near = 1 + rng.uniform(-1e-3, 1e-3, 20000)
        for a, b in ((x, y), (near, y * 1e4)):
            worst = ulps(
                native()("pow_f64", a, b),
                np.power(a.astype(np.longdouble), b.astype(np.longdouble)),
            )
            assert worst.max() <= 1.1
    special = np.array([*inputs.SPECIAL, 5.0, -5.0, 2.0**53, 2.0**53 + 2])
    grid = [g.ravel() for g in np.meshgrid(special, special)]
    for t, dtype in (("f32", np.float32), ("f64", np.float64)):
        with np.errstate(all="ignore"):
            expected = np.power(grid[0].astype(dtype), grid[1].astype(dtype))
            got = native()(f"pow_{t}", *grid)
        exactly = ~np.isfinite(expected) | (expected == 0) | (np.abs(expected) == 1)
        np.testing.assert_array_equal(bits(got[exactly]), bits(expected[exactly]))


def test_exp_at_its_ends() -> None:
    for t, low in (("f32", -103.98), ("f64", -745.14)):
        x = np.array([-np.inf, -1e30, low, np.inf, 1e30, np.nan, 0.0, -0.0])
        np.testing.assert_array_equal(
            native()(f"exp_{t}", x), [0, 0, 0, np.inf, np.inf, np.nan, 1, 1]
        )
        assert not np.signbit(native()(f"exp_{t}", x[:3])).any()
    small = np.linspace(-103, -87.5, 4000, dtype=np.float32)
    exact = np.exp(small.astype(np.float64))
    assert (np.abs(native()("exp_f32", small) - exact) <= 0.9 * 2.0**-149).all()
    assert (native()("exp_flushed_f32", small) == 0).all()


def test_zeros_keep_their_sign() -> None:
    for name in [
        "expm1",
        "log1p",
        "sin",
        "tan",
        "tanh",
        "sinh",
        "asin",
        "atan",
        "erf",
        "floor",
        "ceil",
        "trunc",
        "round",
        "sqrt",
    ]:
        for t in kernels.FLOATS:
            got = native()(f"{name}_{t}", np.array([0.0, -0.0]))
            assert (got == 0).all() and np.signbit(got).tolist() == [False, True], (name, t)


def test_atan2_goes_by_octants_and_signs() -> None:
    special = [*inputs.SPECIAL, 1e-310, -1e300]
    y, x = (g.ravel() for g in np.meshgrid(special, special))
    for t, dtype in (("f32", np.float32), ("f64", np.float64)):
        with np.errstate(all="ignore"):
            expected = np.arctan2(y.astype(dtype), x.astype(dtype))
            got = native()(f"atan2_{t}", y, x)
        np.testing.assert_allclose(
            got, expected, rtol=4 * np.finfo(dtype).eps, atol=np.finfo(dtype).tiny
        )
        np.testing.assert_array_equal(
            np.signbit(got[~np.isnan(got)]), np.signbit(expected[~np.isnan(got)])
        )


def test_exact_functions_agree_with_numpy() -> None:
    with np.errstate(all="ignore"):
        for t, dtype in (("f32", np.float32), ("f64", np.float64)):
            a, b = inputs.operands((t, t), 6000)
            pairs = {
                "add": np.add,
                "sub": np.subtract,
                "mul": np.multiply,
                "div": np.divide,
                "copysign": np.copysign,
                "truncmod": np.fmod,
                "floormod": np.mod,
                "floordiv": np.floor_divide,
            }
            for name, f in pairs.items():
                np.testing.assert_array_equal(
                    bits(native()(f"{name}_{t}", a, b)), bits(f(a, b)), name
                )
            singles = {
                "sqrt": np.sqrt,
                "floor": np.floor,
                "ceil": np.ceil,
                "trunc": np.trunc,
                "round": np.rint,
                "abs": np.abs,
                "neg": np.negative,
                "recip": np.reciprocal,
                "sign": np.sign,
            }
            for name, g in singles.items():
                got, expected = native()(f"{name}_{t}", a), g(a)
                np.testing.assert_array_equal(got, expected, name)
            greater = np.where(a == b, np.where(np.signbit(a), b, a), np.maximum(a, b))
            np.testing.assert_array_equal(bits(native()(f"maximum_{t}", a, b)), bits(greater))
            smaller = np.where(a == b, np.where(np.signbit(a), a, b), np.minimum(a, b))
            np.testing.assert_array_equal(bits(native()(f"minimum_{t}", a, b)), bits(smaller))
            assert native()(f"fma_{t}", a, b, b).dtype == dtype


def test_fma_rounds_once() -> None:
    rng = np.random.default_rng(5)
    a, b, c = (rng.standard_normal(4000).astype(np.float32) for _ in range(3))
    exact = a.astype(np.longdouble) * b + c
    np.testing.assert_array_equal(native()("fma_f32", a, b, c), exact.astype(np.float32))
    np.testing.assert_array_equal(
        native()("fnma_f32", a, b, c), (-a.astype(np.longdouble) * b + c).astype(np.float32)
    )


def test_integers_wrap_and_never_trap() -> None:
    for t in kernels.INTEGERS:
        dtype = kernels.NUMPY[t]
        a, b = inputs.operands((t, t), 4000)
        info = np.iinfo(dtype)
        width = info.bits
        exact = {
            "add": lambda p, q: p + q,
            "sub": lambda p, q: p - q,
            "mul": lambda p, q: p * q,
            "floordiv": lambda p, q: p // q if q else 0,
            "floormod": lambda p, q: p % q if q else 0,
            "truncdiv": lambda p, q: (
                abs(p) // abs(q) * (1 if (p < 0) == (q < 0) else -1) if q else 0
            ),
            "truncmod": lambda p, q: (abs(p) % abs(q)) * (-1 if p < 0 else 1) if q else 0,
            "and": lambda p, q: p & q,
            "or": lambda p, q: p | q,
            "xor": lambda p, q: p ^ q,
            "minimum": min,
            "maximum": max,
            "shl": lambda p, q, width=width: p << q if 0 <= q < width else 0,
            "shr": lambda p, q, width=width: p >> (q if 0 <= q < width else 200),
        }
        for name, f in exact.items():
            expected = [
                f(int(p), int(q)) & ((1 << info.bits) - 1) for p, q in zip(a, b, strict=True)
            ]
            got = native()(f"{name}_{t}", a, b)
            np.testing.assert_array_equal(
                got.view(f"u{got.itemsize}"), np.array(expected, f"u{got.itemsize}"), name
            )
    a, b = inputs.operands(("u32", "u32"), 4000)
    expected = ((a.astype(np.uint64) * b.astype(np.uint64)) >> np.uint64(32)).astype(np.uint32)
    np.testing.assert_array_equal(native()("mulhi_u32", a, b), expected)


def test_casts_are_defined_everywhere() -> None:
    for t in kernels.FLOATS:
        x = inputs.floats(kernels.NUMPY[t], 4000)
        for u in kernels.INTEGERS:
            info = np.iinfo(kernels.NUMPY[u])
            expected = [
                0
                if math.isnan(v)
                else info.max
                if v > info.max
                else info.min
                if v < info.min
                else int(v)
                for v in x.tolist()
            ]
            np.testing.assert_array_equal(
                native()(f"cast_{t}_{u}", x), np.array(expected, kernels.NUMPY[u])
            )
        np.testing.assert_array_equal(native()(f"cast_{t}_bool", x), x != 0)
    for t in kernels.INTEGERS:
        x = inputs.integers(kernels.NUMPY[t], 4000)
        for u in ("f32", "f64", *kernels.INTEGERS, "bool"):
            np.testing.assert_array_equal(native()(f"cast_{t}_{u}", x), x.astype(kernels.NUMPY[u]))
