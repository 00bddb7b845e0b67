"""Checks of the optimizers' arguments."""

from __future__ import annotations

from typing import Any

from intaglio._core import Tensor
from intaglio.compiler.errors import ArgumentError


def number(optimizer: str, name: str, value: Any) -> float:
    """A number given as one, or as a tensor of one element."""
    if isinstance(value, Tensor) and value.numel() != 1:
        raise ArgumentError(
            f"{optimizer}: {name} must be one number, and is a tensor of {value._kind}"
        )
    return float(value.item() if isinstance(value, Tensor) else value)


def not_negative(optimizer: str, **numbers: Any) -> None:
    """Refuse numbers below zero (and NaN), by name."""
    for name, given in numbers.items():
        if not number(optimizer, name, given) >= 0.0:
            raise ArgumentError(f"{optimizer}: {name} must not be negative, and is {given}")


def shares(optimizer: str, **numbers: Any) -> None:
    """Refuse numbers outside of 0 to 1 (exclusive), by name."""
    for name, given in numbers.items():
        if not 0.0 <= number(optimizer, name, given) < 1.0:
            raise ArgumentError(f"{optimizer}: {name} must lie in [0, 1), and is {given}")


def ways_agree(
    optimizer: str, fused: bool | None, foreach: bool | None, differentiable: bool
) -> None:
    """Refuse ways to run a step that torch refuses together, though here all are one."""
    if fused and foreach:
        raise ArgumentError(f"{optimizer}: fused and foreach can't both be True")
    if fused and differentiable:
        raise ArgumentError(f"{optimizer}: fused and differentiable can't both be True")
