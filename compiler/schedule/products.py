"""Groups around a matrix product: finds the operands' strides for the template in `matmul.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from intaglio.compiler.codegen.c import CPrinter
from intaglio.compiler.codegen.numbers import C_TYPES
from intaglio.compiler.dims import Size
from intaglio.compiler.ir import Graph, Node, Value
from intaglio.compiler.loop import Buffer, Unfusable
from intaglio.compiler.schedule.epilogue import Epilogue
from intaglio.compiler.schedule.matmul import matmul_kernels, pack_kernels
from intaglio.compiler.schedule.template import Matrix, Product, TemplateResult


@dataclass(frozen=True)
class GroupProduct:
    """The product of a group, for a template: the buffers in the order of the kernel's parameters,
    and the pairs of a result and an operand of the epilogue that may be the same memory."""

    product: Product
    buffers: list[Buffer]
    same: list[tuple[Buffer, Buffer]]


def group_product(
    graph: Graph,
    node: Node,
    memory: Mapping[Value, Buffer],
    results: Sequence[tuple[Value, Buffer]],
    name: str,
    printer: Callable[[], CPrinter],
    packed: Buffer | None = None,
) -> GroupProduct:
    """The product of a group with its epilogue. With `packed` the second operand is read in its
    packed form, from there."""
    if any(v not in memory for v in node.inputs):
        raise Unfusable("a product's operand that is not in memory")
    a, raw = (memory[v] for v in node.inputs)
    b = packed or raw
    buffers = list(dict.fromkeys([a, b, *memory.values(), *(r for _, r in results)]))
    numbers = {buffer: k for k, buffer in enumerate(buffers)}
    store = Epilogue(graph, node, memory, results, numbers, printer)
    used = {a, b, *store.reads, *(r for _, r in results)}
    buffers = [x for x in buffers if x in used]
    numbers.clear()
    numbers.update({buffer: k for k, buffer in enumerate(buffers)})
    *batch, m, k = a.shape
    n = b.shape[-1]
    sizes = printer()
    sizes.inline_sizes = True

    def size(value: Size) -> str:
        text = sizes.size(value)
        return f"({text})" if " " in text else text  # it will stand beside other operators

    workspace = f"((char *)p[{len(buffers)}])"
    operands = (_matrix(a, numbers[a]), _matrix(b, numbers[b], b is packed))
    product = Product(name, a.dtype, tuple(batch), m, n, k, *operands, workspace, store, size)
    same = [pair for pair in store.read_in_place if pair[1] not in (a, b)]
    return GroupProduct(product, buffers, same)


def _matrix(buffer: Buffer, number: int, packed: bool = False) -> Matrix:
    """An operand that lies at p[number]."""
    pointer = f"((const {C_TYPES[buffer.dtype.name]} *)p[{number}])"
    strides = tuple(0 if s == 1 else t for s, t in zip(buffer.shape, buffer.strides, strict=True))
    return Matrix(pointer, strides[:-2], strides[-2], strides[-1], packed)


def product_of_group(
    graph: Graph,
    node: Node,
    memory: Mapping[Value, Buffer],
    results: Sequence[tuple[Value, Buffer]],
    name: str,
    printer: Callable[[], CPrinter],
    packed: Buffer | None = None,
) -> tuple[TemplateResult, list[Buffer], TemplateResult | None, list[tuple[Buffer, Buffer]]]:
    """The kernels of a product with its epilogue, and the buffers in the order of their
    parameters (a workspace, if one is asked for, comes behind them).

    With `packed` the second operand is read in its packed form, from there; the kernel that makes
    it, from p[0] to p[1], comes third. Last come the pairs of a result and an operand of the
    epilogue that may be the same memory."""
    made = group_product(graph, node, memory, results, name, printer, packed)
    product, pack = made.product, None
    if packed is not None:
        each = product.batch if any(packed.strides) else ()
        source = _matrix(memory[node.inputs[1]], 0)
        source = replace(source, batch=source.batch if each else ())
        pack = pack_kernels(replace(product, batch=each, b=source), "(char *)p[1]")
    return matmul_kernels(product), made.buffers, pack, made.same
