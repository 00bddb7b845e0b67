"""Muon: momentum whose matrices are made nearly orthogonal.

The orthogonal factor U V' of a matrix U S V' is approached by a few rounds of X <- a X + (b A + c A
A) X with A = X X', an odd polynomial of the singular values (Newton and Schulz) that drives them
towards one."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import intaglio as ig
from intaglio._tensor import Tensor
from intaglio.compiler.dtypes import DType
from intaglio.compiler.errors import ArgumentError, ShapeError
from intaglio.optim._arithmetic import Numbers, moved
from intaglio.optim._checks import not_negative
from intaglio.optim._groups import ParameterGroup
from intaglio.optim._optimizer import Moments, Optimizer


class Muon(Optimizer):
    """For the matrices inside of a network (Jordan et al. 2024); biases and embeddings go to
    another optimizer.

    The momentum is orthogonalized in `ns_dtype`: bfloat16 as in torch, or wider for more digits.
    `adjust_lr_fn` scales lr by sqrt(max(1, rows / columns)) ("original", also None) or by 0.2 *
    sqrt(max(rows, columns)) ("match_rms_adamw", Liu et al. 2025)."""

    constants = ("ns_steps",)
    saves_step = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        *,
        ns_dtype: DType | None = None,
    ) -> None:
        not_negative("Muon", lr=lr, momentum=momentum, weight_decay=weight_decay)
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ArgumentError(
                "Muon: adjust_lr_fn must be None, 'original' or 'match_rms_adamw', and is"
                f" {adjust_lr_fn!r}"
            )
        if len(ns_coefficients) != 3:
            raise ArgumentError(f"Muon: ns_coefficients must be three, and are {ns_coefficients}")
        if ns_steps >= 100:
            raise ArgumentError(f"Muon: ns_steps must be less than 100, and is {ns_steps}")
        self._dtype = ig.bfloat16 if ns_dtype is None else ns_dtype
        options = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_coefficients": ns_coefficients,
            "eps": eps,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
        }
        super().__init__(params, options)

    def moments(self, parameter: Tensor, group: ParameterGroup) -> Moments:
        """The mean gradient."""
        if parameter.ndim != 2:
            raise ShapeError(
                f"Muon: a parameter must be a matrix, and is {parameter._kind}; give the others"
                " to another optimizer"
            )
        return {"momentum_buffer": ig.zeros_like(parameter.detach())}

    def update(
        self, p: Tensor, g: Tensor, moments: Moments, group: ParameterGroup, step: Tensor
    ) -> tuple[Tensor, Moments]:
        """One step of the class's formula."""
        h, dtype = group.numbers(), p.dtype
        mean = moved(moments["momentum_buffer"], g, 1.0 - h["momentum"])
        direction = moved(g, mean, h["momentum"]) if group["nesterov"] else mean
        direction = orthogonalized(direction, h, group["ns_steps"], self._dtype).to(dtype)
        rows, columns = p.shape
        if group["adjust_lr_fn"] == "match_rms_adamw":
            ratio = 0.2 * math.sqrt(max(rows, columns))
        else:
            ratio = math.sqrt(max(1.0, rows / columns)) if columns else 1.0
        p = p * (1.0 - h["lr"] * h["weight_decay"]).to(dtype)
        return p - direction * (h["lr"] * ratio).to(dtype), {"momentum_buffer": mean}


def orthogonalized(x: Tensor, h: Numbers, rounds: int, dtype: DType) -> Tensor:
    """A matrix with nearly the same singular vectors, whose singular values are about one.

    Products are summed in f32 (f64 for f64) and each result is rounded to `dtype` once."""
    wide = ig.float64 if dtype is ig.float64 else ig.float32
    a, b, c = (h[f"ns_coefficients.{k}"].to(wide) for k in range(3))

    def rounded(value: Tensor) -> Tensor:
        return value if dtype is wide else value.to(dtype).to(wide)

    tall = x.shape[0] > x.shape[1]
    x = rounded((x.mT if tall else x).to(wide))
    size = rounded(ig.sqrt((x * x).sum()))
    x = rounded(x / ig.maximum(size, rounded(h["eps"].to(wide))))
    for _ in range(rounds):
        gram = rounded(x @ x.mT)
        change = rounded(gram * b + (gram @ gram) * c)
        x = rounded(x * a + change @ x)
    return x.mT if tall else x
