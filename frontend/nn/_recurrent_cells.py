"""One step of a recurrent network: the formulas, and the modules that apply one of them once.

A step takes the input already projected (`W_ih x + b_ih`, for all gates side by side) and the state
before; what it computes from both is the state after. The modules here project one input; those in
`_recurrent` project a whole sequence with one product before they step through it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import intaglio as ig
import intaglio.nn.functional as F
from intaglio._tensor import Parameter, Tensor
from intaglio.compiler.dtypes import DType
from intaglio.compiler.errors import ArgumentError, ShapeError
from intaglio.nn import init
from intaglio.nn._module import Module

NONLINEARITIES: Final[dict[str, Callable[[Tensor], Tensor]]] = {"tanh": ig.tanh, "relu": ig.relu}
"""What `nonlinearity` may be."""
GATES: Final = {"RNN": 1, "GRU": 3, "LSTM": 4}
"""How many blocks of `hidden_size` rows the weights of a kind of network have."""


def _split_forward(z: Tensor, parts: int) -> tuple[Tensor, ...]:
    """z cut into equal parts along its last dimension."""
    return tuple(z.chunk(parts, -1))


def _split_backward(
    xs: tuple[Tensor, ...], ys: tuple[Tensor, ...], dys: tuple[Tensor, ...], parts: int
) -> tuple[Tensor, ...]:
    """The parts' derivatives side by side, made once instead of each padded and all added."""
    return (ig.cat(list(dys), -1),)


_split: Final = ig.custom_vjp(_split_forward, _split_backward, "gates")


def rnn_step(projected: Tensor, h: Tensor, w_hh: Tensor, nonlinearity: str) -> Tensor:
    """act(W_ih x + b_ih + b_hh + W_hh h) (Elman 1990). projected: [b, n] with both biases, h: [b,
    n], w_hh: [n, n]."""
    return NONLINEARITIES[nonlinearity](h @ w_hh.mT + projected)


def lstm_step(
    projected: Tensor, h: Tensor, c: Tensor, w_hh: Tensor, w_hr: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The states (h, c) after a step (Hochreiter and Schmidhuber 1997, Gers et al. 2000).

    projected: [b, 4 n] with both biases, gates in the order input, forget, cell, output; h: [b, n],
    or [b, p] with the projection `w_hr`: [p, n] of the result (Sak et al. 2014); c: [b, n]; w_hh:
    [4 n, n or p]."""
    i, f, g, o = _split(h @ w_hh.mT + projected, parts=4)
    c = ig.sigmoid(f) * c + ig.sigmoid(i) * ig.tanh(g)
    h = ig.sigmoid(o) * ig.tanh(c)
    return (h if w_hr is None else h @ w_hr.mT), c


def gru_step(projected: Tensor, h: Tensor, w_hh: Tensor, b_hh: Tensor | None = None) -> Tensor:
    """The state after a step (Cho et al. 2014, with the reset gate after the product).

    projected: [b, 3 n] with `b_ih`, gates in the order reset, update, new; h: [b, n]; w_hh: [3 n,
    n]; b_hh: [3 n]."""
    r, z, n = _split(projected, parts=3)
    hr, hz, hn = _split(F.linear(h, w_hh, b_hh), parts=3)
    r, z = ig.sigmoid(r + hr), ig.sigmoid(z + hz)
    n = ig.tanh(n + r * hn)
    return n + z * (h - n)


def masked_step(
    x: Tensor, *values: Tensor, inner: Callable[..., Any], count: int, **options: Any
) -> tuple[Tensor, ...]:
    """A step `inner` of sequences of different lengths: the last column of x is 1 for those that
    are still running, whose `count` states become the new ones, and 0 for the others, whose states
    stay."""
    running = x[..., -1:] > 0.0
    new = inner(x[..., :-1], *values, **options)
    several = new if isinstance(new, tuple) else (new,)
    pairs = zip(several, values[:count], strict=True)
    return tuple(ig.where(running, after, before) for after, before in pairs)


def projected_input(
    x: Tensor, w_ih: Tensor, b_ih: Tensor | None, b_hh: Tensor | None = None
) -> Tensor:
    """W_ih x + b_ih, and + b_hh where the step does not need it apart."""
    if b_ih is not None and b_hh is not None:
        b_ih = b_ih + b_hh
    return F.linear(x, w_ih, b_ih)


def check_nonlinearity(name: str, nonlinearity: str) -> str:
    """The nonlinearity, if there is one of this name."""
    if nonlinearity not in NONLINEARITIES:
        known = " or ".join(map(repr, NONLINEARITIES))
        raise ArgumentError(f"{name}: the nonlinearity is {known}, not {nonlinearity!r}")
    return nonlinearity


def fill_uniform(module: Module, hidden_size: int) -> None:
    """Draw all parameters between -1/sqrt(hidden_size) and 1/sqrt(hidden_size)."""
    bound = 1.0 / math.sqrt(hidden_size)
    for parameter in module.parameters():
        init.uniform_(parameter, -bound, bound)


class RNNCellBase(Module):
    """What the cells share: `weight_ih`: [gates * n, i], `weight_hh`: [gates * n, n], and the
    biases `bias_ih` and `bias_hh`: [gates * n]; `num_chunks` is the number of gates."""

    bias_ih: Tensor | None
    bias_hh: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        if hidden_size <= 0:
            raise ArgumentError(
                f"{type(self).__name__}: hidden_size is positive, not {hidden_size}"
            )
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows = num_chunks * hidden_size
        made = {"device": device, "dtype": dtype}
        self.weight_ih = Parameter(ig.empty((rows, input_size), **made))
        self.weight_hh = Parameter(ig.empty((rows, hidden_size), **made))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(ig.empty((rows,), **made)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new parameters."""
        fill_uniform(self, self.hidden_size)

    def _batch(self, x: Tensor, *states: Tensor | None) -> list[Tensor]:
        """The input and the states as batches; zeros for states that are not given."""
        name, n = type(self).__name__, self.hidden_size
        if x.ndim not in (1, 2) or x.shape[-1] != self.input_size:
            raise ShapeError(
                f"{name}: the input is [b, {self.input_size}] or [{self.input_size}], not "
                f"{list(x.shape)}"
            )
        wanted = (*x.shape[:-1], n)
        found = [x if x.ndim == 2 else x.unsqueeze(0)]
        for state in states:
            if state is None:
                state = ig.zeros(wanted, dtype=x.dtype)
            if tuple(state.shape) != wanted:
                raise ShapeError(
                    f"{name}: the state is {list(wanted)} beside the input {list(x.shape)}, not "
                    f"{list(state.shape)}"
                )
            found.append(state if x.ndim == 2 else state.unsqueeze(0))
        return found

    def extra_repr(self) -> str:
        """The sizes, and what is not as usual."""
        text = f"{self.input_size}, {self.hidden_size}"
        if not self.bias:
            text += ", bias=False"
        kind = getattr(self, "nonlinearity", "tanh")
        return text if kind == "tanh" else f"{text}, nonlinearity={kind}"


class RNNCell(RNNCellBase):
    """One step of an Elman network: h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or with relu."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        self_check = check_nonlinearity("RNNCell", nonlinearity)
        super().__init__(input_size, hidden_size, bias, GATES["RNN"], device, dtype)
        self.nonlinearity = self_check

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """input: [b, i] or [i]; hx: [b, n] or [n], zeros when not given; the new state."""
        x, h = self._batch(input, hx)
        projected = projected_input(x, self.weight_ih, self.bias_ih, self.bias_hh)
        h = rnn_step(projected, h, self.weight_hh, self.nonlinearity)
        return h if input.ndim == 2 else h.squeeze(0)


class GRUCell(RNNCellBase):
    """One step of a gated recurrent unit."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, GATES["GRU"], device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """input: [b, i] or [i]; hx: [b, n] or [n], zeros when not given; the new state."""
        x, h = self._batch(input, hx)
        h = gru_step(projected_input(x, self.weight_ih, self.bias_ih), h, self.weight_hh,
                     self.bias_hh)  # fmt: skip
        return h if input.ndim == 2 else h.squeeze(0)


class LSTMCell(RNNCellBase):
    """One step of long short-term memory."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, GATES["LSTM"], device, dtype)

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """input: [b, i] or [i]; hx: the states (h, c), each [b, n] or [n], zeros when not given;
        the new states."""
        x, h, c = self._batch(input, *((None, None) if hx is None else hx))
        projected = projected_input(x, self.weight_ih, self.bias_ih, self.bias_hh)
        h, c = lstm_step(projected, h, c, self.weight_hh)
        return (h, c) if input.ndim == 2 else (h.squeeze(0), c.squeeze(0))
