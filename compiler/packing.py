"""Which operands of matrix products are read from a packed copy that is made once, and the
functions that make those copies.

A loaded model's weights stay the same from call to call. Where such a state is the second operand
of a product, directly or through a view, the product reads the form that `pack_kernels` makes. The
function gets it as a buffer of the kind `packed`; whoever calls it makes the copy with the entry
point of its own that each packing has, and keeps it while the state stays as it is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from intaglio.compiler.dims import Shape, Size, product as product_of
from intaglio.compiler.dtypes import DType
from intaglio.compiler.ir import Node
from intaglio.compiler.loop import Buffer
from intaglio.compiler.lowered import PackSpec
from intaglio.compiler.schedule.matmul import packed_bytes
from intaglio.compiler.schedule.matmul_tile import C_TYPES
from intaglio.compiler.schedule.storage import View
from intaglio.compiler.schedule.template import Step, TemplateResult
from intaglio.compiler.steps import Memory
from intaglio.compiler.types import TensorType

MOST_ROWS: Final = 256
"""Rows of a product up to which a packed operand pays: every block of that many rows would bring
the operand's columns together again, and the more arithmetic a row takes the less that counts."""
ALONE: Final = 20_000
"""Nanoseconds of packing below which one thread does it."""


class Packed(Protocol):
    """What is packed: the input, where in it the elements begin, and the form. Equal ones are one
    copy."""

    @property
    def input(self) -> int:
        """The number of the input."""
        ...

    @property
    def offset(self) -> int:
        """Where the elements begin, in elements."""
        ...

    @property
    def dtype(self) -> DType:
        """The type of the elements."""
        ...

    @property
    def bytes(self) -> int:
        """The size of the packed form."""
        ...

    @property
    def form(self) -> str:
        """What identifies the packed form: equal ones of one array are the same bytes."""
        ...

    def __hash__(self) -> int:
        """Equal ones have the same."""
        ...


@dataclass(frozen=True)
class Packing:
    """How an operand `[batch.., k, n]` of a product lies in the input that is packed, in elements;
    equal ones share their copy."""

    input: int
    type: TensorType
    offset: int
    strides: tuple[int, ...]

    @property
    def dtype(self) -> DType:
        """The type of the elements."""
        return self.type.dtype

    @property
    def batch(self) -> tuple[int, ...]:
        """The batch dimensions of which each matrix has a packed form of its own."""
        sizes = self.type.shape[:-2]
        apart = any(s > 1 and t != 0 for s, t in zip(sizes, self.strides, strict=False))
        return sizes if apart else ()  # type: ignore[return-value]  # the same

    @property
    def bytes(self) -> int:
        """The size of the packed form."""
        *_, k, n = self.type.shape
        found = packed_bytes(n, k, self.type.dtype, self.batch)
        assert isinstance(found, int)
        return found

    @property
    def form(self) -> str:
        """What identifies the packed form: equal ones of one array are the same bytes."""
        return f"{self.type} at {self.offset} by {','.join(map(str, self.strides))}"


def packing_of(node: Node, view: View, inputs: Mapping[int, int]) -> Packing | None:
    """How to pack the second operand of a product that lies at `view`; None where it does not pay
    or can't be done. `inputs` gives the numbers of the inputs that may be packed, by buffer."""
    a, b = (v.type for v in node.inputs)
    number = inputs.get(view.buffer)
    if number is None or view.other is not None or b.dtype.name not in C_TYPES:
        return None
    strides = tuple(0 if s == 1 else t for s, t in zip(b.shape, view.strides, strict=True))
    shared = [t == 0 for s, t in zip(b.shape[:-2], strides, strict=False) if s != 1]
    if any(shared) and not all(shared):
        return None
    lengths = (view.offset, *strides, *b.shape[-2 if all(shared) else 0 :])
    if not all(isinstance(s, int) for s in lengths) or 0 in b.shape:
        return None
    rows: Size = a.shape[-2] * (product_of(a.shape[:-2]) if all(shared) else 1)
    if isinstance(rows, int) and rows > MOST_ROWS:
        return None
    if all(shared):
        b, strides = b.with_shape(*b.shape[-2:]), strides[-2:]
    return Packing(number, b, view.offset, strides)  # type: ignore[arg-type]  # all are int


class Packings:
    """The packed operands of one function. `allowed` are the inputs that may be packed."""

    def __init__(self, allowed: Collection[int], memory: Memory) -> None:
        self._memory = memory
        self.allowed = frozenset(allowed)
        self.inputs: dict[int, int] = {}
        """The numbers of the inputs that may be packed, by buffer."""
        self._numbers: dict[Packed, int] = {}
        self._kernels: list[TemplateResult] = []

    def number(self, packing: Packed, kernel: TemplateResult) -> int:
        """The buffer of a packed form, which `kernel` makes."""
        found = self._numbers.get(packing)
        if found is None:
            type = TensorType(packing.dtype, (packing.bytes // packing.dtype.size,))
            found = self._memory.add("packed", len(self._numbers), type)
            self._numbers[packing] = found
            self._kernels.append(kernel)
        return found

    def specs(self) -> tuple[PackSpec, ...]:
        """What the runtime needs to know, in the order of the buffers' indices."""
        return tuple(
            PackSpec(p.input, f"ig_p{k}", p.form, p.bytes) for k, p in enumerate(self._numbers)
        )

    def text(self, name: str) -> str:
        """The packing kernels, called `name` in their texts, and their entry points, which take
        the addresses of the input and of the packed form."""
        names: dict[str, str] = {}
        lines: list[str] = []
        for made in self._kernels:
            if made.text not in names:
                names[made.text] = f"p{len(names)}"
                lines.append(made.text.replace(name, names[made.text]))
        for k, (packing, made) in enumerate(zip(self._numbers, self._kernels, strict=True)):
            lines += _entry(f"ig_p{k}", names[made.text], packing, made.steps[0])
        return "\n".join([*lines, ""]) if lines else ""


def _entry(name: str, kernel: str, packing: Packed, step: Step) -> Sequence[str]:
    skip = packing.offset * packing.dtype.size
    assert isinstance(step.nanoseconds, int)
    threads = 1 if step.nanoseconds < ALONE else 0
    return (
        f"static int {name}_body(ig_worker *w, const void *args) {{",
        "  void *const *const b = ((const ig_args *)args)->p;",
        f"  void *const q[] = {{(char *)b[0] + {skip}, b[1]}};",
        "  const ig_args a = {q, ((const ig_args *)args)->dims, 0};",
        f"  return w->ctx->step(w, {kernel}, &a, {step.chunks});",
        "}",
        f"int {name}(const ig_ctx *ctx, void *const *buffers, const int64_t *dims);",
        f"int {name}(const ig_ctx *ctx, void *const *buffers, const int64_t *dims) {{",
        "  const ig_args args = {buffers, dims, 0};",
        f"  return ctx->run(ctx, {name}_body, &args, {threads});",
        "}",
    )


def packed_buffer(packing: Packing, shape: Shape) -> Buffer:
    """The packed form as an operand of this shape; its own strides mean nothing."""
    ones = tuple(1 if packing.batch else 0 for _ in shape[:-2])
    return Buffer(packing.type.dtype, shape, (*ones, 0, 0))
