"""Connectionist temporal classification: the probability of a label sequence under unaligned
predictions (Graves et al. 2006).

The labels are written with blanks between and around them. alpha[t, s] is the logarithm of the
probability of all paths through the first t + 1 predictions that end in place s of that sequence;
it follows from that of places s, s - 1 and, over a blank between different labels, s - 2 at t - 1:
one loop over time for all sequences at once. beta is the same from the other end. Both together
give each place's share of all paths, and so the stated derivative, which is that of scores that
went through log_softmax, as in torch: exp(x) minus the shares of the places that hold a class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import intaglio as ig
from intaglio._halves import rounded_once
from intaglio._scope import entered
from intaglio._tensor import Tensor
from intaglio.compiler.errors import ArgumentError, DTypeError, ShapeError
from intaglio.nn._pointwise import floating
from intaglio.nn._reduction import reduction_of

Tensors = tuple[Tensor, ...]


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """log(sum(exp)) of tensors of one shape, -inf where all are."""
    top = parts[0]
    for part in parts[1:]:
        top = ig.maximum(top, part)
    nothing = top == -math.inf
    safe = ig.where(nothing, 0.0, top).detach()
    total = ig.exp(parts[0] - safe)
    for part in parts[1:]:
        total = total + ig.exp(part - safe)
    # The logarithm of 0 would make NaN in derivatives of the derivative.
    return ig.where(nothing, -math.inf, ig.log(ig.where(nothing, 1.0, total)) + safe)


def _shifted(x: Tensor, by: int) -> Tensor:
    """x[:, s - by], -inf outside."""
    if by > 0:
        return ig.constant_pad(x, (by, 0), -math.inf)[:, : x.shape[1]]
    return ig.constant_pad(x, (0, -by), -math.inf)[:, -by:]


def _paths(
    emitted: Tensor, start: Tensor, jumps: Tensor, lengths: Tensor, backwards: bool
) -> Tensor:
    """alpha (or beta) [t, n, s] of emitted: [t, n, s]. `jumps` [n, s] tells where a path may come
    over a blank; a sequence's own end is its length."""
    steps = ig.arange(emitted.shape[0])
    sign = -1 if backwards else 1

    def step(state: Tensor, x: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        now, t = x
        over = ig.where(jumps, _shifted(state, 2 * sign), -math.inf)
        made = now + _joined([state, _shifted(state, sign), over])
        made = ig.where((t < lengths).unsqueeze(1), made, state)
        return made, made

    return ig.scan(step, start, (emitted, steps), reverse=backwards)[1]


def _ends(places: Tensor, last: Tensor, x: Tensor) -> Tensor:
    """0 at each sequence's last place, -inf elsewhere: [n, s]."""
    hit = places == last.unsqueeze(1)
    return ig.where(hit, ig.zeros((), dtype=x.dtype), -math.inf)


def _alpha(
    logs: Tensor, labels: Tensor, lengths: Tensor, targets: Tensor, blank: int
) -> tuple[Tensor, Tensor]:
    """Where paths start, and alpha."""
    n, s = labels.shape
    emitted = logs.gather(2, labels.unsqueeze(0).expand(logs.shape[0], n, s))
    start = _ends(ig.arange(s), ig.zeros_like(targets), logs)
    return start, _paths(emitted, start, _jumps(labels, blank), lengths, False)


def _ctc_forward(
    logs: Tensor, labels: Tensor, lengths: Tensor, targets: Tensor, *, blank: int
) -> Tensors:
    """The negative logarithm of each sequence's probability: [n]."""
    n, s = labels.shape
    places = ig.arange(s)
    start, alpha = _alpha(logs, labels, lengths, targets, blank)
    at = (lengths - 1).clamp(min=0).reshape(1, n, 1).expand(1, n, s)
    final = ig.where((lengths > 0).unsqueeze(1), alpha.gather(0, at).squeeze(0), start)
    last = 2 * targets.unsqueeze(1)
    final = ig.where((places == last) | (places == last - 1), final, -math.inf)
    return (-ig.logsumexp(final, 1),)


def _jumps(labels: Tensor, blank: int) -> Tensor:
    """Where a path may come from two places before: labels that differ with a blank between."""
    before = ig.constant_pad(labels, (2, 0), blank)[:, : labels.shape[1]]
    return (labels != blank) & (labels != before)


def _ctc_backward(xs: Tensors, ys: Tensors, dys: Tensors, *, blank: int) -> Tensors:
    logs, labels, lengths, targets = xs
    loss = ys[0]
    # Made again, as a function of logs, so that derivatives of this derivative reach through it;
    # compiled, both are one.
    _, alpha = _alpha(logs, labels, lengths, targets, blank)
    n, s = labels.shape
    wide = labels.unsqueeze(0).expand(logs.shape[0], n, s)
    emitted = logs.gather(2, wide)
    jumps = _jumps(labels, blank)
    onward = ig.constant_pad(jumps.to(ig.int64), (0, 2), 0)[:, 2:] > 0
    end = _ends(ig.arange(s), 2 * targets, logs)
    beta = _paths(emitted, end, onward, lengths, True)
    through = alpha + beta
    share = ig.exp(through - emitted + loss.unsqueeze(1))
    share = ig.where(through == -math.inf, 0.0, share)
    taken = ig.scatter_add(ig.zeros_like(logs), 2, wide, share)
    impossible = ig.where((loss == math.inf) & (dys[0] != 0), math.nan, 0.0)
    slope = (ig.exp(logs) - taken + impossible.unsqueeze(1)) * dys[0].unsqueeze(1)
    steps = ig.arange(logs.shape[0]).unsqueeze(1)
    return (ig.where((steps < lengths).unsqueeze(2), slope, 0.0),)


_ctc = ig.custom_vjp(_ctc_forward, _ctc_backward)


def _lengths(name: str, given: Any, n: Any, most: Any) -> Tensor:
    """One length for each sequence as i64[n], checked where its elements are at hand."""
    concrete = not isinstance(given, Tensor) or not ig.is_tracing()
    made = given if isinstance(given, Tensor) else ig.tensor(given, dtype=ig.int64)
    if made.dtype.kind not in "iu":
        raise DTypeError(f"ctc_loss: {name} {made._kind} are not integers")
    made = made.to(ig.int64).reshape(-1)
    if made.shape[0] != n:
        raise ShapeError(f"ctc_loss: {name} {made._kind}: one for each of {n} sequences is wanted")
    if concrete and isinstance(most, int) and isinstance(n, int) and n:
        numbers = given if not isinstance(given, Tensor) else made.tolist()
        numbers = [numbers] if isinstance(numbers, int) else list(numbers)
        if min(numbers) < 0 or max(numbers) > most:
            raise ArgumentError(f"ctc_loss: {name} are from 0 to {most}, not {numbers}")
    return made


def _padded(targets: Tensor, lengths: Tensor, given: Any, n: Any) -> Tensor:
    """Targets as [n, most]: concatenated ones are cut apart by their lengths."""
    if targets.ndim == 2:
        if targets.shape[0] != n:
            raise ShapeError(f"ctc_loss: the targets {targets._kind} are not {n} sequences")
        return targets
    if targets.ndim != 1:
        raise ShapeError(f"ctc_loss: the targets {targets._kind}: [n, s] or [total] are wanted")
    total = targets.shape[0]
    if not isinstance(given, Tensor):
        most = max([given] if isinstance(given, int) else given, default=0)
    elif ig.is_tracing():
        most = total
    else:
        most = max(lengths.tolist(), default=0)
    start = ig.cumsum(lengths, 0) - lengths
    at = start.unsqueeze(1) + ig.arange(most)
    return ig.take_rows(targets, at.clamp(min=0, max=total - 1)) if total else at


@rounded_once
def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """The negative log-probability of each target sequence, summed over its alignments.

    log_probs: [t, n, c] or [t, c], through log_softmax; targets: classes [n, s], or all in one row
    [total]; input_lengths, target_lengths: i64[n], or integers. `mean` divides each loss by its
    target's length first; `zero_infinity` makes losses without any alignment 0."""
    how = reduction_of(reduction)
    floating("ctc_loss", log_probs)
    if log_probs.ndim not in (2, 3):
        raise ShapeError(f"ctc_loss: {log_probs._kind}: [t, n, c] or [t, c] is wanted")
    if targets.dtype not in (ig.int64, ig.int32):
        raise DTypeError(f"ctc_loss: the targets {targets._kind} are not int64 or int32")
    if not 0 <= blank < log_probs.shape[-1]:
        raise ArgumentError(f"ctc_loss: {log_probs._kind}: the blank {blank} is not one of them")
    single = log_probs.ndim == 2
    logs = log_probs.unsqueeze(1) if single else log_probs
    n = logs.shape[1]
    lengths = _lengths("input_lengths", input_lengths, n, logs.shape[0])
    most = targets.shape[1] if targets.ndim == 2 else None
    counts = _lengths("target_lengths", target_lengths, n, most)
    with entered("ctc_loss"):
        padded = _padded(targets.to(ig.int64), counts, target_lengths, n)
        there = ig.arange(padded.shape[1]) < counts.unsqueeze(1)
        named = ig.where(there, padded, blank).unsqueeze(2)
        between = ig.constant_pad(named, (1, 0), blank).reshape(n, 2 * padded.shape[1])
        labels = ig.constant_pad(between, (0, 1), blank)
        loss = _ctc(logs, labels, lengths, counts, blank=blank)[0]
        if zero_infinity:
            loss = ig.where(loss == math.inf, 0.0, loss)
        if how == "none":
            return loss.squeeze(0) if single else loss
        if how == "sum":
            return loss.sum()
        return (loss / counts.clamp(min=1).to(loss.dtype)).mean()
