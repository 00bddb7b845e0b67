"""Adafactor: second moments of matrices kept as one row and one column."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import intaglio as ig
from intaglio._tensor import Tensor
from intaglio.compiler.errors import ArgumentError
from intaglio.optim._arithmetic import decayed, moved, norm
from intaglio.optim._checks import not_negative, number
from intaglio.optim._groups import ParameterGroup
from intaglio.optim._optimizer import Moments, Optimizer


class Adafactor(Optimizer):
    """The gradient over the root of its running mean square, of which matrices keep only the means
    of rows and columns; steps are as large as the parameter's own size allows, and clipped at `d`
    (Shazeer and Stern 2018).

    `eps` holds the least root mean square (None: the dtype's epsilon) and the least parameter size.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        not_negative("Adafactor", lr=lr, epsilon2=eps[1], weight_decay=weight_decay)
        if eps[0] is not None:
            not_negative("Adafactor", epsilon1=eps[0])
        if not number("Adafactor", "beta2_decay", beta2_decay) <= 0.0:
            raise ArgumentError(f"Adafactor: beta2_decay must be <= 0, and is {beta2_decay}")
        if not number("Adafactor", "d", d) >= 1.0:
            raise ArgumentError(f"Adafactor: d must be >= 1, and is {d}")
        options = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, options)

    def moments(self, parameter: Tensor, group: ParameterGroup) -> Moments:
        """Mean squares: of rows and of columns of a matrix, of each element of a vector."""
        p = parameter.detach()
        if p.ndim < 2:
            return {"variance": ig.zeros_like(p)}
        return {
            "row_var": ig.zeros_like(p[..., :, :1]),
            "col_var": ig.zeros_like(p[..., :1, :]),
        }

    def update(
        self, p: Tensor, g: Tensor, moments: Moments, group: ParameterGroup, step: Tensor
    ) -> tuple[Tensor, Moments]:
        """One step of the class's formula."""
        h, dtype = group.numbers(), p.dtype
        least, smallest = self._least(p, group)
        new = step ** h["beta2_decay"]
        count = float(max(p.numel(), 1)) ** 0.5
        rate = ig.minimum(h["lr"], 1.0 / ig.sqrt(step))
        size = ig.maximum(smallest, norm(p) / count) * rate
        p, _ = decayed(p, g, group, h, decoupled=True)
        square = g * g
        if p.ndim > 1:
            rows = moved(moments["row_var"], square.mean(-1, keepdim=True), new)
            columns = moved(moments["col_var"], square.mean(-2, keepdim=True), new)
            mean = ig.maximum(rows.mean(-2, keepdim=True), least.to(dtype))
            estimate, changed = rows * columns / mean, {"row_var": rows, "col_var": columns}
        else:
            estimate = moved(moments["variance"], square, new)
            changed = {"variance": estimate}
        step_ = g / ig.sqrt(ig.maximum(estimate, (least * least).to(dtype)))
        clip = ig.maximum(norm(step_) / (count * h["d"]), ig.ones((), dtype=ig.float64))
        return p - step_ * (size / clip).to(dtype), changed

    def _least(self, p: Tensor, group: ParameterGroup) -> tuple[Tensor, Tensor]:
        """Both epsilons as f64[]."""
        numbers = group.numbers()
        if "eps.0" in numbers:
            return numbers["eps.0"], numbers["eps.1"]
        first, second = group["eps"]
        chosen = ig.finfo(p.dtype).eps if first is None else first
        return ig.tensor(chosen, dtype=ig.float64), ig.tensor(second, dtype=ig.float64)
