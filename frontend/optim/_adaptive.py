"""RMSprop, Adagrad and Adadelta: the gradient over the root of its own running or summed square."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import intaglio as ig
from intaglio._tensor import Tensor
from intaglio.compiler.errors import ArgumentError
from intaglio.optim._arithmetic import decayed, moved, with_square
from intaglio.optim._checks import not_negative, number, ways_agree
from intaglio.optim._groups import ParameterGroup
from intaglio.optim._optimizer import Moments, Optimizer


class RMSprop(Optimizer):
    """p -= lr * g / (sqrt(v) + eps), v the running mean of g * g (Tieleman and Hinton 2012).

    `centered` takes the square of the running mean gradient off v (Graves 2013); `momentum`
    accumulates the steps."""

    switches = ("weight_decay", "momentum")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        not_negative(
            "RMSprop", lr=lr, eps=eps, momentum=momentum, weight_decay=weight_decay, alpha=alpha
        )
        options = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, options)

    def moments(self, parameter: Tensor, group: ParameterGroup) -> Moments:
        """The mean square, the steps' buffer with momentum, the mean gradient if centered."""
        names = ["square_avg"]
        names += ["momentum_buffer"] * (not group.is_zero("momentum"))
        names += ["grad_avg"] * bool(group["centered"])
        return {name: ig.zeros_like(parameter.detach()) for name in names}

    def update(
        self, p: Tensor, g: Tensor, moments: Moments, group: ParameterGroup, step: Tensor
    ) -> tuple[Tensor, Moments]:
        """One step of the class's formula."""
        h, dtype = group.numbers(), p.dtype
        _, g = decayed(p, g, group, h)
        square = with_square(moments["square_avg"], g, h["alpha"])
        changed = {"square_avg": square}
        spread = square
        if group["centered"]:
            mean = moved(moments["grad_avg"], g, 1.0 - h["alpha"])
            changed["grad_avg"] = mean
            spread = square - mean * mean
        direction = g / (ig.sqrt(spread) + h["eps"].to(dtype))
        if not group.is_zero("momentum"):
            direction = moments["momentum_buffer"] * h["momentum"].to(dtype) + direction
            changed["momentum_buffer"] = direction
        return p - direction * h["lr"].to(dtype), changed


class Adagrad(Optimizer):
    """p -= rate * g / (sqrt(sum of g * g) + eps) with rate = lr / (1 + (step - 1) * lr_decay)
    (Duchi et al. 2011). The sum starts at `initial_accumulator_value`."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        not_negative("Adagrad", lr=lr, lr_decay=lr_decay, weight_decay=weight_decay, eps=eps)
        not_negative("Adagrad", initial_accumulator_value=initial_accumulator_value)
        ways_agree("Adagrad", fused, foreach, differentiable)
        options = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, options)

    def moments(self, parameter: Tensor, group: ParameterGroup) -> Moments:
        """The sum of squares."""
        start = number("Adagrad", "initial_accumulator_value", self._start())
        return {"sum": ig.full_like(parameter.detach(), start)}

    def _start(self) -> Any:
        return self.defaults["initial_accumulator_value"]

    def saved_state(self, parameter: Tensor, step: Tensor) -> dict[str, Any]:
        """What the state dict holds for a parameter: as in torch, from the beginning."""
        return {"step": step, **self.state[parameter]}

    def share_memory(self) -> None:
        """Move the sums to memory that other processes share."""
        for moments in self.state.values():
            moments["sum"].share_memory_()

    def update(
        self, p: Tensor, g: Tensor, moments: Moments, group: ParameterGroup, step: Tensor
    ) -> tuple[Tensor, Moments]:
        """One step of the class's formula."""
        h, dtype = group.numbers(), p.dtype
        _, g = decayed(p, g, group, h)
        total = moments["sum"] + g * g
        rate = (h["lr"] / (1.0 + (step - 1.0) * h["lr_decay"])).to(dtype)
        return p - rate * (g / (ig.sqrt(total) + h["eps"].to(dtype))), {"sum": total}


class Adadelta(Optimizer):
    """p -= lr * d with d = g * sqrt(u + eps) / sqrt(v + eps): v is the running mean of g * g, u
    that of d * d, so that a step has the parameter's unit (Zeiler 2012)."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        not_negative("Adadelta", lr=lr, eps=eps, weight_decay=weight_decay)
        if not 0.0 <= number("Adadelta", "rho", rho) <= 1.0:
            raise ArgumentError(f"Adadelta: rho must lie in [0, 1], and is {rho}")
        options = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, options)

    def moments(self, parameter: Tensor, group: ParameterGroup) -> Moments:
        """The mean squares of the gradients and of the steps."""
        names = ("square_avg", "acc_delta")
        return {name: ig.zeros_like(parameter.detach()) for name in names}

    def update(
        self, p: Tensor, g: Tensor, moments: Moments, group: ParameterGroup, step: Tensor
    ) -> tuple[Tensor, Moments]:
        """One step of the class's formula."""
        h, dtype = group.numbers(), p.dtype
        _, g = decayed(p, g, group, h)
        eps = h["eps"].to(dtype)
        square = with_square(moments["square_avg"], g, h["rho"])
        delta = ig.sqrt(moments["acc_delta"] + eps) / ig.sqrt(square + eps) * g
        steps = with_square(moments["acc_delta"], delta, h["rho"])
        return p - delta * h["lr"].to(dtype), {"square_avg": square, "acc_delta": steps}
