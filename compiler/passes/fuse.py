"""Groups nodes that become one kernel.

Every node that computes starts as a group of its own. Going through the readers in order, a
reader's group takes in the group that makes what it reads, where the two fit:

- *same space*: both run over the same axes, and the value is read where it is made;
- *row*: a value per row, in a group that reduces rows; so softmax is one group;
- *moved*: the value is read elsewhere (permuted, sliced), by nobody else, and computed once per
  element, or cheap.

A group runs over one space; its reductions all reduce the same axes of it. A matrix product takes
in what follows it elementwise. Groups never become circular: two are not joined when a third
depends on one and is needed by the other. Groups of column sums that read the same values join
last.

Updates that are alike, as an optimizer's of many parameters, stay apart from what makes their
gradients: they become one loop (`fuse_updates`).

Nodes that only move elements are copied into every group that looks through them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from intaglio.compiler.dims import Size, compare, product
from intaglio.compiler.ir import Attribute, Graph, Node, Value
from intaglio.compiler.op import op_named
from intaglio.compiler.passes.dce import dce
from intaglio.compiler.passes.fuse_sources import Read, Sources, covers, dims_of, divides
from intaglio.compiler.passes.fuse_updates import updates_alike
from intaglio.compiler.schedule.reductions import reduction_of
from intaglio.compiler.where import describe, join

MOST_NODES = 64
"""Computing nodes in a group."""
MOST_BUFFERS = 28
"""Values that a group reads and makes."""
EPILOGUES = frozenset({"matmul", "conv", "conv_input", "conv_weight"})
"""Kernel templates that take what follows elementwise."""


@dataclass(frozen=True)
class Refusal:
    """Two neighbours that stay apart, and why: for `explain`."""

    producer: Node
    reader: Node
    reason: str

    def __str__(self) -> str:
        places = [f"{n.op} ({describe(n.where)})" if n.where else n.op
                  for n in (self.producer, self.reader)]  # fmt: skip
        return f"{places[0]} and {places[1]}: {self.reason}"


@dataclass(eq=False)
class Group:
    """Nodes that become one kernel, and the space it runs over.

    `reduced` are the dims of `space` that its reductions reduce, None when it has none. `levels`
    says, per node, along which dims its result runs; None for a node read in another order."""

    nodes: list[Node]
    space: tuple[Size, ...]
    reduced: frozenset[int] | None = None
    by_row: bool = True
    template: str | None = None
    levels: dict[Node, tuple[int, ...] | None] = field(default_factory=dict)
    before: set[Group] = field(default_factory=set)
    after: set[Group] = field(default_factory=set)
    first: int = 0
    last: int = 0

    @property
    def kept(self) -> tuple[int, ...]:
        """The dims that count rows."""
        return tuple(k for k in range(len(self.space)) if k not in (self.reduced or ()))

    @property
    def every(self) -> tuple[int, ...]:
        """All dims."""
        return tuple(range(len(self.space)))

    @property
    def is_map(self) -> bool:
        """Whether it is elementwise all through."""
        return self.reduced is None and self.template is None

    @property
    def kind(self) -> str:
        """The name of its schedule."""
        if self.template:
            return self.template
        return "map" if self.reduced is None else "row" if self.by_row else "column"

    def stores_elements(self) -> bool:
        """Whether its schedule is good at storing more than a value per row."""
        if self.reduced is None:
            return True
        rows = product(tuple(self.space[k] for k in self.kept))
        small = compare(product(self.space), 1 << 14)
        few = isinstance(rows, int) and rows < 16 and not (small is not None and small <= 0)
        return self.by_row and not few


def fuse(graph: Graph, *, refusals: list[Refusal] | None = None) -> Graph:
    """The graph with groups of nodes as `fused` nodes. `refusals` collects why neighbours were not
    joined."""
    return _Fuser(dce(graph), refusals).run()


class _Fuser:
    def __init__(self, graph: Graph, refusals: list[Refusal] | None) -> None:
        self.graph, self.refusals = graph, refusals
        self.sources = Sources(graph)
        self.users: dict[Value, list[Node]] = {}
        self.kept_values: set[Value] = set(graph.outputs)
        self.group_of: dict[Node, Group] = {}
        self._readers()
        self.updates = updates_alike(self.sources, self.users, self.kept_values)
        self._groups()

    # ---------------------------------------------------------------------------------- the ground

    def _readers(self) -> None:
        """Who reads what a node makes, seen through free nodes; a free node that someone stops at
        is a reader itself."""
        waiting: list[Node] = []
        self.standing: set[Node] = set()
        producers = self.graph.producers

        def stop_at(value: Value) -> None:
            node = producers.get(value)
            if node is not None and node in self.sources.free and node not in self.standing:
                self.standing.add(node)
                waiting.append(node)

        for node in self.sources.computing:
            for read in self.sources.reads[node]:
                stop_at(read.value)
        self.copies = [n for n in self.graph.nodes if n in self.sources.free and self._is_copy(n)]
        for node in self.copies:
            self.sources.read(node)
            self.standing.add(node)
            for read in self.sources.reads[node]:
                stop_at(read.value)
        for value in self.graph.outputs:
            stop_at(value)
        while waiting:
            for value in waiting.pop().inputs:
                stop_at(value)
        for node in (*self.sources.computing, *self.copies):
            for value in dict.fromkeys(r.value for r in self.sources.reads[node]):
                self.users.setdefault(value, []).append(node)
        for node in self.standing.difference(self.copies):
            for value in node.inputs:
                self.users.setdefault(value, []).append(node)

    def _is_copy(self, node: Node) -> bool:
        """Whether a free node makes an output that is no reshape, so that it costs a kernel."""
        return node.outputs[0] in self.kept_values and not op_named(node.op).keeps_order

    def _groups(self) -> None:
        order = {n: k for k, n in enumerate(self.graph.nodes)}
        for node in self.graph.nodes:
            if node in self.sources.free and node not in self.standing:
                continue
            self.group_of[node] = group = self._single(node)
            group.first = group.last = order[node]
        for value, readers in self.users.items():
            maker = self.graph.producers.get(value)
            if maker is None or maker not in self.group_of:
                continue
            for reader in readers:
                self._link(self.group_of[maker], self.group_of[reader])

    def _single(self, node: Node) -> Group:
        op = op_named(node.op)
        template = getattr(op, "kernel", None)
        if template or node not in self.sources.probes:
            space = tuple(s for s in node.outputs[0].type.shape if s != 1)
            group = Group([node], space, template=template or "alone")
            group.levels[node] = group.every
            return group
        kind = reduction_of(node)
        space = self.sources.shapes[node]
        if kind is None:
            group = Group([node], space)
            group.levels[node] = group.every
            return group
        shape = node.inputs[0].type.shape
        dims = [k for k, s in enumerate(shape) if s != 1]
        reduced = frozenset(j for j, k in enumerate(dims) if k in kind[1])
        group = Group([node], space, reduced, bool(shape) and len(shape) - 1 in kind[1])
        group.levels[node] = group.kept
        return group

    def _link(self, before: Group, after: Group) -> None:
        if before is not after:
            before.after.add(after)
            after.before.add(before)

    # ------------------------------------------------------------------------------------- joining

    def run(self) -> Graph:
        """Join groups, then write the graph."""
        order = {n: k for k, n in enumerate(self.graph.nodes)}
        readers = sorted((*self.sources.computing, *self.copies), key=order.__getitem__)
        for reader in readers:
            if self.group_of[reader].template is not None and not self._is_epilogue(reader):
                continue
            for read in self.sources.reads[reader]:
                maker = self.graph.producers.get(read.value)
                if maker is not None and maker in self.group_of:
                    self._try(maker, reader, read)
        self._join_siblings()
        return _Writer(self).graph()

    def _is_epilogue(self, node: Node) -> bool:
        return self.group_of[node].template in EPILOGUES and node in self.sources.probes

    def _try(self, maker: Node, reader: Node, read: Read) -> None:
        made, reads = self.group_of[maker], self.group_of[reader]
        if made is reads:
            return
        levels = self._fit(maker, reader, read)
        if isinstance(levels, dict):
            if not self._in_place(made, reads, levels):
                levels = "it is read in several orders"
            elif self._divided_into_reductions(made, reads):
                levels = "it divides places by a step, which only elementwise kernels do well"
            elif self._circular(made, reads):
                levels = "another kernel in between needs the one and feeds the other"
            elif len(made.nodes) + len(reads.nodes) > MOST_NODES:
                levels = "the kernel would be too long"
            elif self._buffers(made, reads) > MOST_BUFFERS:
                levels = "the kernel would touch too many arrays"
        if isinstance(levels, str):
            if self.refusals is not None:
                self.refusals.append(Refusal(maker, reader, levels))
            return
        self._join(made, reads, levels)

    def _fit(
        self, maker: Node, reader: Node, read: Read
    ) -> dict[Node, tuple[int, ...] | None] | str:
        """The levels of both groups' nodes in the joined one, or why they can't be joined."""
        made, reads = self.group_of[maker], self.group_of[reader]
        if made.template == "host":
            return f"{maker.op} runs in Python"
        if made.template and made.template not in EPILOGUES:
            return f"{maker.op} has a kernel of its own"
        if made.template and reads.template:
            return "both hold a product or a convolution"
        if read.is_data or op_named(reader.op).checks:
            return "it is read at places that are data"
        if made.template and not reads.is_map:
            return "only elementwise ops follow a product or a convolution in its kernel"
        columns = made.reduced is not None and not made.by_row and made.space != reads.space
        if (made.template or columns) and self._feeds_reductions(reader):
            return "the reduction that follows takes it"
        if reader in self.updates and maker not in self.updates and not made.is_map:
            return "it is one of many alike, which become one loop"
        dims = None if read.guarded else dims_of(read, self.sources.own[reader])
        level = reads.levels[reader]
        if level is not None and reduction_of(reader) is not None:
            level = reads.every
        if dims is not None and level is not None:
            wanted = tuple(level[d] for d in dims)
            found = self._same(made, reads, made.levels[maker], wanted)
            if found is not None:
                return found
        return self._moved(maker, reader, read)

    def _feeds_reductions(self, node: Node) -> bool:
        """Whether a node is cheap and better computed where rows are reduced, or in all the
        reductions that read it, than stored beside what it is made from."""
        users = [u for v in node.outputs for u in self.users.get(v, ())]
        if not self.sources.probes[node].is_cheap or not users:
            return False
        if any(getattr(op_named(u.op), "kernel", None) for u in users):
            return False
        kinds = [(u, reduction_of(u)) for u in users]
        rows = [k is not None and u.inputs[0].type.rank - 1 in k[1] for u, k in kinds]
        return any(rows) or all(k is not None for _, k in kinds)

    def _in_place(
        self, made: Group, reads: Group, levels: dict[Node, tuple[int, ...] | None]
    ) -> bool:
        """Whether every read of one group by the other is where the value is made."""
        inside = set(made.nodes)
        for node in reads.nodes:
            level = levels[node]
            if level is not None and reduction_of(node) is not None:
                level = tuple(range(len(made.space if made.reduced is not None else reads.space)))
            for read in self.sources.reads[node]:
                maker = self.graph.producers.get(read.value)
                if maker not in inside or levels[maker] is None:
                    continue
                dims = None if read.guarded else dims_of(read, self.sources.own[node])
                if dims is None or level is None:
                    return False
                if tuple(level[d] for d in dims) != levels[maker]:
                    return False
        return True

    def _divided_into_reductions(self, made: Group, reads: Group) -> bool:
        """Whether what a window's derivative gathers would be gathered in a reduction: elementwise
        kernels take the steps apart."""
        if (made.reduced is None) == (reads.reduced is None):
            return False
        maps = made if made.reduced is None else reads
        return any(divides(r) for n in maps.nodes for r in self.sources.reads[n])

    def _same(
        self,
        made: Group,
        reads: Group,
        level: tuple[int, ...] | None,
        wanted: tuple[int, ...],
    ) -> dict[Node, tuple[int, ...] | None] | None:
        """The levels when the value is read where it is made, in the same space or as a row."""
        if level is None:
            return None
        if made.space == reads.space and level == wanted:
            both = made.reduced is not None and reads.reduced is not None
            if both and (made.reduced, made.by_row) != (reads.reduced, reads.by_row):
                return None
            if not self._storable(made, reads):
                return None
            return made.levels | reads.levels
        if reads.reduced is not None and made.is_map and wanted == reads.kept:
            fits = _part(reads.space, wanted) == made.space and level == made.every
            return reads.levels | _moved_to(wanted, made) if fits else None
        if made.reduced is not None and reads.is_map and level == made.kept:
            fits = _part(made.space, level) == reads.space and wanted == reads.every
            return made.levels | _moved_to(level, reads) if fits else None
        return None

    def _storable(self, made: Group, reads: Group) -> bool:
        """Whether the joined group stores no more than its schedule is good at."""
        reduced = made if made.reduced is not None else reads
        if reduced.reduced is None or reduced.stores_elements():
            return True
        inside = {*made.nodes, *reads.nodes}
        levels = made.levels | reads.levels
        return not any(levels[n] != reduced.kept and self._escapes(n, inside) for n in inside)

    def _escapes(self, node: Node, inside: set[Node]) -> bool:
        return any(
            v in self.kept_values or any(u not in inside for u in self.users.get(v, ()))
            for v in node.outputs
        )

    def _moved(
        self, maker: Node, reader: Node, read: Read
    ) -> dict[Node, tuple[int, ...] | None] | str:
        """The levels when the value is read in another order than it is made."""
        made, reads = self.group_of[maker], self.group_of[reader]
        if not made.is_map:
            return "they run over different axes"
        inside = {*made.nodes, *reads.nodes}
        if any(self._escapes(n, inside) for n in made.nodes):
            return "they run over different axes, and others read it too"
        cheap = all(self.sources.probes[n].is_cheap for n in made.nodes) and len(made.nodes) <= 2
        if not cheap and (read.guarded or not covers(read, self.sources.own[reader])):
            return "it would be computed more than once"
        if len(self._reads_of(maker, made)) > 1 and not cheap:
            return "it is read in several orders"
        return reads.levels | dict.fromkeys(made.nodes, None)

    def _reads_of(self, maker: Node, made: Group) -> set[Read]:
        inside = set(made.nodes)
        return {
            r
            for v in maker.outputs
            for u in self.users.get(v, ())
            if u not in inside
            for r in self.sources.reads[u]
            if r.value is v
        }

    def _buffers(self, made: Group, reads: Group) -> int:
        inside = {*made.nodes, *reads.nodes}
        values = {r.value for n in inside for r in self.sources.reads[n]}
        outside = {v for v in values if self.graph.producers.get(v) not in inside}
        return len(outside) + sum(self._escapes(n, inside) for n in inside)

    def _circular(self, made: Group, reads: Group) -> bool:
        """Whether a path leads from one to the other through a third group."""
        waiting = [g for g in made.after if g is not reads]
        seen = set(waiting)
        while waiting:
            group = waiting.pop()
            if group is reads:
                return True
            for later in group.after:
                if later not in seen and later.first <= reads.last:
                    seen.add(later)
                    waiting.append(later)
        return False

    def _join(self, made: Group, reads: Group, levels: dict[Node, tuple[int, ...] | None]) -> None:
        """Make one group of two; `reads` keeps its identity."""
        larger = made if any(levels.get(n) != reads.levels.get(n) for n in reads.nodes) else reads
        if larger is reads and reads.reduced is None and made.reduced is not None:
            larger = made
        reads.space, template = larger.space, made.template or reads.template
        if made.reduced is not None and reads.reduced is None:
            reads.reduced, reads.by_row = made.reduced, made.by_row
        reads.template = template
        reads.nodes += made.nodes
        reads.levels = levels
        reads.first, reads.last = min(made.first, reads.first), max(made.last, reads.last)
        for node in made.nodes:
            self.group_of[node] = reads
        for group in made.before:
            group.after.discard(made)
            self._link(group, reads)
        for group in made.after:
            group.before.discard(made)
            self._link(reads, group)
        reads.before.discard(reads)
        reads.after.discard(reads)

    # ------------------------------------------------------------------------------------ siblings

    def _join_siblings(self) -> None:
        """Join groups of column reductions that read the same values over the same space."""
        standing: list[Group] = []
        for group in dict.fromkeys(self.group_of.values()):
            if group.reduced is None or group.by_row:
                continue
            for other in standing:
                if self._siblings(other, group):
                    self._join(other, group, other.levels | group.levels)
                    standing.remove(other)
                    break
            standing.append(group)

    def _siblings(self, one: Group, other: Group) -> bool:
        same = (one.space, one.reduced, one.by_row) == (other.space, other.reduced, other.by_row)
        if not same or len(one.nodes) + len(other.nodes) > MOST_NODES:
            return False
        shared = self._values_of(one) & self._values_of(other)
        return bool(shared) and not (self._reaches(one, other) or self._reaches(other, one))

    def _values_of(self, group: Group) -> set[Value]:
        return {r.value for n in group.nodes for r in self.sources.reads[n]}

    def _reaches(self, start: Group, end: Group) -> bool:
        return end in start.after or self._circular(start, end)


def _part(space: tuple[Size, ...], dims: tuple[int, ...]) -> tuple[Size, ...]:
    return tuple(space[k] for k in dims)


def _moved_to(level: tuple[int, ...], group: Group) -> dict[Node, tuple[int, ...] | None]:
    """The levels of a group that runs along these dims of another."""
    return {n: v if v is None else level for n, v in group.levels.items()}


class _Writer:
    """Writes the graph of groups."""

    def __init__(self, fuser: _Fuser) -> None:
        self.fuser, self.sources, self.old = fuser, fuser.sources, fuser.graph
        self.here: dict[Value, Value] = {v: v for v in self.old.inputs}
        self.position = {n: k for k, n in enumerate(self.old.nodes)}

    def graph(self) -> Graph:
        """The new graph."""
        nodes = []
        for group in self._order(dict.fromkeys(self.fuser.group_of.values())):
            node = self._node(group)
            nodes.append(node)
        outputs = tuple(self.here[v] for v in self.old.outputs)
        return Graph(self.old.inputs, tuple(nodes), outputs, self.old.constraints)

    def _order(self, groups: Iterable[Group]) -> list[Group]:
        """The groups with operands first, otherwise in the order of their last nodes."""
        import heapq

        groups = list(groups)
        missing = {g: len(g.before) for g in groups}
        ready = [(g.last, k) for k, g in enumerate(groups) if not missing[g]]
        number = {g: k for k, g in enumerate(groups)}
        heapq.heapify(ready)
        done: list[Group] = []
        while ready:
            group = groups[heapq.heappop(ready)[1]]
            done.append(group)
            for later in group.after:
                missing[later] -= 1
                if not missing[later]:
                    heapq.heappush(ready, (later.last, number[later]))
        return done

    def _node(self, group: Group) -> Node:
        members = sorted(group.nodes, key=self.position.__getitem__)
        inlined = set().union(*(self.sources.through.get(n, set()) for n in members))
        if len(members) == 1 and (not inlined or group.template):
            (node,) = members
            inputs = [self.here[v] for v in node.inputs]
            attributes = {k: self._block(node, a) for k, a in node.attributes.items()}
            made = Node(node.op, inputs, node.outputs, attributes, node.where)
            self.here.update(zip(node.outputs, made.outputs, strict=True))
            return made
        return self._fused(group, members, inlined)

    def _block(self, node: Node, attribute: Attribute) -> Attribute:
        """The attribute with the nodes of a loop's body fused."""
        if isinstance(attribute, Graph) and node.op != "fused":
            return fuse(attribute, refusals=self.fuser.refusals)
        return attribute

    def _fused(self, group: Group, members: list[Node], inlined: set[Node]) -> Node:
        inside = set(members)
        inner: dict[Value, Value] = {}
        inputs: list[Value] = []
        given: list[Value] = []
        body: list[Node] = []

        def value(old: Value, reader: Node) -> Value:
            if old in inner:
                return inner[old]
            node = self.old.producers.get(old)
            if (
                node is not None
                and node in self.sources.free
                and node in self.sources.through.get(reader, ())
            ):
                return copy(node, reader)
            made = Value(old.type, old.hint)
            inputs.append(made)
            given.append(self.here[old])
            inner[old] = made
            return made

        def copy(node: Node, reader: Node) -> Value:
            made = node.with_inputs([value(v, reader) for v in node.inputs])
            body.append(made)
            inner.update(zip(node.outputs, made.outputs, strict=True))
            return inner[node.outputs[0]]

        for node in members:
            copy(node, node)
        escaping = [v for n in members for v in n.outputs if self.fuser._escapes(n, inside)]
        outer = [Value(v.type, v.hint) for v in escaping]
        self.here.update(zip(escaping, outer, strict=True))
        graph = Graph(tuple(inputs), tuple(body), tuple(inner[v] for v in escaping))
        where = join(*(n.where for n in members))
        return Node("fused", given, outer, {"body": graph, "kind": group.kind}, where)
