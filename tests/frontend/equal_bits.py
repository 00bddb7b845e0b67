"""Runs a function in the ways that users do, and holds the results to equal bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import intaglio as ig


def flat(made: Any) -> list[Any]:
    """The tensors of nested results."""
    if isinstance(made, tuple | list):
        return [t for part in made for t in flat(part)]
    return [made]


def same(function: Callable[..., Any], *arrays: Any, file: Path | None = None) -> list[Any]:
    """The eager results as arrays; a compiled run (and one from a file, given a folder) has their
    bits."""
    tensors = [ig.tensor(a) for a in arrays]
    eager = [t.detach().numpy() for t in flat(function(*tensors))]
    runs = [[t.detach().numpy() for t in flat(ig.jit(function)(*tensors))]]
    if file is not None:
        ig.trace(function, *tensors).save(str(file / "model.ig"))
        made = ig.load(str(file / "model.ig"))(*[np.asarray(a) for a in arrays])
        runs.append([np.asarray(t) for t in flat(made)])
    for run in runs:
        for a, b in zip(eager, run, strict=True):
            assert a.dtype == b.dtype and a.shape == b.shape
            assert a.tobytes() == b.tobytes()
    return eager
