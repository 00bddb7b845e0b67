"""The rows of `layer_table` for losses."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.frontend.layer_table import (
    Case,
    Fixed,
    Made,
    case,
    ints,
    library,
    normal,
    positive,
    row_sums_to_one,
    signs,
    tensor,
    unit,
)

LINE = (4, 5)
REDUCTIONS = ("mean", "sum", "none")


def reduced(*args: Any, x: Any, **kwargs: Any) -> list[Case]:
    """The row with every reduction."""
    return [case(*args, reduction=reduction, x=x, **kwargs) for reduction in REDUCTIONS]


DISTANCES = {
    "MSELoss": [
        case(x=[LINE, LINE]), *reduced(x=[LINE, LINE]), case(False, x=[LINE, LINE]),
        case(reduce=False, x=[LINE, LINE]),
    ],
    "L1Loss": [*reduced(x=[LINE, LINE]), case(size_average=False, reduce=True, x=[LINE, LINE])],
    "SmoothL1Loss": [
        *reduced(x=[LINE, LINE]), case(beta=0.3, x=[LINE, LINE]), case(beta=0.0, x=[LINE, LINE]),
        case(None, None, "sum", 2.5, x=[LINE, LINE]),
    ],
    "HuberLoss": [
        *reduced(x=[LINE, LINE]), case("sum", 0.3, x=[LINE, LINE]), case(delta=2.0, x=[LINE, LINE]),
    ],
    "PoissonNLLLoss": [
        *reduced(x=[LINE, Fixed(positive(*LINE))]),
        case(log_input=False, x=[positive(*LINE), Fixed(positive(*LINE))]),
        case(full=True, x=[LINE, Fixed(positive(*LINE) * 3)]),
        case(
            False, True, eps=0.1, reduction="sum",
            x=[positive(*LINE), Fixed(positive(*LINE) * 3)],
        ),
    ],
    "GaussianNLLLoss": [
        *reduced(x=[LINE, LINE, positive(*LINE)]), case(full=True, x=[LINE, LINE, positive(*LINE)]),
        case(eps=0.5, x=[LINE, LINE, positive(*LINE)]), case(x=[LINE, LINE, positive(4, 1)]),
        case(x=[LINE, LINE, positive(4)]), case(x=[LINE, LINE, 0.7]),
    ],
    "KLDivLoss": [
        *reduced(x=[LINE, Fixed(row_sums_to_one(*LINE))]),
        case(reduction="batchmean", x=[LINE, row_sums_to_one(*LINE)]),
        *reduced(log_target=True, x=[LINE, LINE]),
        case(reduction="batchmean", log_target=True, x=[LINE, LINE]),
    ],
}  # fmt: skip

_CLASS_WEIGHTS = tensor(np.linspace(0.5, 2.0, 5))
SCORES = [(6, 5), Fixed(ints(5, 6))]
IMAGE = [(2, 5, 2, 3), Fixed(ints(5, 2, 2, 3))]
SOFT = [(6, 5), row_sums_to_one(6, 5)]

CLASSES = {
    "NLLLoss": [
        *reduced(x=SCORES), *reduced(weight=_CLASS_WEIGHTS, x=SCORES),
        *reduced(ignore_index=2, x=IMAGE),
        case(_CLASS_WEIGHTS, None, 1, None, "mean", x=IMAGE), case(x=[(5,), Fixed(np.array(3))]),
        case(x=[(2, 5, 4), Fixed(ints(5, 2, 4))]),
    ],
    "NLLLoss2d": [case(x=IMAGE), case(_CLASS_WEIGHTS, x=IMAGE)],
    "CrossEntropyLoss": [
        *reduced(x=SCORES), *reduced(weight=_CLASS_WEIGHTS, x=SCORES),
        *reduced(ignore_index=1, x=IMAGE),
        *reduced(label_smoothing=0.2, x=SCORES),
        *reduced(weight=_CLASS_WEIGHTS, ignore_index=1, label_smoothing=0.1, x=IMAGE),
        *reduced(x=SOFT), *reduced(weight=_CLASS_WEIGHTS, label_smoothing=0.3, x=SOFT),
        case(x=[(2, 5, 3), row_sums_to_one(2, 5, 3)]), case(x=[(5,), Fixed(np.array(3))]),
        case(x=[(5,), row_sums_to_one(5)]), case(label_smoothing=1.0, x=SCORES),
    ],
    "LinearCrossEntropyLoss": [
        case(4, 5, x=[(6, 4), Fixed(ints(5, 6))]),
        case(4, 5, bias=True, x=[(4,), Fixed(np.array(3))]),
        case(
            4, 5, out_features=(2, 3), bias=True, weight=_CLASS_WEIGHTS, reduction="sum",
            ignore_index=2, label_smoothing=0.1, x=[(2, 4), Fixed(ints(5, 2, 2, 3))],
        ),
        case(4, 5, reduction="none", x=[(6, 4), row_sums_to_one(6, 5)]),
    ],
    "BCELoss": [
        *reduced(x=[unit(*LINE), unit(*LINE)]),
        case(weight=tensor(positive(5)), x=[unit(*LINE), unit(*LINE)]),
        case(tensor(positive(4, 1)), reduction="sum", x=[unit(*LINE), Fixed(unit(*LINE))]),
        case(x=[Fixed(np.array([0.0, 1.0, 1.0, 0.0])), Fixed(np.array([0.0, 1.0, 0.0, 1.0]))]),
    ],
    "BCEWithLogitsLoss": [
        *reduced(x=[LINE, unit(*LINE)]), case(weight=tensor(positive(5)), x=[LINE, unit(*LINE)]),
        *reduced(pos_weight=tensor(positive(5)), x=[LINE, unit(*LINE)]),
        case(tensor(positive(4, 5)), None, None, "sum", tensor(positive(5)), x=[LINE, unit(*LINE)]),
    ],
    "MultiLabelSoftMarginLoss": [
        *reduced(x=[LINE, Fixed((unit(*LINE) > 0.5).astype(float))]),
        case(tensor(positive(5)), x=[LINE, Fixed((unit(*LINE) > 0.5).astype(float))]),
    ],
    "MultiLabelMarginLoss": [
        *reduced(
            x=[(3, 5), Fixed(np.array([[3, 0, -1, 1, 1], [2, -1, 0, 0, 0], [4, 3, 2, 1, 0]]))],
        ),
        case(x=[(4,), Fixed(np.array([3, 0, -1, 1]))]),
    ],
    "MultiMarginLoss": [
        *reduced(x=SCORES), case(2, x=SCORES), case(1, 0.4, x=SCORES),
        case(weight=_CLASS_WEIGHTS, x=SCORES),
        case(2, 0.7, _CLASS_WEIGHTS, reduction="sum", x=SCORES), case(x=[(5,), Fixed(np.array(3))]),
    ],
}  # fmt: skip

VECTORS, TRIPLE = [(4, 5), (4, 5), signs(4)], [(4, 5)] * 3

MARGINS = {
    "MarginRankingLoss": [
        *reduced(x=[(4,), (4,), signs(4)]), case(0.5, x=[LINE, LINE, signs(*LINE)]),
    ],
    "CosineEmbeddingLoss": [
        *reduced(x=VECTORS), case(0.3, x=VECTORS), case(margin=-0.5, reduction="sum", x=VECTORS),
        case(x=[(5,), (5,), Fixed(np.array(-1.0))]),
    ],
    "HingeEmbeddingLoss": [
        *reduced(x=[LINE, signs(*LINE)]), case(0.2, x=[LINE, signs(*LINE)]),
        case(margin=3.0, x=[LINE, signs(*LINE)]),
    ],
    "SoftMarginLoss": reduced(x=[LINE, signs(*LINE)]),
    "TripletMarginLoss": [
        *reduced(x=TRIPLE), case(0.3, x=TRIPLE), case(2.0, 1.0, x=TRIPLE),
        case(p=3, eps=1e-3, x=TRIPLE),
        *reduced(swap=True, x=TRIPLE), case(margin=5.0, swap=True, p=1, x=TRIPLE),
        case(x=[(5,)] * 3),
    ],
    "TripletMarginWithDistanceLoss": [
        *reduced(x=TRIPLE), case(margin=3.0, swap=True, x=TRIPLE),
        case(distance_function=Made(lambda nn: nn.PairwiseDistance(1.0)), x=TRIPLE),
        case(
            distance_function=Made(lambda nn: lambda a, b: 1 - library(nn).cosine_similarity(a, b)),
            swap=True, x=TRIPLE,
        ),
    ],
}  # fmt: skip

STEPS, BATCH, LABELS = 8, 3, 5
_LOGS = normal(STEPS, BATCH, LABELS)
_LOGS = _LOGS - np.log(np.exp(_LOGS).sum(-1, keepdims=True))
_TARGETS = np.array([[1, 2, 2], [3, 1, 4], [2, 4, 1]])
_FULL, _SHORT = np.array([8, 8, 8]), np.array([8, 5, 6])
_LENGTHS = np.array([3, 2, 1])

SEQUENCES = {
    "CTCLoss": [
        *reduced(x=[_LOGS, _TARGETS, _FULL, _LENGTHS]), case(x=[_LOGS, _TARGETS, _SHORT, _LENGTHS]),
        case(4, x=[_LOGS, np.minimum(_TARGETS, 3), _FULL, _LENGTHS]),
        case(x=[_LOGS, np.array([1, 2, 2, 3, 1, 2]), _FULL, _LENGTHS]),
        case(0, "sum", True, x=[_LOGS, _TARGETS, np.array([8, 1, 6]), np.array([3, 3, 3])]),
        case(zero_infinity=True, x=[_LOGS, _TARGETS, np.array([8, 1, 6]), np.array([3, 3, 3])]),
        case(x=[_LOGS[:, 0], _TARGETS[0], np.array(8), np.array(3)]),
        case(reduction="none", x=[_LOGS, _TARGETS, [8, 8, 8], [3, 0, 2]]),
    ],
}  # fmt: skip

SOFTMAXES = {
    "AdaptiveLogSoftmaxWithLoss": [
        case(6, 10, [3, 7], x=[(5, 6), Fixed(np.array([0, 2, 4, 8, 9]))]),
        case(
            6, 10, cutoffs=[2], div_value=2.0, head_bias=True,
            x=[(4, 6), Fixed(np.array([0, 2, 4, 9]))],
        ),
        case(6, 10, [3, 7], x=[(6,), Fixed(np.array(4))]),
    ],
}  # fmt: skip

CASES: dict[str, list[Case]] = DISTANCES | CLASSES | MARGINS | SEQUENCES | SOFTMAXES
