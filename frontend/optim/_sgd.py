"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import intaglio as ig
from intaglio._tensor import Tensor
from intaglio.compiler.errors import ArgumentError
from intaglio.optim._checks import not_negative, number, ways_agree
from intaglio.optim._groups import ParameterGroup
from intaglio.optim._optimizer import Moments, Optimizer


class SGD(Optimizer):
    """p -= lr * d with d = g + weight_decay * p, smoothed by momentum: b = momentum * b + (1 -
    dampening) * d.

    `nesterov` takes d + momentum * b (Sutskever et al. 2013). The buffer b starts as the first d.
    """

    switches = ("weight_decay", "momentum", "dampening")
    saves_step = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float | Tensor = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        not_negative("SGD", lr=lr, momentum=momentum, weight_decay=weight_decay)
        ways_agree("SGD", fused, foreach, differentiable)
        if nesterov and (number("SGD", "momentum", momentum) <= 0 or dampening != 0):
            raise ArgumentError("SGD: nesterov needs a momentum and no dampening")
        options = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, options)

    def moments(self, parameter: Tensor, group: ParameterGroup) -> Moments:
        """The momentum buffer, if there is momentum."""
        if group.is_zero("momentum"):
            return {}
        return {"momentum_buffer": ig.zeros_like(parameter.detach())}

    def update(
        self, p: Tensor, g: Tensor, moments: Moments, group: ParameterGroup, step: Tensor
    ) -> tuple[Tensor, Moments]:
        """One step of the class's formula."""
        h = group.numbers_as(p.dtype)
        d = g if group.is_zero("weight_decay") else g + p * h["weight_decay"]
        if group.is_zero("momentum"):
            return p - d * h["lr"], {}
        grown = moments["momentum_buffer"] * h["momentum"]
        if group.is_zero("dampening"):
            buffer = grown + d
        else:
            buffer = ig.where(step == 1.0, d, grown + d * (1.0 - h["dampening"]))
        direction = d + buffer * h["momentum"] if group["nesterov"] else buffer
        return p - direction * h["lr"], {"momentum_buffer": buffer}
