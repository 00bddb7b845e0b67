"""Ways to fill a new parameter, in place and without recording a derivative; each returns the
tensor.

All are made of traceable ops, so that a program's `init` function can draw parameters anew.
`generator` takes the draws from a stream of its own."""

from __future__ import annotations

import math
import warnings
from typing import Any

import intaglio as ig
from intaglio._tensor import Tensor
from intaglio.compiler.errors import ArgumentError

_GAINS = {"sigmoid": 1.0, "tanh": 5.0 / 3.0, "relu": math.sqrt(2.0), "selu": 0.75}
_LINEAR = ("linear", *(f"conv{t}{n}d" for t in ("", "_transpose") for n in (1, 2, 3)))


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which weights are scaled so that a nonlinearity keeps the variance (He et al.
    2015). `param` is the slope of `leaky_relu`."""
    if nonlinearity == "leaky_relu":
        if param is not None and (isinstance(param, bool) or not isinstance(param, int | float)):
            raise ArgumentError(f"calculate_gain: the slope of leaky_relu is a number, not {param}")
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1.0 + slope * slope))
    if nonlinearity in _LINEAR:
        return 1.0
    if nonlinearity not in _GAINS:
        raise ArgumentError(f"calculate_gain: no gain is known for {nonlinearity!r}")
    return _GAINS[nonlinearity]


def _fans(tensor: Tensor) -> tuple[int, int]:
    if tensor.ndim < 2:
        raise ArgumentError(f"fan in and fan out need 2 dimensions or more, not {tensor.ndim}")
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform between a and b."""
    with ig.no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Tensor:
    """Normal with this mean and standard deviation."""
    with ig.no_grad():
        return tensor.normal_(mean, std, generator=generator)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Any = None,
) -> Tensor:
    """Normal, limited to a .. b: a uniform share of the distribution between them, inverted."""
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            f"trunc_normal_: the mean {mean} lies more than 2 std from {a} .. {b}, so the values"
            " may be badly distributed",
            stacklevel=2,
        )
    with ig.no_grad():
        low, high = (math.erf((e - mean) / std / math.sqrt(2.0)) for e in (a, b))
        share = ig.rand(tensor.shape, dtype=ig.float64, generator=generator)
        drawn = ig.erfinv(share * (high - low) + low) * (std * math.sqrt(2.0)) + mean
        return tensor.copy_(drawn.clamp(a, b).to(dtype=tensor.dtype, device=tensor.device))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Every element equal to val."""
    with ig.no_grad():
        return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """Ones."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """Zeros."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """The identity matrix: ones on the diagonal of f[n, m]."""
    if tensor.ndim != 2:
        raise ArgumentError(f"eye_: a matrix is wanted, not {tensor.ndim} dimensions")
    with ig.no_grad():
        return tensor.copy_(ig.eye(*tensor.shape, dtype=tensor.dtype, device=tensor.device))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """A convolution's weight that hands as many channels on as it can, in each group: a one at the
    centre of the window."""
    if not 3 <= tensor.ndim <= 5:
        raise ArgumentError(f"dirac_: a weight has 3, 4 or 5 dimensions, not {tensor.ndim}")
    outputs, inputs, *window = tensor.shape
    if outputs % groups:
        raise ArgumentError(f"dirac_: {outputs} output channels are not divisible by {groups}")
    each = outputs // groups
    # The channel that output o of a group reads is o itself, where there is one.
    channels = ig.eye(each, inputs, dtype=tensor.dtype, device=tensor.device).repeat(groups, 1)
    centre = ig.ones((), dtype=tensor.dtype, device=tensor.device)
    for size in window:
        at = ig.arange(size, device=tensor.device) == size // 2
        centre = centre.unsqueeze(-1) * at.to(tensor.dtype)
    with ig.no_grad():
        return tensor.copy_(channels.reshape(outputs, inputs, *[1] * len(window)) * centre)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Uniform with variance gain^2 * 2 / (fan in + fan out) (Glorot and Bengio 2010)."""
    bound = gain * math.sqrt(6.0 / sum(_fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """Normal with variance gain^2 * 2 / (fan in + fan out) (Glorot and Bengio 2010)."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_fans(tensor))), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float | None:
    """The standard deviation; None for a tensor without elements."""
    if 0 in tensor.shape:
        warnings.warn("kaiming: the tensor has no elements, and nothing is drawn", stacklevel=3)
        return None
    if mode.lower() not in ("fan_in", "fan_out"):
        raise ArgumentError(f"kaiming: mode is 'fan_in' or 'fan_out', not {mode!r}")
    fan = _fans(tensor)[mode.lower() == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Uniform with variance gain^2 / fan (He et al. 2015)."""
    std = _kaiming_std(tensor, a, mode, nonlinearity)
    if std is None:
        return tensor
    bound = math.sqrt(3.0) * std
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Tensor:
    """Normal with variance gain^2 / fan (He et al. 2015)."""
    std = _kaiming_std(tensor, a, mode, nonlinearity)
    return tensor if std is None else normal_(tensor, 0.0, std, generator)


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Tensor:
    """A random (semi-)orthogonal matrix times gain, with dimensions after the first flattened (Saxe
    et al. 2013): Q of a normal matrix, with the signs that make the draw uniform."""
    if tensor.ndim < 2:
        raise ArgumentError(f"orthogonal_: 2 dimensions or more are wanted, not {tensor.ndim}")
    if 0 in tensor.shape:
        return tensor
    with ig.no_grad():
        rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
        drawn = ig.randn(rows, columns, dtype=ig.float64, generator=generator)
        q, r = ig.linalg.qr(drawn if rows >= columns else drawn.mT)
        q = q * ig.sign(ig.diagonal(r))
        q = (q if rows >= columns else q.mT) * gain
        return tensor.copy_(q.reshape(tensor.shape).to(dtype=tensor.dtype, device=tensor.device))


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Any = None) -> Tensor:
    """Normal, with this share of each column's elements (rounded up) set to zero at random (Martens
    2010)."""
    if tensor.ndim != 2:
        raise ArgumentError(f"sparse_: a matrix is wanted, not {tensor.ndim} dimensions")
    rows, columns = tensor.shape
    zeros = math.ceil(sparsity * rows)
    with ig.no_grad():
        tensor.normal_(0.0, std, generator=generator)
        order = ig.rand(rows, columns, generator=generator).argsort(dim=0).argsort(dim=0)
        kept = (order >= zeros).to(device=tensor.device)
        return tensor.mul_(kept.to(tensor.dtype))
