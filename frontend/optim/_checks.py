"""Checks of the optimizers' arguments."""

from __future__ import annotations

from intaglio.compiler.errors import ArgumentError


def not_negative(optimizer: str, **numbers: float) -> None:
    """Refuse numbers below zero (and NaN), by name."""
    for name, number in numbers.items():
        if not float(number) >= 0.0:
            raise ArgumentError(f"{optimizer}: {name} must not be negative, and is {number}")


def shares(optimizer: str, **numbers: float) -> None:
    """Refuse numbers outside of 0 to 1 (exclusive), by name."""
    for name, number in numbers.items():
        if not 0.0 <= float(number) < 1.0:
            raise ArgumentError(f"{optimizer}: {name} must lie in [0, 1), and is {number}")
