"""Every public function that has a derivative: its value against NumPy and SciPy, its first and
second derivative against finite differences, compiled against eager code bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import intaglio as ig
import intaglio.nn.functional as F
from intaglio import linalg, special
from intaglio.autograd import gradcheck, gradgradcheck
from tests.frontend.derivative_table import Row
from tests.frontend.derivative_table_nn import EXEMPT, TABLE

MODULES = {"": ig, "F.": F, "linalg.": linalg, "special.": special}
TOGETHER = 24
"""Functions that are compiled in one program, since each call of the C compiler costs."""
SLOW = {"igamma", "igammac", "special.zeta", "polygamma"}
"""Long loops, whose compiled forms their own tests compare; so do those of three-dimensional
forms, which are made as those of two dimensions are."""


def public() -> Iterator[tuple[str, Any]]:
    """Names and functions; forms in place are those of the functions without the underscore."""
    for prefix, module in MODULES.items():
        for name in getattr(module, "__all__", None) or dir(module):
            found = getattr(module, name)
            plain = isinstance(found, type | ModuleType) or not callable(found)
            if not plain and not name.startswith("_") and not name.endswith("_"):
                yield prefix + name, found


def outputs(made: Any) -> tuple[ig.Tensor, ...]:
    """The floating-point tensors of a result."""
    if isinstance(made, tuple | list):
        return tuple(y for part in made for y in outputs(part))
    return (made,) if made.is_floating_point() else ()


def of_outputs(row: Row) -> Any:
    """The row's function, with a tuple of tensors as result."""
    return lambda *xs: outputs(row.call(*xs))


def test_every_public_function_is_in_the_table_or_exempt() -> None:
    names = dict(public())
    exempt = {name for group in EXEMPT.values() for name in group.split()}
    assert not (exempt | set(TABLE)) - set(names), "a row for a name that is not public"
    assert not exempt & set(TABLE)
    checked = {id(names[name]) for name in TABLE}
    missing = [n for n, f in names.items() if id(f) not in checked and n not in exempt]
    assert not missing, f"give these a row in derivative_table.py: {missing}"


@pytest.mark.parametrize("name", TABLE)
def test_value_and_derivatives(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTAGLIO_EAGER", "1")  # nothing is compiled behind the checks' back
    row = TABLE[name]
    xs = [ig.tensor(x, requires_grad=True) for x in row.inputs]
    made = of_outputs(row)(*xs)
    if row.reference is not None:
        wanted = row.reference(*row.inputs)
        parts = wanted if isinstance(wanted, tuple | list) else (wanted,)
        for ours, theirs in zip(made, parts, strict=True):
            np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=1e-9, atol=1e-12)
    assert all(y.requires_grad for y in made)
    assert gradcheck(of_outputs(row), xs, atol=1e-6, rtol=1e-6)
    if row.second:
        assert gradgradcheck(of_outputs(row), xs, fast_mode=True)


TRACED = [
    name for name, row in TABLE.items() if row.traced and "3d" not in name and name not in SLOW
]
CHUNKS = [TRACED[k : k + TOGETHER] for k in range(0, len(TRACED), TOGETHER)]


@pytest.mark.parametrize("names", CHUNKS, ids=lambda names: names[0])
def test_compiled_as_eager(names: list[str]) -> None:
    arrays = [x for name in names for x in TABLE[name].inputs]

    def everything(*xs: ig.Tensor) -> list[tuple[ig.Tensor, ...]]:
        given, made = iter(xs), []
        for name in names:
            own = [next(given) for _ in TABLE[name].inputs]
            ys, pull = ig.func.vjp(of_outputs(TABLE[name]), *own)
            made.append((*ys, *pull(tuple(ig.ones_like(y) / 3 for y in ys))))
        return made

    tensors = [ig.tensor(x) for x in arrays]
    for name, ours, theirs in zip(
        names, ig.jit(everything)(*tensors), everything(*tensors), strict=True
    ):
        for a, b in zip(ours, theirs, strict=True):
            assert np.array_equal(a.numpy().view(np.int64), b.numpy().view(np.int64)), name
