"""Activation functions as modules: each calls the function of the same name with its constructor's
arguments."""

from __future__ import annotations

import warnings
from typing import Any

import intaglio as ig
import intaglio.nn.functional as F
from intaglio._tensor import Parameter, Tensor
from intaglio.compiler.dtypes import DType
from intaglio.compiler.errors import ArgumentError, ShapeError
from intaglio.nn._module import Module


class _Activation(Module):
    """An elementwise module that remembers the arguments it was made with, for `repr`."""

    def __init__(self, **options: object) -> None:
        super().__init__()
        self._options = options
        for name, value in options.items():
            setattr(self, name, value)

    def extra_repr(self) -> str:
        """The arguments; `inplace` only where it is True."""
        shown = {k: v for k, v in self._options.items() if k != "inplace" or v}
        return ", ".join(f"{name}={value!r}" for name, value in shown.items())


class ReLU(_Activation):
    """max(x, 0)."""

    inplace: bool

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(inplace=inplace)

    def forward(self, input: Tensor) -> Tensor:
        """Elementwise."""
        return F.relu(input, self.inplace)


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

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(ig.full((num_parameters,), init, device=device, dtype=dtype))

    def reset_parameters(self) -> None:
        """The weight that it was made with."""
        with ig.no_grad():
            self.weight.fill_(self.init)

    def forward(self, input: Tensor) -> Tensor:
        """Elementwise."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """The number of weights."""
        return f"num_parameters={self.num_parameters}"


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


class Sigmoid(Module):
    """1 / (1 + exp(-x))."""

    def forward(self, input: Tensor) -> Tensor:
        """Elementwise."""
        return F.sigmoid(input)


class Tanh(Module):
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


class SELU(_Activation):
    """elu scaled so that mean 0 and variance 1 stay as they are (Klambauer et al. 2017)."""

    inplace: bool

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(inplace=inplace)

    def forward(self, input: Tensor) -> Tensor:
        """Elementwise."""
        return F.selu(input, self.inplace)


class CELU(_Activation):
    """x for x > 0, else alpha * (exp(x / alpha) - 1) (Barron 2017)."""

    alpha: float
    inplace: bool

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(alpha=alpha, inplace=inplace)

    def forward(self, input: Tensor) -> Tensor:
        """Elementwise."""
        return F.celu(input, self.alpha, self.inplace)


class RReLU(_Activation):
    """x for x > 0, else x times a slope from lower .. upper: random in training, else the
    mean."""

    lower: float
    upper: float
    inplace: bool

    def __init__(
        self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False
    ) -> None:
        super().__init__(lower=lower, upper=upper, inplace=inplace)

    def forward(self, input: Tensor) -> Tensor:
        """Elementwise."""
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)


class Hardtanh(_Activation):
    """x limited to min_val .. max_val, also under their former names min_value and max_value."""

    min_val: float
    max_val: float
    inplace: bool

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ) -> None:
        for name, value in (("min_value", min_value), ("max_value", max_value)):
            if value is not None:
                warnings.warn(
                    f"Hardtanh: {name} is the former name of {name[:-2]}",
                    FutureWarning,
                    stacklevel=2,
                )
        min_val = min_val if min_value is None else min_value
        max_val = max_val if max_value is None else max_value
        if min_val >= max_val:
            raise ArgumentError(f"Hardtanh: min_val {min_val} is not below max_val {max_val}")
        super().__init__(min_val=min_val, max_val=max_val, inplace=inplace)

    def forward(self, input: Tensor) -> Tensor:
        """Elementwise."""
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)


class ReLU6(Hardtanh):
    """min(max(x, 0), 6)."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self) -> str:
        """`inplace` where it is True."""
        return "inplace=True" if self.inplace else ""


class Threshold(_Activation):
    """x where x > threshold, else `value`."""

    threshold: float
    value: float
    inplace: bool

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__(threshold=threshold, value=value, inplace=inplace)

    def forward(self, input: Tensor) -> Tensor:
        """Elementwise."""
        return F.threshold(input, self.threshold, self.value, self.inplace)


class Hardsigmoid(_Activation):
    """0 to 1 in a straight line from -3 to 3."""

    inplace: bool

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(inplace=inplace)

    def extra_repr(self) -> str:
        """Nothing."""
        return ""

    def forward(self, input: Tensor) -> Tensor:
        """Elementwise."""
        return F.hardsigmoid(input, self.inplace)


class Hardswish(_Activation):
    """x times `Hardsigmoid` (Howard et al. 2019)."""

    inplace: bool

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(inplace=inplace)

    def extra_repr(self) -> str:
        """Nothing."""
        return ""

    def forward(self, input: Tensor) -> Tensor:
        """Elementwise."""
        return F.hardswish(input, self.inplace)


class Mish(_Activation):
    """x * tanh(log(1 + exp(x))) (Misra 2019)."""

    inplace: bool

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(inplace=inplace)

    def forward(self, input: Tensor) -> Tensor:
        """Elementwise."""
        return F.mish(input, self.inplace)


class Hardshrink(_Activation):
    """0 for |x| <= lambd, else x."""

    lambd: float

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__(lambd=lambd)

    def extra_repr(self) -> str:
        """The limit."""
        return str(self.lambd)

    def forward(self, input: Tensor) -> Tensor:
        """Elementwise."""
        return F.hardshrink(input, self.lambd)


class Softshrink(_Activation):
    """x drawn towards 0 by lambd."""

    lambd: float

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__(lambd=lambd)

    def extra_repr(self) -> str:
        """The limit."""
        return str(self.lambd)

    def forward(self, input: Tensor) -> Tensor:
        """Elementwise."""
        return F.softshrink(input, self.lambd)


class Softsign(Module):
    """x / (1 + |x|)."""

    def forward(self, input: Tensor) -> Tensor:
        """Elementwise."""
        return F.softsign(input)


class Tanhshrink(Module):
    """x - tanh(x)."""

    def forward(self, input: Tensor) -> Tensor:
        """Elementwise."""
        return F.tanhshrink(input)


class LogSigmoid(Module):
    """log(sigmoid(x)), without overflow."""

    def forward(self, input: Tensor) -> Tensor:
        """Elementwise."""
        return F.logsigmoid(input)


class GLU(_Activation):
    """a * sigmoid(b), a and b being the halves of the input along `dim` (Dauphin et al. 2017)."""

    dim: int

    def __init__(self, dim: int = -1) -> None:
        super().__init__(dim=dim)

    def forward(self, input: Tensor) -> Tensor:
        """The result is half as long along `dim`."""
        return F.glu(input, self.dim)


class Softmin(_Activation):
    """softmax of -x along `dim`."""

    dim: int | None

    def __init__(self, dim: int | None = None) -> None:
        super().__init__(dim=dim)

    def forward(self, input: Tensor) -> Tensor:
        """The shares along `dim`; they sum to 1."""
        return F.softmin(input, self.dim)


class Softmax2d(Module):
    """softmax over the channels of each pixel."""

    def forward(self, input: Tensor) -> Tensor:
        """input: [n, c, h, w] or [c, h, w]; the result has its shape."""
        if input.ndim not in (3, 4):
            raise ShapeError(f"Softmax2d: {input._kind}: [n, c, h, w] or [c, h, w] is wanted")
        return F.softmax(input, -3)
