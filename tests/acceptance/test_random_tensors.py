"""Random programs over tensors of all types and odd shapes, with views, indices and writes in
place: eager, compiled and loaded agree bit for bit; values and derivatives are torch's."""

from __future__ import annotations

import importlib
import importlib.util
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import intaglio as ig
from tests.acceptance.models import save
from tests.acceptance.random_tensor_steps import NEW, PLACES, VIEWS
from tests.acceptance.random_tensors import (
    TOLERANCE,
    Program,
    array,
    bits,
    difference,
    draw,
    dtype_name,
    roundings,
    shrink,
)

EVERY = {x for table in (*NEW.values(), *PLACES.values(), VIEWS) for x in table}
REFUSED = ("depends on data", "own tensor would not take that over", "is a leaf that requires grad")
"""What traces say of programs that run eagerly only."""
QUICK, BESIDE_TORCH = 4, 40

torch: Any = None
if importlib.util.find_spec("torch") is not None:
    torch = importlib.import_module("torch")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Overflow and NaN are among what is tried."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


# --------------------------------------------------------------------- eager, compiled and loaded


def same_in_all_ways(program: Program, folder: Path | None) -> str:
    """What differs between the ways in which a program runs; empty if nothing does."""
    run = program.function(ig)
    eager_given, jit_given = (program.tensors(ig, ask=False) for _ in range(2))
    try:
        eager = bits(run(*eager_given))
    except Exception:  # a write to what the derivative reads; a line that shrinking took away
        return ""
    left = bits(dict(zip(program.given, eager_given, strict=True)))
    ways = {}
    try:
        ways["jit"] = bits(ig.jit(run)(*jit_given))
        if bits(dict(zip(program.given, jit_given, strict=True))) != left:
            return "jit leaves other arguments"
        if folder is not None:
            model = save(ig.trace(run, *program.tensors(ig, ask=False)), folder)
            ways["file"] = bits(model(*program.inputs))
    except ig.Error as error:
        refused = any(text in str(error) for text in REFUSED)
        return "" if refused else f"{type(error).__name__}: {error}"
    for way, made in ways.items():
        different = [name for name in eager if made.get(name) != eager[name]]
        if different:
            name = different[0]
            return f"{way}: {name} is {made.get(name)}, eagerly {eager[name]}"
    return ""


def check_ways(seed: int, folder: Path | None = None, *, length: int | None = None) -> None:
    """Fail with a short program where eager, compiled and loaded differ."""
    program = draw(seed, ig, static=True, length=length)
    found = same_in_all_ways(program, folder)
    if found:
        less = shrink(program, lambda p: bool(same_in_all_ways(p, folder)))
        raise AssertionError(f"{less}\n{same_in_all_ways(less, folder)}")


@pytest.mark.parametrize("seed", range(QUICK))
def test_eager_compiled_and_loaded_agree(seed: int, tmp_path: Path) -> None:
    check_ways(seed, tmp_path, length=8)


def test_the_same_seed_draws_the_same_program() -> None:
    first, second = draw(3, ig), draw(3, ig)
    assert str(first) == str(second)
    assert 5 <= len(first.lines) <= 25
    assert {line.template for line in first.lines} <= EVERY


def test_templates_are_of_one_kind_each() -> None:
    assert len(EVERY) > 400
    assert all(re.search(r"\$[xnfib]\b", x) for x in EVERY)


def test_a_program_that_fails_is_made_shorter() -> None:
    program = draw(3, ig)
    kept = program.lines[3]
    less = shrink(program, lambda p: kept in p.lines)
    assert less.lines == [kept]


# ----------------------------------------------------------------------------------- beside torch


def beside_torch(program: Program) -> str:
    """What differs from torch; empty if nothing does, or if torch does not run the program."""
    try:
        want = program.function(torch)(*program.tensors(torch))
    except Exception:  # a write to what torch saved for the derivative
        return ""
    try:
        got = program.function(ig)(*program.tensors(ig))
    except ig.Error as error:  # loud, not wrong: memory is shared or saved elsewhere than in torch
        loud = "share one place" in str(error) or "changed in place afterwards" in str(error)
        return "" if loud else f"{type(error).__name__}: {error}"
    loosest = max(roundings(want), TOLERANCE["float32"])
    for name, theirs in want.items():
        if name not in got:
            if np.any(array(theirs)):
                return f"{name} is None, torch has {array(theirs).tolist()}"
            continue
        if name.startswith("grad") and not np.isfinite(array(theirs)).all():
            continue  # 0 times infinity, where the two differ
        near = name in program.near or name.startswith("grad")
        bound = max(loosest, TOLERANCE.get(dtype_name(theirs), 0)) if near else 0
        found = difference(got[name], theirs, bound)
        if found:
            return f"{name}: {found}"
    more = [name for name in got if name not in want and np.any(array(got[name]))]
    return f"{more[0]}: torch has None" if more else ""


def check_torch(seed: int) -> None:
    """Fail with a short program where values or derivatives are not torch's."""
    program = draw(seed, torch)
    found = beside_torch(program)
    if found:
        less = shrink(program, lambda p: bool(beside_torch(p)))
        raise AssertionError(f"{less}\n{beside_torch(less)}")


@pytest.mark.torch
def test_values_and_derivatives_are_those_of_torch() -> None:
    for seed in range(BESIDE_TORCH):
        check_torch(seed)
