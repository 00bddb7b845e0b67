"""What a device has to launch for one call of a function lowered to CUDA, in order.

All numbers are sizes, so that one plan serves every call. `concrete` works them out for given
sizes: it runs the loops of steps, leaves out launches without threads, and gives for every launch
the grid, the block and where in which buffer each pointer points."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from intaglio.compiler.dims import Size, evaluate


@dataclass(frozen=True, slots=True)
class Turn:
    """A number that differs from round to round: `start` plus, for the k-th loop around (the
    outermost first), `steps[k]` times its round."""

    start: Size
    steps: tuple[Size, ...] = ()

    def at(self, rounds: Sequence[int], sizes: Mapping[str, int]) -> int:
        """The number in these rounds of the loops around."""
        moved = sum(
            evaluate(s, sizes) * r for s, r in zip(self.steps, rounds, strict=False)
        )  # loops further in do not matter
        return evaluate(self.start, sizes) + moved


@dataclass(frozen=True, slots=True)
class Pointer:
    """An argument: so many bytes into a buffer (by its number in `Lowered.buffers`). Of what a loop
    carries, `other` is the buffer that is meant when `odd` is an odd number."""

    buffer: int
    offset: Turn
    other: int | None = None
    odd: Turn | None = None


@dataclass(frozen=True, slots=True)
class Launch:
    """One kernel: its name, its grid (x, y) and threads per block (x, y), the bytes of shared
    memory it declares, the bytes of scratch memory that each of the grid's x blocks needs, the
    number of the node its errors belong to, and its step. One that `copies` puts every element
    where it was, and may be left out where its two pointers are the same.

    Its parameters are the pointers, then the scratch memory, the array of sizes, the error record
    (`int64_t[4]`: set, node, value, bound) and the node's number."""

    kernel: str
    pointers: tuple[Pointer, ...]
    grid: tuple[Size, Size]
    block: tuple[int, int]
    shared: int
    scratch: Size
    node: int
    step: int
    copies: bool = False


@dataclass(frozen=True, slots=True)
class HostLaunch:
    """A call into Python (by its number in `Lowered.hosts`): operands and results by pointer, and
    its step."""

    host: int
    pointers: tuple[Pointer, ...]
    step: int


@dataclass(frozen=True, slots=True)
class LaunchLoop:
    """Launches that are repeated `length` times."""

    length: Size
    body: tuple[Launch | HostLaunch | LaunchLoop, ...]


@dataclass(frozen=True, slots=True)
class ConcreteLaunch:
    """A launch for given sizes; `pointers` are pairs of a buffer's number and a byte offset. A call
    into Python has no grid."""

    launch: Launch | HostLaunch
    pointers: tuple[tuple[int, int], ...]
    grid: tuple[int, int]
    scratch: int


def concrete(
    launches: Sequence[Launch | HostLaunch | LaunchLoop],
    sizes: Mapping[str, int],
    rounds: tuple[int, ...] = (),
) -> Iterator[ConcreteLaunch]:
    """The launches of one call, in order."""
    for item in launches:
        if isinstance(item, LaunchLoop):
            for k in range(evaluate(item.length, sizes)):
                yield from concrete(item.body, sizes, (*rounds, k))
            continue
        if isinstance(item, HostLaunch):
            pointers = tuple(_resolved(p, rounds, sizes) for p in item.pointers)
            yield ConcreteLaunch(item, pointers, (0, 0), 0)
            continue
        across, down = (evaluate(g, sizes) for g in item.grid)
        if across > 0 and down > 0:
            pointers = tuple(_resolved(p, rounds, sizes) for p in item.pointers)
            scratch = across * evaluate(item.scratch, sizes)
            yield ConcreteLaunch(item, pointers, (across, down), scratch)


def _resolved(pointer: Pointer, rounds: Sequence[int], sizes: Mapping[str, int]) -> tuple[int, int]:
    number = pointer.buffer
    if pointer.other is not None and pointer.odd is not None:
        number = pointer.other if pointer.odd.at(rounds, sizes) & 1 else number
    return number, pointer.offset.at(rounds, sizes)
