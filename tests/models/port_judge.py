"""Scripts written for torch (`ports/`), run under either library: only their imports are replaced.

A script has `main(tools)`, which trains and returns numbers. `Tools` gives what has to be the same
in both libraries: weights, drawn by NumPy in f64, and whether a step is compiled."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks.networks import for_torch

PORTS = Path(__file__).parent / "ports"
NAMES = sorted(path.stem for path in PORTS.glob("*.py"))
_numbers = itertools.count()


def port(name: str, framework: str) -> ModuleType:
    """A script as a fresh module in terms of `intaglio` or `torch`."""
    path = PORTS / f"{name}.py"
    text = path.read_text(encoding="utf-8")
    module = ModuleType(f"{framework}_{name}_{next(_numbers)}")
    sys.modules[module.__name__] = module
    code = compile(for_torch(text) if framework == "torch" else text, str(path), "exec")
    exec(code, module.__dict__)  # noqa: S102  # our own file
    return module


class Tools:
    """What a script is given."""

    def __init__(self, framework: str, folder: Path, compiled: bool = False) -> None:
        self.api = __import__(framework)
        self.folder, self._compiled = folder, compiled

    def start(self, module: Any, seed: int = 0) -> Any:
        """The module in f64 with first weights that depend on names' order, shapes and seed."""
        rng, module = np.random.default_rng(seed), module.double()
        with self.api.no_grad():
            for name, p in itertools.chain(module.named_parameters(), module.named_buffers()):
                if name.endswith(("_u", "_v")):  # of the spectral norm
                    drawn = rng.standard_normal(tuple(p.shape))
                    drawn /= np.linalg.norm(drawn)
                elif p.requires_grad:
                    drawn = rng.uniform(-1, 1, tuple(p.shape)) / np.sqrt(max(p.shape[-1:] or (1,)))
                    drawn += float("norm" in name and name.endswith("weight"))
                else:
                    continue
                p.copy_(self.api.from_numpy(np.asarray(drawn)))
        return module

    def compiled(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """The step as it is, or compiled."""
        return self.api.jit(step) if self._compiled else step

    def save(self, weights: Any, name: str) -> None:
        """Write a `state_dict`: the one thing whose spelling differs."""
        if hasattr(self.api, "load_weights"):
            self.api.save(weights, self.folder / f"{name}.npz")
        else:
            self.api.save(weights, self.folder / f"{name}.pt")

    def load(self, name: str) -> Any:
        """Read a `state_dict`."""
        if hasattr(self.api, "load_weights"):
            return self.api.load_weights(self.folder / f"{name}.npz")
        return self.api.load(self.folder / f"{name}.pt", map_location="cpu")
