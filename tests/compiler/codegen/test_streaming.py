"""Large results that nobody reads soon are written past the caches: bits stay the same."""

from __future__ import annotations

import numpy as np
import pytest

from intaglio.compiler.codegen import c
from intaglio.compiler.dims import Dim, Size
from intaglio.compiler.dtypes import DType, float32, float64, int32, int64, uint32
from intaglio.compiler.ir import Graph
from intaglio.compiler.lower import Lowered, lower
from intaglio.compiler.op import Builder
from intaglio.compiler.passes.fuse import fuse
from intaglio.compiler.types import TensorType
from tests.compiler.codegen.harness import COMPILER, Array, build

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler on this machine")

WIDTHS = (77, 128, 192, 1001)
ROWS = 9


def shifted_rows(dtype: DType, rows: Size, width: Size, twice: bool = False) -> Graph:
    """Rows with their maxima taken away: a kernel over rows; then (`twice`) a second result, the
    sum of all that."""
    b = Builder()
    x = b.input(TensorType(dtype, (rows, width)))
    (top,) = b.apply("max", [x], {"axes": (1,)})
    (wide,) = b.apply("expand", [top], {"shape": (rows, width), "axes": (0,)})
    (out,) = b.apply("sub", [x, wide], {})
    if not twice:
        return fuse(b.graph([out]))
    (total,) = b.apply("sum", [out], {"axes": (0, 1)})
    return fuse(b.graph([out, total]))


def doubled(dtype: DType, rows: Size, width: Size) -> Graph:
    """An elementwise kernel."""
    b = Builder()
    x = b.input(TensorType(dtype, (rows, width)))
    return fuse(b.graph(list(b.apply("add", [x, x], {}))))


def streams(low: Lowered) -> bool:
    return any("_stream_" in text for text in low.sources)


@pytest.fixture
def from_one_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every result counts as large."""
    monkeypatch.setattr(c, "FAR", 1)


def operand(dtype: DType, rows: int, width: int) -> Array:
    made = np.random.default_rng(7).integers(-1000, 1000, (rows, width))
    return made.astype(dtype.numpy) / dtype.numpy.type(8) if dtype.kind == "f" else made.astype(
        dtype.numpy
    )  # fmt: skip


@pytest.mark.parametrize("flags", [(), ("-DIG_FORCE_WIDTH=8",), ("-DIG_FORCE_WIDTH=4",)], ids=str)
def test_bits_are_equal_with_and_without(
    flags: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that are whole lines, rows that begin anywhere, tails; known sizes and the general
    form; every dtype that is streamed."""
    dtypes = (float32, float64, int32, int64, uint32)
    programs = (shifted_rows, doubled)
    symbols = Dim("rows", min=0), Dim("width", min=1)
    plain, streamed, given = [], [], []
    for make in programs:
        for dtype in dtypes if not flags else (float32, int64):
            general = make(dtype, *symbols)
            for width in WIDTHS:
                plain.append(lower(make(dtype, ROWS, width)))
                given.append((operand(dtype, ROWS, width), {"rows": ROWS, "width": width}))
                assert not streams(plain[-1])
                with monkeypatch.context() as patch:
                    patch.setattr(c, "FAR", 1)
                    streamed.append((lower(make(dtype, ROWS, width)), lower(general)))
                assert streams(streamed[-1][1])
                assert streams(streamed[-1][0]) == (width % 64 == 0)
    functions = iter(build([*plain, *(f for pair in streamed for f in pair)], ("-O1", *flags)))
    expected = [next(functions)(x) for x, _ in given]
    for (x, sizes), (want,) in zip(given, expected, strict=True):
        known, general_form = next(functions), next(functions)
        for backwards in (False, True):
            assert known(x, backwards=backwards)[0].tobytes() == want.tobytes()
            got = general_form(x, sizes=sizes, backwards=backwards)[0]
            assert got.tobytes() == want.tobytes()


@pytest.mark.usefixtures("from_one_byte")
def test_what_is_read_again_is_not_streamed() -> None:
    """By the function, or by whoever reads the operand that the result replaces."""
    assert streams(lower(shifted_rows(float32, ROWS, 128)))
    assert not streams(lower(shifted_rows(float32, ROWS, 128, twice=True)))
    assert not streams(lower(doubled(float32, ROWS, 128), in_place={0: 0}))


def test_small_results_are_not_streamed() -> None:
    """The general form decides when it runs; known sizes decide when text is made."""
    rows = c.FAR // (4 * 128)
    assert streams(lower(doubled(float32, rows, 128)))
    assert not streams(lower(doubled(float32, rows - 1, 128)))
    assert streams(lower(doubled(float32, Dim("rows", min=0), 128)))
    assert not streams(lower(doubled(float32, Dim("rows", min=0, max=rows - 1), 128)))
