"""The prelude's loads, stores, joins and Philox: what is touched, and in which order."""

from __future__ import annotations

import ctypes
import functools
import mmap
import re
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import prelude_inputs as inputs
from prelude_kernels import C_TYPES, NUMPY, bits, compile_c

STORED = ("f32", "f64", "i64", "i32", "u32", "i16", "i8", "u8", "bool")
JOINED = ("f32", "f64", "i64", "i32", "u32")
BUILDS = {"native": (), "avx2": ("-mno-avx512f",), "any": ("-DIG_FORCE_WIDTH=4",)}
LENGTHS = (64, 32, 1)


PER_TYPE = """
void copyN_T(const C *p, C *q, int n) { igN_store_T(q, igN_load_T(p, n), n); }
void fullN_T(const C *p, C *q) { igN_store_T(q, igN_load_T(p, N), N); }
void paddedN_T(const C *p, C *q, int n) { igN_store_T(q, igN_load_T(p, n), N); }
void stridedN_T(const C *p, C *q, int64_t s, int n) { igN_store_T(q, igN_strided_T(p, s, n), n); }
void maskedN_T(const C *p, C *q, const uint8_t *m, int n) {
  igN_store_T(q, igN_masked_T(p, igN_load_bool(m, N), n), N);
}
void spacedN_T(const C *p, C *q, int64_t s, const uint8_t *m, int n) {
  igN_store_T(q, igN_strided_masked_T(p, s, igN_load_bool(m, N), n), N);
}
void spreadN_T(const C *p, C *q, int64_t s, int n) {
  igN_store_strided_T(q, s, igN_load_T(p, n), n);
}
void gatherN_T(const C *p, C *q, const int64_t *at, int n) {
  igN_store_T(q, igN_gather_T(p, igN_load_i64(at, n), n), n);
}
void scatterN_T(const C *p, C *q, const int64_t *at, int n) {
  igN_scatter_T(q, igN_load_i64(at, n), igN_load_T(p, n), n);
}
"""
PER_JOIN = "void FN_T(const C *p, C *q) { *q = igN_F_T(igN_load_T(p, N)); }\n"
PER_LENGTH = """
void iotaN(int64_t *p, int32_t *q, uint8_t *m, int64_t base, int n) {
  igN_store_i64(p, igN_iota_i64(base), N);
  igN_store_i32(q, igN_iota_i32((int32_t)base), N);
  igN_store_bool(m, igN_tail_bool(n), N);
}
int anyN(const uint8_t *p) { return igN_any_bool(igN_load_bool(p, N)); }
int allN(const uint8_t *p) { return igN_all_bool(igN_load_bool(p, N)); }
void philoxN(uint32_t *q, const int64_t *at, int64_t seed, int64_t draw, int word) {
  igN_store_u32(q, igN_philox_u32(seed, draw, igN_load_i64(at, N), word), N);
}
"""


def memory_text(length: int) -> str:
    """C functions that copy, stride, gather, scatter and join elements of each stored type.

    In the templates N is the block's length, T the type's name, C its C type, F a join.
    """

    def fill(template: str, **words: str) -> str:
        for word, text in {"N": str(length), **words}.items():
            template = re.sub(rf"(?<![A-Z]){word}(?![A-Z])", text, template)
        return template

    text = fill(PER_LENGTH)
    for t in STORED:
        text += fill(PER_TYPE, C=C_TYPES[t], T=t)
    for t in JOINED:
        for name in ("sum", "prod", "max", "min"):
            text += fill(PER_JOIN.replace("FN", f"{name}N"), F=name, C=C_TYPES[t], T=t)
    return text


@functools.cache
def built(name: str) -> ctypes.CDLL:
    """The functions above under one set of flags."""
    text = '#include "ig_prelude.h"\n' + "".join(memory_text(n) for n in LENGTHS)
    return compile_c(text, ("-O1", *BUILDS[name]))


def call(build: str, name: str, *arguments: np.ndarray | int) -> int:
    """Call a function with arrays as pointers and numbers as i64."""
    given = [
        ctypes.c_void_p(a.ctypes.data) if isinstance(a, np.ndarray) else ctypes.c_int64(a)
        for a in arguments
    ]
    return int(built(build)[name](*given))


def values(t: str, count: int) -> np.ndarray:
    """Nonzero values of a stored type."""
    if t == "bool":
        return np.random.default_rng(0).integers(0, 2, count).astype(np.bool_)
    return (np.arange(count) % 100 + 1).astype(NUMPY[t])


@pytest.mark.parametrize("build", BUILDS)
def test_partial_accesses_touch_only_their_elements(build: str) -> None:
    """Each access ends at the last byte before a page that may not be touched."""
    page = mmap.PAGESIZE
    memory = mmap.mmap(-1, 4 * page)
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    for guard in (1, 3):
        assert libc.mprotect(ctypes.c_void_p(base + guard * page), page, mmap.PROT_READ & 0) == 0
    whole = np.frombuffer(memory, np.uint8)
    for t in STORED:
        size = np.dtype(NUMPY[t]).itemsize
        for length in LENGTHS:
            for n in sorted({1, length // 2 + 1, length - 1, length} - {0}):
                source = whole[page - n * size : page].view(NUMPY[t])
                target = whole[3 * page - n * size : 3 * page].view(NUMPY[t])
                source[:] = values(t, n)
                target[:] = 0
                call(build, f"copy{length}_{t}", source, target, n)
                np.testing.assert_array_equal(target, source)
                target[:] = 0
                call(build, f"strided{length}_{t}", source, target, 1, n)
                np.testing.assert_array_equal(target, source)
                wide = whole[page - (2 * n - 1) * size : page].view(NUMPY[t])
                wide[:] = values(t, 2 * n - 1)
                call(build, f"strided{length}_{t}", wide, target, 2, n)
                np.testing.assert_array_equal(target, wide[::2])
                source[:], target[:] = values(t, n), 0
                target[:] = 0
                call(build, f"spread{length}_{t}", source, target, 1, n)
                np.testing.assert_array_equal(target, source)
    for guard in (1, 3):
        libc.mprotect(ctypes.c_void_p(base + guard * page), page, mmap.PROT_READ | mmap.PROT_WRITE)


@pytest.mark.parametrize("build", BUILDS)
def test_loads_and_stores(build: str) -> None:
    for t in STORED:
        for length in LENGTHS:
            p, q = values(t, length * 3), np.zeros(length * 3, NUMPY[t])
            call(build, f"full{length}_{t}", p, q)
            np.testing.assert_array_equal(q[:length], p[:length])
            assert not q[length:].any()
            n = length // 2
            q = np.ones(length, NUMPY[t])
            call(build, f"padded{length}_{t}", p, q, n)
            np.testing.assert_array_equal(
                q, np.concatenate([p[:n], np.zeros(length - n, NUMPY[t])])
            )
            for step in (2, 3):
                q = np.zeros(length, NUMPY[t])
                call(build, f"strided{length}_{t}", p, q, step, length)
                np.testing.assert_array_equal(q, p[: step * length : step])
            q = np.zeros(length * 3, NUMPY[t])
            call(build, f"spread{length}_{t}", p, q, 3, length)
            np.testing.assert_array_equal(q[::3], p[:length])
            at = np.random.default_rng(length).permutation(length * 3)[:length].astype(np.int64)
            q = np.zeros(length, NUMPY[t])
            call(build, f"gather{length}_{t}", p, q, at, length)
            np.testing.assert_array_equal(q, p[at])
            q = np.zeros(length * 3, NUMPY[t])
            call(build, f"scatter{length}_{t}", p, q, at, length)
            np.testing.assert_array_equal(q[at], p[:length])


@pytest.mark.parametrize("build", BUILDS)
def test_masked_loads(build: str) -> None:
    for t in STORED:
        for length in LENGTHS:
            p = values(t, length * 3)
            for seed in range(4):
                mask = np.random.default_rng(seed).integers(0, 2, length).astype(np.uint8)
                mask[: seed * length // 3] = 1
                for n in {length, (length + 1) // 2}:
                    wanted = mask.astype(bool) & (np.arange(length) < n)
                    q = np.ones(length, NUMPY[t])
                    call(build, f"masked{length}_{t}", p, q, mask, n)
                    np.testing.assert_array_equal(q, np.where(wanted, p[:length], 0))
                    for step in (2, 3):
                        q = np.ones(length, NUMPY[t])
                        call(build, f"spaced{length}_{t}", p, q, step, mask, n)
                        spaced = p[: step * length : step]
                        np.testing.assert_array_equal(q, np.where(wanted, spaced, 0))


@pytest.mark.parametrize("build", BUILDS)
def test_masked_loads_touch_only_their_elements(build: str) -> None:
    """The elements of a mask lie between pages that may not be touched."""
    page = mmap.PAGESIZE
    memory = mmap.mmap(-1, 3 * page)
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    whole = np.frombuffer(memory, np.uint8)
    for guard in (0, 2):
        assert libc.mprotect(ctypes.c_void_p(base + guard * page), page, mmap.PROT_READ & 0) == 0
    for t in STORED:
        size = np.dtype(NUMPY[t]).itemsize
        inside = whole[page : 2 * page].view(NUMPY[t])
        inside[:] = values(t, inside.size)
        for length in (64, 32):
            mask, first = np.zeros(length, np.uint8), length // 3
            mask[first:] = 1
            q = np.ones(length, NUMPY[t])
            start = ctypes.c_void_p(base + page - first * size)
            built(build)[f"masked{length}_{t}"](
                start, *(ctypes.c_void_p(a.ctypes.data) for a in (q, mask)), length
            )
            assert not q[:first].any()
            np.testing.assert_array_equal(q[first:], inside[: length - first])
            start = ctypes.c_void_p(base + 2 * page - first * size)
            built(build)[f"masked{length}_{t}"](
                start, *(ctypes.c_void_p(a.ctypes.data) for a in (q, 1 - mask)), length
            )
            assert not q[first:].any()
            np.testing.assert_array_equal(q[:first], inside[inside.size - first :])
    for guard in (0, 2):
        libc.mprotect(ctypes.c_void_p(base + guard * page), page, mmap.PROT_READ | mmap.PROT_WRITE)


@pytest.mark.parametrize("build", BUILDS)
def test_lane_numbers_and_masks(build: str) -> None:
    for length in LENGTHS:
        p, q, m = np.zeros(length, np.int64), np.zeros(length, np.int32), np.zeros(length, np.uint8)
        for base, n in ((5, 0), (-3, length), (1 << 30, (length + 1) // 2)):
            call(build, f"iota{length}", p, q, m, base, n)
            np.testing.assert_array_equal(p, base + np.arange(length))
            np.testing.assert_array_equal(q, base + np.arange(length))
            np.testing.assert_array_equal(m, np.arange(length) < n)
        for k in range(length):
            one = np.zeros(length, np.uint8)
            assert not call(build, f"any{length}", one)
            one[k] = 1
            assert call(build, f"any{length}", one)
            assert bool(call(build, f"all{length}", one)) == (length == 1)
            assert not call(build, f"all{length}", 1 - one)
        assert call(build, f"all{length}", np.ones(length, np.uint8))


def halved(a: np.ndarray, f: np.ufunc) -> np.ndarray:
    """Element i with element i + h, for h = half the length .. 1."""
    while a.size > 1:
        a = f(a[: a.size // 2], a[a.size // 2 :])
    return a


@pytest.mark.parametrize("build", BUILDS)
def test_joins_go_by_halves(build: str) -> None:
    names = {"sum": np.add, "prod": np.multiply, "max": np.maximum, "min": np.minimum}
    for t in JOINED:
        for length in LENGTHS:
            for seed in range(3):
                if t[0] == "f":
                    a = np.random.default_rng(seed).standard_normal(length).astype(NUMPY[t])
                    if seed == 2:
                        a[length // 3] = np.nan
                else:
                    a = inputs.integers(NUMPY[t], length, seed)[-length:].copy()
                for name, f in names.items():
                    got = np.zeros(1, NUMPY[t])
                    call(build, f"{name}{length}_{t}", a, got)
                    with np.errstate(over="ignore"):
                        np.testing.assert_array_equal(
                            bits(got), bits(halved(a, f)), f"{name}{length}_{t}"
                        )


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> list[int]:
    """Philox4x32-10 in Python integers (Salmon et al., SC11)."""
    x, k, m = list(counter), list(key), 0xFFFFFFFF
    for _ in range(10):
        p, q = 0xD2511F53 * x[0], 0xCD9E8D57 * x[2]
        x = [(q >> 32) ^ x[1] ^ k[0], q & m, (p >> 32) ^ x[3] ^ k[1], p & m]
        k = [(k[0] + 0x9E3779B9) & m, (k[1] + 0xBB67AE85) & m]
    return x


KNOWN = [  # the known answers of Random123
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def signed(low: int, high: int) -> int:
    """Two words as one i64."""
    word = low | high << 32
    return word - (1 << 64) if word >> 63 else word


@pytest.mark.parametrize("build", BUILDS)
def test_philox(build: str) -> None:
    for counter, key, answer in KNOWN:
        assert tuple(philox(counter, key)) == answer
        for length in LENGTHS:
            at = np.full(length, signed(counter[0], counter[1]), np.int64)
            for word in range(4):
                q = np.zeros(length, np.uint32)
                call(build, f"philox{length}", q, at, signed(*key), signed(*counter[2:]), word)
                assert (q == answer[word]).all()
    rng = np.random.default_rng(4)
    at = rng.integers(0, 2**40, 64)
    for length in LENGTHS:
        for word in range(4):
            q = np.zeros(length, np.uint32)
            call(build, f"philox{length}", q, at, 0x123456789ABCDEF, 77, word)
            expected = [
                philox((int(i) & 0xFFFFFFFF, int(i) >> 32, 77, 0), (0x89ABCDEF, 0x1234567))[word]
                for i in at[:length]
            ]
            np.testing.assert_array_equal(q, np.array(expected, np.uint32))
