"""Learning-rate schedules with torch's names; their steps trace, and their counters are saved in
the file."""

from intaglio.optim._schedule import LRScheduler
from intaglio.optim._schedule_cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from intaglio.optim._schedule_cycles import CyclicLR, OneCycleLR
from intaglio.optim._schedule_plateau import ReduceLROnPlateau
from intaglio.optim._schedule_several import ChainedScheduler, SequentialLR
from intaglio.optim._schedule_simple import (
    ConstantLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)

_LRScheduler = LRScheduler

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
