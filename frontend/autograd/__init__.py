"""torch.autograd's names: `grad`, `backward`, `Function`, `functional`, `graph`, and the checks of
derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from intaglio._backward import backward as _backward, grad
from intaglio._core import Tensor
from intaglio._custom import custom_vjp
from intaglio._gradcheck import gradcheck, gradgradcheck
from intaglio._modes import enable_grad, inference_mode, no_grad, set_grad_enabled
from intaglio._watch import detect_anomaly, is_anomaly_enabled, set_detect_anomaly
from intaglio.autograd import function, functional, graph
from intaglio.autograd.function import Function
from intaglio.compiler.errors import ArgumentError, GradientError

__all__ = [
    "Function", "GradcheckError", "Variable", "backward", "custom_vjp", "detect_anomaly",
    "enable_grad", "function", "functional", "grad", "gradcheck", "gradgradcheck", "graph",
    "inference_mode", "is_anomaly_enabled", "no_grad", "set_detect_anomaly", "set_grad_enabled",
]  # fmt: skip

GradcheckError = GradientError


class _OfTensors(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Tensor)


class Variable(metaclass=_OfTensors):
    """torch's former name of a tensor that has a derivative: `Variable(x, requires_grad=True)` is a
    tensor with x's memory. Every tensor is an instance of it."""

    def __new__(cls, data: Tensor, requires_grad: bool = False, volatile: bool = False) -> Any:
        if not isinstance(data, Tensor):
            raise ArgumentError(f"Variable: a tensor is wanted, not {type(data).__name__}")
        return data.detach().requires_grad_(requires_grad)


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Any = None,
) -> None:
    """Add the derivatives of `tensors` (weighted by `grad_tensors`) to the `.grad` of the leaves,
    of `inputs` alone where they are given."""
    if grad_variables is not None:
        if grad_tensors is not None:
            raise ArgumentError("backward: grad_variables is another name of grad_tensors")
        grad_tensors = grad_variables
    roots = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    if grad_tensors is None:
        weights: list[Tensor | None] = [None] * len(roots)
    else:
        weights = [grad_tensors] if isinstance(grad_tensors, Tensor) else list(grad_tensors)
    _backward(roots, weights, retain_graph, create_graph, inputs)
