"""The older forms of weight and spectral norm, whose parameters lie in the module itself."""

from __future__ import annotations

from typing import Any

import intaglio as ig
from intaglio._tensor import Parameter, Tensor
from intaglio.compiler.errors import ArgumentError
from intaglio.nn._module import Module
from intaglio.nn.utils._injected import inject, take_back
from intaglio.nn.utils._normalized_weights import (
    as_matrix,
    checked_steps,
    largest,
    norm_except_dim,
    power_method,
    start_vectors,
    usual_dim,
)


def _parameter(module: Module, name: str) -> Parameter:
    found = module._parameters.get(name)
    if found is None:
        raise ArgumentError(f"{type(module).__name__} has no parameter {name!r}")
    return found


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """A weight as length times direction, kept as `weight_g` and `weight_v` of the module (Salimans
    and Kingma 2016). `parametrizations.weight_norm` is the newer form."""
    weight, kept = _parameter(module, name), -1 if dim is None else dim
    with ig.no_grad():
        g = norm_except_dim(weight.detach(), 2, kept)
        v = weight.detach().clone()
    delattr(module, name)
    module.register_parameter(f"{name}_g", Parameter(g))
    module.register_parameter(f"{name}_v", Parameter(v))

    def read(self: Any) -> Tensor:
        direction: Tensor = getattr(self, f"{name}_v")
        length: Tensor = getattr(self, f"{name}_g")
        return direction * (length / norm_except_dim(direction, 2, kept))

    inject(module, name, "WeightNorm", read)
    return module


def _plain_again(module: Module, name: str, what: str, suffixes: tuple[str, ...]) -> Module:
    if f"{name}{suffixes[0]}" not in module._parameters:
        raise ArgumentError(f"{what} of {name!r} is not found in {type(module).__name__}")
    with ig.no_grad():
        value = getattr(module, name).detach().clone()
    take_back(module, name)
    for suffix in suffixes:
        delattr(module, name + suffix)
    module.register_parameter(name, Parameter(value))
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Make the weight a plain parameter again, with its present value."""
    return _plain_again(module, name, "weight_norm", ("_g", "_v"))


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """A weight divided by its largest singular value (Miyato et al. 2018), kept as `weight_orig`
    with the buffers `weight_u` and `weight_v`; each forward in training makes steps of the power
    method. `parametrizations.spectral_norm` is the newer form."""
    weight, steps = _parameter(module, name), checked_steps(n_power_iterations)
    rows = usual_dim(module) if dim is None else dim
    u, v = start_vectors(as_matrix(weight.detach(), rows), eps)
    delattr(module, name)
    module.register_parameter(f"{name}_orig", weight)
    module.register_buffer(f"{name}_u", u)
    module.register_buffer(f"{name}_v", v)

    def parts(self: Any) -> tuple[Tensor, Tensor, Tensor]:
        matrix = as_matrix(getattr(self, f"{name}_orig"), rows)
        return matrix, getattr(self, f"{name}_u"), getattr(self, f"{name}_v")

    def improve(self: Any, _: Any) -> None:
        if self.training:
            matrix, u, v = parts(self)
            power_method(matrix.mT, v, u, steps, eps)  # v first, from u

    def read(self: Any) -> Tensor:
        made: Tensor = getattr(self, f"{name}_orig") / largest(*parts(self))
        return made

    handle = module.register_forward_pre_hook(improve)
    module.__dict__["_spectral_norm_hook"] = handle
    inject(module, name, "SpectralNorm", read)
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Make the weight a plain parameter again, with its present value."""
    made = _plain_again(module, name, "spectral_norm", ("_orig", "_u", "_v"))
    handle: Any = module.__dict__.pop("_spectral_norm_hook")
    handle.remove()
    return made
