"""Lowers groups around kernel templates: what is neither elementwise nor a reduction.

A template prints C text of its own, with what is fused behind it where it stores its results. Here
it is given the buffers of its operands and results, and its kernels become steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from intaglio.compiler.dims import Size, maximum
from intaglio.compiler.dtypes import uint8
from intaglio.compiler.ir import Graph, Node, Value
from intaglio.compiler.loop import Buffer, Unfusable
from intaglio.compiler.lowered import HostSpec
from intaglio.compiler.lowering import NAME, kernel_of, numbers_of, same_places
from intaglio.compiler.lowering_loops import LoopLowering
from intaglio.compiler.op import op_named
from intaglio.compiler.packing import packed_buffer, packing_of
from intaglio.compiler.schedule.conv_kernels import convolution_kernels
from intaglio.compiler.schedule.convolution import group_convolution
from intaglio.compiler.schedule.products import product_of_group
from intaglio.compiler.schedule.storage import View, dense
from intaglio.compiler.schedule.template import TemplateResult
from intaglio.compiler.steps import Call
from intaglio.compiler.types import TensorType
from intaglio.compiler.where import Places

CONVOLUTIONS = frozenset({"conv", "conv_input", "conv_weight"})
"""The templates that `schedule.convolution` describes."""
HOST_NANOSECONDS = 10_000
"""What a call into Python costs at least."""


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
        if kind == "host":
            self._host(node, where)
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

    def _host(self, node: Node, where: Places) -> None:
        """A call into Python: operands and results lie row-major."""
        if self.caller is None:
            self.caller = self.memory.add("host", 0, TensorType(uint8, (0,)))
        operands = [self._row_major(v) for v in node.inputs]
        results = []
        for value in node.outputs:
            place = self._place(value)
            if not place.is_dense(value.type.shape):
                place = self._fresh(value)
            results.append(place)
        self.nodes.append((node.op, node.where))
        number = len(self.nodes) - 1
        self.hosts.append(
            HostSpec(
                node.op,
                tuple(node.attributes.items()),
                tuple(v.type for v in node.inputs),
                tuple(v.type for v in node.outputs),
                number,
            )
        )
        self._append(
            Call(
                "",
                (*operands, *results),
                numbers_of(operands),
                numbers_of(results),
                1,
                sum((v.type.bytes for v in (*node.inputs, *node.outputs)), start=HOST_NANOSECONDS),
                (node.op,),
                where,
                number,
                check=True,
                host=len(self.hosts) - 1,
            )
        )
        for value, place in zip(node.outputs, results, strict=True):
            self._copy(value, place, self.views[value])

    def _row_major(self, value: Value) -> View:
        """Where a value lies row-major; it is copied if it does not yet."""
        view = self.views[value]
        if view.is_dense(value.type.shape) and not view.blocks:
            return view
        place = self._fresh(value)
        self._copy(value, view, place)
        return place

    def _fresh(self, value: Value) -> View:
        """New memory for a value."""
        number = self.memory.temporary(value.type)
        self.timeline.born(number)
        return View(number, 0, dense(value.type.shape))

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
