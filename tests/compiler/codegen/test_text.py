"""The generated text: linear in the graph, free of users' strings, with numbers bit for bit."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from intaglio.compiler.codegen.numbers import constant, integer, size_text
from intaglio.compiler.dims import Dim
from intaglio.compiler.dtypes import DTYPES, dtype_named, float32, float64
from intaglio.compiler.ir import Graph, Node, Value
from intaglio.compiler.lower import lower
from intaglio.compiler.op import Builder
from intaglio.compiler.passes.fuse import fuse
from intaglio.compiler.types import TensorType
from intaglio.compiler.where import Where
from tests.compiler.codegen.harness import COMPILER, PRELUDE, build

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler on this machine")
HOSTILE = (
    '"); system("id"); //', "*/ int x; /*", "\\\n#include </etc/passwd>", "k3", "v17", "main", "\0",
    "%s%n", "??/", "'; DROP", "é\u202e", "a" * 5000, "\r\n", "#define float int", "__asm__", "}{",
)  # fmt: skip


def chain(depth: int) -> Graph:
    """x -> x * x, again and again: a chain of diamonds."""
    b = Builder()
    x = b.input(TensorType(float32, (100,)))
    for _ in range(depth):
        x = b.mul(x, x)
    return b.graph([x])


def test_diamonds_give_text_linear_in_depth() -> None:
    lengths = [len(lower(fuse(chain(d)), sizes={}).sources[0]) for d in (10, 20, 30)]
    assert len(lower(fuse(chain(30)), sizes={}).steps) == 1
    assert abs((lengths[2] - lengths[1]) - (lengths[1] - lengths[0])) < 200


def named(hint: str) -> Graph:
    """One graph, whose names and places are a user's string."""
    b = Builder()
    where = (Where(hint, 3, hint),)
    with b.placed(where):
        x = b.input(TensorType(float32, (Dim("n"), 8)), hint)
        y = b.softplus(x) if hasattr(b, "softplus") else b.exp(x)
        z = b.sum(b.mul(y, x), axes=(1,))
    nodes = []
    here: dict[Value, Value] = {x: x}
    for node in b.nodes:
        outputs = [Value(v.type, hint) for v in node.outputs]
        here.update(zip(node.outputs, outputs, strict=True))
        operands = [here[v] for v in node.inputs]
        nodes.append(Node(node.op, operands, outputs, node.attributes, where))
    return Graph((x,), tuple(nodes), (here[z],))


def test_no_string_of_a_user_reaches_the_text() -> None:
    texts = {lower(fuse(named(hint))).sources for hint in HOSTILE}
    assert len(texts) == 1


def test_size_names_do_not_matter() -> None:
    def text(name: str) -> tuple[str, ...]:
        b = Builder()
        x = b.input(TensorType(float32, (Dim(name), 8)))
        return lower(b.graph([b.sum(b.exp(x), axes=(0,))])).sources

    assert text("n") == text("int") == text("dims") == text("k0") == text("zz9")


@needs_compiler
def test_random_constants_come_back_bit_for_bit() -> None:
    """10,000 random bit patterns per float type, NaN payloads, subnormals and infinities among
    them, compiled as a table of literals."""
    random = np.random.default_rng(5)
    lines = ['#include "ig_prelude.h"']
    expected = {}
    for dtype, word, kind in ((float64, np.uint64, "double"), (float32, np.uint32, "float")):
        high = np.iinfo(word).max
        bits = random.integers(0, high, 10_000, dtype=word, endpoint=True)
        bits[:4] = [0, 1, high, 1 << (8 * dtype.size - 1)]
        expected[kind] = bits
        texts = [constant(v, dtype) for v in bits.view(dtype.numpy)]
        lines.append(f"void table_{kind}({kind} *p);")
        lines.append(f"void table_{kind}({kind} *p) {{")
        lines += [f"  p[{k}] = {t};" for k, t in enumerate(texts)]
        lines.append("}")
    tables = compile_tables("\n".join(lines))
    for kind, bits in expected.items():
        found = np.zeros_like(bits)
        getattr(tables, f"table_{kind}")(found.ctypes.data_as(__import__("ctypes").c_void_p))
        np.testing.assert_array_equal(found, bits)


def compile_tables(text: str):  # type: ignore[no-untyped-def]  # a ctypes library
    """Compile without optimisation."""
    import ctypes
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="tables"))
    (folder / "t.c").write_text(text)
    command = [str(COMPILER), "-O0", "-shared", "-fPIC", f"-I{PRELUDE}", "-march=native"]
    subprocess.run([*command, str(folder / "t.c"), "-o", str(folder / "t.so")], check=True)
    return ctypes.CDLL(str(folder / "t.so"))


def test_literals_of_all_types() -> None:
    assert constant(-0.0, float64) == "-0x0.0p+0"
    assert constant(0.1, float32).endswith("f")
    assert (
        float.fromhex(constant(0.1, float32)[:-1]) == struct.unpack("f", struct.pack("f", 0.1))[0]
    )
    assert constant(-(1 << 63), dtype_named("i64")) == "(-9223372036854775807ll - 1)"
    assert constant(300, dtype_named("u8")) == "44"
    assert constant(200, dtype_named("i8")) == "-56"
    assert constant(True, dtype_named("bool")) == "1"
    assert integer(1 << 40) == "1099511627776ll"
    for dtype in DTYPES:
        if dtype.name not in ("f16", "bf16"):
            assert constant(1, dtype)


def test_sizes_as_text() -> None:
    n, m = Dim("n"), Dim("m")
    text = size_text(n * m * 2 - 3 + (n + 1) // 4, lambda s: s.name)
    assert text == "((n + 1) / 4) + m * n * 2 - 3"


@needs_compiler
def test_several_translation_units_link() -> None:
    from intaglio.compiler.codegen import function

    before = function.UNIT_WORK
    b = Builder()
    x = b.input(TensorType(float32, (64, 100)))
    y = b.matmul(x, b.permute(x, axes=(1, 0)))
    outputs = [b.sum(b.exp(x), axes=(0,)), b.sum(x, axes=(1,)), y]
    graph = b.graph(outputs)
    try:
        function.UNIT_WORK = 10  # type: ignore[misc]
        units = lower(graph, sizes={})
    finally:
        function.UNIT_WORK = before  # type: ignore[misc]
    assert len(units.sources) > 1
    a = np.random.default_rng(0).standard_normal((64, 100)).astype(np.float32)
    (whole,) = build([lower(graph, sizes={})])
    from tests.compiler.codegen.harness import build_units

    split = build_units(units)
    for one, other in zip(whole(a), split(a), strict=True):
        assert one.tobytes() == other.tobytes()
