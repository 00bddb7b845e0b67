"""A line search for the strong Wolfe conditions.

Along a direction the loss is a function of one number t. First t grows until the least loss is
bracketed; then the bracket shrinks around the minimum of the cubic through its ends, until the loss
has fallen enough (c1) and the slope is flat enough (c2). After Nocedal and Wright, Numerical
Optimization, algorithms 3.5 and 3.6, with the safeguards of minFunc (Schmidt 2005)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from intaglio._core import Tensor

C1, C2 = 1e-4, 0.9


@dataclass(frozen=True)
class Point:
    """What is known at a step length: the loss, the flat gradient, the slope along the line."""

    t: float
    loss: float
    gradient: Tensor
    slope: float


def strong_wolfe(
    evaluate: Callable[[float], Point],
    start: Point,
    t: float,
    size: float,
    tolerance: float,
    most: int,
) -> tuple[Point, int]:
    """The point that was found, and how often the loss was evaluated. `start` lies at t = 0, `size`
    is the direction's largest element; after `most` rounds the best point known is taken."""
    bracket, rounds, done = _bracketed(evaluate, start, t, most)
    evaluations = rounds + 1
    if done:
        return bracket[0], evaluations
    stuck = False
    low = 0 if bracket[0].loss <= bracket[1].loss else 1
    while rounds < most and abs(bracket[1].t - bracket[0].t) * size >= tolerance:
        t, stuck = _inside(bracket, cubic_minimum(bracket[0], bracket[1]), stuck)
        point = evaluate(t)
        evaluations, rounds = evaluations + 1, rounds + 1
        if _too_high(point, start) or point.loss >= bracket[low].loss:
            bracket[1 - low] = point
            low = 0 if bracket[0].loss <= bracket[1].loss else 1
            continue
        if abs(point.slope) <= -C2 * start.slope:
            return point, evaluations
        if point.slope * (bracket[1 - low].t - bracket[low].t) >= 0:
            bracket[1 - low] = bracket[low]
        bracket[low] = point
    return bracket[low], evaluations


def _bracketed(
    evaluate: Callable[[float], Point], start: Point, t: float, most: int
) -> tuple[list[Point], int, bool]:
    """Two points around a minimum and the rounds this took; or a point that is good already."""
    before, point = start, evaluate(t)
    for rounds in range(most):
        if _too_high(point, start) or (rounds > 1 and point.loss >= before.loss):
            return [before, point], rounds, False
        if abs(point.slope) <= -C2 * start.slope:
            return [point], rounds, True
        if point.slope >= 0:
            return [before, point], rounds, False
        least = point.t + 0.01 * (point.t - before.t)
        t = cubic_minimum(before, point, (least, point.t * 10))
        before, point = point, evaluate(t)
    return [start, point], most, False


def _too_high(point: Point, start: Point) -> bool:
    return point.loss > start.loss + C1 * point.t * start.slope


def _inside(bracket: list[Point], t: float, stuck: bool) -> tuple[float, bool]:
    """The next step length, kept off the bracket's ends if it came close to one twice; and whether
    it came close."""
    least, most = sorted(point.t for point in bracket)
    margin = 0.1 * (most - least)
    if min(most - t, t - least) >= margin:
        return t, False
    if not stuck and least < t < most:
        return t, True
    return (most - margin if abs(t - most) < abs(t - least) else least + margin), False


def cubic_minimum(a: Point, b: Point, bounds: tuple[float, float] | None = None) -> float:
    """Where the cubic with these losses and slopes is least within the bounds (the points
    themselves by default); the middle where it has no minimum."""
    low, high = bounds if bounds is not None else (min(a.t, b.t), max(a.t, b.t))
    if a.t > b.t:
        a, b = b, a
    middle = (low + high) / 2.0
    if a.t == b.t:
        return middle
    bend = a.slope + b.slope - 3.0 * (a.loss - b.loss) / (a.t - b.t)
    square = bend * bend - a.slope * b.slope
    if not square >= 0.0:
        return middle
    root = math.sqrt(square)
    below = b.slope - a.slope + 2.0 * root
    if below == 0.0:
        return middle
    t = b.t - (b.t - a.t) * ((b.slope + root - bend) / below)
    return min(max(t, low), high) if t == t else middle
