"""Where values lie: a buffer, an offset, and strides; how their memory is laid out; and which ops
are only another look at it."""

from __future__ import annotations

from dataclasses import dataclass

from intaglio.compiler.codegen.indices import affine
from intaglio.compiler.dims import Dim, Shape, Size, floordiv
from intaglio.compiler.ir import Node
from intaglio.compiler.loop import Block, Buffer, Load, Operand, Unfusable, symbol_of
from intaglio.compiler.op import op_named
from intaglio.compiler.schedule.compose import Interner
from intaglio.compiler.schedule.domain import axes_of


def dense(shape: Shape) -> Shape:
    """Row-major strides in elements."""
    strides: list[Size] = []
    step: Size = 1
    for size in reversed(shape):
        strides.append(step)
        step = step * size
    return tuple(reversed(strides))


@dataclass(frozen=True, slots=True)
class View:
    """Elements of a buffer (by number): the first lies at `offset`, the others by `strides`, all in
    elements; along a dim in `blocks` the stride is that from block to block. `other` is set for
    what a loop carries: its buffer in odd rounds of `round`."""

    buffer: int
    offset: Size
    strides: Shape
    other: int | None = None
    round: Size | None = None
    blocks: tuple[Block, ...] = ()

    def is_dense(self, shape: Shape) -> bool:
        """Whether the elements lie row-major without gaps."""
        return not self.blocks and all(
            size == 1 or mine == ideal
            for size, mine, ideal in zip(shape, self.strides, dense(shape), strict=True)
        )


@dataclass(frozen=True, slots=True)
class Storage:
    """How the elements of a value lie in memory, apart from its logical shape.

    `order` names the dims from the outermost to the innermost. A dim of `blocks` (dim, size) stands
    twice: first the number of the block, then the place in it; the last block may have a tail that
    nobody reads. `halo` holds, for every dim, how many elements stand before and behind it; they
    are zero. An image whose channels lie in blocks of 16 is (n, c // 16, h, w, c % 16)."""

    order: tuple[int, ...]
    blocks: tuple[tuple[int, int], ...] = ()
    halo: tuple[tuple[int, int], ...] = ()

    @staticmethod
    def of_image(spatial: tuple[tuple[int, int], ...], block: int | None) -> Storage:
        """The storage of images [n, c, *spatial dims] with these halos; channels in blocks or, with
        None, plane after plane."""
        dims = tuple(range(2 + len(spatial)))
        halo = ((0, 0), (0, 0), *spatial)
        if block is None:
            return Storage(dims, (), halo)
        return Storage((*dims, 1), ((1, block),), halo)

    def sizes(self, shape: Shape) -> Shape:
        """The sizes of the memory in its order."""
        blocks, seen, found = dict(self.blocks), set[int](), list[Size]()
        for dim in self.order:
            low, high = self.halo[dim]
            size = shape[dim] + (low + high)
            if dim in blocks:
                block = blocks[dim]
                size = block if dim in seen else floordiv(size + (block - 1), block)
            seen.add(dim)
            found.append(size)
        return tuple(found)

    def view(self, buffer: int, shape: Shape) -> View:
        """The value of this shape in a buffer that holds nothing else."""
        steps = dense(self.sizes(shape))
        first: dict[int, Size] = {}
        last: dict[int, Size] = {}
        for dim, step in zip(self.order, steps, strict=True):
            first.setdefault(dim, step)
            last[dim] = step
        offset: Size = 0
        for dim, (low, _) in enumerate(self.halo):
            offset = offset + first[dim] * low
        blocks = tuple(Block(dim, size, last[dim]) for dim, size in self.blocks)
        strides = tuple(first[dim] for dim in range(len(shape)))
        return View(buffer, offset, strides, blocks=blocks)


def view_of(node: Node, source: View) -> View | None:
    """The result of a node as a view of its only operand; None when it must be computed."""
    op = op_named(node.op)
    if len(node.inputs) != 1 or len(node.outputs) != 1 or op.element is None or source.blocks:
        return None
    operand, result = node.inputs[0].type, node.output.type
    if operand.dtype != result.dtype:
        return None
    if op.keeps_order and source.is_dense(operand.shape):
        strides = dense(result.shape)
        return View(source.buffer, source.offset, strides, source.other, source.round)
    axes, position = axes_of(result.shape)
    buffer = Buffer(operand.dtype, operand.shape, source.strides)
    at = Operand(operand, lambda index, guard: Load(buffer, index, guard))
    try:
        element = Interner()(op.element(position, at, **node.attributes))
    except Unfusable:
        return None
    if not isinstance(element, Load) or element.guard is not None:
        return None
    offset: Size = source.offset
    for place, size, stride in zip(element.index, operand.shape, source.strides, strict=True):
        if not isinstance(place, int | Dim):
            return None
        offset = offset + (place * stride if size != 1 else 0)
    strides_of = {}
    for axis in axes:
        parts = affine(offset, symbol_of(axis.variable))
        if parts is None:
            return None
        offset, strides_of[axis.variable] = parts
    strides = tuple(0 if p == 0 else strides_of[p] for p in position)  # type: ignore[index]
    return View(source.buffer, offset, strides, source.other, source.round)
