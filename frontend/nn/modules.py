"""torch's files of layers (`nn.modules.batchnorm`, `nn.modules.loss`, ...), for code that imports
from there. Each of them has all names of `intaglio.nn`, and the bases that code asks for."""

from __future__ import annotations

import copy
import itertools
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from types import ModuleType
from typing import Any, Final

FILES: Final = (
    "activation", "adaptive", "batchnorm", "channelshuffle", "container", "conv", "distance",
    "dropout", "flatten", "fold", "instancenorm", "lazy", "linear", "loss", "module",
    "normalization", "padding", "pixelshuffle", "pooling", "rnn", "sparse", "transformer",
    "upsampling", "utils",
)  # fmt: skip
BASES: Final = {
    "_BatchNorm": ("_batchnorm_layers", "_BatchNorm"),
    "_InstanceNorm": ("_batchnorm_layers", "_InstanceNorm"),
    "_NormBase": ("_batchnorm_layers", "_Norm"),
    "_ConvNd": ("_convolutions", "_Convolution"),
    "_ConvTransposeNd": ("_convolutions", "_ConvTranspose"),
    "_Loss": ("_criteria", "_Loss"),
    "_WeightedLoss": ("_criteria", "_WeightedLoss"),
    "_MaxPoolNd": ("_pooling_layers", "_MaxPool"),
}
"""Bases under torch's names: the file and the name here."""


def _several(count: int) -> Callable[[Any], tuple[Any, ...]]:
    def parse(x: Any) -> tuple[Any, ...]:
        return tuple(x) if isinstance(x, Iterable) else tuple(itertools.repeat(x, count))

    return parse


def _get_clones(module: Any, N: int) -> Any:
    """A ModuleList of copies of a module."""
    return import_module("intaglio.nn").ModuleList([copy.deepcopy(module) for _ in range(N)])


HELPERS: Final = {
    "_ntuple": _several,
    "_single": _several(1),
    "_pair": _several(2),
    "_triple": _several(3),
    "_quadruple": _several(4),
    "_get_clones": _get_clones,
}


def _find(name: str) -> Any:
    if name in HELPERS:
        return HELPERS[name]
    if name in BASES:
        file, own = BASES[name]
        return getattr(import_module(f"intaglio.nn.{file}"), own)
    if not name.startswith("_"):
        return getattr(import_module("intaglio.nn"), name)
    raise AttributeError(f"module 'intaglio.nn.modules' has no attribute {name!r}")


def _file(name: str) -> ModuleType:
    made = ModuleType(f"{__name__}.{name}", f"The names of `nn`, as torch's `nn.modules.{name}`.")
    made.__dict__["__getattr__"] = _find
    sys.modules[made.__name__] = made
    return made


globals().update({name: _file(name) for name in FILES})


def __getattr__(name: str) -> Any:
    """A name of `nn`, a base, or a helper."""
    return _find(name)
