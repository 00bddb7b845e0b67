"""Recurrent networks over sequences: `RNN`, `LSTM` and `GRU`.

A layer projects the inputs of all steps with one product, then runs its step over them with `scan`:
a loop inside the program, whose length may be symbolic, and which eager code runs as one compiled
kernel sequence."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Final

import numpy as np

import intaglio as ig
import intaglio.nn.functional as F
from intaglio._functions_scan import repeated
from intaglio._tensor import Parameter, Tensor
from intaglio.compiler.dtypes import DType
from intaglio.compiler.errors import ArgumentError, ShapeError
from intaglio.nn._module import Module
from intaglio.nn._packed import packed, packed_rows, padded
from intaglio.nn._recurrent_cells import (
    GATES,
    check_nonlinearity,
    fill_uniform,
    gru_step,
    lstm_step,
    masked_step,
    projected_input,
    rnn_step,
)

_MODES: Final = {"RNN_TANH": "RNN", "RNN_RELU": "RNN", "GRU": "GRU", "LSTM": "LSTM"}
"""The kinds of network by the names of torch's `mode`."""


class RNNBase(Module):
    """What the networks share: parameters by layer and direction, and the way through the layers.

    Layer k has `weight_ih_l{k}`: [gates * n, its input's size], `weight_hh_l{k}`: [gates * n, n],
    `bias_ih_l{k}` and `bias_hh_l{k}`: [gates * n]; the other direction has the same with the suffix
    `_reverse`. `mode`: RNN_TANH, RNN_RELU, GRU or LSTM."""

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        if mode not in _MODES:
            known = ", ".join(map(repr, _MODES))
            raise ArgumentError(f"{type(self).__name__}: mode {mode!r} is none of {known}")
        self.mode = mode
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        self._check_options()
        made = {"device": device, "dtype": dtype}
        for layer in range(num_layers):
            for suffix in self._suffixes(layer):
                for name, shape in self._shapes(layer).items():
                    self.register_parameter(name + suffix, Parameter(ig.empty(shape, **made)))
        self.reset_parameters()

    def _check_options(self) -> None:
        name = type(self).__name__
        for option in ("hidden_size", "num_layers"):
            if getattr(self, option) <= 0:
                raise ArgumentError(f"{name}: {option} is positive, not {getattr(self, option)}")
        if not 0 <= self.proj_size < self.hidden_size:
            raise ArgumentError(
                f"{name}: proj_size is at least 0 and below hidden_size, not {self.proj_size}"
            )
        if not 0.0 <= self.dropout <= 1.0:
            raise ArgumentError(
                f"{name}: the probability of dropout is between 0 and 1, not {self.dropout}"
            )
        if self.dropout > 0.0 and self.num_layers == 1:
            warnings.warn(
                f"{name}: dropout acts between layers, and there is one layer only", stacklevel=4
            )

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def _result_size(self) -> int:
        """The size of one direction's result."""
        return self.proj_size or self.hidden_size

    def _suffixes(self, layer: int) -> list[str]:
        """The endings of the parameters' names, one per direction."""
        return [f"_l{layer}", f"_l{layer}_reverse"][: self._directions]

    def _shapes(self, layer: int) -> dict[str, tuple[int, ...]]:
        """The parameters of one layer and direction."""
        rows = GATES[_MODES[self.mode]] * self.hidden_size
        size = self.input_size if layer == 0 else self._directions * self._result_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, size),
            "weight_hh": (rows, self._result_size),
        }
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if self.proj_size:
            shapes["weight_hr"] = (self.proj_size, self.hidden_size)
        return shapes

    def reset_parameters(self) -> None:
        """Draw new parameters."""
        fill_uniform(self, self.hidden_size)

    def flatten_parameters(self) -> None:
        """Nothing to do: products pack their weights themselves."""

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The parameters, one list per layer and direction."""
        return [
            [getattr(self, name + suffix) for name in self._shapes(layer)]
            for layer in range(self.num_layers)
            for suffix in self._suffixes(layer)
        ]

    def _parameter(self, name: str) -> Tensor | None:
        found: Tensor | None = getattr(self, name) if self.bias or "bias" not in name else None
        return found

    # ----------------------------------------------------------------------------------- the layers

    def _project(self, x: Tensor, suffix: str) -> Tensor:
        """The inputs of all steps for the gates: [t, b, gates * n]."""
        names = ("weight_ih", "bias_ih", "bias_hh")
        w_ih, b_ih, b_hh = [self._parameter(name + suffix) for name in names]
        assert w_ih is not None
        return projected_input(x, w_ih, b_ih, b_hh)

    def _step(self, suffix: str) -> tuple[Callable[..., Any], list[Tensor], dict[str, Any]]:
        """The step of a layer and direction, with its constants and options."""
        raise NotImplementedError(f"{type(self).__name__} defines no step")

    def _loop(
        self,
        suffix: str,
        states: list[Tensor],
        projected: Tensor,
        reverse: bool,
        running: Tensor | None,
    ) -> tuple[list[Tensor], Tensor]:
        """A layer and direction from these states: the last states, and the result of each step."""
        step, constants, options = self._step(suffix)
        if running is None:
            return repeated(step, states, projected, constants, reverse, **options)
        more = {"inner": step, "count": len(states), **options}
        x = ig.cat([projected, running.to(projected.dtype)], -1)
        return repeated(masked_step, states, x, constants, reverse, **more)

    def _layers(
        self, x: Tensor, starts: list[Tensor], running: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """x: [t, b, i] through all layers, from the states [layers * directions, b, n]: the result
        [t, b, directions * n] and the last states. `running`: f[t, b, 1], 1 up to the end of each
        sequence and 0 behind it."""
        ends: list[list[Tensor]] = [[] for _ in starts]
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = F.dropout(x, self.dropout, self.training)
            parts = []
            for backwards, suffix in enumerate(self._suffixes(layer)):
                number = layer * self._directions + backwards
                first = [start[number] for start in starts]
                projected = self._project(x, suffix)
                last, made = self._loop(suffix, first, projected, bool(backwards), running)
                parts.append(made)
                for end, state in zip(ends, last, strict=True):
                    end.append(state)
            x = parts[0] if len(parts) == 1 else ig.cat(parts, -1)
        return x, [ig.stack(end) for end in ends]

    def _run(
        self, input: Any, given: tuple[Tensor | None, ...], sizes: tuple[int, ...]
    ) -> tuple[Any, list[Tensor]]:
        """The result and last states for an input as the user gives it; `sizes` are the states'."""
        if hasattr(input, "batch_sizes"):
            return self._run_packed(input, given, sizes)
        self._check_input(input)
        unbatched = input.ndim == 2
        x = input.unsqueeze(1) if unbatched else input
        if self.batch_first and not unbatched:
            x = x.transpose(0, 1)
        count = self.num_layers * self._directions
        starts = []
        for state, size in zip(given, sizes, strict=True):
            wanted = (count, size) if unbatched else (count, x.shape[1], size)
            if state is None:
                state = ig.zeros(wanted, dtype=x.dtype)
            self._check_state(state, wanted)
            starts.append(state.unsqueeze(1) if unbatched else state)
        made, ends = self._layers(x, starts)
        if unbatched:
            return made.squeeze(1), [end.squeeze(1) for end in ends]
        return (made.transpose(0, 1) if self.batch_first else made), ends

    def _run_packed(
        self, input: Any, given: tuple[Tensor | None, ...], sizes: tuple[int, ...]
    ) -> tuple[Any, list[Tensor]]:
        """As `_run` for a `utils.rnn.PackedSequence`: its sequences run padded, and keep their
        states behind their ends."""
        if input.data.ndim != 2 or input.data.shape[1] != self.input_size:
            raise ShapeError(
                f"{type(self).__name__}: the packed data are [n, {self.input_size}], not"
                f" {list(input.data.shape)}"
            )
        rows = packed_rows(input.batch_sizes)
        x = padded(input.data, rows)
        count = self.num_layers * self._directions
        starts = []
        for state, size in zip(given, sizes, strict=True):
            wanted = (count, rows.shape[1], size)
            if state is None:
                state = ig.zeros(wanted, dtype=x.dtype)
            self._check_state(state, wanted)
            starts.append(_reordered(state, input.sorted_indices))
        running = ig.tensor((rows >= 0).astype(np.float32)[..., None])
        made, ends = self._layers(x, starts, running)
        result = input._replace(data=packed(made, rows))
        return result, [_reordered(end, input.unsorted_indices) for end in ends]

    def _check_input(self, input: Any) -> None:
        name = type(self).__name__
        if not isinstance(input, Tensor):
            raise ArgumentError(f"{name}: the input is a tensor, not {type(input).__name__}")
        if input.ndim not in (2, 3) or input.shape[-1] != self.input_size:
            order = "b, t" if self.batch_first else "t, b"
            i = self.input_size
            raise ShapeError(
                f"{name}: the input is [{order}, {i}] or [t, {i}], not {list(input.shape)}"
            )

    def _check_state(self, state: Tensor, wanted: tuple[Any, ...]) -> None:
        if tuple(state.shape) != wanted:
            raise ShapeError(
                f"{type(self).__name__}: a state is {list(wanted)} (layers and directions first),"
                f" not {list(state.shape)}"
            )

    def extra_repr(self) -> str:
        """The sizes, and what is not as usual."""
        usual = {
            "proj_size": 0,
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
        }
        special = [f"{k}={v}" for k, u in usual.items() if (v := getattr(self, k)) != u]
        return ", ".join([str(self.input_size), str(self.hidden_size), *special])


def _reordered(state: Tensor, order: Tensor | None) -> Tensor:
    """A state [k, b, n] with its sequences in another order."""
    return state if order is None else state.index_select(1, order)


class RNN(RNNBase):
    """Elman's network of one or several layers: h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or with
    relu."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        check_nonlinearity("RNN", nonlinearity)
        super().__init__(
            f"RNN_{nonlinearity.upper()}", input_size, hidden_size, num_layers, bias,
            batch_first, dropout, bidirectional, device=device, dtype=dtype,
        )  # fmt: skip
        self.nonlinearity = nonlinearity

    def _step(self, suffix: str) -> tuple[Callable[..., Any], list[Tensor], dict[str, Any]]:
        constants = [getattr(self, "weight_hh" + suffix)]
        return rnn_step, constants, {"nonlinearity": self.nonlinearity}

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        """input: [t, b, i] ([b, t, i] with `batch_first`, [t, i] for one sequence); hx: the states
        before, [layers * directions, b, n], zeros when not given. Returns the last layer's states
        of all steps, [t, b, directions * n], and all layers' last states. A `PackedSequence` gives
        a packed result."""
        made, (h,) = self._run(input, (hx,), (self.hidden_size,))
        return made, h


class GRU(RNNBase):
    """Gated recurrent units (Cho et al. 2014) of one or several layers; `b_hn` is inside the reset
    gate, as in cuDNN."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(
            "GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            device=device, dtype=dtype,
        )  # fmt: skip

    def _project(self, x: Tensor, suffix: str) -> Tensor:
        return projected_input(
            x, getattr(self, "weight_ih" + suffix), self._parameter("bias_ih" + suffix)
        )

    def _step(self, suffix: str) -> tuple[Callable[..., Any], list[Tensor], dict[str, Any]]:
        constants = [getattr(self, "weight_hh" + suffix)]
        if self.bias:
            constants.append(getattr(self, "bias_hh" + suffix))
        return gru_step, constants, {}

    def forward(self, input: Any, hx: Tensor | None = None) -> tuple[Any, Tensor]:
        """input: [t, b, i] ([b, t, i] with `batch_first`, [t, i] for one sequence); hx: the states
        before, [layers * directions, b, n], zeros when not given. Returns the last layer's states
        of all steps, [t, b, directions * n], and all layers' last states. A `PackedSequence` gives
        a packed result."""
        made, (h,) = self._run(input, (hx,), (self.hidden_size,))
        return made, h


class LSTM(RNNBase):
    """Long short-term memory (Hochreiter and Schmidhuber 1997) of one or several layers. With
    `proj_size` the result of each step is projected to that size by `weight_hr_l{k}`: [proj_size,
    n] (Sak et al. 2014)."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(
            "LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            proj_size, device, dtype,
        )  # fmt: skip

    def _step(self, suffix: str) -> tuple[Callable[..., Any], list[Tensor], dict[str, Any]]:
        constants = [getattr(self, "weight_hh" + suffix)]
        if self.proj_size:
            constants.append(getattr(self, "weight_hr" + suffix))
        return lstm_step, constants, {}

    def forward(
        self, input: Any, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Any, tuple[Tensor, Tensor]]:
        """input: [t, b, i] ([b, t, i] with `batch_first`, [t, i] for one sequence); hx: the states
        (h, c) before, [layers * directions, b, proj_size or n] and [.., n], zeros when not given.
        Returns the last layer's h of all steps, [t, b, directions * (proj_size or n)], and all
        layers' last (h, c). A `PackedSequence` gives a packed result."""
        given = (None, None) if hx is None else (hx[0], hx[1])
        made, (h, c) = self._run(input, given, (self._result_size, self.hidden_size))
        return made, (h, c)
