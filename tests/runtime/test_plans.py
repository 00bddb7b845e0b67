"""Stored plans: they come back as they were, and are made anew where they can't be read."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from intaglio.compiler.dims import Dim, Size, symbols
from intaglio.compiler.dtypes import DType, float32
from intaglio.compiler.ir import Literal
from intaglio.compiler.where import Where
from intaglio.runtime import cache as caching
from intaglio.runtime.plans import PlanError, decode, encode, stored


@dataclass(frozen=True)
class Part:
    kind: str
    bytes: Size
    dtype: DType
    shape: tuple[Size, ...]
    alias: int | None = None


@dataclass(frozen=True)
class Whole:
    sources: tuple[str, ...]
    parts: tuple[Part, ...]
    places: tuple[tuple[Where, ...], ...]
    data: Literal
    pair: tuple[int, str]
    cost: float
    flag: bool


N, M = Dim("n", max=99), Dim("m", min=0)
WHOLE = Whole(
    ("int f;\n", '"\\\u00e9'),
    (
        Part("temp", 4 * N * M + (N + 1) // 3 * 64, float32, (N, 3)),
        Part("input", 5, float32, (), 2),
    ),
    ((Where("net.py", 3, "Net.a", True),), ()),
    Literal(np.array([1.5, np.nan], np.float32)),
    (-(1 << 70), "x"),
    0.1,
    True,
)
DIMS = {"n": N, "m": M}


def test_a_plan_comes_back_as_it_was() -> None:
    assert decode(Whole, json.loads(json.dumps(encode(WHOLE))), DIMS) == WHOLE


@pytest.mark.parametrize(
    "change",
    [
        {"flag": 1},
        {"cost": "0.1"},
        {"pair": [1, "x", 2]},
        {"sources": "int f;"},
        {"parts": [{"kind": "temp"}]},
        {"extra": 1},
        {"data": {"array": "AAAA", "dtype": "<f4", "shape": [7]}},
        {"places": [[{"file": "a", "line": "3", "scope": "", "gradient": False}]]},
    ],
    ids=lambda c: next(iter(c)),
)
def test_what_does_not_fit_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises((PlanError, ValueError)):
        decode(Whole, {**encode(WHOLE), **change}, DIMS)


def test_sizes_are_of_known_symbols() -> None:
    with pytest.raises(Exception, match="'q' is not declared"):
        decode(Dim, {"size": "4*q"}, DIMS)
    with pytest.raises(PlanError):
        decode(Dim, {"size": "n+n"}, DIMS)


def test_the_second_asking_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTAGLIO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(caching, "_known", {})
    made: list[int] = []

    def make() -> Whole:
        made.append(1)
        return WHOLE

    known = symbols(N, M)
    assert stored(Whole, ("a",), known, make) == WHOLE
    assert stored(Whole, ("a",), known, make) == WHOLE
    assert len(made) == 1
    stored(Whole, ("b",), known, make)
    assert len(made) == 2
    for entry in (tmp_path / "cache").glob("*.plan"):
        entry.write_bytes(entry.read_bytes()[:-3])
    assert stored(Whole, ("a",), known, make) == WHOLE
    assert len(made) == 3
    cache = caching.open_cache()
    (entry, _) = sorted((tmp_path / "cache").glob("*.plan"))[:1] * 2
    cache.write(entry.stem, ".plan", b'{"sources": []}')
    stored(Whole, ("a",), known, make)
    stored(Whole, ("b",), known, make)
    assert len(made) >= 4
