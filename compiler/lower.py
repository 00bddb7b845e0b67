"""Lowers a whole function to C or CUDA: kernels, the order they run in, and the memory they need.

`lower` walks a fused graph. A node that is only another look at its operand becomes a view and
costs nothing; every other node becomes one or a few kernels, each a *step* of the function.
Neighbouring steps that do not depend on each other run as one. The text of the function calls the
steps through the context that it is given (see `ig_abi.h`), so that it links to nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from intaglio.compiler.codegen.function import function_sources
from intaglio.compiler.dims import symbols
from intaglio.compiler.ir import Graph
from intaglio.compiler.lowered import BufferSpec, Lowered, StepInfo
from intaglio.compiler.lowering import Lowering
from intaglio.compiler.lowering_cuda import CudaLowering
from intaglio.compiler.lowering_storage import StorageLowering
from intaglio.compiler.passes.layout import Layout, layout
from intaglio.compiler.passes.specialise import specialise
from intaglio.compiler.passes.widen import widen
from intaglio.compiler.steps import Memory, first_in_place, in_place_inputs


def lower(
    graph: Graph,
    *,
    sizes: Mapping[str, int] | None = None,
    target: str = "c",
    in_place: Mapping[int, int] | None = None,
    lanes: int | None = None,
    packable: Collection[int] = (),
    layouts: bool = True,
) -> Lowered:
    """The function that computes `graph`, a graph that the passes have been over.

    With `sizes` the text is specialised to them; without, it takes them from `dims[]`, with equal
    bits. `target` is `c` or `cuda`. `in_place` names, by output number, the input whose memory the
    output would like to take; `BufferSpec.may_alias` says whether it may. `lanes` forces the block
    size (for tests). `packable` are the inputs of which the function may read packed copies, kept
    from call to call by whoever calls it. Without `layouts` every value is row-major."""
    if sizes is not None:
        graph = specialise(graph, sizes)
    graph = widen(graph)
    names = tuple(symbols(*(s for v in graph.inputs for s in v.type.shape)))
    lowering: Lowering
    if target == "cuda":
        lowering = CudaLowering(graph, names, in_place)
    else:
        chosen = layout(graph) if layouts else Layout()
        lowering = StorageLowering(graph, names, lanes, packable, in_place, chosen)
    lowering.run()
    memory = lowering.memory
    aliases = in_place_inputs(lowering.timeline, memory, in_place or {}, lowering.inputs)
    certain = first_in_place(lowering.timeline, memory, aliases, lowering.inputs)
    sources = function_sources(lowering, target, certain)
    return Lowered(
        sources=sources,
        entry="ig_f0",
        size_names=names,
        buffers=tuple(_spec(k, lowering, memory, aliases) for k in range(len(memory.kinds))),
        constants=tuple(memory.constants),
        scratch_bytes=lowering.scratch,
        steps=lowering.timeline.infos(),
        nodes=tuple(lowering.nodes),
        nanoseconds=lowering.timeline.nanoseconds,
        packs=lowering.packings.specs(),
        launches=lowering.launches(),
        hosts=tuple(lowering.hosts),
    )


def _spec(
    number: int, lowering: Lowering, memory: Memory, aliases: Mapping[int, int]
) -> BufferSpec:
    kind, index = memory.kinds[number]
    type = memory.types[number]
    first, last = lowering.timeline.lifetime(number)
    alias = aliases.get(index) if kind == "output" else None
    return BufferSpec(kind, index, type.bytes, type.dtype, type.shape, first, last, alias)


__all__: Sequence[str] = ("BufferSpec", "Lowered", "StepInfo", "lower")
