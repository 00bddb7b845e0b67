"""Schedules with option sets, made by the names that both libraries share."""

from __future__ import annotations

import math
from typing import Any

SIMPLE: dict[str, tuple[str, dict[str, Any]]] = {
    "lambda": ("LambdaLR", {"lr_lambda": lambda e: 0.95**e}),
    "lambda-list": ("LambdaLR", {"lr_lambda": [lambda e: 0.9 ** (e // 7), lambda e: 1 / (1 + e)]}),
    "multiplicative": ("MultiplicativeLR", {"lr_lambda": lambda e: 0.95}),
    "multiplicative-list": (
        "MultiplicativeLR",
        {"lr_lambda": [lambda e: 1 - 0.5 / (1 + e), lambda e: 0.9]},
    ),
    "step": ("StepLR", {"step_size": 7}),
    "step-gamma": ("StepLR", {"step_size": 3, "gamma": 0.7}),
    "step-one": ("StepLR", {"step_size": 1, "gamma": 0.99}),
    "multistep": ("MultiStepLR", {"milestones": [5, 11, 30]}),
    "multistep-twice": ("MultiStepLR", {"milestones": [30, 4, 4, 9], "gamma": 0.5}),
    "multistep-one": ("MultiStepLR", {"milestones": [1], "gamma": 2.0}),
    "constant": ("ConstantLR", {}),
    "constant-options": ("ConstantLR", {"factor": 0.25, "total_iters": 9}),
    "constant-one": ("ConstantLR", {"factor": 0.7, "total_iters": 1}),
    "linear": ("LinearLR", {}),
    "linear-down": ("LinearLR", {"start_factor": 1.0, "end_factor": 0.1, "total_iters": 13}),
    "linear-to-zero": ("LinearLR", {"start_factor": 0.5, "end_factor": 0.0, "total_iters": 20}),
    "exponential": ("ExponentialLR", {"gamma": 0.9}),
    "exponential-slow": ("ExponentialLR", {"gamma": 0.999}),
    "exponential-up": ("ExponentialLR", {"gamma": 1.05}),
    "polynomial": ("PolynomialLR", {}),
    "polynomial-power": ("PolynomialLR", {"total_iters": 30, "power": 0.9}),
    "polynomial-square": ("PolynomialLR", {"total_iters": 45, "power": 2.0}),
    "cosine": ("CosineAnnealingLR", {"T_max": 10}),
    "cosine-low": ("CosineAnnealingLR", {"T_max": 17, "eta_min": 0.01}),
    "cosine-long": ("CosineAnnealingLR", {"T_max": 100, "eta_min": 1e-5}),
    "cosine-one": ("CosineAnnealingLR", {"T_max": 1}),
    "restarts": ("CosineAnnealingWarmRestarts", {"T_0": 10}),
    "restarts-twice": ("CosineAnnealingWarmRestarts", {"T_0": 5, "T_mult": 2}),
    "restarts-low": (
        "CosineAnnealingWarmRestarts",
        {"T_0": 3, "T_mult": 3, "eta_min": 0.002},
    ),
    "cyclic": ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 5}),
    "cyclic-two": (
        "CyclicLR",
        {
            "base_lr": [0.01, 0.02],
            "max_lr": [0.1, 0.3],
            "step_size_up": 4,
            "step_size_down": 9,
            "mode": "triangular2",
            "base_momentum": 0.5,
            "max_momentum": [0.8, 0.95],
        },
    ),
    "cyclic-exp": (
        "CyclicLR",
        {
            "base_lr": 0.01,
            "max_lr": 0.1,
            "step_size_up": 6,
            "mode": "exp_range",
            "gamma": 0.97,
            "cycle_momentum": False,
        },
    ),
    "cyclic-function": (
        "CyclicLR",
        {
            "base_lr": 0.01,
            "max_lr": 0.1,
            "step_size_up": 6,
            "scale_fn": lambda x: 1 / (5 * x + 1),
            "scale_mode": "iterations",
        },
    ),
    "onecycle": ("OneCycleLR", {"max_lr": 0.1, "total_steps": 60}),
    "onecycle-three": (
        "OneCycleLR",
        {
            "max_lr": [0.1, 0.2],
            "epochs": 10,
            "steps_per_epoch": 6,
            "three_phase": True,
            "pct_start": 0.25,
            "div_factor": 5.0,
        },
    ),
    "onecycle-linear": (
        "OneCycleLR",
        {
            "max_lr": 0.3,
            "total_steps": 55,
            "anneal_strategy": "linear",
            "base_momentum": 0.7,
            "max_momentum": [0.9, 0.8],
            "final_div_factor": 10.0,
        },
    ),
    "onecycle-plain": (
        "OneCycleLR",
        {"max_lr": 0.3, "total_steps": 51, "cycle_momentum": False, "pct_start": 0.5},
    ),
}

PLATEAU: dict[str, dict[str, Any]] = {
    "plateau": {"patience": 2},
    "plateau-max": {"mode": "max", "factor": 0.5, "patience": 0, "cooldown": 3, "min_lr": 1e-3},
    "plateau-abs": {
        "threshold_mode": "abs",
        "threshold": 0.05,
        "patience": 1,
        "factor": 0.3,
        "min_lr": [1e-4, 1e-2],
        "eps": 1e-3,
    },
    "plateau-max-abs": {"mode": "max", "threshold_mode": "abs", "threshold": 0.2, "patience": 3},
}


def _warm(s: Any, opt: Any) -> Any:
    first = s.LinearLR(opt, start_factor=0.1, total_iters=5)
    return s.SequentialLR(opt, [first, s.CosineAnnealingLR(opt, T_max=40)], [5])


def _three(s: Any, opt: Any) -> Any:
    parts = [
        s.ConstantLR(opt, factor=0.1, total_iters=4),
        s.ExponentialLR(opt, gamma=0.9),
        s.StepLR(opt, step_size=3, gamma=0.5),
    ]
    return s.SequentialLR(opt, parts, [6, 20])


def _restarting(s: Any, opt: Any) -> Any:
    first = s.LambdaLR(opt, lambda e: (e + 1) / 10)
    return s.SequentialLR(opt, [first, s.CosineAnnealingWarmRestarts(opt, 7, 2)], [9])


def _chain(s: Any, opt: Any) -> Any:
    return s.ChainedScheduler([s.ConstantLR(opt, 0.1, 7), s.ExponentialLR(opt, 0.9)])


def _chain_three(s: Any, opt: Any) -> Any:
    return s.ChainedScheduler(
        [s.LinearLR(opt), s.CosineAnnealingLR(opt, 30, 1e-3), s.StepLR(opt, 11, 0.5)], optimizer=opt
    )


def _chain_in_sequence(s: Any, opt: Any) -> Any:
    first = s.ChainedScheduler([s.LinearLR(opt), s.ExponentialLR(opt, 0.95)])
    return s.SequentialLR(opt, [first, s.PolynomialLR(opt, 30, 1.5)], [12])


def _sequence_in_chain(s: Any, opt: Any) -> Any:
    inner = s.SequentialLR(opt, [s.ConstantLR(opt, 0.5, 3), s.ExponentialLR(opt, 0.97)], [8])
    return s.ChainedScheduler([inner, s.StepLR(opt, 10, 0.5)])


MADE = {
    "sequence-warm": _warm,
    "sequence-three": _three,
    "sequence-restarts": _restarting,
    "chain": _chain,
    "chain-three": _chain_three,
    "chain-in-sequence": _chain_in_sequence,
    "sequence-in-chain": _sequence_in_chain,
}


def make(name: str, schedules: Any, opt: Any) -> Any:
    """A schedule of the table, of one library."""
    if name in SIMPLE:
        kind, options = SIMPLE[name]
        return getattr(schedules, kind)(opt, **options)
    if name in PLATEAU:
        return schedules.ReduceLROnPlateau(opt, **PLATEAU[name])
    return MADE[name](schedules, opt)


def metric(k: int) -> float:
    """A number to watch that gets better, worse and flat in turn."""
    return math.exp(-k / 9) + 0.4 * math.sin(k) ** 2 if k < 25 else 0.35


NAMES = [*SIMPLE, *PLATEAU, *MADE]
