"""f16 and bf16 in kernels: conversions for every bit pattern, one rounding per op whether or not
ops share a kernel, sums carried in f32."""

from __future__ import annotations

import ctypes
import functools
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from tests.compiler.codegen.harness import COMPILER, Array

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
