"""Rprop and ASGD: steps by signs alone, and steps whose results are averaged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import intaglio as ig
from intaglio._tensor import Tensor
from intaglio.compiler.errors import ArgumentError
from intaglio.optim._arithmetic import decayed
from intaglio.optim._checks import not_negative, number
from intaglio.optim._groups import ParameterGroup
from intaglio.optim._optimizer import Moments, Optimizer


class Rprop(Optimizer):
    """Each element has a step size of its own: it grows by etas[1] while the gradient keeps its
    sign and shrinks by etas[0] when it changes, within `step_sizes` (Riedmiller and Braun 1993).
    For whole batches: the gradient's size does not count."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50.0),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        not_negative("Rprop", lr=lr)
        if not 0.0 < number("Rprop", "etas", etas[0]) < 1.0 < number("Rprop", "etas", etas[1]):
            raise ArgumentError(f"Rprop: etas must lie on both sides of 1, and are {etas}")
        options = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, options)

    def moments(self, parameter: Tensor, group: ParameterGroup) -> Moments:
        """The last gradient (zero where it changed its sign) and the step sizes."""
        zeros = ig.zeros_like(parameter.detach())
        return {"prev": zeros, "step_size": zeros + group.numbers()["lr"].to(parameter.dtype)}

    def update(
        self, p: Tensor, g: Tensor, moments: Moments, group: ParameterGroup, step: Tensor
    ) -> tuple[Tensor, Moments]:
        """One step of the class's formula. The first step sizes are the learning rate then."""
        h = group.numbers_as(p.dtype)
        turned = ig.sign(g * moments["prev"])
        factor = ig.where(turned > 0, h["etas.1"], ig.where(turned < 0, h["etas.0"], 1.0))
        before = ig.where(step == 1.0, h["lr"], moments["step_size"])
        size = ig.maximum(before * factor.to(p.dtype), h["step_sizes.0"])
        size = ig.minimum(size, h["step_sizes.1"])
        g = ig.where(turned < 0, 0.0, g)
        return p - ig.sign(g) * size, {"prev": g, "step_size": size}


class ASGD(Optimizer):
    """Gradient descent with a falling rate; `ax` is the mean of the parameters from step `t0` on
    (Polyak and Juditsky 1992)."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        not_negative("ASGD", lr=lr, weight_decay=weight_decay)
        options = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, options)

    def moments(self, parameter: Tensor, group: ParameterGroup) -> Moments:
        """The rate and the share of the next average, f64[], and the average."""
        return {
            "eta": group.numbers()["lr"].detach().clone(),
            "mu": ig.ones((), dtype=ig.float64),
            "ax": ig.zeros_like(parameter.detach()),
        }

    def update(
        self, p: Tensor, g: Tensor, moments: Moments, group: ParameterGroup, step: Tensor
    ) -> tuple[Tensor, Moments]:
        """One step of the class's formula. The first rate is the learning rate then."""
        h, dtype, share = group.numbers(), p.dtype, moments["mu"]
        _, g = decayed(p, g, group, h)
        rate = ig.where(step == 1.0, h["lr"], moments["eta"])
        p = p * (1.0 - h["lambd"] * rate).to(dtype) - g * rate.to(dtype)
        mean = moments["ax"]
        mean = ig.where(share == 1.0, p, mean + (p - mean) * share.to(dtype))
        slower = h["lr"] / (1.0 + h["lambd"] * h["lr"] * step) ** h["alpha"]
        after = 1.0 / ig.maximum(step - h["t0"], ig.ones((), dtype=ig.float64))
        return p, {"eta": slower, "mu": after, "ax": mean}
