"""Lowers what goes along rows in order: sorting, prefix chains, and ops that write into a copy of
their operand.

The copy is a step of its own that writes each element where it was: where the result takes the
operand's memory it is left out, and only what changes is written."""

from __future__ import annotations

from collections.abc import Sequence

from intaglio.compiler.ir import Graph, Node
from intaglio.compiler.loop import Buffer, symbol_of
from intaglio.compiler.lowering import NAME, kernel_of
from intaglio.compiler.lowering_templates import TemplateLowering
from intaglio.compiler.op import op_named
from intaglio.compiler.schedule.boxes import twice, update_box_kernel
from intaglio.compiler.schedule.ordering import Rows, order_text, rows_of
from intaglio.compiler.schedule.prefix import prefix_kernel
from intaglio.compiler.schedule.scatter import index_add_kernel, scatter_kernel
from intaglio.compiler.schedule.storage import View
from intaglio.compiler.schedule.template import TemplateResult
from intaglio.compiler.where import Places


class OrderLowering(TemplateLowering):
    """One function being lowered, with all kernel templates."""

    parts = 1
    """Into how many parts kernels that write at positions cut their result."""

    def _template(self, graph: Graph, templates: Sequence[Node], where: Places) -> None:
        node = templates[0]
        kind = kernel_of(op_named(node.op))
        if len(graph.nodes) > 1:
            super()._template(graph, templates, where)
        elif kind == "order":
            self._order(graph, node, where)
        elif kind in ("index_add", "scatter_add", "scatter", "update_box"):
            self._update(graph, node, kind, where)
        elif kind in ("cumulative", "recurrence"):
            memory = self._memory(graph)
            ((value, buffer, view),) = self._results(graph)
            self.views[value] = view
            places = {b: self.views[v] for v, b in memory.items()} | {buffer: view}
            self._kernel(prefix_kernel(node, memory, buffer), places, (node.op,), where)
        else:
            super()._template(graph, templates, where)

    def _update(self, graph: Graph, node: Node, kind: str, where: Places) -> None:
        memory = self._memory(graph)
        ((value, buffer, view),) = self._results(graph)
        self.views[value] = view
        self._copy(node.inputs[0], self.views[node.inputs[0]], view)
        places = {b: self.views[v] for v, b in memory.items()}
        if kind == "update_box":
            buffer = twice(buffer)
            view = View(view.buffer, view.offset, buffer.strides, view.other, view.round)
            kernel = update_box_kernel(node, memory, buffer)
        else:
            make = index_add_kernel if kind == "index_add" else scatter_kernel
            kernel = make(node, memory, buffer, self.parts)
        self._kernel(kernel, places | {buffer: view}, (node.op,), where)

    def _order(self, graph: Graph, node: Node, where: Places) -> None:
        source = node.inputs[0]
        x = self._buffer(source.type, self.views[source], "input")
        made: dict[Buffer, View] = {x: self.views[source]}
        for value in node.outputs:
            view = self._place(value)
            made[self._buffer(value.type, view, "output")] = view
        result = self._ordering(rows_of(node, *made))
        self._steps(graph, result, list(made), made, (), where)

    def _ordering(self, rows: Rows) -> TemplateResult:
        """The text of a kernel that puts rows in order."""
        printer = self._printer()
        printer.inline_sizes = True
        row = printer.bind(symbol_of(rows.variable))
        return order_text(rows, NAME, printer.size, row)
