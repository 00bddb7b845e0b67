"""A softmax over many classes in clusters: rare classes share an entry of the first softmax and
have narrower ones of their own (Grave et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import intaglio as ig
import intaglio.nn.functional as F
from intaglio._tensor import Tensor
from intaglio.compiler.dtypes import DType
from intaglio.compiler.errors import ArgumentError, IndexError, ShapeError
from intaglio.nn._containers import ModuleList, Sequential
from intaglio.nn._layers import Linear
from intaglio.nn._module import Module


class AdaptiveOutput(NamedTuple):
    """The log-probability of each target, and minus their mean."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log-probabilities of `n_classes` classes, sorted from the most frequent to the rarest.

    Classes below `cutoffs[0]` are entries of `head`, and so is each cluster between two cutoffs;
    cluster i goes through in_features / div_value**(i + 1) features. Every cluster is evaluated for
    every row, since shapes may not depend on the targets."""

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        cuts = [int(c) for c in cutoffs]
        edges = [0, *cuts, n_classes]
        if not cuts or cuts != list(cutoffs) or any(a >= b for a, b in pairwise(edges)):
            raise ArgumentError(
                f"AdaptiveLogSoftmaxWithLoss: the cutoffs rise within 1 to {n_classes - 1}, each a"
                f" whole number; not {list(cutoffs)}"
            )
        made = {"device": device, "dtype": dtype}
        self.in_features, self.n_classes, self.cutoffs = in_features, n_classes, edges[1:]
        self.div_value, self.head_bias = div_value, head_bias
        self.shortlist_size, self.n_clusters = cuts[0], len(cuts)
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, bias=head_bias, **made)
        self.tail = ModuleList()
        for i, (low, high) in enumerate(pairwise(self.cutoffs)):
            narrow = int(in_features // div_value ** (i + 1))
            self.tail.append(
                Sequential(
                    Linear(in_features, narrow, bias=False, **made),
                    Linear(narrow, high - low, bias=False, **made),
                )
            )

    def reset_parameters(self) -> None:
        """Draw new weights."""
        for module in self.modules():
            if isinstance(module, Linear):
                module.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> AdaptiveOutput:
        """input_: [n, in_features], target_: i64[n], or [in_features] and i64[]. The output is [n]
        or []."""
        if target_.ndim > 1 or input_.ndim != target_.ndim + 1:
            raise ShapeError(
                f"AdaptiveLogSoftmaxWithLoss: {input_._kind}, {target_._kind}: [n, in_features] and"
                " [n], or [in_features] and [] are wanted"
            )
        if target_.ndim and input_.shape[0] != target_.shape[0]:
            raise ShapeError(
                f"AdaptiveLogSoftmaxWithLoss: {input_._kind}, {target_._kind}: the numbers of rows"
                " differ"
            )
        if not ig.is_tracing() and bool(((target_ < 0) | (target_ >= self.n_classes)).any()):
            raise IndexError(
                f"AdaptiveLogSoftmaxWithLoss: targets lie in 0 to {self.n_classes - 1}, not in"
                f" {target_.min().item()} to {target_.max().item()}"
            )
        rows = input_ if target_.ndim else input_.unsqueeze(0)
        targets = target_ if target_.ndim else target_.unsqueeze(0)
        output = self.log_prob(rows).gather(1, targets.unsqueeze(1)).squeeze(1)
        return AdaptiveOutput(output if target_.ndim else output.squeeze(0), -output.mean())

    def log_prob(self, input: Tensor) -> Tensor:
        """The log-probabilities of all classes: [n, n_classes] of [n, in_features]."""
        first = F.log_softmax(self.head(input), 1)
        short = self.shortlist_size
        parts = [first[:, :short]]
        for i, cluster in enumerate(self.tail):
            parts.append(F.log_softmax(cluster(input), 1) + first[:, short + i].unsqueeze(1))
        return ig.cat(parts, 1)

    def predict(self, input: Tensor) -> Tensor:
        """The likeliest class of each row, where a cluster that is likelier than every class of the
        head goes before them: i64[n] of [n, in_features]."""
        short = self.shortlist_size
        chosen = self.head(input).argmax(1)
        return ig.where(chosen < short, chosen, self.log_prob(input).argmax(1))
