"""Lowers groups around kernel templates: what is neither elementwise nor a reduction.

A template prints C text of its own, with what is fused behind it where it stores its results. Here
it is given the buffers of its operands and results, and its kernels become steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from intaglio.compiler.dims import Size, maximum
from intaglio.compiler.dtypes import uint8
from intaglio.compiler.ir import Graph, Node
from intaglio.compiler.loop import Buffer, Unfusable
from intaglio.compiler.lowering import NAME, kernel_of, numbers_of, same_places
from intaglio.compiler.lowering_loops import LoopLowering
from intaglio.compiler.op import op_named
from intaglio.compiler.packing import packed_buffer, packing_of
from intaglio.compiler.schedule.conv_kernels import convolution_kernels
from intaglio.compiler.schedule.convolution import group_convolution
from intaglio.compiler.schedule.products import product_of_group
from intaglio.compiler.schedule.storage import View
from intaglio.compiler.schedule.template import TemplateResult
from intaglio.compiler.steps import Call
from intaglio.compiler.types import TensorType
from intaglio.compiler.where import Places

CONVOLUTIONS = frozenset({"conv", "conv_input", "conv_weight"})
"""The templates that `schedule.convolution` describes."""


class TemplateLowering(LoopLowering):
    """One function being lowered, with all kernel templates."""

    def _template(self, graph: Graph, templates: Sequence[Node], where: Places) -> None:
        (node, *more) = templates
        if more:
            raise Unfusable("two kernel templates in one group")
        kind = kernel_of(op_named(node.op))
        if kind == "matmul":
            self._product(graph, node, where)
            return
        if kind in CONVOLUTIONS:
            self._convolution(graph, node, where)
            return
        raise Unfusable(f"no schedule for {node.op}")

    def _product(self, graph: Graph, node: Node, where: Places) -> None:
        memory = self._memory(graph)
        results = self._results(graph)
        places = {b: self.views[v] for v, b in memory.items()} | {b: w for _, b, w in results}
        packing = packing_of(node, self.views[node.inputs[1]], self.packings.inputs)
        shape = node.inputs[1].type.shape
        packed = None if packing is None else packed_buffer(packing, shape)
        if packing is None:
            packed, view = self._packed_ahead(node.inputs[1])
            if packed and view:
                places[packed] = view
        made, buffers, pack, same = product_of_group(
            graph, node, memory, [(v, b) for v, b, _ in results], NAME, self._printer, packed
        )
        if packing and packed and pack:
            number = self.packings.number(packing, pack)
            places[packed] = View(number, 0, packed.strides)
        for value, _, view in results:
            self.views[value] = view
        self._steps(graph, made, buffers, places, same, where)

    def _convolution(self, graph: Graph, node: Node, where: Places) -> None:
        memory, results = self._memory(graph), self._results(graph)
        places = {b: self.views[v] for v, b in memory.items()} | {b: w for _, b, w in results}
        pairs = [(v, b) for v, b, _ in results]
        made = group_convolution(graph, node, memory, pairs, NAME, self._printer)
        kernels = convolution_kernels(made.problem)
        for value, _, view in results:
            self.views[value] = view
        self._steps(graph, kernels, made.buffers, places, made.same, where)

    def _workspace(self, size: Size) -> list[View]:
        """A temporary of so many bytes, if any."""
        if size == 0:
            return []
        number = self.memory.temporary(TensorType(uint8, (size,)))
        self.timeline.born(number)
        return [View(number, 0, (1,))]

    def _steps(
        self,
        graph: Graph,
        made: TemplateResult,
        buffers: Sequence[Buffer],
        places: Mapping[Buffer, View],
        same: Sequence[tuple[Buffer, Buffer]],
        where: Places,
    ) -> None:
        """Append the steps of a template; its workspace comes behind its buffers."""
        views = [*(places[b] for b in buffers), *self._workspace(made.workspace)]
        name = self.texts.setdefault(made.text, f"k{len(self.texts)}")
        self.scratch = maximum(self.scratch, made.scratch)
        reads = [v for b, v in zip(buffers, views, strict=False) if b.role == "input"]
        writes = [v for b, v in zip(buffers, views, strict=False) if b.role == "output"]
        work = views[len(buffers) :]
        ops = tuple(n.op for n in graph.nodes)
        for step in made.steps:
            function = step.function.replace(NAME, name)
            self._append(
                Call(
                    function,
                    tuple(views),
                    numbers_of([*reads, *work]),
                    numbers_of([*writes, *work]),
                    step.chunks,
                    step.nanoseconds,
                    ops,
                    where,
                    same_place=same_places(same, buffers, places),
                )  # fmt: skip
            )
