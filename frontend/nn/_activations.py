"""Activation functions as modules: each calls the function of the same name with its constructor's
arguments."""

from __future__ import annotations

import intaglio as ig
import intaglio.nn.functional as F
from intaglio._tensor import Parameter, Tensor
from intaglio.nn._module import Module


class _Activation(Module):
    """An elementwise module that remembers the arguments it was made with, for `repr`."""

    def __init__(self, **options: object) -> None:
        super().__init__()
        self._options = options
        for name, value in options.items():
            setattr(self, name, value)

    def extra_repr(self) -> str:
        """The arguments."""
        return ", ".join(f"{name}={value!r}" for name, value in self._options.items())


class ReLU(_Activation):
    """max(x, 0)."""

    inplace: bool

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(inplace=inplace)

    def forward(self, input: Tensor) -> Tensor:
        """Elementwise."""
        return F.relu(input, self.inplace)


class ReLU6(_Activation):
    """min(max(x, 0), 6)."""

    inplace: bool

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(inplace=inplace)

    def forward(self, input: Tensor) -> Tensor:
        """Elementwise."""
        return F.relu6(input, self.inplace)


class LeakyReLU(_Activation):
    """x for x > 0, else negative_slope * x."""

    negative_slope: float
    inplace: bool

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__(negative_slope=negative_slope, inplace=inplace)

    def forward(self, input: Tensor) -> Tensor:
        """Elementwise."""
        return F.leaky_relu(input, self.negative_slope, self.inplace)


class PReLU(Module):
    """x for x > 0, else weight * x with a trained weight per channel (dimension 1) or one for
    all."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.weight = Parameter(ig.full((num_parameters,), init))

    def forward(self, input: Tensor) -> Tensor:
        """Elementwise."""
        weight = self.weight
        if self.num_parameters > 1 and input.ndim > 1:
            weight = weight.reshape((1, self.num_parameters) + (1,) * (input.ndim - 2))
        return ig.where(input > 0, input, input * weight)


class ELU(_Activation):
    """x for x > 0, else alpha * (exp(x) - 1)."""

    alpha: float
    inplace: bool

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(alpha=alpha, inplace=inplace)

    def forward(self, input: Tensor) -> Tensor:
        """Elementwise."""
        return F.elu(input, self.alpha, self.inplace)


class GELU(_Activation):
    """x * Phi(x) (Hendrycks and Gimpel 2016)."""

    approximate: str

    def __init__(self, approximate: str = "none") -> None:
        super().__init__(approximate=approximate)

    def forward(self, input: Tensor) -> Tensor:
        """Elementwise."""
        return F.gelu(input, self.approximate)


class SiLU(_Activation):
    """x * sigmoid(x)."""

    inplace: bool

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(inplace=inplace)

    def forward(self, input: Tensor) -> Tensor:
        """Elementwise."""
        return F.silu(input, self.inplace)


class Sigmoid(_Activation):
    """1 / (1 + exp(-x))."""

    def forward(self, input: Tensor) -> Tensor:
        """Elementwise."""
        return F.sigmoid(input)


class Tanh(_Activation):
    """The hyperbolic tangent."""

    def forward(self, input: Tensor) -> Tensor:
        """Elementwise."""
        return F.tanh(input)


class Softplus(_Activation):
    """log(1 + exp(beta x)) / beta."""

    beta: float
    threshold: float

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__(beta=beta, threshold=threshold)

    def forward(self, input: Tensor) -> Tensor:
        """Elementwise."""
        return F.softplus(input, self.beta, self.threshold)


class Softmax(_Activation):
    """softmax along `dim`."""

    dim: int | None

    def __init__(self, dim: int | None = None) -> None:
        super().__init__(dim=dim)

    def forward(self, input: Tensor) -> Tensor:
        """The shares along `dim`; they sum to 1."""
        return F.softmax(input, self.dim)


class LogSoftmax(_Activation):
    """log(softmax) along `dim`."""

    dim: int | None

    def __init__(self, dim: int | None = None) -> None:
        super().__init__(dim=dim)

    def forward(self, input: Tensor) -> Tensor:
        """The logarithms of the shares along `dim`."""
        return F.log_softmax(input, self.dim)
