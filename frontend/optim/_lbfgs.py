"""L-BFGS: quasi-Newton steps from the last few changes of the gradient.

The inverse Hessian is never formed: the direction comes from the kept pairs (change of gradient y,
step s) by the two-loop recursion (Nocedal 1980). The function is evaluated as often as its values
ask for, so a step runs eagerly only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import intaglio as ig
from intaglio._modes import modes
from intaglio._tensor import Tensor
from intaglio._trace_errors import at
from intaglio.compiler.errors import ArgumentError
from intaglio.optim._checks import not_negative
from intaglio.optim._line_search import Point, strong_wolfe
from intaglio.optim._optimizer import Optimizer

State = dict[str, Any]


class LBFGS(Optimizer):
    """Minimizes a function by up to `max_iter` quasi-Newton iterations a step; `step(closure)` is
    given what computes the loss and its gradients anew.

    `line_search_fn` is None (steps of length lr) or "strong_wolfe". One group of parameters only.
    It keeps 2 * history_size copies of the parameters."""

    switches = ()
    constants = ("max_iter", "max_eval", "tolerance_grad", "tolerance_change", "history_size")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        not_negative("LBFGS", lr=lr)
        if line_search_fn not in (None, "strong_wolfe"):
            raise ArgumentError(
                f"LBFGS: line_search_fn must be None or 'strong_wolfe', and is {line_search_fn!r}"
            )
        options = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, options)

    def add_param_group(self, param_group: Any) -> None:
        """Set the only group."""
        if self.param_groups:
            raise ArgumentError("LBFGS: there can be one group of parameters only")
        super().add_param_group(param_group)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Minimize; returns the loss before."""
        if closure is None:
            raise ArgumentError(
                "LBFGS.step: needs a closure that computes the loss, calls backward() and returns"
                " the loss"
            )
        if modes.trace is not None:
            raise at(
                "LBFGS.step: how often the loss is evaluated depends on its values, so a step can't"
                " be traced; call it eagerly, with a closure whose loss is compiled by ig.jit"
            )
        with ig.no_grad():
            return _Minimization(self, closure).run()

    # ------------------------------------------------------------------------------- flat vectors

    @property
    def _parameters(self) -> list[Tensor]:
        return list(self.param_groups[0]["params"])

    def _flat_gradient(self) -> Tensor:
        parts = [
            ig.zeros(p.numel(), dtype=p.dtype) if p.grad is None else p.grad.detach().reshape(-1)
            for p in self._parameters
        ]
        return ig.cat(parts).clone()

    def _move(self, direction: Tensor, t: float) -> None:
        first = 0
        for p in self._parameters:
            last = first + p.numel()
            p.add_(direction[first:last].reshape(p.shape) * t)
            first = last


class _Minimization:
    """One step: the loss and gradient at hand, and the state that is kept from step to step."""

    def __init__(self, optimizer: LBFGS, closure: Callable[[], Any]) -> None:
        self.optimizer, self.closure = optimizer, closure
        self.group = optimizer.param_groups[0]
        self.state = optimizer.state[optimizer._parameters[0]]
        self.state.setdefault("func_evals", 0)
        self.state.setdefault("n_iter", 0)
        self.evaluations = 0

    def run(self) -> Any:
        """Iterate until the gradient, the step or the loss's change is small enough."""
        state, group = self.state, self.group
        original = self._evaluate()
        if _largest(self.gradient) <= group["tolerance_grad"]:
            return original
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            _update_history(state, self.gradient, group["history_size"])
            direction = _direction(state, self.gradient)
            state["d"], state["prev_loss"] = direction, self.loss
            state["prev_flat_grad"] = self.gradient
            t = group["lr"]
            if state["n_iter"] == 1:
                t *= min(1.0, 1.0 / float(ig.abs(self.gradient).sum().item()))
            state["t"] = t
            slope = _dot(self.gradient, direction)
            if slope > -group["tolerance_change"]:
                break
            before = self.loss
            state["t"] = t = self._advance(direction, t, slope, iteration)
            if iteration == group["max_iter"] or self.evaluations >= group["max_eval"]:
                break
            if _largest(self.gradient) <= group["tolerance_grad"]:
                break
            if _largest(direction * t) <= group["tolerance_change"]:
                break
            if abs(self.loss - before) < group["tolerance_change"]:
                break
        return original

    def _evaluate(self) -> Any:
        with ig.enable_grad():
            outcome = self.closure()
        self.loss = float(outcome.item() if isinstance(outcome, Tensor) else outcome)
        self.gradient = self.optimizer._flat_gradient()
        self.evaluations += 1
        self.state["func_evals"] += 1
        return outcome

    def _advance(self, direction: Tensor, t: float, slope: float, iteration: int) -> float:
        """Move the parameters; the length that was taken."""
        if self.group["line_search_fn"] is None:
            self.optimizer._move(direction, t)
            if iteration != self.group["max_iter"]:
                self._evaluate()
            return t
        start = Point(0.0, self.loss, self.gradient, slope)
        most = self.group["max_eval"] - self.evaluations
        point, _ = strong_wolfe(
            lambda at: self._at(direction, at),
            start,
            t,
            _largest(direction),
            self.group["tolerance_change"],
            most,
        )
        self.optimizer._move(direction, point.t)
        self.loss, self.gradient = point.loss, point.gradient
        return point.t

    def _at(self, direction: Tensor, t: float) -> Point:
        """The loss at a step length; the parameters are put back."""
        kept = [p.detach().clone() for p in self.optimizer._parameters]
        self.optimizer._move(direction, t)
        self._evaluate()
        for p, old in zip(self.optimizer._parameters, kept, strict=True):
            p.copy_(old)
        return Point(t, self.loss, self.gradient, _dot(self.gradient, direction))


def _update_history(state: State, gradient: Tensor, size: int) -> None:
    """Remember the last step and what it did to the gradient, if the curvature was positive."""
    if state["n_iter"] == 1:
        state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
        return
    change, step = gradient - state["prev_flat_grad"], state["d"] * _plain(state["t"])
    curvature = _dot(change, step)
    if curvature > 1e-10:
        for name, value in (("old_dirs", change), ("old_stps", step), ("ro", 1.0 / curvature)):
            kept = state[name]
            state[name] = [*(kept[1:] if len(kept) == size else kept), value]
        state["H_diag"] = curvature / _dot(change, change)


def _direction(state: State, gradient: Tensor) -> Tensor:
    """Minus the approximate inverse Hessian times the gradient."""
    pairs = list(zip(state["old_dirs"], state["old_stps"], map(_plain, state["ro"]), strict=True))
    found, shares = -gradient, []
    for change, step, scale in reversed(pairs):
        shares.append(_dot(step, found) * scale)
        found = found - change * shares[-1]
    found = found * _plain(state["H_diag"])
    for (change, step, scale), share in zip(pairs, reversed(shares), strict=True):
        found = found + step * (share - _dot(change, found) * scale)
    return found


def _dot(a: Tensor, b: Tensor) -> float:
    return float((a * b).sum().item())


def _largest(x: Tensor) -> float:
    return float(ig.abs(x).max().item()) if x.numel() else 0.0


def _plain(value: Any) -> float:
    return float(value.item() if hasattr(value, "item") else value)
