"""The derivative of `scan`: a scan the other way round, and products over all steps behind it.

The reverse loop carries the cotangents of the carries. Its body is the derivative graph of the
body. What that reads of the forward loop it finds in *stacks*, one slice for each step: values that
are costly (products, reductions, exponentials) were stacked as further results of the forward loop,
cheap ones are computed again from these. The carries before each step are those after the step
before, stacked and moved by one place. The stacks come from a second forward loop; `cse` merges it
with the first.

What a constant of the loop gets from each step is added up. Where a step's part is a matrix product
or a sum, as it is for weights and biases, its operands are stacked and there is one product or sum
over all steps behind the loop: the steps in order are further positions of the inner dimension.
Other parts are added step by step, as a carry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from intaglio.compiler.dims import Size
from intaglio.compiler.ir import Attributes, Graph, Node, Value
from intaglio.compiler.op import Builder, Ops, op_named

MOVED: Final = frozenset({"permute", "reshape"})
"""Ops that may come between a product and the sum over steps."""


class ScanDerivative:
    """Builds the derivative of one `scan`; the parts of its operands and results are named by where
    they come from."""

    def __init__(
        self,
        g: Ops[Any],
        dys: Sequence[Any],
        ys: Sequence[Any],
        operands: Sequence[Any],
        needs: Sequence[bool],
        *,
        body: Graph,
        carries: int,
        xs: int,
        length: Size,
        reverse: bool,
    ) -> None:
        from intaglio.compiler.passes.prints import silence

        self.g, self.dys, self.ys, self.operands, self.needs = g, dys, ys, operands, needs
        self.body, self.carries, self.xs = silence(body), carries, xs
        self.length, self.reverse = length, reverse
        floats = [v.type.dtype.is_floating_point for v in body.inputs]
        self.carried = [k for k in range(carries) if floats[k]]
        self.sliced = [k for k in range(carries, carries + xs) if floats[k] and needs[k]]
        self.constant = [k for k in range(carries + xs, len(floats)) if floats[k] and needs[k]]
        self.given = [k for k in range(carries, len(dys)) if dys[k] is not None]

    def run(self) -> list[Any]:
        """The derivatives of the operands."""
        step = _Step(self)
        made = step.scan()
        found: list[Any] = [None] * len(self.operands)
        places = [*self.carried, *(k for k, _ in step.added), *self.sliced]
        for k, value in zip(places, made, strict=True):
            found[k] = value if self.needs[k] else None
        for k in self.constant:
            for term in step.terms[k]:
                part = step.behind(term)
                found[k] = part if found[k] is None else self.g.add(found[k], part)
        return found

    # -------------------------------------------------------------------- what the forward loop had

    def stacks(self, values: Sequence[Value]) -> list[Any]:
        """Values of the body, stacked over the steps: results that there are, else those of a loop
        that gives them as well."""
        there = dict(zip(self.body.inputs, self.operands, strict=True))
        found = {v: there[v] for v in self.body.inputs[self.carries : self.carries + self.xs]}
        results = zip(self.body.outputs[self.carries :], self.ys[self.carries :], strict=True)
        found |= dict(results)
        missing = [v for v in dict.fromkeys(values) if v not in found]
        if missing:
            body = self.body.replace(outputs=[*self.body.outputs[: self.carries], *missing])
            attributes: Attributes = {
                "body": body,
                "carries": self.carries,
                "xs": self.xs,
                "length": self.length,
                "reverse": self.reverse,
            }
            made = self.g.apply("scan", self.operands, attributes)[-len(missing) :]
            found |= dict(zip(missing, made, strict=True))
        return [found[v] for v in values]

    def before(self, carry: int, after: Any) -> Any:
        """The carry before each step, from its stack of those after it."""
        g, start = self.g, self.operands[carry]
        shape = g.type_of(start).shape
        first = g.reshape(start, shape=(1, *shape))
        parts = (after, first) if self.reverse else (first, after)
        both = g.concat(*parts, axis=0)
        low = 1 if self.reverse else 0
        zeros = (0,) * len(shape)
        stops = (self.length + low, *shape)
        return g.slice(both, starts=(low, *zeros), stops=stops, steps=(1,) * (len(shape) + 1))


class _Term:
    """A part of a constant's derivative that is computed behind the loop: by a `matmul` or `sum`
    node of the step, then moved by other nodes."""

    def __init__(self, node: Node, moves: tuple[Node, ...]) -> None:
        self.node, self.moves = node, moves


class _Step:
    """The reverse step of a scan, in a builder: first the body once more, then its derivative."""

    def __init__(self, scan: ScanDerivative) -> None:
        from intaglio.compiler.passes.gradient import backpropagate

        self.whole = scan
        self.b = b = Builder()
        body = scan.body
        self.inputs = [b.input(v.type) for v in body.inputs]
        self.dcarries = [b.input(body.inputs[k].type) for k in scan.carried]
        self.dresults = [b.input(body.outputs[k].type) for k in scan.given]
        self.here = dict(zip(body.inputs, self.inputs, strict=True))
        for node in body.nodes:
            copy = node.with_inputs([self.here[v] for v in node.inputs])
            b.append(copy)
            self.here.update(zip(node.outputs, copy.outputs, strict=True))
        self.there = {new: old for old, new in self.here.items()}
        self.forward = {v: n for n in b.nodes for v in n.outputs}
        seeds: dict[Value, Value] = {}
        outputs = [self.here[v] for v in body.outputs]
        given = [*zip(scan.carried, self.dcarries, strict=True)]
        for k, seed in (*given, *zip(scan.given, self.dresults, strict=True)):
            out = outputs[k]
            seeds[out] = b.add(seeds[out], seed) if out in seeds else seed
        wanted = [self.inputs[k] for k in (*scan.carried, *scan.constant, *scan.sliced)]
        self.found = backpropagate(b, list(reversed(b.nodes)), seeds, set(wanted))
        self.producers = {v: n for n in b.nodes for v in n.outputs}
        self.terms: dict[int, list[_Term]] = {k: [] for k in scan.constant}
        self.added: list[tuple[int, list[Value]]] = []
        self._divide()
        self._stacked: dict[Value, Any] = {}

    def _divide(self) -> None:
        """Divide each constant's derivative into what is added in the loop and behind it."""
        for k in self.whole.constant:
            part = self.found.get(self.inputs[k])
            inside: list[Value] = []
            if part is not None:
                self._parts(part, inside, self.terms[k])
            if inside or not self.terms[k]:
                self.added.append((k, inside))

    def _parts(self, value: Value, inside: list[Value], behind: list[_Term]) -> None:
        node = None if value in self.forward else self.producers.get(value)
        if node is not None and node.op == "add":
            for part in node.inputs:
                self._parts(part, inside, behind)
            return
        moves: tuple[Node, ...] = ()
        while node is not None and node.op in MOVED:
            moves = (node, *moves)
            before = node.inputs[0]
            node = None if before in self.forward else self.producers.get(before)
        if node is not None and node.op in ("matmul", "sum"):
            behind.append(_Term(node, moves))
        else:
            inside.append(value)

    # --------------------------------------------------------------------------------- the new loop

    def scan(self) -> tuple[Any, ...]:
        """Run the reverse loop: the cotangents of the carries, the sums of those of constants, the
        slices' cotangents; and what the terms behind the loop read is stacked."""
        g, whole, b = self.whole.g, self.whole, self.b
        sums = [b.input(self.inputs[k].type) for k, _ in self.added]
        totals = []
        for total, (_, parts) in zip(sums, self.added, strict=True):
            for part in parts:
                total = b.add(total, part)
            totals.append(total)
        carried = [self._cotangent(k) for k in whole.carried]
        slices = [self._cotangent(k) for k in whole.sliced]
        read = [self._bare(v) for k in whole.constant for t in self.terms[k] for v in t.node.inputs]
        kept = [v for v in dict.fromkeys(read) if not self._saves(v)]
        outputs = list(dict.fromkeys([*slices, *kept]))
        nodes, saved = self._needed([*carried, *totals, *outputs], read)
        primals = self._primals(saved)
        used = {*(v for n in nodes for v in n.inputs), *carried, *totals, *outputs}
        sliced = {v: stack for v, stack in primals.items() if v in used}
        constants = [(k, v) for k, v in enumerate(self.inputs) if k >= whole.carries + whole.xs]
        graph = Graph(
            (*self.dcarries, *sums, *sliced, *self.dresults, *(v for _, v in constants)),
            tuple(nodes),
            (*carried, *totals, *outputs),
            tuple(b.constraints),
        )
        operands = whole.operands
        starts = [
            g.like(0.0, operands[k]) if whole.dys[k] is None else whole.dys[k]
            for k in whole.carried
        ]
        starts += [g.like(0.0, operands[k]) for k, _ in self.added]
        stacked = [*sliced.values(), *(whole.dys[k] for k in whole.given)]
        attributes: Attributes = {
            "body": graph,
            "carries": len(starts),
            "xs": len(stacked),
            "length": whole.length,
            "reverse": not whole.reverse,
        }
        around = [operands[k] for k, _ in constants]
        made = g.apply("scan", (*starts, *stacked, *around), attributes)
        self._stacked |= dict(zip(outputs, made[len(starts) :], strict=True))
        self._stacked |= dict(zip(self.dresults, (whole.dys[k] for k in whole.given), strict=True))
        return (*made[: len(starts)], *(self._stacked[v] for v in slices))

    def _cotangent(self, k: int) -> Value:
        """The cotangent of an operand's part in this step."""
        value = self.inputs[k]
        found = self.found.get(value)
        return self.b.like(0.0, value) if found is None else found

    def _saves(self, value: Value) -> bool:
        """Whether all steps' values are there without the reverse loop: stacked, or to be stacked
        by the forward loop."""
        return value in self.forward or value in self.inputs or value in self.dresults

    def _bare(self, value: Value) -> Value:
        """A value without the permutation that made it."""
        node = self.producers.get(value)
        return node.inputs[0] if node is not None and node.op == "permute" else value

    def _needed(
        self, outputs: Sequence[Value], read: Sequence[Value]
    ) -> tuple[list[Node], dict[Value, None]]:
        """The nodes that the step runs, in order, and what it and the terms behind the loop want of
        the forward loop."""
        kept: set[Node] = set()
        saved: dict[Value, None] = {v: None for v in read if self._saves(v)}
        waiting, seen = list(outputs), set[Value]()
        producers = {v: n for n in self.b.nodes for v in n.outputs}
        while waiting:
            value = waiting.pop()
            if value in seen:
                continue
            seen.add(value)
            node = producers.get(value)
            costly = value in self.forward and node is not None and not _is_cheap(node)
            if node is None or costly:
                saved[value] = None
                continue
            kept.add(node)
            waiting += node.inputs
        return [n for n in self.b.nodes if n in kept], saved

    def _primals(self, saved: dict[Value, None]) -> dict[Value, Any]:
        """The inputs of the step that are slices of stacks, with these."""
        whole = self.whole
        place = {v: k for k, v in enumerate(self.inputs)}
        inner = whole.carries + whole.xs
        wanted = [v for v in saved if v in self.forward or place.get(v, inner) < inner]
        body = [
            whole.body.outputs[place[v]] if place.get(v, inner) < whole.carries else self.there[v]
            for v in wanted
        ]
        made: dict[Value, Any] = {}
        for value, stack in zip(wanted, whole.stacks(body), strict=True):
            carry = place.get(value, inner)
            made[value] = whole.before(carry, stack) if carry < whole.carries else stack
        self._stacked |= made
        return made

    # ------------------------------------------------------------------------------ behind the loop

    def behind(self, term: _Term) -> Any:
        """A term over all steps."""
        g = self.whole.g
        if term.node.op == "sum":
            (x,) = term.node.inputs
            axes: Any = term.node.attributes["axes"]
            made = g.sum(self._stack(x), axes=(0, *(a + 1 for a in axes)))
        else:
            a, b = term.node.inputs
            made = g.matmul(self._joined(a, inner=-1), self._joined(b, inner=-2))
        for move in term.moves:
            (made,) = g.apply(move.op, (made,), move.attributes)
        return made

    def _stack(self, value: Value) -> Any:
        """A value of all steps, [t, ...]."""
        if value in self._stacked:
            return self._stacked[value]
        g, whole = self.whole.g, self.whole
        if value in self.inputs:  # a constant: the same in all steps
            operand = whole.operands[self.inputs.index(value)]
            axes = tuple(range(1, value.type.rank + 1))
            return g.expand(operand, shape=(whole.length, *value.type.shape), axes=axes)
        node = self.producers[value]  # a permutation of what is stacked
        moved: Any = node.attributes["axes"]
        return g.permute(self._stack(node.inputs[0]), axes=(0, *(a + 1 for a in moved)))

    def _joined(self, value: Value, inner: int) -> Any:
        """An operand of a product of all steps: the steps joined with its inner dimension, of which
        `inner` is the axis. Where that is the first of two in memory, joining moves nothing."""
        g, rank = self.whole.g, value.type.rank
        inner += rank
        bare = self._bare(value)
        shape = value.type.shape
        if rank == 2 and bare is not value and inner == 1 and bare.type.shape == shape[::-1]:
            flat = g.reshape(self._stack(bare), shape=(self.whole.length * shape[1], shape[0]))
            return g.permute(flat, axes=(1, 0))
        others = [k + 1 for k in range(inner)]
        axes = (*others, 0, *range(inner + 1, rank + 1))
        stack = self._stack(value)
        if axes != tuple(range(rank + 1)):
            stack = g.permute(stack, axes=axes)
        joined = (*shape[:inner], self.whole.length * shape[inner], *shape[inner + 1 :])
        return g.reshape(stack, shape=joined)


def _is_cheap(node: Node) -> bool:
    """Whether computing a node again costs less than keeping its result."""
    from intaglio.compiler.passes.fuse_sources import probe
    from intaglio.compiler.schedule.domain import axes_of

    op = op_named(node.op)
    if len(node.outputs) != 1 or op.checks or op.element is None:
        return False
    if not node.inputs:
        return node.op == "full"
    found = probe(node, axes_of(node.output.type.shape)[1])
    return found is not None and found.is_cheap
