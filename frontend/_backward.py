"""Reverse mode over the tape: `backward` and `grad`.

Entries that the roots depend on are visited from the last applied to the first. Each one turns the
derivatives of its results into those of its operands, which are added to what is known of them:
what arrives first comes first in the sum. So the order of additions is reverse program order, the
same as in a compiled derivative. It is a loop over a heap: a chain of any depth needs no stack."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from intaglio._apply import full, one
from intaglio._backward_plan import planned
from intaglio._core import Tensor, wrap
from intaglio._modes import modes, set_grad_enabled
from intaglio._places import copied, is_data, is_shared, is_writable
from intaglio._tape import AFTER, BEFORE, Entry, edge_of
from intaglio.compiler.errors import ArgumentError, GradientError


class _Running(threading.local):
    """The walks of this thread that run now, the innermost last."""

    def __init__(self) -> None:
        self.walks: list[_Walk] = []


_running: Final = _Running()


def queue_callback(callback: Callable[[], Any]) -> None:
    """Call `callback` once the reverse mode that runs now has handed out all derivatives."""
    if not _running.walks:
        raise GradientError("queue_callback: only to be called during backward, say in a hook")
    _running.walks[-1].after.append(callback)


class _Walk:
    """One run of reverse mode. `wanted` maps (entry or leaf, index) to the places of `found`;
    None: accumulate into the leaves' `.grad`."""

    def __init__(self, create_graph: bool, retain: bool, wanted: dict[Any, list[int]] | None):
        self.create_graph, self.retain, self.wanted = create_graph, retain, wanted
        self.found: dict[int, Tensor] = {}
        self.pending: dict[Entry, list[Tensor | None]] = {}
        self.heap: list[tuple[int, int, Entry]] = []
        self.leaves: dict[int, tuple[Tensor, Tensor | None]] = {}
        self.leaf_order: list[int] = []
        self.given: set[int] = set()
        self.useful: set[Entry] | None = None
        self.after: list[Callable[[], Any]] = []

    @contextmanager
    def running(self, grad: bool) -> Iterator[None]:
        """Ops inside are derivatives of this walk, recorded if `grad` says so."""
        _running.walks.append(self)
        try:
            with set_grad_enabled(grad):
                yield
                for callback in self.after:
                    callback()
        finally:
            _running.walks.pop()

    def seed(self, tensor: Tensor, gradient: Tensor) -> None:
        """Start with the derivative of a root."""
        self.given.add(id(gradient._data))
        target, index = edge_of(tensor) or (None, 0)
        assert target is not None
        self.send(target, index, gradient)

    def send(self, target: Any, index: int, dx: Tensor | None) -> None:
        """Add a contribution to what is known of an entry's result or of a leaf."""
        if isinstance(target, Tensor):
            before = self.leaves.get(id(target), (target, None))[1]
            if id(target) not in self.leaves:
                self.leaf_order.append(id(target))
            self.leaves[id(target)] = (target, _sum(before, dx))
            return
        known = self.pending.get(target)
        if known is None:
            known = self.pending[target] = [None] * len(target.kinds)
            heapq.heappush(self.heap, (-target.number, id(target), target))
        known[index] = _sum(known[index], dx)

    def run(self) -> None:
        """Visit every entry, then hand the leaves what was found."""
        trace, watch = modes.trace, modes.watch
        outer = trace.deriving if trace is not None else None
        while self.heap:
            entry = heapq.heappop(self.heap)[2]
            dys = self.pending.pop(entry)
            self._hooks(entry, dys)
            self._capture(entry, dys)
            if self.useful is not None and entry not in self.useful:
                continue
            if trace is not None:
                trace.deriving = entry.place or trace.deriving
            dxs: Sequence[Tensor | None] = [None] * len(entry.edges)
            if any(dy is not None for dy in dys):
                dxs = entry.pull(dys) if watch is None else watch.pull(entry, dys)
                if entry.hooks is not None:
                    dxs = _after(entry, dxs, dys)
            if trace is not None:
                trace.deriving = outer
            for edge, dx in zip(entry.edges, dxs, strict=True):
                if edge is not None:
                    self.send(edge[0], edge[1], dx)
            if not self.retain:
                entry.free()
        for key in self.leaf_order:
            self.finish_leaf(*self.leaves[key])

    def _hooks(self, entry: Entry, dys: list[Tensor | None]) -> None:
        if entry.hooks:
            for index, hooks in entry.hooks.items():
                if index >= 0:
                    dys[index] = _run_hooks(hooks, dys[index])
            for hook in tuple(entry.hooks.get(BEFORE, ())):
                changed = hook(tuple(dys))
                if changed is not None:
                    dys[:] = _replaced(entry, changed, len(dys))

    def _capture(self, entry: Entry, dys: list[Tensor | None]) -> None:
        if entry.retained is not None and self.wanted is None:
            for index, reference in entry.retained.items():
                tensor, dy = reference(), dys[index]
                if tensor is not None and dy is not None:
                    self.given.add(id(dy._data))
                    tensor.grad = dy if tensor._grad is None else one("add", tensor._grad, dy)
        if self.wanted is not None:
            for index, dy in enumerate(dys):
                self._keep(entry, index, dy)

    def _keep(self, target: Any, index: int, dy: Tensor | None) -> None:
        assert self.wanted is not None
        for place in self.wanted.get((id(target), index), ()):
            if dy is None:
                dy = full(0, target.kinds[index] if isinstance(target, Entry) else target._kind)
            self.found[place] = dy

    def finish_leaf(self, leaf: Tensor, dx: Tensor | None) -> None:
        """Hand a leaf its derivative."""
        if dx is None:
            dx = full(0, leaf._kind)
        if leaf._hooks:
            dx = _run_hooks(leaf._hooks, dx)
            assert dx is not None
        if self.wanted is not None:
            self._keep(leaf, 0, dx)
            return
        before = leaf.grad
        if modes.trace is not None and before is None:
            before = modes.trace.gradient_before(leaf)
        if before is None:
            leaf.grad = self._own(dx)
        elif self.create_graph:
            leaf.grad = one("add", before, dx)
        else:
            from intaglio._inplace import write

            write(before, one("add", before, dx))
            if leaf._grad is not before:
                leaf.grad = before
        for hook in leaf.__dict__.get("_accumulate_hooks", ()):
            hook(leaf)

    def _own(self, dx: Tensor) -> Tensor:
        """A tensor of its own for `.grad`, so that changing it in place changes nothing else."""
        data = dx._data
        if is_data(data):
            shared = is_shared(data) or id(data) in self.given
            if shared and not self.create_graph:
                data = copied(data)
            self.given.add(id(data))
        made = wrap(data, dx._kind)
        if self.create_graph:
            made._node, made._index, made.requires_grad = dx._node, dx._index, dx.requires_grad
        return made


def _sum(before: Tensor | None, dx: Tensor | None) -> Tensor | None:
    if before is None or dx is None:
        return dx if before is None else before
    return one("add", before, dx)


def _run_hooks(hooks: Sequence[Any], dy: Tensor | None) -> Tensor | None:
    if dy is None:
        return None
    for hook in tuple(hooks):
        changed = hook(dy)
        if changed is not None:
            if changed._kind is not dy._kind:
                raise GradientError(
                    f"a hook returned {changed._kind} for a derivative of {dy._kind}"
                )
            dy = changed
    return dy


def _after(
    entry: Entry, dxs: Sequence[Tensor | None], dys: list[Tensor | None]
) -> Sequence[Tensor | None]:
    """The operand derivatives as the entry's own hooks leave them."""
    assert entry.hooks is not None
    for hook in tuple(entry.hooks.get(AFTER, ())):
        changed = hook(tuple(dxs), tuple(dys))
        if changed is not None:
            dxs = _replaced(entry, changed, len(dxs))
    return dxs


def _replaced(entry: Entry, changed: Any, count: int) -> Sequence[Tensor | None]:
    made = changed if isinstance(changed, tuple | list) else (changed,)
    if len(made) != count:
        raise GradientError(
            f"a hook of {entry.describe()} returned {len(made)} derivatives in the place of {count}"
        )
    return made


def _seeds(
    name: str, roots: Sequence[Tensor], gradients: Sequence[Tensor | None]
) -> list[tuple[Tensor, Tensor]]:
    if len(roots) != len(gradients):
        raise ArgumentError(
            f"{name}: {len(roots)} outputs, but {len(gradients)} derivatives of them"
        )
    made = []
    for root, gradient in zip(roots, gradients, strict=True):
        if not root.requires_grad:
            raise GradientError(
                f"{name}: {root._kind} does not require grad: nothing that it was made from does,"
                " or it was made under no_grad"
            )
        if gradient is None:
            if root.numel() != 1:
                raise GradientError(
                    f"{name}: {root._kind} is not a single number; give its derivative as"
                    f" `gradient`,"
                    " or reduce it first, say by sum()"
                )
            gradient = full(1, root._kind)
        elif gradient._kind.shape != root._kind.shape:
            raise GradientError(
                f"{name}: a derivative {gradient._kind} for an output {root._kind}: the shapes"
                " must be equal"
            )
        elif gradient._kind is not root._kind:
            gradient = one("cast", gradient, dtype=root._kind.dtype)
        made.append((root, gradient))
    return made


def backward(
    roots: Sequence[Tensor],
    gradients: Sequence[Tensor | None],
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Sequence[Tensor] | Tensor | None = None,
) -> None:
    """Accumulate the derivatives of `roots` into the `.grad` of the leaves that they depend on."""
    seeds = _seeds("backward", roots, gradients)
    if inputs is not None:
        leaves = [inputs] if isinstance(inputs, Tensor) else list(inputs)
        if not leaves:
            raise GradientError("backward: inputs is empty: nothing is to get a derivative")
        found = grad(roots, leaves, gradients, retain_graph, create_graph, allow_unused=True)
        for leaf, dx in zip(leaves, found, strict=True):
            if dx is not None:
                leaf.grad = dx if leaf._grad is None else one("add", leaf._grad, dx)
        return
    retain = create_graph if retain_graph is None else retain_graph
    walk = _Walk(create_graph, retain, None)
    if len(seeds) == 1 and not create_graph and modes.trace is None is modes.watch:
        root, gradient = seeds[0]
        ready = planned(root, gradient, retain)
        if ready is not None:
            walk.given.add(id(gradient._data))
            with walk.running(False):
                for leaf, data in ready:
                    walk.finish_leaf(leaf, None if data is None else wrap(data, leaf._kind))
            return
    with walk.running(create_graph):
        for root, gradient in seeds:
            walk.seed(root, gradient)
        walk.run()


def grad(
    outputs: Sequence[Tensor] | Tensor,
    inputs: Sequence[Tensor] | Tensor,
    grad_outputs: Sequence[Tensor | None] | Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The derivatives of `outputs` (weighted by `grad_outputs`) with respect to `inputs`, without
    touching any `.grad` (`only_inputs` changes nothing, as in torch). Raises `GradientError` for an
    input that the outputs do not depend on, unless `allow_unused` (then None) or
    `materialize_grads` (then zeros) is given. With `is_grads_batched` the weights have one more
    dimension in front, and so have the results."""
    if is_grads_batched:
        return _row_by_row(
            outputs, inputs, grad_outputs, retain_graph, create_graph, allow_unused,
            materialize_grads,
        )  # fmt: skip
    roots = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    targets = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    weights: list[Tensor | None]
    if grad_outputs is None:
        weights = [None] * len(roots)
    else:
        weights = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs)
    seeds = _seeds("grad", roots, weights)
    wanted: dict[Any, list[int]] = {}
    stops: list[Any] = []
    for place, tensor in enumerate(targets):
        edge = edge_of(tensor)
        if edge is None:
            raise GradientError(f"grad: input {place}, {tensor._kind}, does not require grad")
        wanted.setdefault((id(edge[0]), edge[1]), []).append(place)
        stops.append(edge[0])
    retain = create_graph if retain_graph is None else retain_graph
    walk = _Walk(create_graph, retain, wanted)
    walk.useful = _useful([edge_of(root) for root, _ in seeds], {id(s) for s in stops})
    with walk.running(create_graph):
        for root, gradient in seeds:
            walk.seed(root, gradient)
        walk.run()
    return tuple(
        _result(walk, place, tensor, bool(allow_unused), materialize_grads)
        for place, tensor in enumerate(targets)
    )


def _row_by_row(
    outputs: Any, inputs: Any, weights: Any, retain: bool | None, create: bool, unused: bool | None,
    materialize: bool,
) -> tuple[Tensor | None, ...]:  # fmt: skip
    """`grad` for each of the weights along their first dimension, stacked."""
    given = [weights] if isinstance(weights, Tensor) else list(weights or ())
    counts = {w.shape[0] for w in given if w is not None and w.ndim}
    if len(counts) != 1 or any(w is None or not w.ndim for w in given):
        raise GradientError(
            "grad: with is_grads_batched every output's derivative is given, all with the same"
            " first size"
        )
    (count,) = counts
    rows = []
    for k in range(count):
        keep = True if k < count - 1 else retain
        row = [w[k] for w in given]
        rows.append(grad(outputs, inputs, row, keep, create, True, unused, False, materialize))
    made: list[Tensor | None] = []
    for column in zip(*rows, strict=True):
        parts = [d for d in column if d is not None]
        wide = [one("reshape", d, shape=(1, *d.shape)) for d in parts]
        made.append(one("concat", *wide, axis=0) if parts else None)
    return tuple(made)


def _result(
    walk: _Walk, place: int, tensor: Tensor, allow_unused: bool, materialize: bool
) -> Tensor | None:
    found = walk.found.get(place)
    if found is not None:
        shared = is_data(found._data) and not is_writable(found._data)
        return wrap(copied(found._data), found._kind) if shared and not walk.create_graph else found
    if materialize:
        return one("add", *[full(0, tensor._kind)] * 2)
    if not allow_unused:
        raise GradientError(
            f"grad: the outputs do not depend on input {place}, {tensor._kind};"
            " give allow_unused=True if that is meant"
        )
    return None


def _useful(edges: Sequence[Any], stops: set[int]) -> set[Entry]:
    """The entries from which a wanted tensor can still be reached."""
    useful: set[Entry] = set()
    order: list[Entry] = []
    seen: set[Entry] = set()
    stack = [e[0] for e in edges if e is not None and isinstance(e[0], Entry)]
    while stack:
        entry = stack.pop()
        if entry in seen:
            continue
        seen.add(entry)
        order.append(entry)
        stack += [e[0] for e in entry.edges if e is not None and isinstance(e[0], Entry)]
    for entry in sorted(order, key=lambda e: e.number):
        for edge in entry.edges:
            if edge is not None and (id(edge[0]) in stops or edge[0] in useful):
                useful.add(entry)
                break
    return useful
