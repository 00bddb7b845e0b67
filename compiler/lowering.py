"""From the nodes of a fused graph to the steps of a function: the rule for each kind of node.

In this order: a node that only looks at its operand in another way becomes a view; one that keeps
the order of elements that are not dense is copied first; a group built around a kernel template
goes to the template (`lowering_templates`); a group with reductions and an elementwise group go to
their schedules. A group that its schedule can't express is lowered node by node."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence

from intaglio.compiler.codegen.c import CPrinter, kernel_text, scratch_bytes
from intaglio.compiler.dims import Size, maximum
from intaglio.compiler.dtypes import dtype_of
from intaglio.compiler.errors import CompileError
from intaglio.compiler.ir import Graph, Literal, Node, Value
from intaglio.compiler.launch import HostLaunch, Launch, LaunchLoop
from intaglio.compiler.loop import Buffer, Kernel, Unfusable
from intaglio.compiler.lowered import HostSpec
from intaglio.compiler.op import Op, op_named
from intaglio.compiler.packing import Packings
from intaglio.compiler.passes.early import checked_values, early, is_look
from intaglio.compiler.schedule.checks import check_kernel
from intaglio.compiler.schedule.cost import kernel_nanoseconds, shared_finely
from intaglio.compiler.schedule.flat import (
    LENGTH_NAME,
    FlatGroups,
    FlatKernel,
    FlatKernels,
    at_length,
    shared_keys,
)
from intaglio.compiler.schedule.maps import map_kernel
from intaglio.compiler.schedule.memory_use import read_in_place, used_buffers
from intaglio.compiler.schedule.reductions import reduction_kernels, reduction_of
from intaglio.compiler.schedule.storage import View, dense, view_of
from intaglio.compiler.steps import Call, Memory, Timeline
from intaglio.compiler.types import TensorType
from intaglio.compiler.where import Places, describe, join

NAME = "IG_NAME"
"""Stands for a kernel's name until equal texts have been found."""


def kernel_of(op: Op) -> str | None:
    """The name of the schedule template of an op that is neither elementwise nor a reduction."""
    found: str | None = getattr(op, "kernel", None)
    return found


class Lowering:
    """One function being lowered; `LoopLowering` adds loops, `TemplateLowering` the kernel
    templates."""

    flattens = True
    """Whether groups that differ in their shapes alone share a kernel."""

    def __init__(
        self,
        graph: Graph,
        size_names: Sequence[str],
        lanes: int | None,
        packable: Collection[int] = (),
        in_place: Mapping[int, int] | None = None,
    ) -> None:
        states = [graph.inputs[k] for k in (in_place or {}).values()]
        self.graph, self._lanes = early(graph, states), lanes
        self._pending = checked_values(self.graph) if self.graph is not graph else []
        """Indices that are checked as soon as they are known."""
        self._origin: dict[Value, Value] = {}
        """What an input of a group's body is outside of it."""
        self.dims = {name: k for k, name in enumerate(size_names)}
        self.memory = Memory()
        self.timeline = Timeline()
        self.packings = Packings(packable, self.memory)
        self.texts: dict[str, str] = {}
        self.nodes: list[tuple[str, Places]] = []
        self.hosts: list[HostSpec] = []
        self.caller: int | None = None
        """The buffer that holds the function which makes the calls into Python."""
        self.scratch: Size = 0
        self.views: dict[Value, View] = {}
        self.inputs: list[int] = []
        self._in_place = in_place or {}
        self._assigned: dict[Value, View] = {}
        self._also: dict[Value, list[View]] = {}
        """Further places where a value that has one is wanted."""
        self._delivered: dict[Value, list[View]] = {}
        """Those of them to which it was written."""
        self._outputs: list[View] = []
        self._far: set[int] = set()
        """Outputs that the function only writes."""
        self._checked: set[tuple[Value, Size]] = set()
        self._flat = FlatGroups()
        self._shared: set[Hashable] = set()
        """What groups of several lengths have in common."""
        self._shared_kernels: dict[Hashable, FlatKernels] = {}
        self._shared_names: dict[FlatKernel, str] = {}
        self._seen: set[Graph] = set()

    def run(self) -> None:
        """Lower the whole graph."""
        self._shared = shared_keys(self.graph, self._flat) if self.flattens else set()
        for k, value in enumerate(self.graph.inputs):
            self.inputs.append(self.memory.add("input", k, value.type))
            self.views[value] = View(self.inputs[-1], 0, dense(value.type.shape))
            if k in self.packings.allowed:
                self.packings.inputs[self.inputs[-1]] = k
        users = self.graph.users()
        for k, value in enumerate(self.graph.outputs):
            number = self.memory.add("output", k, value.type)
            if k in self._in_place:
                self.timeline.replaces[number] = self.inputs[self._in_place[k]]
            elif is_only_written(self.graph, value, users):
                self._far.add(number)
            self._outputs.append(View(number, 0, dense(value.type.shape)))
        for value, view in zip(self.graph.outputs, self._outputs, strict=True):
            self._assign(self.graph, value, view)
        self._check_early()
        self._nodes(self.graph)
        for value, view in zip(self.graph.outputs, self._outputs, strict=True):
            self._deliver(value, view)

    def launches(self) -> tuple[Launch | HostLaunch | LaunchLoop, ...]:
        """What a device has to launch; nothing where the text runs its steps itself."""
        return ()

    def _assign(self, graph: Graph, value: Value, view: View) -> None:
        """Let the node that makes a value, or what it is a reshape of, write to this place."""
        node, source = graph.producers.get(value), value
        while node is not None and op_named(node.op).keeps_order:
            source = node.inputs[0]
            node = graph.producers.get(source)
        if node is None:
            return
        if source in self._assigned:
            if source is value:
                self._also.setdefault(value, []).append(view)
            return
        if source is value:
            self._assigned[value] = view
        elif view.is_dense(value.type.shape):
            strides = dense(source.type.shape)
            self._assigned[source] = View(view.buffer, view.offset, strides, view.other, view.round)
        else:
            return
        if op_named(node.op).updates_operand and is_last_use(graph, node):
            before = node.inputs[0]
            if before not in self._assigned:
                self._assign(graph, before, self._assigned[source])

    def _deliver(self, value: Value, view: View) -> None:
        """Copy a value to where it is wanted, unless it is there."""
        if self.views[value] != view and view not in self._delivered.get(value, ()):
            self._copy(value, self.views[value], view)

    def _nodes(self, graph: Graph) -> None:
        for node in graph.nodes:
            try:
                self._node(node)
                if graph is self.graph:
                    self._check_early()
            except Unfusable as error:
                place = f" ({describe(node.where)})" if node.where else ""
                raise CompileError(f"{node.op}: no kernel can be made: {error}{place}") from error

    # ------------------------------------------------------------------------------------- memory

    def _place(self, value: Value) -> View:
        """Where a value that is about to be computed goes."""
        view = self._assigned.get(value)
        if view is None:
            number = self.memory.temporary(value.type)
            self.timeline.born(number)
            view = View(number, 0, dense(value.type.shape))
        self.views[value] = view
        return view

    def _same(self, value: Value, known: Value) -> None:
        """Say that a value is another one, which lies in memory."""
        self.views[value] = self.views[known]
        if known in self._delivered:
            self._delivered[value] = self._delivered[known]

    def _want(self, value: Value, outer: Value) -> None:
        """Let a value go where the value that it is outside of its group is wanted."""
        if outer in self._assigned:
            self._assigned[value] = self._assigned[outer]
        if outer in self._also:
            self._also[value] = self._also[outer]

    def _buffer(self, type: TensorType, view: View, role: str) -> Buffer:
        strides = (*view.strides, *(b.stride for b in view.blocks))
        return Buffer(type.dtype, type.shape, strides, role, view.blocks)

    def _literal(self, node: Node) -> bool:
        """Whether a node is an array of the program; its memory is made."""
        literal = node.attributes.get("value")
        if not isinstance(literal, Literal) or literal.array.size == 1:
            return False
        type = TensorType(dtype_of(literal.array.dtype), literal.array.shape)
        number = self.memory.constant(literal.array, type)
        self.views[node.output] = View(number, 0, dense(type.shape))
        return True

    # -------------------------------------------------------------------------------------- nodes

    def _node(self, node: Node) -> None:
        body = node.attributes.get("body")
        op = op_named(node.op)
        if kernel_of(op) == "scan":
            self._scan(node)
            return
        if isinstance(body, Graph):
            body = body if body not in self._seen else fresh(body)
            self._seen.add(body)
            for inner, outer in zip(body.inputs, node.inputs, strict=True):
                self._same(inner, outer)
                self._origin[inner] = self._origin.get(outer, outer)
            for inner, outer in zip(body.outputs, node.outputs, strict=True):
                self._want(inner, outer)
            self._group(body, join(node.where, *(n.where for n in body.nodes)))
            for inner, outer in zip(body.outputs, node.outputs, strict=True):
                self._same(outer, inner)
            return
        self._single(node)

    def _single(self, node: Node) -> None:
        if self._literal(node) or self._look(node):
            return
        inputs = tuple(dict.fromkeys(node.inputs))
        self._group(Graph(inputs, (node,), node.outputs), node.where)

    def _look(self, node: Node) -> bool:
        """Make the result a view of its operand, if it can be one."""
        if len(node.inputs) != 1:
            return False
        (source,) = node.inputs
        if op_named(node.op).effect:  # what it shows is shown by the runtime
            self.views[node.output] = self.views[source]
            return True
        view = view_of(node, self.views[source])
        if view is None and op_named(node.op).keeps_order:
            number = self.memory.temporary(source.type)
            self.timeline.born(number)
            copied = View(number, 0, dense(source.type.shape))
            wanted = self._assigned.get(node.output)
            if wanted is not None and wanted.is_dense(node.output.type.shape):
                copied = View(
                    wanted.buffer, wanted.offset, copied.strides, wanted.other, wanted.round
                )
            self._copy(source, self.views[source], copied)
            view = view_of(node, copied)
        if view is None:
            return False
        self.views[node.output] = view
        return True

    def _group(self, graph: Graph, where: Places) -> None:
        """A group of nodes as one kernel, or as few as its schedule needs."""
        for node in graph.nodes:
            self._literal(node)
        try:
            self._checks(graph)
            self._kernels(graph, where)
        except Unfusable:
            if len(graph.nodes) == 1:
                raise
            for node in graph.nodes:
                self._node(node)

    def _kernels(self, graph: Graph, where: Places) -> None:
        ops = tuple(n.op for n in graph.nodes)
        templates = [n for n in graph.nodes if kernel_of(op_named(n.op))]
        if templates:
            self._template(graph, templates, where)
            return
        memory = self._memory(graph)
        results = self._results(graph)
        pairs = [(v, b) for v, b, _ in results]
        places = {b: self.views[v] for v, b in memory.items()} | {b: w for _, b, w in results}
        if self._alike(graph, results, ops, where):
            for value, _, view in results:
                self.views[value] = view
            return
        if any(reduction_of(n) for n in graph.nodes):
            made = reduction_kernels(graph, memory, pairs)
            for buffer in made.temporaries:
                number = self.memory.temporary(TensorType(buffer.dtype, buffer.shape))
                self.timeline.born(number)
                places[buffer] = View(number, 0, buffer.strides)
            kernels = made.kernels
        else:
            also = self._further(results)
            places |= {b: w for _, b, w in also}
            kernels = [map_kernel(graph, memory, pairs + [(v, b) for v, b, _ in also])]
            for value, _, view in also:
                self._delivered.setdefault(value, []).append(view)
        for value, _, view in results:
            self.views[value] = view
        for kernel in kernels:
            self._kernel(kernel, places, ops, where)

    def _alike(
        self,
        graph: Graph,
        stored: Sequence[tuple[Value, Buffer, View]],
        ops: tuple[str, ...],
        where: Places,
    ) -> bool:
        """Lower a group by the kernel that it shares with those that differ from it in shape alone.
        False where there are none, or its memory is not in one stretch."""
        found = self._flat.of(graph) if self.flattens else None
        if found is None or found.key not in self._shared or self._further(stored):
            return False
        results = [view for _, _, view in stored]
        views = (*(self.views[v] for v in graph.inputs), *results)
        values = (*graph.inputs, *graph.outputs)
        for value, view in zip(values, views, strict=True):
            if value.type.shape == found.shape and not view.is_dense(found.shape):
                return False
        far = tuple(view.buffer in self._far for view in results)
        made = self._shared_kernels.get((found.key, far))
        if made is None:
            made = self._shared_kernels[found.key, far] = FlatKernels(graph)
        here = dict(zip(made.buffers, views, strict=True))
        for buffer in made.temporaries:
            shape = tuple(at_length(size, found.length) for size in buffer.shape)
            number = self.memory.temporary(TensorType(buffer.dtype, shape))
            self.timeline.born(number)
            here[buffer] = View(number, 0, dense(shape))
        for kernel in made.kernels:
            self._shared_call(kernel, found.length, here, ops, where)
        return True

    def _shared_call(
        self,
        flat: FlatKernel,
        length: Size,
        here: Mapping[Buffer, View],
        ops: tuple[str, ...],
        where: Places,
    ) -> None:
        """Append a kernel that takes its length from the call."""
        function = self._shared_names.get(flat)
        if function is None:
            late = [b for b in flat.writes if b not in flat.reads and here[b].buffer in self._far]
            text = self._print(flat.kernel, late, {LENGTH_NAME: 0})
            function = self.texts.setdefault(text, f"k{len(self.texts)}")
            self._shared_names[flat] = function
        buffers = flat.kernel.buffers
        self._append(
            Call(
                function,
                tuple(here[b] for b in buffers),
                numbers_of([here[b] for b in flat.reads]),
                numbers_of([here[b] for b in flat.writes]),
                flat.chunks(length),
                flat.nanoseconds(length),
                ops,
                where,
                same_place=same_places(flat.in_place, buffers, here),
                sizes=(length,),
            )  # fmt: skip
        )

    def _memory(self, graph: Graph) -> dict[Value, Buffer]:
        """The values of a group that lie in memory already."""
        known = [*graph.inputs, *(n.output for n in graph.nodes if len(n.outputs) == 1)]
        own = {v for n in graph.nodes for v in n.outputs if not self._is_constant(n)}
        return {
            v: self._buffer(v.type, self.views[v], "input")
            for v in known
            if v in self.views and v not in own
        }

    def _is_constant(self, node: Node) -> bool:
        literal = node.attributes.get("value")
        return isinstance(literal, Literal) and literal.array.size != 1

    def _results(self, graph: Graph) -> list[tuple[Value, Buffer, View]]:
        """Where a group's outputs go. A view is committed once the kernels have been made."""
        found = []
        for value in dict.fromkeys(graph.outputs):
            before = self.views.get(value)
            view = self._place(value)
            if before is None:
                del self.views[value]
            found.append((value, self._buffer(value.type, view, "output"), view))
        return found

    def _further(
        self, results: Sequence[tuple[Value, Buffer, View]]
    ) -> list[tuple[Value, Buffer, View]]:
        """The further places where a group's outputs are wanted."""
        return [
            (v, self._buffer(v.type, view, "output"), view)
            for v, _, _ in results
            for view in self._also.get(v, ())
        ]

    # ------------------------------------------------------------------------------------ kernels

    def _kernel(
        self,
        kernel: Kernel,
        places: Mapping[Buffer, View],
        ops: tuple[str, ...],
        where: Places,
        node: int = 0,
        check: bool = False,
        copies: bool = False,
    ) -> None:
        """Print a kernel and append its step."""
        used = used_buffers(kernel)
        kernel = Kernel(tuple(b for b in kernel.buffers if b in used), kernel.body, kernel.scratch)
        kernel = shared_finely(kernel)
        text = self._print(kernel, self._read_late(used, places))
        function = self.texts.setdefault(text, f"k{len(self.texts)}")
        loop = kernel.body
        chunks = (loop.extent + loop.grain - 1) // loop.grain if loop.grain != 1 else loop.extent
        views = tuple(places[b] for b in kernel.buffers)
        reads = [places[b] for b in kernel.buffers if b.role == "input" or b in used and used[b]]
        writes = [places[b] for b in kernel.buffers if b.role == "output"]
        self._append(
            Call(
                function,
                views,
                numbers_of(reads),
                numbers_of(writes),
                chunks,
                kernel_nanoseconds(kernel),
                ops,
                where,
                node,
                same_places(read_in_place(kernel), kernel.buffers, places),
                check,
                copies,
                spans=spans_of([(b, places[b]) for b in kernel.buffers if b.role == "output"]),
            )  # fmt: skip
        )

    def _append(self, call: Call) -> None:
        """Make a call the next one."""
        self.timeline.add(call)

    def _read_late(
        self, used: Mapping[Buffer, bool], places: Mapping[Buffer, View]
    ) -> list[Buffer]:
        """The buffers of a kernel that neither it nor the rest of the function reads."""
        return [
            b
            for b, read in used.items()
            if b.role == "output" and not read and places[b].buffer in self._far
        ]

    def _print(
        self,
        kernel: Kernel,
        far: Collection[Buffer] = (),
        dims: Mapping[str, int] | None = None,
    ) -> str:
        """A kernel's text; `far` are results that nobody reads soon, `dims` its own sizes."""
        scratch: Size = 0
        for buffer in kernel.scratch:
            scratch = scratch + scratch_bytes(buffer.shape, buffer.dtype)
        self.scratch = maximum(self.scratch, scratch)
        sizes = self.dims if dims is None else dims
        return kernel_text(kernel, NAME, sizes, self._lanes, far)

    def _copy(self, value: Value, source: View, target: View) -> None:
        """A kernel that copies a value from one place to another."""
        if source == target:
            return
        reads = self._buffer(value.type, source, "input")
        writes = self._buffer(value.type, target, "output")
        graph = Graph((value,), (), (value,))
        kernel = map_kernel(graph, {value: reads}, [(value, writes)])
        copies = (source.offset, source.strides) == (target.offset, target.strides)
        copies = copies and source.other is None and target.other is None
        self._kernel(kernel, {reads: source, writes: target}, ("copy",), (), copies=copies)

    def _checks(self, graph: Graph) -> None:
        """Kernels that check what the group uses as indices."""
        for node in graph.nodes:
            op = op_named(node.op)
            if not op.checks:
                continue
            types = [v.type for v in node.inputs]
            for operand, bound in op.bounds_checks(*types, **node.attributes):
                self._check(graph, node, node.inputs[operand], bound)

    def _check(self, graph: Graph, node: Node, index: Value, bound: Size) -> None:
        """A kernel that checks an index of a node, unless that was done."""
        key = (self._origin.get(index, index), bound)
        if key in self._checked:
            return
        self._checked.add(key)
        memory = self._memory(graph)
        kernel = check_kernel(graph, memory, index, bound)
        self.nodes.append((node.op, node.where))
        places = {b: self.views[v] for v, b in memory.items()}
        number = len(self.nodes) - 1
        self._kernel(kernel, places, (node.op,), node.where, number, check=True)

    def _check_early(self) -> None:
        """Check the indices that are known now, before anything is written in place."""
        known = [p for p in self._pending if p[1] in self.views]
        self._pending = [p for p in self._pending if p[1] not in self.views]
        for node, index, bound in known:
            self._check(Graph((index,), (), (index,)), node, index, bound)

    # ---------------------------------------------------------------------------------- templates

    def _template(self, graph: Graph, templates: Sequence[Node], where: Places) -> None:
        """A group around a kernel template."""
        raise NotImplementedError

    def _printer(self) -> CPrinter:
        return CPrinter(self.dims, self._lanes)

    # --------------------------------------------------------------------------------------- scan

    def _scan(self, node: Node) -> None:
        """A loop of steps."""
        raise NotImplementedError


def is_last_use(graph: Graph, node: Node) -> bool:
    """Whether nobody reads operand 0 of a node, or another look at it, after the node."""
    looks = {node.inputs[0]}
    after = False
    for other in graph.nodes:
        if after and not looks.isdisjoint(other.inputs):
            return False
        if other is node:
            after = True
        elif not looks.isdisjoint(other.inputs) and is_look(other):
            looks.update(other.outputs)
    return looks.isdisjoint(graph.outputs)


def is_only_written(graph: Graph, value: Value, users: Mapping[Value, Sequence[Node]]) -> bool:
    """Whether nobody in a graph reads one of its outputs, nor what this is a reshape of."""
    node = None if users.get(value) else graph.producers.get(value)
    while node is not None and op_named(node.op).keeps_order:
        source = node.inputs[0]
        alone = len(users[source]) == 1 and source not in graph.outputs
        node = graph.producers.get(source) if alone else None
    return node is not None and not op_named(node.op).updates_operand


def same_places(
    pairs: Sequence[tuple[Buffer, Buffer]], buffers: Sequence[Buffer], places: Mapping[Buffer, View]
) -> tuple[tuple[int, int], ...]:
    """The pairs as numbers, where they hold for all the kernel's looks at the memory read."""
    whole = []
    for written, read in pairs:
        number = places[read].buffer
        looks = [b for b in buffers if places[b].buffer == number and b.role == "input"]
        same = all((written, b) in pairs for b in looks)
        if same and all(places[b].offset == places[written].offset for b in looks):
            whole.append((places[written].buffer, number))
    return tuple(dict.fromkeys(whole))


def spans_of(written: Sequence[tuple[Buffer, View]]) -> tuple[tuple[int, int, int], ...]:
    """The stretch of memory around each view that is written, where it is known: the number of the
    buffer, the first element and the end."""
    found = []
    for buffer, view in written:
        steps = [
            (size - 1) * step if isinstance(size, int) and isinstance(step, int) else None
            for size, step in zip(buffer.shape, buffer.strides, strict=False)
        ]
        known = [s for s in steps if s is not None]
        plain = view.other is None and not buffer.blocks and len(known) == len(steps)
        if plain and isinstance(view.offset, int):
            found.append((view.buffer, view.offset, view.offset + sum(known) + 1))
    return tuple(found)


def fresh(body: Graph) -> Graph:
    """The same graph with values and nodes of its own."""
    here = {v: Value(v.type, v.hint) for v in body.inputs}
    nodes = []
    for node in body.nodes:
        nodes.append(node.with_inputs([here[v] for v in node.inputs]))
        here.update(zip(node.outputs, nodes[-1].outputs, strict=True))
    inputs, outputs = (tuple(here[v] for v in many) for many in (body.inputs, body.outputs))
    return Graph(inputs, tuple(nodes), outputs)


def numbers_of(views: Sequence[View]) -> tuple[int, ...]:
    """The buffers that views look at."""
    found = [v.buffer for v in views] + [v.other for v in views if v.other is not None]
    return tuple(dict.fromkeys(found))
