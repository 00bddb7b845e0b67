"""Parametrizations to register: weights by length and direction, of spectral norm one, and
orthogonal."""

from __future__ import annotations

from typing import Any

import intaglio as ig
import intaglio.nn.functional as F
from intaglio._tensor import Tensor
from intaglio.compiler.errors import ArgumentError
from intaglio.nn._module import Module
from intaglio.nn.utils import parametrize
from intaglio.nn.utils._normalized_weights import (
    as_matrix,
    checked_steps,
    largest,
    norm_except_dim,
    power_method,
    start_vectors,
    usual_dim,
)

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


def _tensor_of(module: Module, name: str) -> Tensor:
    found = getattr(module, name, None)
    if not isinstance(found, Tensor):
        raise ArgumentError(f"{type(module).__name__} has no parameter or buffer {name!r}")
    return found


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Tensor, weight_v: Tensor) -> Tensor:
        """v * (g / |v|)."""
        return weight_v * (weight_g / norm_except_dim(weight_v, 2, self.dim))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Length and direction."""
        return norm_except_dim(weight, 2, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """A weight as length times direction, per index of `dim` or for None as a whole (Salimans and
    Kingma 2016). Originals 0 and 1 are the two; states of the older `nn.utils.weight_norm` load."""
    _tensor_of(module, name)
    parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def renamed(state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
        for k, suffix in enumerate(("_g", "_v")):
            if prefix + name + suffix in state_dict:
                key = f"{prefix}parametrizations.{name}.original{k}"
                state_dict[key] = state_dict.pop(prefix + name + suffix)

    module._register_load_state_dict_pre_hook(renamed)
    return module


class _SpectralNorm(Module):
    _u: Tensor
    _v: Tensor

    def __init__(self, weight: Tensor, steps: int, dim: int, eps: float) -> None:
        super().__init__()
        if not -weight.ndim <= dim < weight.ndim:
            raise ArgumentError(f"spectral_norm: dim {dim} is out of range for {weight.ndim}")
        self.n_power_iterations = checked_steps(steps)
        self.dim, self.eps = dim % weight.ndim, eps
        if weight.ndim > 1:
            u, v = start_vectors(as_matrix(weight.detach(), self.dim), eps)
            self.register_buffer("_u", u)
            self.register_buffer("_v", v)
            power_method(as_matrix(weight, self.dim), self._u, self._v, 15, eps)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight over its largest singular value."""
        if weight.ndim == 1:
            made: Tensor = F.normalize(weight, dim=0, eps=self.eps)
            return made
        matrix = as_matrix(weight, self.dim)
        if self.training:
            power_method(matrix, self._u, self._v, self.n_power_iterations, self.eps)
        return weight / largest(matrix, self._u, self._v)

    def right_inverse(self, value: Tensor) -> Tensor:
        """The value, which is taken to be normalized already."""
        return value


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """A weight divided by its largest singular value (Miyato et al. 2018), estimated by the power
    method: in training each use makes `n_power_iterations` steps. `dim` counts outputs: 0, and 1
    for transposed convolutions."""
    weight = _tensor_of(module, name)
    dim = usual_dim(module) if dim is None else dim
    made = _SpectralNorm(weight, n_power_iterations, dim, eps)
    return parametrize.register_parametrization(module, name, made)


_MAPS = ("matrix_exp", "cayley", "householder")


class _Orthogonal(Module):
    base: Tensor | None

    def __init__(self, orthogonal_map: str, use_trivialization: bool) -> None:
        super().__init__()
        self.orthogonal_map, self.use_trivialization = orthogonal_map, use_trivialization
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, x: Tensor) -> Tensor:
        """An orthogonal matrix, as long as its shorter side reaches."""
        turned = x.shape[-2] < x.shape[-1]
        x = x.mT if turned else x
        q = self._householder(x) if self.orthogonal_map == "householder" else self._of_skew(x)
        if self.use_trivialization and self.base is not None:
            q = self.base @ q
        return q.mT if turned else q

    def _of_skew(self, x: Tensor) -> Tensor:
        """A map of the skew-symmetric matrix that x's lower triangle makes."""
        n, k = x.shape[-2:]
        lower = ig.tril(x)
        if n != k:
            lower = ig.cat([lower, ig.zeros(*x.shape[:-1], n - k, dtype=x.dtype)], dim=-1)
        a = lower - lower.mT
        if self.orthogonal_map == "matrix_exp":
            q: Tensor = ig.linalg.matrix_exp(a)
        else:
            one = ig.eye(n, dtype=x.dtype)
            q = ig.linalg.solve(one - 0.5 * a, one + 0.5 * a)
        return q[..., :k] if n != k else q

    @staticmethod
    def _householder(x: Tensor) -> Tensor:
        """The product of reflections by the columns below the diagonal, whose signs scale it."""
        a = ig.tril(x, -1)
        tau = 2.0 / (1.0 + (a * a).sum(-2))
        q: Tensor = ig.linalg.householder_product(a, tau)
        return q * ig.diagonal(x, dim1=-2, dim2=-1).to(ig.int32).to(x.dtype).unsqueeze(-2)

    def right_inverse(self, q: Tensor) -> Tensor:
        """Starts at the nearest orthogonal matrix, kept as the base."""
        if not self.use_trivialization:
            raise NotImplementedError("orthogonal: without a base a matrix can't be assigned")
        n, k = q.shape[-2:]
        wide = q.mT if n < k else q
        missing = abs(n - k)
        if missing:
            more = ig.randn(*wide.shape[:-1], missing, dtype=q.dtype)
            wide = ig.cat([wide, more], dim=-1)
        found, r = ig.linalg.qr(wide)
        signs = ig.sign(ig.diagonal(r, dim1=-2, dim2=-1)).unsqueeze(-2)
        self.base = (found * signs).detach()
        start = -ig.eye(n, k, dtype=q.dtype)
        return start.expand(q.shape).clone()


def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """A matrix with orthonormal rows or columns, from "matrix_exp" (the default of square ones),
    "cayley" or "householder" (Lezcano-Casado 2019). With `use_trivialization` it starts at the
    matrix there was, made orthogonal; without it can't be assigned."""
    weight = _tensor_of(module, name)
    if weight.ndim < 2:
        raise ArgumentError(f"orthogonal: a matrix is wanted, not {weight.ndim} dimensions")
    chosen = orthogonal_map
    if chosen is None:
        chosen = "matrix_exp" if weight.shape[-2] == weight.shape[-1] else "householder"
    if chosen not in _MAPS:
        raise ArgumentError(f"orthogonal: orthogonal_map is one of {_MAPS}, not {chosen!r}")
    made = _Orthogonal(chosen, use_trivialization)
    return parametrize.register_parametrization(module, name, made, unsafe=True)
