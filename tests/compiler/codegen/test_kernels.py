"""The ops' samples through C: the meaning, and equal bits in the specialised and the general form,
in any order of chunks, with any block size."""

from __future__ import annotations

import numpy as np
import pytest

from intaglio.compiler.dims import Dim, Size
from intaglio.compiler.errors import Error
from intaglio.compiler.lower import Lowered, lower
from intaglio.compiler.op import Builder
from intaglio.compiler.ops.elementwise import Elementwise
from intaglio.compiler.types import TensorType
from tests.compiler.codegen.harness import COMPILER, Array, Function, build
from tests.samples import Case, cases, graph_of

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler on this machine")


def chosen() -> list[Case]:
    """Every sample of ops that look at shapes; of elementwise ops an odd shape per dtype kind and
    the edges of the floats."""
    found: list[Case] = []
    seen: set[tuple[str, ...]] = set()
    for case in cases():
        if case.is_host:
            continue
        if isinstance(case.rule, Elementwise):
            key = (case.op, *(str(t.dtype) for t in case.types), str(case.sample.derivative))
            if case.types[0].dtype.name == "f64" and case.sample.derivative:
                continue
            if key in seen or max(a.ndim for a in case.operands) == 0:
                continue
            seen.add(key)
        if case.op != "fused" and case.rule.type is not None:
            found.append(case)
    return found


def in_symbols(case: Case) -> tuple[Builder, dict[str, int]] | None:
    """The case's graph with a symbol for every size above 1; None when attributes hold sizes."""
    sizes: dict[str, int] = {}

    def symbol(size: Size) -> Size:
        assert isinstance(size, int)
        if size <= 1:
            return size
        sizes[f"n{size}"] = size
        return Dim(f"n{size}", min=0)

    b = Builder()
    xs = [b.input(TensorType(t.dtype, tuple(map(symbol, t.shape)))) for t in case.types]
    try:
        b.apply(case.op, xs, case.attributes)
    except Error:
        return None
    return (b, sizes) if sizes else None


@pytest.fixture(scope="module")
def specialised() -> dict[str, Function]:
    """The chosen samples, compiled for their sizes."""
    found = chosen()
    made = build([lower(graph_of(c), sizes={}) for c in found])
    return {c.id: f for c, f in zip(found, made, strict=True)}


@pytest.mark.parametrize("case", chosen(), ids=lambda c: c.id)
def test_kernel_computes_the_reference(case: Case, specialised: dict[str, Function]) -> None:
    found = specialised[case.id](*case.operands)
    again = specialised[case.id](*case.operands, backwards=True)
    expected = case.rule.reference(*case.operands, **case.attributes)
    many = expected if isinstance(expected, tuple) else (expected,)
    assert len(found) == len(many)
    for got, want, other in zip(found, many, again, strict=True):
        compare(got, np.asarray(want))
        assert got.tobytes() == other.tobytes(), "the order of chunks changes bits"


def compare(got: Array, want: Array) -> None:
    """Integers exactly, floats within a few units (sums within their length)."""
    assert got.dtype == want.dtype and got.shape == want.shape
    if want.dtype.kind in "biu":
        np.testing.assert_array_equal(got, want)
        return
    narrow = want.dtype == np.float32
    rtol, atol = (4e-6, 4e-6) if narrow else (1e-12, 1e-12)
    np.testing.assert_allclose(got, want, rtol=rtol, atol=atol)


def test_general_form_has_the_same_bits() -> None:
    """One sample per op: sizes from dims[], literal sizes, and (maps) blocks of 32."""
    pairs: list[tuple[Case, dict[str, int], list[Lowered]]] = []
    seen: dict[str, int] = {}
    for case in chosen():
        seen[case.op] = seen.get(case.op, 0) + 1
        limit = 1 if isinstance(case.rule, Elementwise) else 5
        made = in_symbols(case) if seen[case.op] <= limit else None
        if made is None:
            continue
        b, sizes = made
        graph = b.graph(list(b.nodes[-1].outputs))
        forms = [lower(graph), lower(graph, sizes=sizes)]
        if not any(t.dtype.size == 8 for t in case.types):
            forms.append(lower(graph, sizes=sizes, lanes=32))
        pairs.append((case, sizes, forms))
    assert len(pairs) > 100
    functions = iter(build([f for _, _, forms in pairs for f in forms]))
    for case, sizes, forms in pairs:
        general = next(functions)(*case.operands, sizes=sizes)
        for _ in forms[1:]:
            special = next(functions)(*case.operands, sizes=sizes)
            for a, b_ in zip(general, special, strict=True):
                assert a.tobytes() == b_.tobytes(), case.id
