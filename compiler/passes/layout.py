"""Chooses how the values of a function lie in memory, around its convolutions.

Convolutions of known sizes are quickest over images whose channels lie in blocks of 16, with zeros
around them for the padding (`schedule/conv_direct`). Values flow from there: what a direct
convolution makes is stored in blocks, and so is what elementwise ops and windows make of images in
blocks. What such a convolution reads gets the halo of its padding; images with too few channels for
a block keep their planes and get a halo too. Inputs, outputs and states of the function are
row-major: lowering copies a value wherever someone wants it in another storage than it has.

The choice is made on a fused graph and changes no node: logical types and the order of every sum
stay. So it changes no bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from intaglio.compiler.ir import Graph, Node, Value
from intaglio.compiler.op import op_named
from intaglio.compiler.schedule.conv_direct_shape import BLOCK, Shape2d, shape_of
from intaglio.compiler.schedule.reductions import reduction_of
from intaglio.compiler.schedule.storage import Storage
from intaglio.compiler.where import describe

NONE = (0, 0)


@dataclass(frozen=True)
class Layout:
    """The storages of values that are not row-major, and why convolutions have none. `lines` says
    both for people."""

    storages: Mapping[Value, Storage] = field(default_factory=dict)
    refusals: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


def layout(graph: Graph) -> Layout:
    """The storages of the values of a fused graph."""
    convolutions: dict[Node, Shape2d] = {}
    refusals: list[str] = []
    trains = any(kernel_in(n, "conv_input", "conv_weight") for n in graph.nodes)
    for node in graph.nodes:
        found = kernel_in(node, "conv")
        if found is None:
            continue
        shape = direct_shape(found)
        if isinstance(shape, Shape2d) and trains:
            shape = "the function computes derivatives of convolutions, which are row-major"
        if isinstance(shape, Shape2d):
            convolutions[node] = shape
        else:
            place = f" ({describe(node.where)})" if node.where else ""
            refusals.append(f"conv{place}: row-major: {shape}")
    blocked = _in_blocks(graph, convolutions)
    storages = _with_halos(blocked, convolutions)
    lines = [_line(graph, value, storage) for value, storage in storages.items()]
    return Layout(storages, tuple(refusals), (*lines, *refusals))


def _line(graph: Graph, value: Value, storage: Storage) -> str:
    """What is said of a stored value."""
    node = graph.producers[value]
    place = f" ({describe(node.where)})" if node.where else ""
    halo = ", ".join(f"{low}+{high}" for low, high in storage.halo[2:])
    return f"{value.type}{place}: channels in blocks of {BLOCK}, zeros around it: {halo}"


def kernel_in(node: Node, *names: str) -> Node | None:
    """The node with one of these kernel templates in a group, or the node itself."""
    body = node.attributes.get("body")
    inside = body.nodes if node.op == "fused" and isinstance(body, Graph) else (node,)
    for found in inside:
        if getattr(op_named(found.op), "kernel", None) in names:
            return found
    return None


def direct_shape(node: Node) -> Shape2d | str:
    """The sizes of a convolution that can be direct, or why it can't."""
    x, w = (v.type for v in node.inputs)
    return shape_of(x, w, node.attributes)


def image_of(node: Node) -> Value | None:
    """The operand of a node, maybe a group, that its convolution takes as images; None when that is
    made in the group."""
    found = kernel_in(node, "conv")
    if found is None or found is node:
        return node.inputs[0]
    body = node.attributes["body"]
    assert isinstance(body, Graph)
    names = dict(zip(body.inputs, node.inputs, strict=True))
    return names.get(found.inputs[0])


def _in_blocks(graph: Graph, convolutions: Mapping[Node, Shape2d]) -> list[Value]:
    """The values whose channels lie in blocks."""
    found: dict[Value, None] = {}
    outputs = set(graph.outputs)
    for node in graph.nodes:
        if node in convolutions:
            found.update(dict.fromkeys(node.outputs))
        elif _is_map(node) and any(v in found for v in node.inputs):
            images = [v for v in node.inputs if v in found]
            if all(_like(v, images[0]) and v not in outputs for v in node.outputs):
                found.update(dict.fromkeys(node.outputs))
    return list(found)


def _is_map(node: Node) -> bool:
    """Whether a node is elementwise (in the wide sense: each result element has an expression)."""
    body = node.attributes.get("body")
    inside = body.nodes if node.op == "fused" and isinstance(body, Graph) else (node,)
    ops = [op_named(n.op) for n in inside]
    if any(reduction_of(n) for n in inside):
        return False
    if len(ops) == 1 and ops[0].keeps_order:
        return False
    return all(op.element is not None and not op.checks for op in ops)


def _like(value: Value, image: Value) -> bool:
    """Whether a value is images with as many channels or, in as many pixels, with other whole
    blocks of them."""
    mine, other = value.type.shape, image.type.shape
    if len(mine) != len(other) or mine[0] != other[0] or mine[1] == 1:
        return False
    if mine[1] == other[1]:
        return True
    return mine[2:] == other[2:] and mine[1] % BLOCK == 0 and other[1] % BLOCK == 0


def _with_halos(blocked: list[Value], convolutions: Mapping[Node, Shape2d]) -> dict[Value, Storage]:
    """The storages, with the zeros that readers want around images."""
    halos = {v: [NONE] * (v.type.rank - 2) for v in blocked}
    for node, shape in convolutions.items():
        image = image_of(node)
        if image in halos:
            halos[image] = [_larger(a, b) for a, b in zip(halos[image], shape.halo, strict=True)]
    return {v: Storage.of_image(tuple(halo), BLOCK) for v, halo in halos.items()}


def _larger(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return max(one[0], other[0]), max(one[1], other[1])
