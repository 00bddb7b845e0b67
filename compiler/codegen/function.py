"""The text around kernels: declarations, the function's body, and the cut into translation units
that are compiled in parallel."""

from __future__ import annotations

import heapq
import re
from collections.abc import Sequence
from typing import Final, Protocol

from intaglio.compiler.codegen.bodies import Steps, body_text
from intaglio.compiler.codegen.head import C_HEAD, CUDA_HEAD, PARTS

UNIT_WORK: Final = 100
"""Block operations in one translation unit; gcc takes about two milliseconds for each."""
KERNEL_WORK: Final = 4
"""What a kernel costs beyond its block operations, in the same unit."""
_BLOCK_OPERATION: Final = re.compile(r"\big(?:16|32|64)_(?!load|store|stream|splat)\w+\(")
CUDA_KERNELS: Final = 8
"""Kernels in one translation unit of CUDA; each takes as long as the head that they share."""
NAME: Final = "IG_NAME"
_SHARED: Final = re.compile(r"^static void (k\d+\w*)\((?=const ig_worker)", re.MULTILINE)
"""The head of a template's kernel function."""


class Packings(Protocol):
    """The functions that make packed copies of inputs."""

    def text(self, name: str) -> str:
        """Their text, without the placeholder for a kernel's name."""
        ...


class Lowered(Steps, Protocol):
    """What is known of a function when its text is made."""

    texts: dict[str, str]

    @property
    def packings(self) -> Packings:
        """What is packed."""
        ...


def function_sources(lowered: Lowered, target: str, certain: int | None = None) -> tuple[str, ...]:
    """The translation units of a function; in C the first holds its entry point `ig_f0`. From the
    step `certain` on nothing stops it but an error."""
    kernels = [text.replace(NAME, name) for text, name in lowered.texts.items()]
    if target == "cuda":
        starts = range(0, max(len(kernels), 1), CUDA_KERNELS)
        return tuple("\n".join([CUDA_HEAD, *kernels[k : k + CUDA_KERNELS]]) for k in starts)
    body = lowered.packings.text(NAME) + body_text(lowered, certain)
    units = _units(kernels)
    if len(units) <= 1:
        return ("\n".join([C_HEAD, "#define IG_KERNEL static", *kernels, PARTS, body]),)
    hidden = '#define IG_KERNEL __attribute__((visibility("hidden")))'
    names = sorted({c.function for c in lowered.timeline.calls() if c.host is None})
    declared = [
        f"IG_KERNEL void {n}(const ig_worker *, const void *, int64_t, int64_t);" for n in names
    ]
    first = "\n".join([C_HEAD, hidden, *declared, PARTS, body])
    shared = [[_SHARED.sub(r"IG_KERNEL void \1(", text) for text in unit] for unit in units]
    return (first, *("\n".join([C_HEAD, hidden, *unit]) for unit in shared))


def _units(kernels: Sequence[str]) -> list[list[str]]:
    """The kernels dealt out over units of about equal work, an even number of them; the largest
    kernel first, each to the unit that has the least."""
    works = [KERNEL_WORK + len(_BLOCK_OPERATION.findall(text)) for text in kernels]
    count = -(-sum(works) // UNIT_WORK)
    if count <= 1:
        return [list(kernels)] if kernels else []
    units = [(0, k) for k in range(count + count % 2)]
    place = {}
    for number in sorted(range(len(kernels)), key=lambda k: -works[k]):
        load, unit = heapq.heappop(units)
        place[number] = unit
        heapq.heappush(units, (load + works[number], unit))
    made: list[list[str]] = [[] for _ in units]
    for number, text in enumerate(kernels):
        made[place[number]].append(text)
    return [unit for unit in made if unit]
