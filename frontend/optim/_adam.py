"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import intaglio as ig
from intaglio._tensor import Tensor
from intaglio.optim._arithmetic import decayed, moved, with_square
from intaglio.optim._checks import not_negative, shares, ways_agree
from intaglio.optim._groups import ParameterGroup
from intaglio.optim._optimizer import Moments, Optimizer


class Adam(Optimizer):
    """Steps along the mean gradient over the root of the mean squared one, both debiased (Kingma
    and Ba 2014).

    `weight_decay` adds weight_decay * p to the gradient, or with `decoupled_weight_decay` shrinks
    the parameter. `amsgrad` divides by the largest second moment so far (Reddi et al. 2018)."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        name = type(self).__name__
        not_negative(name, lr=lr, eps=eps, weight_decay=weight_decay)
        shares(name, beta1=betas[0], beta2=betas[1])
        ways_agree(name, fused, foreach, differentiable)
        options = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
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
        p, g = decayed(p, g, group, h, bool(group["decoupled_weight_decay"]))
        first = moved(moments["exp_avg"], g, 1.0 - beta1)
        second = with_square(moments["exp_avg_sq"], g, beta2)
        changed = {"exp_avg": first, "exp_avg_sq": second}
        largest = second
        if group["amsgrad"]:
            largest = ig.maximum(moments["max_exp_avg_sq"], second)
            changed["max_exp_avg_sq"] = largest
        size = (h["lr"] / (1.0 - beta1**step)).to(dtype)
        root = ig.sqrt(1.0 - beta2**step).to(dtype)
        return p - size * (first / (ig.sqrt(largest) / root + h["eps"].to(dtype))), changed


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameter itself by lr * weight_decay (Loshchilov and
    Hutter 2017)."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )
