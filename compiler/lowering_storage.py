"""Lowers functions in which some values are not row-major: direct convolutions, and conversions at
the edges of their regions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from intaglio.compiler.dims import Dim
from intaglio.compiler.ir import Graph, Node, Value
from intaglio.compiler.loop import Buffer
from intaglio.compiler.lowering import NAME, kernel_of
from intaglio.compiler.lowering_order import OrderLowering
from intaglio.compiler.op import op_named
from intaglio.compiler.passes.layout import Layout, direct_shape
from intaglio.compiler.schedule.conv_direct import direct_of_group
from intaglio.compiler.schedule.conv_direct_pack import (
    FilterPacking,
    pack_kernel,
    packed_floats,
    packed_shape,
)
from intaglio.compiler.schedule.conv_direct_shape import Shape2d
from intaglio.compiler.schedule.halo import halo_kernel
from intaglio.compiler.schedule.storage import Storage, View, dense
from intaglio.compiler.schedule.template import TemplateResult
from intaglio.compiler.steps import Call
from intaglio.compiler.types import TensorType
from intaglio.compiler.where import Places


class StorageLowering(OrderLowering):
    """One function being lowered, with values in the storages of a layout."""

    def __init__(
        self,
        graph: Graph,
        size_names: Sequence[str],
        lanes: int | None,
        packable: Collection[int] = (),
        in_place: Mapping[int, int] | None = None,
        layout: Layout | None = None,
    ) -> None:
        super().__init__(graph, size_names, lanes, packable, in_place)
        self._storages = dict(layout.storages) if layout else {}
        self._stored: dict[Value, Storage] = {}
        self._outer: dict[Value, Value] = {}
        self._copies: dict[tuple[Value, Storage | None], View] = {}

    # ------------------------------------------------------------------------------------ storages

    def _same(self, value: Value, known: Value) -> None:
        super()._same(value, known)
        self._outer[value] = self._outer.get(known, known)
        if known in self._stored:
            self._stored[value] = self._stored[known]

    def _is_row_major(self, value: Value) -> bool:
        return value not in self._storages

    def _want(self, value: Value, outer: Value) -> None:
        super()._want(value, outer)
        if outer in self._storages:
            self._storages[value] = self._storages[outer]

    def _place(self, value: Value) -> View:
        storage = self._storages.get(value)
        if storage is None:
            return super()._place(value)
        self._stored[value] = storage
        self.views[value] = view = self._stored_place(value.type, storage)
        return view

    def _stored_place(self, type: TensorType, storage: Storage) -> View:
        """New memory for a value in a storage, with its halo."""
        sizes = storage.sizes(type.shape)
        number = self.memory.temporary(TensorType(type.dtype, sizes))
        self.timeline.born(number)
        made = halo_kernel(NAME, storage, type.shape, type.dtype.size)
        if made is not None:
            self._template_steps(made, (View(number, 0, dense(sizes)),), (), (number,), ("halo",))
        return storage.view(number, type.shape)

    def _in_storage(self, value: Value, wanted: Storage | None) -> View:
        """Where a value lies in this storage (None: row-major) or a more generous one; it is copied
        if it does not yet."""
        has = self._stored.get(value)
        if has == wanted or (has and wanted and _serves(has, wanted)):
            return self.views[value]
        if wanted and has is None and not _needs_copy(wanted, value, self.views[value]):
            return self.views[value]
        key = (self._outer.get(value, value), wanted)
        found = self._copies.get(key)
        if found is None:
            if wanted is None:
                number = self.memory.temporary(value.type)
                self.timeline.born(number)
                found = View(number, 0, dense(value.type.shape))
            else:
                found = self._stored_place(value.type, wanted)
            self._copy(value, self.views[value], found)
            self._copies[key] = found
        return found

    # -------------------------------------------------------------------------------------- groups

    def _group(self, graph: Graph, where: Places) -> None:
        conv = self._direct_node(graph)
        if conv is not None or not any(v in self._stored for v in graph.inputs):
            super()._group(graph, where)
            return
        ops = [op_named(n.op) for n in graph.nodes]
        if not any(kernel_of(op) or op.checks for op in ops):
            super()._group(graph, where)
            return
        kept = {v: self.views[v] for v in graph.inputs if v in self._stored}
        for value in kept:
            self.views[value] = self._in_storage(value, None)
        hidden = {v: self._stored.pop(v) for v in kept}
        super()._group(graph, where)
        self._stored.update(hidden)
        self.views.update(kept)

    def _scan(self, node: Node) -> None:
        kept = {v: self.views[v] for v in node.inputs if v in self._stored}
        for value in kept:
            self.views[value] = self._in_storage(value, None)
        super()._scan(node)
        self.views.update(kept)

    def _direct_node(self, graph: Graph) -> Node | None:
        """The convolution of a group that is lowered as a direct one."""
        for node in graph.nodes:
            if kernel_of(op_named(node.op)) == "conv":
                stored = all(v in self._storages for v in graph.outputs)
                return node if stored else None
        return None

    def _template(self, graph: Graph, templates: Sequence[Node], where: Places) -> None:
        node = self._direct_node(graph)
        shape = None if node is None or len(templates) > 1 else direct_shape(node)
        if node is None or not isinstance(shape, Shape2d):
            super()._template(graph, templates, where)
            return
        self._direct(graph, node, shape, where)

    def _direct(self, graph: Graph, node: Node, shape: Shape2d, where: Places) -> None:
        x, w = node.inputs
        view = self._in_storage(x, shape.storage)
        image = self._buffer(x.type, view, "input")
        weights = self._weights(w, shape)
        packed = Buffer(w.type.dtype, (packed_floats(packed_shape(shape)),), (1,))
        memory = self._memory(graph)
        results = self._results(graph)
        places = {b: self.views[v] for v, b in memory.items()} | {b: w for _, b, w in results}
        places |= {image: view, packed: weights}
        made = direct_of_group(
            graph,
            node,
            shape,
            image,
            memory,
            [(v, b) for v, b, _ in results],
            packed,
            NAME,
            self._printer,
        )
        for value, _, place in results:
            self.views[value] = place
        self._steps(graph, made.made, made.buffers, places, made.same, where)

    def _weights(self, value: Value, shape: Shape2d) -> View:
        """The packed form of a convolution's weights: kept from call to call, or made now."""
        view, sizes = self._in_storage(value, None), packed_shape(shape)
        strides = tuple(s for s in view.strides if isinstance(s, int))
        made = pack_kernel(NAME, sizes, strides)
        number = self.packings.inputs.get(view.buffer)
        if number is not None and view.other is None and not isinstance(view.offset, Dim):
            packing = FilterPacking(number, sizes, view.offset, strides)
            return View(self.packings.number(packing, made), 0, (1,))
        buffer = self.memory.temporary(TensorType(value.type.dtype, (packed_floats(sizes),)))
        self.timeline.born(buffer)
        target = View(buffer, 0, (1,))
        self._template_steps(made, (view, target), (view.buffer,), (buffer,), ("pack",))
        return target

    def _template_steps(
        self,
        made: TemplateResult,
        views: tuple[View, ...],
        reads: tuple[int, ...],
        writes: tuple[int, ...],
        ops: tuple[str, ...],
    ) -> None:
        """Append the steps of a kernel that belongs to no node."""
        name = self.texts.setdefault(made.text, f"k{len(self.texts)}")
        for step in made.steps:
            function = step.function.replace(NAME, name)
            self._append(Call(function, views, reads, writes, step.chunks, step.nanoseconds, ops))


def _serves(has: Storage, wanted: Storage) -> bool:
    """Whether a storage has all that is wanted: the same order, and no smaller halos."""
    pairs = zip(has.halo, wanted.halo, strict=True)
    enough = all(a[0] >= b[0] and a[1] >= b[1] for a, b in pairs)
    return (has.order, has.blocks) == (wanted.order, wanted.blocks) and enough


def _needs_copy(wanted: Storage, value: Value, view: View) -> bool:
    """Whether a row-major value has to be copied to lie in a storage."""
    plain = not wanted.blocks and not any(a or b for a, b in wanted.halo)
    return not (plain and all(isinstance(s, int) for s in (view.offset, *view.strides)))
