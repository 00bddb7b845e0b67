"""What the ops over windows share: their attributes, which taps are where, and the references."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final

import numpy as np

from intaglio.compiler.dims import Shape, Size, bounds, floordiv, holds, modulo, product
from intaglio.compiler.dtypes import DType, int32
from intaglio.compiler.errors import ArgumentError, ShapeError
from intaglio.compiler.loop import Expr, Index, Operand, Position, all_of, call, in_range, number
from intaglio.compiler.op import Array, Op, Sample
from intaglio.compiler.ops.movement import size_of
from intaglio.compiler.ops.rules import check_kind, check_shape, refused
from intaglio.compiler.types import TensorType

MOST_TAPS: Final = 64
"""Taps that a window may have: each is a part of the element's expression, and its
number fits a byte."""
FARTHEST: Final = (1 << 31) - 1
"""The largest stride or dilation: what is left of a place fits 32 bits."""
Ints = tuple[int, ...]


class Window(Op):
    """Base of the ops over windows; `geometry` is what they share."""

    kinds: ClassVar[str] = "fiu"

    def check(self, types: Sequence[TensorType], sizes: Any, strides: Any, dilations: Any) -> None:
        """Refuse attributes that describe no window."""
        for name, value in (("sizes", sizes), ("strides", strides), ("dilations", dilations)):
            if not isinstance(value, tuple) or not all(
                isinstance(v, int) and not isinstance(v, bool) and 1 <= v <= FARTHEST for v in value
            ):
                rule = f"{name} is {value!r}, not positive integers up to {FARTHEST}"
                raise refused(ArgumentError, self, types, rule)
            if len(value) != len(sizes):
                raise refused(
                    ArgumentError, self, types, f"{name} is {value}: {len(sizes)} are wanted"
                )
        if not 1 <= len(sizes) <= types[0].rank:
            raise refused(
                ShapeError, self, types, f"windows of {len(sizes)} dims on {types[0].rank}"
            )
        taps = product(sizes)
        assert isinstance(taps, int)
        if taps > MOST_TAPS:
            raise refused(
                ArgumentError, self, types, f"{taps} taps are more than {MOST_TAPS}: go by dims"
            )

    def out(
        self,
        types: Sequence[TensorType],
        spatial: Shape,
        sizes: Ints,
        strides: Ints,
        low: Any,
        high: Any,
        dilations: Ints,
    ) -> Shape:
        """How many windows there are along each spatial dim."""
        made: list[Size] = []
        for name, value in (("low", low), ("high", high)):
            check_shape(self, types, value, name)
            if len(value) != len(sizes):
                raise refused(
                    ArgumentError, self, types, f"{name} is {value}: {len(sizes)} are wanted"
                )
        for k, size in enumerate(spatial):
            span = (sizes[k] - 1) * dilations[k] + 1
            whole = size + low[k] + high[k]
            if not holds(span, "<=", whole):
                raise refused(
                    ShapeError, self, types, f"a window spans {span}, more than the {whole} there"
                )
            made.append(floordiv(whole - span, strides[k]) + 1)
        return tuple(made)


def taps_of(sizes: Ints) -> Iterator[tuple[int, Ints]]:
    """The taps of a window with their numbers."""
    return enumerate(itertools.product(*map(range, sizes)))


Reached = list[tuple[list[Expr], Size, Size]]
"""Conditions, window and tap of those that may reach an element along one dim, in order."""


def _by_window(last: Size, rest: Size, window: Ints, count: Size) -> Reached:
    """Window by window: `last` is the last that starts no later than the element, `rest` how far
    before it; `window` is a dim's (taps, stride, dilation)."""
    taps, stride, dilation = window
    span = (taps - 1) * dilation + 1
    found: Reached = []
    for back in reversed(range(-(-span // stride))):
        offset = rest + back * stride
        if dilation > 1 and isinstance(offset, int) and offset % dilation:
            continue
        inside = [in_range(last - back, 0, count), in_range(offset, 0, span)]
        if dilation > 1 and not isinstance(offset, int):
            inside.append(_equal(modulo(offset, dilation), 0))
        here = [c for c in inside if c is not None]
        found.append((here, last - back, floordiv(offset, dilation)))
    return found


def _by_tap(last: Size, rest: Size, window: Ints, count: Size) -> Reached:
    """Tap by tap, where windows span many elements with few taps."""
    taps, stride, dilation = window
    found: Reached = []
    for tap in reversed(range(taps)):
        back, wanted = divmod(tap * dilation, stride)
        if isinstance(rest, int) and rest != wanted:
            continue
        inside = [in_range(last - back, 0, count)]
        if not isinstance(rest, int):
            inside.append(_equal(rest, wanted))
        found.append(([c for c in inside if c is not None], last - back, tap))
    return found


def _equal(size: Size, wanted: int) -> Expr:
    return call("eq", Index(size, int32), number(wanted, int32))


def split_index(index: Sequence[Position], rank: int) -> tuple[list[Position], list[Size]]:
    """The leading positions, and the spatial ones as sizes."""
    lead = len(index) - rank
    return list(index[:lead]), [size_of(p) for p in index[lead:]]


def reads(
    index: tuple[Position, ...],
    x: Operand,
    *,
    sizes: Ints,
    strides: Ints,
    low: Shape,
    high: Shape,
    dilations: Ints,
) -> Iterator[tuple[int, Expr | None, list[Position]]]:
    """(number, guard, position in x) of every tap of the window at `index`. The guard is None where
    the tap is inside for all windows."""
    rank = len(sizes)
    lead, at = split_index(index, rank)
    spatial = x.type.shape[-rank:]
    for tap, place in taps_of(sizes):
        inside: list[Expr] = []
        position: list[Position] = [*lead]
        for k in range(rank):
            p = at[k] * strides[k] - low[k] + place[k] * dilations[k]
            before = bounds(low[k])[1] > place[k] * dilations[k]
            after = bounds(high[k])[1] > (sizes[k] - 1 - place[k]) * dilations[k]
            within = in_range(p, 0 if before else p, spatial[k] if after else p + 1)
            inside += [within] if within is not None else []
            position.append(p)
        yield tap, all_of(inside), position


def windows(
    index: tuple[Position, ...],
    out: Shape,
    *,
    sizes: Ints,
    strides: Ints,
    low: Shape,
    dilations: Ints,
) -> Iterator[tuple[Expr | None, list[Position], Size]]:
    """(guard, position, tap) of every window that may reach the element at `index`, in row-major
    order of the windows."""
    rank = len(sizes)
    lead, at = split_index(index, rank)
    along: list[list[tuple[list[Expr], Size, Size]]] = []
    for k in range(rank):
        span = (sizes[k] - 1) * dilations[k] + 1
        place = at[k] + low[k]
        found = (_by_window if -(-span // strides[k]) <= sizes[k] else _by_tap)(
            floordiv(place, strides[k]),
            modulo(place, strides[k]),
            (sizes[k], strides[k], dilations[k]),
            out[k],
        )
        along.append(found)
    for parts in itertools.product(*along):
        tap: Size = 0
        for k, (_, _, offset) in enumerate(parts):
            tap = tap * sizes[k] + offset
        guard = all_of([c for conditions, _, _ in parts for c in conditions])
        yield guard, [*lead, *(window for _, window, _ in parts)], tap


# ----------------------------------------------------------------------------------- the references


def views(
    x: Array, fill: Any, sizes: Ints, strides: Ints, low: Ints, high: Ints, dilations: Ints
) -> Iterator[Array]:
    """What every tap sees, in order; `fill` outside the array."""
    lead = x.ndim - len(sizes)
    edges = [(0, 0)] * lead + list(zip(low, high, strict=True))
    wide = np.full([n + a + b for n, (a, b) in zip(x.shape, edges, strict=True)], fill, x.dtype)
    wide[tuple(slice(a, a + n) for n, (a, _) in zip(x.shape, edges, strict=True))] = x
    for _, place in taps_of(sizes):
        yield _tap_view(wide, lead, place, sizes, strides, dilations)


def _tap_view(
    wide: Array, lead: int, place: Ints, sizes: Ints, strides: Ints, dilations: Ints
) -> Array:
    parts = [slice(None)] * lead
    for k, size in enumerate(wide.shape[lead:]):
        count = (size - (sizes[k] - 1) * dilations[k] - 1) // strides[k] + 1
        start = place[k] * dilations[k]
        parts.append(slice(start, start + (count - 1) * strides[k] + 1, strides[k]))
    return wide[tuple(parts)]


def spread(
    parts: Sequence[Array],
    shape: Ints,
    sizes: Ints,
    strides: Ints,
    low: Ints,
    high: Ints,
    dilations: Ints,
) -> Array:
    """The sum over windows of what `parts` gives for each tap, window by window."""
    lead = parts[0].ndim - len(sizes)
    leading = parts[0].shape[:lead]
    spans = [(k - 1) * d + 1 for k, d in zip(sizes, dilations, strict=True)]
    out = parts[0].shape[lead:]
    needed = [
        max(n + a + b, (o - 1) * s + span)
        for n, a, b, o, s, span in zip(shape, low, high, out, strides, spans, strict=True)
    ]
    wide = np.zeros((*leading, *needed), parts[0].dtype)
    for window in np.ndindex(*out):
        for tap, place in taps_of(sizes):
            at = tuple(
                w * s + p * d for w, s, p, d in zip(window, strides, place, dilations, strict=True)
            )
            wide[(..., *at)] += parts[tap][(..., *window)]
    return wide[
        tuple([slice(None)] * lead + [slice(a, a + n) for a, n in zip(low, shape, strict=True)])
    ]


def lowest(dtype: DType) -> Any:
    """The smallest number of a dtype."""
    return -np.inf if dtype.kind == "f" else int(np.iinfo(np.dtype(dtype.numpy).str).min)


def widened(
    op: Window,
    types: Sequence[TensorType],
    shape: Any,
    sizes: Ints,
    strides: Ints,
    low: Shape,
    high: Shape,
    dilations: Ints,
) -> TensorType:
    """The type of what has windows like the first operand and spatial sizes `shape`."""
    check_kind(op, types[:1], op.kinds)
    op.check(types, sizes, strides, dilations)
    check_shape(op, types, shape)
    if len(shape) != len(sizes):
        raise refused(ShapeError, op, types, f"shape is {shape}: {len(sizes)} are wanted")
    lead = types[0].rank - len(sizes)
    out = op.out(types, shape, sizes, strides, low, high, dilations)
    check_equal(op, types, types[0].shape[lead:], out)
    return types[0].with_shape(*types[0].shape[:lead], *shape)


def check_equal(op: Op, types: Sequence[TensorType], found: Shape, wanted: Shape) -> None:
    """Refuse sizes that are not those that the windows make."""
    if len(found) != len(wanted) or not all(
        holds(a, "==", b) for a, b in zip(found, wanted, strict=True)
    ):
        texts = [f"[{','.join(map(str, s))}]" for s in (found, wanted)]
        raise refused(ShapeError, op, types, f"the windows make {texts[1]}, not {texts[0]}")


# ------------------------------------------------------------------------------------------ samples


def window_samples(
    *cases: tuple[str, Ints, Ints, Ints, Ints, Ints], **options: Any
) -> tuple[Sample, ...]:
    """Samples of (operand, sizes, strides, low, high, dilations)."""
    return tuple(
        Sample(x, sizes=k, strides=s, low=a, high=b, dilations=d, **options)
        for x, k, s, a, b, d in cases
    )


CASES: Final = (
    ("f64[2,7]", (3,), (2,), (1,), (1,), (1,)),
    ("f64[3,6]", (2,), (1,), (0,), (0,), (3,)),
    ("f64[2,5,6]", (2, 3), (2, 1), (1, 0), (0, 1), (1, 2)),
    ("f64[3,4,4]", (1, 1, 2), (1, 2, 2), (0, 0, 0), (0, 0, 0), (1, 1, 1)),
    ("f32[2,2,9,70]", (3, 3), (2, 2), (1, 1), (1, 1), (1, 1)),
    ("f32[2,130]", (4,), (3,), (2,), (3,), (1,)),
    ("f32[5,6]", (2, 2), (3, 3), (0, 0), (1, 0), (1, 1)),
    ("f32[0,4]", (2,), (2,), (0,), (0,), (1,)),
    ("i64[9]", (3,), (1,), (1,), (1,), (1,)),
    ("i32[2,8]", (2,), (2,), (0,), (0,), (1,)),
)  # fmt: skip
