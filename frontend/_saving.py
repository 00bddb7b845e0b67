"""`save`: weights or a program into one file, by torch's name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from intaglio._core import Tensor
from intaglio._program import Program
from intaglio.compiler.errors import ArgumentError
from intaglio.runtime.weights import save_weights


def save(obj: Any, f: str | os.PathLike[str]) -> None:
    """Write a `state_dict()` (names and tensors; `.safetensors` or `.npz`, read again by
    `load_weights`) or a `Program` (read again by `load`) into the file `f`.

    Raises `ArgumentError` for anything else, which names what can be saved: no file holds Python
    objects, since reading them would run code."""
    if not isinstance(f, str | os.PathLike):
        raise ArgumentError(f"save: a path is wanted, not {type(f).__name__}; write to a file")
    if isinstance(obj, Program):
        obj.save(f)
        return
    kind = type(obj).__name__
    if not isinstance(obj, Mapping):
        if hasattr(obj, "state_dict"):
            raise ArgumentError(
                f"save: a {kind} is saved as its state: save(x.state_dict(), path); to save a"
                " model with its code, trace(model, ...).save(path)"
            )
        if isinstance(obj, Tensor | np.ndarray):
            raise ArgumentError('save: tensors are saved by name: save({"x": x}, path)')
        raise ArgumentError(f"save: a state_dict or a Program is saved, not {kind}")
    for name, value in obj.items():
        if not isinstance(name, str) or not isinstance(value, Tensor | np.ndarray):
            raise ArgumentError(
                f"save: {name!r} holds {type(value).__name__}, and a file of weights holds tensors"
                " by name; a training run's objects and values go into a checkpoint:"
                " save_checkpoint(path, model=model, optimizer=optimizer, epoch=3)"
            )
    save_weights(f, obj)
