"""Tables of vectors: rows by position, and bags of rows."""

from __future__ import annotations

from typing import Any, ClassVar, Final

import intaglio as ig
import intaglio.nn.functional as F
from intaglio._tensor import Parameter, Tensor
from intaglio.compiler.dtypes import DType
from intaglio.compiler.errors import ArgumentError, ShapeError
from intaglio.nn import init
from intaglio.nn._module import Module

_USUAL: Final = {"norm_type": 2.0, "scale_grad_by_freq": False}
"""What `repr` leaves out, besides None."""


class _Table(Module):
    """A table of `num_embeddings` vectors. weight: [num_embeddings, embedding_dim]."""

    shown: ClassVar[tuple[str, ...]]

    def __init__(
        self, rows: int, width: int, padding_idx: int | None, weight: Tensor | None, made: Any
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.num_embeddings, self.embedding_dim = rows, width
        if padding_idx is not None and not -rows <= padding_idx < rows:
            raise ArgumentError(f"{name}: padding_idx {padding_idx} is outside {rows} rows")
        self.padding_idx = None if padding_idx is None else padding_idx % rows
        if weight is not None and tuple(weight.shape) != (rows, width):
            raise ShapeError(f"{name}: the weight {weight._kind} is not [{rows}, {width}]")
        self.weight = Parameter(ig.empty((rows, width), **made) if weight is None else weight)
        if weight is None:
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw a new table; the row `padding_idx` is zero."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with ig.no_grad():
                self.weight[self.padding_idx] = 0.0

    def extra_repr(self) -> str:
        """The sizes, and what is not as usual."""
        shown = [str(self.num_embeddings), str(self.embedding_dim)]
        for name in self.shown:
            value = getattr(self, name)
            if value != _USUAL.get(name):
                shown.append(f"{name}={value!r}")
        return ", ".join(shown)


def _rows_and_width(table: Tensor) -> tuple[int, int]:
    if table.ndim != 2:
        raise ShapeError(f"from_pretrained: the table {table._kind} is not [rows, width]")
    rows, width = table.shape
    return rows, width


def _dense(name: str, sparse: bool) -> None:
    if sparse:
        raise ArgumentError(
            f"{name}: sparse=True: gradients are dense; leave the argument out, and use an"
            " optimizer for dense gradients"
        )


class Embedding(_Table):
    """A table of `num_embeddings` vectors, looked up by position. weight: [num_embeddings,
    embedding_dim], normal at first. Options as in `functional.embedding`, except that `sparse=True`
    is refused: gradients are dense."""

    shown = ("padding_idx", "max_norm", "norm_type", "scale_grad_by_freq")

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        _dense(type(self).__name__, sparse)
        made = {"device": device, "dtype": dtype}
        super().__init__(num_embeddings, embedding_dim, padding_idx, _weight, made)
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        self.weight.requires_grad = not _freeze

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """The layer whose table is `embeddings` ([n, d]), not trained if `freeze`."""
        return cls(
            *_rows_and_width(embeddings), padding_idx, max_norm, norm_type, scale_grad_by_freq,
            sparse, embeddings, freeze,
        )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        """input: integers [...]; the result is [..., embedding_dim]."""
        return F.embedding(
            input,
            self.weight,
            self.padding_idx,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.sparse,
        )


class EmbeddingBag(_Table):
    """The sums, means or maxima of bags of vectors of a table; see `functional.embedding_bag`.
    `sparse=True` is refused: gradients are dense."""

    shown = ("max_norm", "norm_type", "scale_grad_by_freq", "mode", "padding_idx")

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        _dense(type(self).__name__, sparse)
        made = {"device": device, "dtype": dtype}
        super().__init__(num_embeddings, embedding_dim, padding_idx, _weight, made)
        self.max_norm, self.norm_type, self.mode = max_norm, norm_type, mode
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        self.include_last_offset = include_last_offset

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> EmbeddingBag:
        """The layer whose table is `embeddings` ([n, d]), not trained if `freeze`."""
        made = cls(
            *_rows_and_width(embeddings), max_norm, norm_type, scale_grad_by_freq, mode, sparse,
            embeddings, include_last_offset, padding_idx,
        )  # fmt: skip
        made.weight.requires_grad = not freeze
        return made

    def forward(
        self,
        input: Tensor,
        offsets: Tensor | None = None,
        per_sample_weights: Tensor | None = None,
    ) -> Tensor:
        """input: integers [bags, l], or [total] with offsets; the result is [bags,
        embedding_dim]."""
        return F.embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )
