"""What kernel templates (matrix product, ...) are given and what they give back; see each
template's module."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from intaglio.compiler.dims import Size
from intaglio.compiler.dtypes import DType


@dataclass(frozen=True)
class Matrix:
    """An operand of a matrix product. `pointer` is the C text of its typed base pointer in a
    kernel; `batch`, `row` and `column` are strides in elements. `packed`: it is the form that the
    pack kernel makes, and strides mean nothing."""

    pointer: str
    batch: tuple[Size, ...]
    row: Size
    column: Size
    packed: bool = False


class Store(Protocol):
    """Writes results, with the fused epilogue applied."""

    @property
    def plain(self) -> str | None:
        """The typed pointer of a dense row-major result without epilogue; None when there is
        more to do."""
        ...

    def lines(
        self, *, batch: str, row: str, column: str, lanes: int, count: str, value: str
    ) -> list[str]:
        """C statements that finish the block `value` of results `[batch][row][column ...]` and
        store `count` of its lanes."""
        ...

    def ahead(self, *, batch: str, row: str, column: str, bytes: int) -> list[str]:
        """C statements that fetch into the first-level cache what `lines` will touch for so many
        bytes of a row."""
        ...


@dataclass(frozen=True)
class Product:
    """A matrix product to be printed."""

    name: str
    dtype: DType
    batch: tuple[Size, ...]
    m: Size
    n: Size
    k: Size
    a: Matrix
    b: Matrix
    workspace: str
    store: Store
    size: Callable[[Size], str]


@dataclass(frozen=True)
class Step:
    """A kernel function of a template, how many chunks it has, and its rough work."""

    function: str
    chunks: Size
    nanoseconds: Size


@dataclass(frozen=True)
class TemplateResult:
    """C text of a template's kernels and how to run them: `steps` in order; `workspace` bytes of a
    temporary, `scratch` bytes per thread."""

    text: str
    steps: tuple[Step, ...]
    workspace: Size = 0
    scratch: Size = 0
