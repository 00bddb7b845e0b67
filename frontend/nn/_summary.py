"""A table of a model: its modules with their results, parameters, work and memory.

The model is traced once for the inputs. Hooks around every module note where in the recorded
program it begins and ends, so that the work of each is that of the ops between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from intaglio._modes import modes
from intaglio._recorded import record
from intaglio._structure import flatten
from intaglio._tensor import Tensor
from intaglio.compiler.dims import Size, substitute, symbols
from intaglio.compiler.errors import ArgumentError
from intaglio.compiler.text import printable
from intaglio.nn._flops import elements, flops
from intaglio.nn._module import Module
from intaglio.nn._module_hooks import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from intaglio.runtime.settings import show_bytes

__all__ = ["Row", "Summary", "summary"]


@dataclass
class Row:
    """What one module does, with everything inside of it. Sizes may be formulas of symbolic
    dimensions."""

    name: str
    kind: str
    depth: int
    trainable: int
    frozen: int
    parameter_bytes: int
    result: str = ""
    """The types of its results, of the last call."""
    flops: Size = 0
    """Floating-point operations of all calls; a multiplication with its addition counts two."""
    activation_bytes: Size = 0
    """Bytes of the results of all calls of the modules that contain no others."""
    calls: int = 0

    @property
    def parameters(self) -> int:
        """Numbers in its parameters, trainable and frozen."""
        return self.trainable + self.frozen


@dataclass
class Summary:
    """The rows of a model, the whole model first; printed, or shown in a notebook, as a table."""

    rows: list[Row]
    buffer_bytes: int
    deepest: int | None = None
    inputs: tuple[str, ...] = field(default=())

    @property
    def total(self) -> Row:
        """The row of the whole model. What is shared by several modules counts once."""
        return self.rows[0]

    def __getitem__(self, name: str) -> Row:
        """The row of a module by its qualified name."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def _shown(self) -> tuple[list[str], list[list[str]]]:
        head = ["module", "result", "trainable", "frozen"]
        head += ["FLOPs", "activations"] if self.inputs else []
        lines = []
        for row in self.rows:
            if self.deepest is not None and row.depth > self.deepest:
                continue
            last = row.name.rpartition(".")[2]
            told = f"{'  ' * row.depth}{last + ': ' if last else ''}{row.kind}"
            told += f" (x{row.calls})" if row.calls > 1 else ""
            line = [told, row.result, _number(row.trainable), _number(row.frozen)]
            if self.inputs:
                line += [_number(row.flops), _bytes(row.activation_bytes)]
            lines.append([printable(cell) for cell in line])
        return head, lines

    def _foot(self) -> list[str]:
        whole = self.total
        lines = [
            f"parameters   {_number(whole.parameters)}"
            f" ({_number(whole.trainable)} trainable, {_number(whole.frozen)} frozen),"
            f" {_bytes(whole.parameter_bytes)}; buffers {_bytes(self.buffer_bytes)}"
        ]
        if self.inputs:
            lines.append(f"inputs       {', '.join(self.inputs)}")
            lines.append(f"FLOPs        {_number(whole.flops)}")
            lines.append(f"activations  {_bytes(whole.activation_bytes)}")
        return [printable(line) for line in lines]

    def __str__(self) -> str:
        head, lines = self._shown()
        widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]

        def row(cells: list[str]) -> str:
            left = [c.ljust(w) for c, w in zip(cells[:2], widths[:2], strict=True)]
            right = [c.rjust(w) for c, w in zip(cells[2:], widths[2:], strict=True)]
            return "  ".join([*left, *right]).rstrip()

        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        return "\n".join([row(head), rule, *map(row, lines), rule, *self._foot()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from intaglio.runtime.markup import block, table

        head, lines = self._shown()
        wide = [[line[0].replace("  ", "\u2003"), *line[1:]] for line in lines]
        return table("", head, wide) + block("\n".join(self._foot()))


def _number(size: Size) -> str:
    return f"{size:,}" if isinstance(size, int) else str(size)


def _bytes(size: Size) -> str:
    return show_bytes(size) if isinstance(size, int) else f"{size} bytes"


def summary(
    model: Module,
    *inputs: Any,
    depth: int | None = None,
    sizes: Mapping[str, int] | None = None,
    **keywords: Any,
) -> Summary:
    """A table of the model's modules: name, class, types of the results, parameters, FLOPs and
    bytes.

    `inputs` are what the model is called with: tensors, arrays or `ig.spec`s, whose symbolic sizes
    make formulas of FLOPs and bytes; `sizes` (name: number) puts numbers in for them. Without
    inputs only parameters are listed. `depth` limits what is printed. The model is traced in the
    mode that it is in, and not changed."""
    if not isinstance(model, Module):
        raise ArgumentError(f"summary: a Module is wanted, not {type(model).__name__}")
    rows = {id(m): _row(name, m) for name, m in model.named_modules()}
    if inputs or keywords:
        with _measured(rows):
            record("summary", model, list(inputs), keywords, grad=False)
    found = list(rows.values())
    for row in found if sizes else ():
        _put_in(row, dict(sizes or {}))
    held = {id(b): b.numel() * b.element_size() for b in model.buffers()}
    leaves = flatten((inputs, keywords))[0]
    return Summary(found, sum(held.values()), depth, tuple(_told(x) for x in leaves))


def _row(name: str, module: Module) -> Row:
    several = list(module.parameters())
    trainable = sum(int(p.numel()) for p in several if p.requires_grad)
    frozen = sum(int(p.numel()) for p in several if not p.requires_grad)
    held = sum(int(p.numel()) * p.element_size() for p in several)
    depth = name.count(".") + 1 if name else 0
    return Row(name, type(module).__name__, depth, trainable, frozen, held)


def _told(leaf: Any) -> str:
    if isinstance(leaf, Tensor):
        return str(leaf._kind)
    if hasattr(leaf, "type") and not hasattr(leaf, "dtype"):
        return str(leaf.type)
    shape = getattr(leaf, "shape", None)
    if shape is None:
        return repr(leaf)
    return f"{leaf.dtype}[{','.join(map(str, shape))}]"


def _put_in(row: Row, sizes: dict[str, int]) -> None:
    def fixed(size: Size) -> Size:
        return substitute(size, {s: sizes[n] for n, s in symbols(size).items() if n in sizes})

    row.flops, row.activation_bytes = fixed(row.flops), fixed(row.activation_bytes)


@contextmanager
def _measured(rows: Mapping[int, Row]) -> Iterator[None]:
    """Fill in the rows from the calls that a trace records."""
    began: list[tuple[Any, int]] = []
    inside: list[Module] = []

    def before(module: Module, _: Any) -> None:
        trace: Any = modes.trace
        began.append((trace, len(trace.builder.nodes)))
        inside.append(module)

    def after(module: Module, _: Any, result: Any) -> None:
        trace, first = began.pop()
        inside.pop()
        row, now = rows.get(id(module)), modes.trace
        if row is None or now is None or trace is not now:
            return
        kinds = [leaf._kind for leaf in flatten(result)[0] if isinstance(leaf, Tensor)]
        row.result = ", ".join(str(kind.type) for kind in kinds)
        row.calls += 1
        row.flops = row.flops + flops(now.builder.nodes[first:])
        if not any(True for _ in module.children()):
            made: Size = 0
            for kind in kinds:
                made = made + elements(kind.type) * kind.dtype.size
            for owner in (module, *inside):
                held = rows.get(id(owner))
                if held is not None:
                    held.activation_bytes = held.activation_bytes + made

    handles = [register_module_forward_pre_hook(before), register_module_forward_hook(after)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
