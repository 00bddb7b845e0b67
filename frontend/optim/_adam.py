"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import intaglio as ig
from intaglio._tensor import Tensor
from intaglio.optim._checks import not_negative, shares
from intaglio.optim._optimizer import Moments, Optimizer, ParameterGroup


class Adam(Optimizer):
    """Steps along the mean gradient over the root of the mean squared one, both debiased (Kingma
    and Ba 2014).

    `weight_decay` adds weight_decay * p to the gradient. `amsgrad` divides by the largest second
    moment so far (Reddi et al. 2018)."""

    decoupled = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        name = type(self).__name__
        not_negative(name, lr=lr, eps=eps, weight_decay=weight_decay)
        shares(name, beta1=betas[0], beta2=betas[1])
        options = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
        }
        super().__init__(params, options)

    def moments(self, parameter: Tensor, group: ParameterGroup) -> Moments:
        """First and second moment, and the largest second one with `amsgrad`."""
        names = ["exp_avg", "exp_avg_sq"] + ["max_exp_avg_sq"] * bool(group["amsgrad"])
        return {name: ig.zeros_like(parameter.detach()) for name in names}

    def update(
        self, p: Tensor, g: Tensor, moments: Moments, group: ParameterGroup, step: Tensor
    ) -> tuple[Tensor, Moments]:
        """One step of the class's formula; what does not depend on the element is computed in
        f64."""
        h, dtype = group.numbers(), p.dtype
        beta1, beta2 = h["betas.0"], h["betas.1"]
        if not group.is_zero("weight_decay"):
            if self.decoupled:
                p = p * (1.0 - h["lr"] * h["weight_decay"]).to(dtype)
            else:
                g = g + p * h["weight_decay"].to(dtype)
        first = moments["exp_avg"]
        first = first + (g - first) * (1.0 - beta1).to(dtype)
        second = moments["exp_avg_sq"] * beta2.to(dtype) + g * g * (1.0 - beta2).to(dtype)
        changed = {"exp_avg": first, "exp_avg_sq": second}
        largest = second
        if "max_exp_avg_sq" in moments:
            largest = ig.maximum(moments["max_exp_avg_sq"], second)
            changed["max_exp_avg_sq"] = largest
        size = (h["lr"] / (1.0 - beta1**step)).to(dtype)
        root = ig.sqrt(1.0 - beta2**step).to(dtype)
        return p - size * (first / (ig.sqrt(largest) / root + h["eps"].to(dtype))), changed


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameter itself by lr * weight_decay (Loshchilov and
    Hutter 2017)."""

    decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
