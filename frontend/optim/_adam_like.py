"""Adamax, NAdam, RAdam and Lion: relatives of Adam."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import intaglio as ig
from intaglio._tensor import Tensor
from intaglio.optim._arithmetic import decayed, moved, with_square
from intaglio.optim._checks import not_negative, shares, ways_agree
from intaglio.optim._groups import ParameterGroup
from intaglio.optim._optimizer import Moments, Optimizer


class Adamax(Optimizer):
    """Adam whose denominator is the largest, fading absolute gradient instead of a root mean square
    (Kingma and Ba 2014, section 7)."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        not_negative("Adamax", lr=lr, eps=eps, weight_decay=weight_decay)
        shares("Adamax", beta1=betas[0], beta2=betas[1])
        options = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, options)

    def moments(self, parameter: Tensor, group: ParameterGroup) -> Moments:
        """The mean gradient and the largest absolute one."""
        return {name: ig.zeros_like(parameter.detach()) for name in ("exp_avg", "exp_inf")}

    def update(
        self, p: Tensor, g: Tensor, moments: Moments, group: ParameterGroup, step: Tensor
    ) -> tuple[Tensor, Moments]:
        """One step of the class's formula."""
        h, dtype = group.numbers(), p.dtype
        _, g = decayed(p, g, group, h)
        first = moved(moments["exp_avg"], g, 1.0 - h["betas.0"])
        faded = moments["exp_inf"] * h["betas.1"].to(dtype)
        largest = ig.maximum(faded, ig.abs(g) + h["eps"].to(dtype))
        rate = (h["lr"] / (1.0 - h["betas.0"] ** step)).to(dtype)
        return p - rate * (first / largest), {"exp_avg": first, "exp_inf": largest}


class NAdam(Optimizer):
    """Adam with Nesterov's momentum, which grows towards beta1 as `momentum_decay` says (Dozat
    2016)."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        not_negative(
            "NAdam", lr=lr, eps=eps, weight_decay=weight_decay, momentum_decay=momentum_decay
        )
        shares("NAdam", beta1=betas[0], beta2=betas[1])
        options = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, options)

    def moments(self, parameter: Tensor, group: ParameterGroup) -> Moments:
        """Both moments, and the product of all momenta so far, f64[]."""
        return {
            "mu_product": ig.ones((), dtype=ig.float64),
            "exp_avg": ig.zeros_like(parameter.detach()),
            "exp_avg_sq": ig.zeros_like(parameter.detach()),
        }

    def update(
        self, p: Tensor, g: Tensor, moments: Moments, group: ParameterGroup, step: Tensor
    ) -> tuple[Tensor, Moments]:
        """One step of the class's formula; what does not depend on the element is computed in
        f64."""
        h, dtype = group.numbers(), p.dtype
        beta1, beta2, decay = h["betas.0"], h["betas.1"], h["momentum_decay"]
        p, g = decayed(p, g, group, h, bool(group["decoupled_weight_decay"]))
        now = beta1 * (1.0 - 0.5 * 0.96 ** (step * decay))
        then = beta1 * (1.0 - 0.5 * 0.96 ** ((step + 1.0) * decay))
        product = moments["mu_product"] * now
        first = moved(moments["exp_avg"], g, 1.0 - beta1)
        second = with_square(moments["exp_avg_sq"], g, beta2)
        below = ig.sqrt(second / (1.0 - beta2**step).to(dtype)) + h["eps"].to(dtype)
        along = (h["lr"] * (1.0 - now) / (1.0 - product)).to(dtype)
        ahead = (h["lr"] * then / (1.0 - product * then)).to(dtype)
        changed = {"mu_product": product, "exp_avg": first, "exp_avg_sq": second}
        return p - along * (g / below) - ahead * (first / below), changed


class RAdam(Optimizer):
    """Adam that leaves the denominator out while too few steps are known for its variance, and then
    rectifies it (Liu et al. 2019)."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        not_negative("RAdam", lr=lr, eps=eps, weight_decay=weight_decay)
        shares("RAdam", beta1=betas[0], beta2=betas[1])
        options = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, options)

    def moments(self, parameter: Tensor, group: ParameterGroup) -> Moments:
        """First and second moment."""
        return {name: ig.zeros_like(parameter.detach()) for name in ("exp_avg", "exp_avg_sq")}

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
        left = 1.0 - beta2**step
        longest = 2.0 / (1.0 - beta2) - 1.0
        length = longest - 2.0 * step * beta2**step / left
        known = length > 5.0  # enough steps for a variance
        above = (length - 4.0) * (length - 2.0) * longest
        below = (longest - 4.0) * (longest - 2.0) * length
        factor = ig.sqrt(left * ig.where(known, above / below, 1.0)).to(dtype)
        scale = ig.where(known, factor / (ig.sqrt(second) + h["eps"].to(dtype)), 1.0)
        rate = (h["lr"] / (1.0 - beta1**step)).to(dtype)
        return p - rate * first * scale, {"exp_avg": first, "exp_avg_sq": second}


class Lion(Optimizer):
    """p -= lr * sign(beta1 * m + (1 - beta1) * g), then m = beta2 * m + (1 - beta2) * g; weight
    decay shrinks the parameter by lr * weight_decay (Chen et al. 2023).

    Every element moves by lr, so lr is three to ten times smaller than Adam's."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        not_negative("Lion", lr=lr, weight_decay=weight_decay)
        shares("Lion", beta1=betas[0], beta2=betas[1])
        ways_agree("Lion", fused, foreach, differentiable)
        options = {
            "lr": lr,
            "betas": betas,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, options)

    def moments(self, parameter: Tensor, group: ParameterGroup) -> Moments:
        """The mean gradient."""
        return {"exp_avg": ig.zeros_like(parameter.detach())}

    def update(
        self, p: Tensor, g: Tensor, moments: Moments, group: ParameterGroup, step: Tensor
    ) -> tuple[Tensor, Moments]:
        """One step of the class's formula."""
        h, dtype, mean = group.numbers(), p.dtype, moments["exp_avg"]
        p, g = decayed(p, g, group, h, decoupled=True)
        direction = ig.sign(moved(mean, g, 1.0 - h["betas.0"]))
        after = moved(mean, g, 1.0 - h["betas.1"])
        return p - direction * h["lr"].to(dtype), {"exp_avg": after}
