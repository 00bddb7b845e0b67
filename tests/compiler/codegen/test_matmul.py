"""Matrix products against a chain of fmaf in plain C: every bit, in all shapes and forms."""

import ctypes
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from intaglio.compiler.dims import evaluate
from intaglio.compiler.dtypes import float32, float64
from intaglio.compiler.schedule.matmul import matmul_kernels, packed_bytes
from intaglio.compiler.schedule.matmul_tile import cut, group, heights
from tests.compiler.codegen.matmul_programs import (
    FLAGS,
    HEAD,
    INCLUDES,
    Case,
    Compiled,
    compile_cases,
    pointers,
    print_case,
)

Array = NDArray[Any]
pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="compiles C with gcc")

REFERENCE = """\
#include <stdint.h>
#define REFERENCE(T, fma) \\
void reference_##T(void *const *p, const int64_t *z, int64_t m, int64_t n, int64_t k) { \\
  const T *a = p[0], *b = p[1]; T *c = p[2]; \\
  for (int64_t i = 0; i < m; i++) for (int64_t j = 0; j < n; j++) { \\
    T s = 0; \\
    for (int64_t l = 0; l < k; l++) s = fma(a[i * z[0] + l * z[1]], b[l * z[2] + j * z[3]], s); \\
    c[i * n + j] = s; } }
REFERENCE(float, __builtin_fmaf)
REFERENCE(double, __builtin_fma)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("matmul")


@pytest.fixture(scope="module")
def reference(folder: Path) -> Callable[[Array, Array], Array]:
    """The meaning of the op, from the C compiler's own fmaf and fma."""
    source, library = folder / "reference.c", folder / "reference.so"
    source.write_text(REFERENCE)
    subprocess.run(["gcc", *FLAGS, "-fPIC", "-shared", source, "-o", library, "-lm"], check=True)
    loaded = ctypes.CDLL(str(library))

    def compute(a: Array, b: Array) -> Array:
        m, k, n = *a.shape[-2:], b.shape[-1]
        out = np.empty((*a.shape[:-2], m, n), a.dtype)
        call = getattr(loaded, f"reference_{'float' if a.dtype == np.float32 else 'double'}")
        for at in np.ndindex(*a.shape[:-2]):
            x, y, size = a[at], b[at], a.itemsize
            strides = (ctypes.c_int64 * 4)(*(s // size for s in (*x.strides, *y.strides)))
            sizes = [ctypes.c_int64(s) for s in (m, n, k)]
            call(pointers((x, y, out[at])), strides, *sizes)
        return out

    return compute


def numbers(*shape: int, dtype: str = "f4", seed: int = 0) -> Array:
    return np.random.default_rng((seed, *shape)).standard_normal(shape).astype(dtype)


def transposed(*shape: int, dtype: str = "f4") -> Array:
    """A matrix whose columns lie contiguously."""
    *batch, rows, columns = shape
    return np.swapaxes(numbers(*batch, columns, rows, dtype=dtype), -1, -2)


def spread(*shape: int) -> Array:
    """A matrix none of whose strides is 1."""
    *batch, rows, columns = shape
    return numbers(*batch, 2 * rows, 3 * columns)[..., ::2, ::3]


def expanded(matrix: Array, *batch: int) -> Array:
    return np.broadcast_to(matrix, (*batch, *matrix.shape))


def same_bits(a: Array, b: Array) -> bool:
    """Equal bit for bit, whatever the payloads of NaNs."""
    word = f"u{a.itemsize}"
    same = a.view(word) == b.view(word)
    return bool((same | (np.isnan(a) & np.isnan(b))).all()) and a.shape == b.shape


# Sizes around every border: of vectors, panels, groups (64 columns), tiles, blocks of rows.
SHAPES = (
    (1, 1, 1), (1, 64, 3), (2, 65, 7), (3, 127, 5), (6, 48, 11), (7, 16, 64), (13, 10, 31),
    (12, 33, 2), (64, 100, 67), (5, 17, 130), (67, 129, 20), (300, 70, 9), (8, 192, 150),
    (0, 5, 3), (5, 0, 3), (5, 3, 0), (1, 4096, 2), (257, 1, 3), (31, 31, 31), (128, 64, 64),
)  # fmt: skip


def cases() -> list[Case]:
    made = []
    for m, n, k in SHAPES:
        made += [
            Case(numbers(m, k), numbers(k, n)),
            Case(numbers(m, k), transposed(k, n)),
            Case(numbers(m, k), transposed(k, n), packed=True),
        ]
    for m, n, k in SHAPES[:13]:
        made += [
            Case(transposed(m, k), numbers(k, n), through_store=True),
            Case(numbers(m, k, dtype="f8"), transposed(k, n, dtype="f8")),
        ]
    made += [
        Case(spread(9, 11), spread(11, 70)),
        Case(spread(9, 11), spread(11, 70), packed=True),
        Case(numbers(65, 70, dtype="f8"), numbers(70, 40, dtype="f8"), packed=True),
        # Batches: attention's two products, weights shared by all, by some, by none.
        Case(numbers(2, 3, 20, 8), transposed(2, 3, 8, 20)),
        Case(numbers(2, 3, 20, 21), numbers(2, 3, 21, 8)),
        Case(numbers(2, 3, 20, 8), expanded(transposed(8, 70), 2, 3)),
        Case(numbers(2, 3, 20, 8), expanded(transposed(8, 70), 2, 3), packed=True),
        Case(numbers(2, 3, 20, 8), numbers(2, 3, 8, 70), packed=True),
        Case(numbers(3, 2, 20, 8).swapaxes(0, 1), expanded(numbers(8, 70), 2, 3)),
        Case(numbers(2, 4, 1, 8), expanded(numbers(8, 70), 2, 4), through_store=True),
        Case(numbers(2, 3, 5, 8), np.broadcast_to(numbers(2, 1, 8, 70), (2, 3, 8, 70))),
        Case(numbers(2, 1, 5, 8), numbers(2, 1, 8, 70), packed=True),
        # k in blocks.
        Case(numbers(2, 200), transposed(200, 70)),
        Case(numbers(7, 2050), numbers(2050, 70)),
        Case(numbers(70, 1537), transposed(1537, 30), through_store=True),
        Case(transposed(7, 3000), transposed(3000, 64), packed=True),
        Case(numbers(5, 1600, dtype="f8"), transposed(1600, 40, dtype="f8")),
        Case(expanded(numbers(6, 9), 4), numbers(4, 9, 30), through_store=True),
        Case(np.broadcast_to(numbers(1, 9), (30, 9)), np.broadcast_to(numbers(9, 1), (9, 80))),
        # A transposed and wide: k in short blocks.
        Case(numbers(300, 900).T[:20], numbers(300, 70)),
        Case(numbers(600, 1024)[:, 7:60].T, numbers(600, 90), through_store=True),
        Case(numbers(800, 300, dtype="f8").T[5:40], transposed(800, 20, dtype="f8"), packed=True),
        # A B too large to be read in place, and one whose columns lie a power of two apart.
        Case(numbers(70, 1100), numbers(1100, 160)),
        Case(numbers(7, 512), transposed(512, 80)),
        Case(numbers(7, 70), numbers(80, 1024)[:, :70].T),
    ]  # fmt: skip
    return made


# By build: flags, and each how-manieth case it takes (compiling them is what costs time).
BUILDS: dict[str, tuple[tuple[str, ...], int]] = {
    "native": ((), 1),
    "no AVX-512": (("-mno-avx512f",), 2),
    "4 lanes": (("-DIG_FORCE_WIDTH=4",), 4),
}


@pytest.fixture(scope="module", params=BUILDS)
def build(request: pytest.FixtureRequest, folder: Path) -> list[Compiled]:
    """The cases compiled for one width of vectors."""
    flags, step = BUILDS[request.param]
    return compile_cases(cases()[::step], folder, flags, request.param.replace(" ", "_"))


def test_equal_to_a_plain_chain_of_fma(
    build: Sequence[Compiled], reference: Callable[[Array, Array], Array]
) -> None:
    for program in build:
        case = program.case
        expected = reference(case.a, case.b)
        got = program()
        about = (case.a.shape, case.a.strides, case.b.shape, case.b.strides, case.packed)
        assert same_bits(got, expected), about
        wide = np.matmul(case.a.astype("f8"), case.b.astype("f8"))
        scale = np.matmul(np.abs(case.a).astype("f8"), np.abs(case.b).astype("f8"))
        assert (np.abs(got - wide) <= 1e-6 * scale + 1e-30).all(), about


def test_unknown_sizes_give_the_same_bits(
    folder: Path, reference: Callable[[Array, Array], Array]
) -> None:
    """One text per layout, called with every shape."""
    forms = (numbers, transposed)
    layouts = [(x, y, d) for x in forms for y in forms for d in ("f4", "f8")]
    general = compile_cases(
        [Case(x(8, 4, dtype=d), y(4, 8, dtype=d), symbolic=True) for x, y, d in layouts],
        folder,
        label="general",
    )
    for (x, y, d), program in zip(layouts, general, strict=True):
        for m, n, k in (*SHAPES, (13, 70, 2500), (13, 70, 1500), (2, 70, 200), (700, 65, 500)):
            a, b = x(m, k, dtype=d), y(k, n, dtype=d)
            case = Case(a, b, symbolic=True)
            called = Compiled(case, program.name, program.library, program.result, None)
            assert same_bits(called(), reference(a, b)), (m, n, k, x, y, d)


def test_chunks_are_independent(folder: Path) -> None:
    """Any order, any cut, two threads: the same bits, and no element left out."""
    made = [
        Case(numbers(300, 40), transposed(40, 200)),
        Case(numbers(300, 40), transposed(40, 200), packed=True),
        Case(numbers(5, 70, 33), numbers(5, 33, 90), epilogue="y = ig{L}_add_f32(y, y);"),
    ]
    for program in compile_cases(made, folder, label="chunks"):
        whole, chunks = program(), program.chunks
        assert chunks >= 4
        out = program.empty()
        run = program.prepare(out)
        for chunk in reversed(range(chunks)):
            run(chunk, chunk + 1)
        assert same_bits(out, whole)
        shared = program.empty()
        halves = [program.prepare(shared), program.prepare(shared)]
        borders = [(0, chunks // 3), (chunks // 3, chunks)]
        threads = [
            threading.Thread(target=run, args=border)
            for run, border in zip(halves, borders, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert same_bits(shared, whole)


def test_epilogue_sees_each_element_once(folder: Path) -> None:
    """Bias by column, and a residual that is read where the result is written."""
    bias, weight = numbers(150), numbers(70, 150)
    add = "y = ig{L}_add_f32(y, ig{L}_load_f32((const float *)p[3] + {column}, {count}));"
    residual = "y = ig{L}_add_f32(y, ig{L}_load_f32(o, {count}));"
    a, b = numbers(13, 70), transposed(70, 150)
    plain, biased, added, specialised = compile_cases(
        [
            Case(a, b),
            Case(a, b, epilogue=add),
            Case(a, b, epilogue=residual, packed=True),
            Case(expanded(a, 3), expanded(weight, 3), epilogue=add),
        ],
        folder,
        label="epilogue",
    )
    assert same_bits(biased(bias), plain() + bias)
    assert same_bits(added(), plain() + np.float32(77))
    batch = specialised(bias)
    assert batch.shape == (3, 13, 150)
    assert np.allclose(batch, a @ weight + bias, rtol=1e-4, atol=1e-4)


def test_special_values(folder: Path, reference: Callable[[Array, Array], Array]) -> None:
    a, b = numbers(9, 20), numbers(20, 70)
    a[0, 3], a[1, 4], a[2, 5], a[3] = np.nan, np.inf, 0.0, -0.0
    b[5, 6], b[4, 7], b[0] = np.inf, 0.0, np.float32(1e-42)
    program, turned = compile_cases(
        [Case(a, b), Case(a, np.asfortranarray(b))], folder, label="special"
    )
    expected = reference(a, b)
    assert np.isnan(expected[0]).all()
    assert np.isnan(expected[2, 6])
    assert same_bits(program(), expected)
    assert same_bits(turned(), expected)


def test_nothing_outside_is_read(folder: Path) -> None:
    """A and B end where memory does: a load past either kills the process."""
    import mmap

    def at_the_end(values: Array) -> Array:
        pages = -(-values.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
        room = mmap.mmap(-1, pages + mmap.PAGESIZE)
        whole = np.frombuffer(room, np.uint8)
        protect = ctypes.CDLL(None).mprotect
        protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        assert protect(whole.ctypes.data + pages, mmap.PAGESIZE, 0) == 0
        kept = whole[pages - values.nbytes : pages].view(values.dtype).reshape(values.shape)
        kept[...] = values
        return kept

    made = [
        Case(at_the_end(numbers(m, k)), at_the_end(numbers(k, n)), through_store=m % 2 == 0)
        for m, n, k in SHAPES[:13]
    ]
    made += [
        Case(at_the_end(numbers(m, k)), at_the_end(numbers(n, k)).T) for m, n, k in SHAPES[:13]
    ]
    for program in compile_cases(made, folder, label="guarded"):
        expected = np.matmul(program.case.a, program.case.b)
        assert np.allclose(program(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["i8", "i4", "u4", "i2", "i1", "u1"])
def test_integers_wrap(folder: Path, kind: str) -> None:
    random = np.random.default_rng(1)
    top = np.iinfo(kind)
    a = random.integers(top.min, top.max, (3, 5, 7), kind, endpoint=True)
    b = random.integers(top.min, top.max, (3, 9, 7), kind, endpoint=True).swapaxes(1, 2)
    (program,) = compile_cases([Case(a, b)], folder, label=f"integers_{kind}")
    assert (program() == np.matmul(a, b)).all()


def hot_loops(library: Path) -> dict[str, list[str]]:
    """The instructions of each tile function from its first to its last fused multiply-add."""
    listing = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", library], check=True, capture_output=True, text=True
    ).stdout
    found = {}
    for name, body in re.findall(r"<(k\d+_t\d+x\d)>:\n((?:\s+[0-9a-f]+:.*\n)+)", listing):
        lines = body.splitlines()
        at = [i for i, line in enumerate(lines) if "vfmadd" in line]
        found[name] = lines[at[0] : at[-1] + 1]
    return found


@pytest.mark.skipif(not shutil.which("objdump"), reason="reads machine code with objdump")
def test_accumulators_stay_in_registers(folder: Path) -> None:
    made = [
        Case(numbers(64, 96), transposed(96, 128)),
        Case(transposed(64, 96), numbers(96, 128)),
        Case(numbers(48, 96), numbers(96, 32)),
        Case(numbers(48, 96), numbers(96, 32), symbolic=True),
    ]
    for label, flags in (("spills", ()), ("spills_avx2", ("-mno-avx512f",))):
        compile_cases(made, folder, flags, label)
        loops = hot_loops(folder / f"{label}.so")
        assert len(loops) >= 5
        for name, lines in loops.items():
            stack = [line for line in lines if re.search(r"\(%r[sb]p", line)]
            vectors = [line for line in stack if re.search(r"%[xyz]mm", line)]
            assert not vectors, (label, name, vectors)
            assert len(stack) <= (4 if name.startswith("k3") else 0), (label, name, stack)


def test_text_is_short(folder: Path) -> None:
    """What the C compiler takes grows with the lines: about a millisecond each."""
    specialised, _, _ = print_case(Case(numbers(128, 384), transposed(384, 384)), "k0")
    general, _, _ = print_case(Case(numbers(8, 4), transposed(4, 8), symbolic=True), "k0")
    assert specialised.count("\n") < 300
    assert general.count("\n") < 450
    source = folder / "short.c"
    source.write_text(HEAD + specialised)
    subprocess.run(
        ["gcc", *FLAGS, *INCLUDES, "-fsyntax-only", "-Wall", "-Werror", source], check=True
    )


def test_names_alone_tell_kernels_apart() -> None:
    a, b = numbers(20, 30), transposed(30, 40)
    first, second = (matmul_kernels(Case(a, b).product(name)).text for name in ("k1", "k23"))
    assert first.replace("k1", "k23") == second


def test_cutting() -> None:
    assert cut(64, 6) == (5, 6)
    assert cut(12, 6) == (6,)
    assert cut(0, 6) == ()
    assert heights(300, 2, 6) == (6,)
    assert group(float32) * 4 == group(float64) * 8 == 256
    assert evaluate(packed_bytes(65, 10, float32), {}) == 128 * 10 * 4
    assert packed_bytes(64, 10, float64, (3, 2)) == 6 * 64 * 10 * 8
