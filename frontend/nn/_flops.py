"""How many floating-point operations a recorded program takes, by its ops' families.

A multiplication with its addition counts two. An element of an elementwise op counts one, whatever
the function; of a reduction each element read. Moving, converting and creating elements counts
nothing, nor do calls into LAPACK, whose work depends on the values."""

from __future__ import annotations

from collections.abc import Iterable

from intaglio.compiler.dims import Size
from intaglio.compiler.ir import Graph, Node
from intaglio.compiler.op import op_named
from intaglio.compiler.ops.compare import Where
from intaglio.compiler.ops.elementwise import Elementwise
from intaglio.compiler.ops.prefix import Cumulative, Recurrence
from intaglio.compiler.ops.reduce import Reduction
from intaglio.compiler.ops.window_rules import Window
from intaglio.compiler.types import TensorType


def elements(type: TensorType) -> Size:
    """The number of elements."""
    return product(type.shape)


def product(sizes: Iterable[Size]) -> Size:
    """Sizes multiplied; 1 of none."""
    total: Size = 1
    for size in sizes:
        total = total * size
    return total


def flops(nodes: Iterable[Node]) -> Size:
    """The operations of these nodes, with those of their blocks."""
    total: Size = 0
    for node in nodes:
        total = total + _of(node)
    return total


def _of(node: Node) -> Size:
    body = node.attributes.get("body")
    if isinstance(body, Graph):
        length: Size = node.attributes.get("length", 1)  # type: ignore[assignment]  # a size
        return flops(body.nodes) * length
    op, types = op_named(node.op), [v.type for v in node.inputs]
    result = elements(node.outputs[0].type)
    kernel = getattr(op, "kernel", "")
    if kernel == "matmul":
        return 2 * result * types[0].shape[-1]
    if kernel.startswith("conv"):
        return _of_convolution(node, kernel)
    if kernel in ("index_add", "scatter_add"):
        return elements(types[-1])
    if isinstance(op, Reduction | Cumulative | Recurrence):
        return elements(types[0])
    if isinstance(op, Window):
        sizes: tuple[Size, ...] = node.attributes.get("sizes", ())  # type: ignore[assignment]  # sizes
        return max(result, elements(types[0]), key=_known) * product(sizes)
    return result if isinstance(op, Elementwise | Where) else 0


def _known(size: Size) -> int:
    return size if isinstance(size, int) else 0


def _of_convolution(node: Node, kernel: str) -> Size:
    """Every tap of the window, for every position and pair of channels of a group: the elements of
    the smaller image are the positions times its channels."""
    first, second = (v.type for v in node.inputs)
    result = node.outputs[0].type
    if kernel == "conv":  # x, w -> y
        return 2 * elements(result) * product(second.shape[1:])
    if kernel == "conv_input":  # dy, w -> x
        return 2 * elements(first) * product(second.shape[1:])
    return 2 * elements(second) * product(result.shape[1:])  # x, dy -> w
