"""Convolutions as planes that shift: how results read a source, whichever of the two it is.

Along each spatial dim a *source* (the image, or what flowed back to the results) is laid out as
planes of `extent` elements with zeros around: for `conv` one plane for each phase of the stride, so
that neighbouring results read neighbouring elements. Results belong to phases, too: `conv` has one,
`conv_input` one for each phase of the stride, and each phase has taps of its own. So every tap of
every phase is a plain shift in a plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product as combinations

from intaglio.compiler.dims import Size, bounds, floordiv, maximum, minimum, product
from intaglio.compiler.schedule.convolution import RANK, Convolution

STRIP = 1536
"""Elements of a plane that a chunk runs over, about."""
MOST_VECTORS = 8
"""Vectors of a tile at most."""


@dataclass(frozen=True)
class Side:
    """One spatial dim. Element `u` of the plane of phase r is the source's `u * step + r - shift`;
    result `q * stride + r - low` lies at q in its own phase r, and reads `reads[t]` further."""

    source: Size
    step: int
    shift: int
    extent: Size
    places: Size
    result: Size
    stride: int
    low: int
    taps: tuple[tuple[int, int, int], ...]
    """Of each tap the result's phase, the source's phase, and the shift in the plane."""


def _sides(problem: Convolution) -> tuple[Side, ...]:
    found = []
    for w in problem.windows:
        reach = (w.kernel - 1) * w.dilation // w.stride
        steps = [divmod(t * w.dilation, w.stride) for t in range(w.kernel)]
        if problem.kind != "conv_input":
            taps = tuple((0, phase, far) for far, phase in steps)
            extent = w.output + reach
            side = Side(w.image, w.stride, w.low, extent, w.output, w.output, 1, 0, taps)
        else:
            taps = tuple((phase, 0, reach - far) for far, phase in steps)
            # The results' first place is that of the first that exists.
            first, low = divmod(w.low, w.stride)
            places = floordiv(w.image + (low - 1), w.stride) + 1
            extent, shift = places + reach, reach - first
            side = Side(w.output, 1, shift, extent, places, w.image, w.stride, low, taps)
        found.append(side)
    return tuple(found)


@dataclass(frozen=True)
class Tap:
    """A tap of the kernel: its flat number, the number of the source's plane, and its shift there
    along every dim."""

    number: int
    plane: int
    shifts: tuple[int, ...]


def tile_shape(rows: Size) -> tuple[int, int, int, int]:
    """Rows and vectors of a tile for so many rows, on machines with 32 wide registers; and on
    others."""
    most = bounds(rows)[1]
    if most == 1:
        return 1, 8, 1, 8
    if most == 2:
        return 2, 8, 2, 4
    if most <= 4:
        return 4, 6, 4, 2
    return 8, 3, 4, 2


@dataclass(frozen=True)
class Gather:
    """The problem with all that follows from it."""

    problem: Convolution

    @cached_property
    def sides(self) -> tuple[Side, ...]:
        """The spatial dims."""
        return _sides(self.problem)

    @property
    def chain(self) -> Size:
        """Channels of a group that a chain runs over."""
        forward = self.problem.kind != "conv_input"
        return self.problem.inputs if forward else self.problem.outputs

    @property
    def made(self) -> Size:
        """Channels of a group that are made."""
        return self.problem.outputs if self.problem.kind != "conv_input" else self.problem.inputs

    @cached_property
    def planes(self) -> tuple[tuple[int, ...], ...]:
        """The phases of the source that some tap reads."""
        each = [sorted({plane for _, plane, _ in s.taps}) for s in self.sides]
        return tuple(combinations(*each))

    @cached_property
    def phases(self) -> tuple[tuple[tuple[int, ...], tuple[Tap, ...]], ...]:
        """The phases of the results, each with its taps in order."""
        found = []
        for phase in combinations(*(range(s.stride) for s in self.sides)):
            taps = []
            each = (enumerate(s.taps) for s in self.sides)
            for number, tap in enumerate(combinations(*each)):
                if all(t[0] == p for (_, t), p in zip(tap, phase, strict=True)):
                    plane = self.planes.index(tuple(t[1] for _, t in tap))
                    taps.append(Tap(number, plane, tuple(t[2] for _, t in tap)))
            found.append((phase, tuple(taps)))
        return tuple(found)

    @cached_property
    def in_place(self) -> bool:
        """Whether the source is its own planes: nothing is padded or cut, it lies densely, and the
        first strip is no shorter than a tile, so that a last tile may begin earlier instead of
        reading further."""
        strides = self.problem.first.strides
        step: Size = 1
        for side, stride in reversed(tuple(zip(self.sides, strides[2:], strict=True))):
            if side.shift or side.step != 1 or side.extent != side.source:
                return False
            if side.extent != 1 and stride != step:
                return False
            step = step * side.extent
        if strides[1] != step and self.chain * self.problem.groups != 1:
            return False
        flat: Size = 0
        for d, side in enumerate(self.sides):
            places = minimum(side.places, self.depth) if d == self.strip_dim else side.places
            flat = flat * side.extent + places - 1
        return bounds(flat)[0] >= tile_shape(self.made)[1] * 64 // self.problem.dtype.size

    @property
    def area(self) -> Size:
        """Elements of a plane."""
        return product(tuple(s.extent for s in self.sides))

    @property
    def strip_dim(self) -> int:
        """The dim along which strips are cut: the first that is no filling. One place can be
        several results, so that both counts matter."""
        filling = [s.places == 1 and s.result == 1 for s in self.sides]
        return next((d for d in range(RANK - 1) if not filling[d]), RANK - 1)

    @property
    def pitch(self) -> Size:
        """Elements of a plane per position of that dim."""
        return product(tuple(s.extent for s in self.sides[self.strip_dim + 1 :]))

    @property
    def depth(self) -> Size:
        """Positions of that dim in a strip."""
        return maximum(1, floordiv(STRIP, self.pitch))

    @property
    def strips(self) -> Size:
        """Into how many strips a plane of results is cut."""
        return floordiv(self.sides[self.strip_dim].places + (self.depth - 1), self.depth)

    @property
    def tiles(self) -> Size:
        """How many tiles cover the channels that are made in a group."""
        rows = tile_shape(self.made)[0]
        return floordiv(self.made + (rows - 1), rows)

    @property
    def weight_elements(self) -> Size:
        """Elements of the weights in the order of the chains."""
        rows = tile_shape(self.made)[0] * self.problem.taps
        count = self.problem.groups * self.tiles * self.chain * rows
        return floordiv(count + 15, 16) * 16

    @property
    def slack(self) -> int:
        """Elements behind the planes that a last tile may read."""
        return MOST_VECTORS * 64 // self.problem.dtype.size
