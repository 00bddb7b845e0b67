"""Recurrent networks and cells: parameters, shapes, options and errors. `test_recurrent_torch`
compares their numbers with torch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import intaglio as ig
from intaglio import nn


def test_parameters_bear_torchs_names() -> None:
    net = nn.LSTM(3, 4, 2, bidirectional=True, proj_size=2)
    shapes = {name: tuple(p.shape) for name, p in net.named_parameters()}
    assert list(shapes)[:5] == [
        "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "weight_hr_l0"
    ]  # fmt: skip
    assert len(shapes) == 20
    assert shapes["weight_ih_l1_reverse"] == (16, 4)
    assert shapes["weight_hh_l0"] == (16, 2)
    assert shapes["weight_hr_l1"] == (2, 4)
    bound = 1 / np.sqrt(4)
    assert all(np.abs(p.detach().numpy()).max() <= bound for p in net.parameters())
    assert [len(w) for w in net.all_weights] == [5] * 4
    assert repr(net) == "LSTM(3, 4, proj_size=2, num_layers=2, bidirectional=True)"
    assert list(dict(nn.GRU(3, 4, bias=False).named_parameters())) == [
        "weight_ih_l0", "weight_hh_l0"
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_a_net_is_its_cell_step_by_step(kind: str) -> None:
    net, cell = getattr(nn, kind)(3, 4), getattr(nn, f"{kind}Cell")(3, 4)
    for name, parameter in cell.named_parameters():
        parameter.data = getattr(net, f"{name}_l0").data
    x = ig.from_numpy(np.random.default_rng(0).standard_normal((5, 2, 3)).astype(np.float32))
    made, last = net(x)
    state = None
    for t in range(5):
        state = cell(x[t], state)
        h = state[0] if kind == "LSTM" else state
        np.testing.assert_allclose(made[t].detach().numpy(), h.detach().numpy(), atol=1e-6)
    ends = [*last] if kind == "LSTM" else [last]
    states = [*state] if kind == "LSTM" else [state]  # type: ignore[misc]  # it is a tuple here
    for end, s in zip(ends, states, strict=True):
        np.testing.assert_allclose(end[0].detach().numpy(), s.detach().numpy(), atol=1e-6)


def test_batch_first_and_one_sequence_are_the_same_numbers() -> None:
    net = nn.GRU(3, 4, 2, bidirectional=True)
    turned = nn.GRU(3, 4, 2, bidirectional=True, batch_first=True)
    turned.load_state_dict(net.state_dict())
    x = ig.from_numpy(np.random.default_rng(0).standard_normal((5, 1, 3)).astype(np.float32))
    made, last = net(x)
    other, end = turned(x.transpose(0, 1))
    single, final = net(x[:, 0])
    assert made.shape == (5, 1, 8)
    assert last.shape == (4, 1, 4)
    assert ig.equal(made.transpose(0, 1), other)
    assert ig.equal(last, end)
    assert ig.equal(made[:, 0], single)
    assert ig.equal(last[:, 0], final)


def test_sequences_continue_from_their_states() -> None:
    net = nn.LSTM(3, 4)
    x = ig.from_numpy(np.random.default_rng(0).standard_normal((6, 2, 3)).astype(np.float32))
    whole, _ = net(x)
    first, state = net(x[:4])
    second, _ = net(x[4:], state)
    assert ig.equal(whole, ig.cat([first, second]))


def test_dropout_acts_between_layers_while_training() -> None:
    ig.manual_seed(0)
    net = nn.RNN(3, 8, 2, dropout=0.5)
    x = ig.ones(4, 2, 3)
    assert not ig.equal(net(x)[0], net(x)[0])
    net.eval()
    assert ig.equal(net(x)[0], net(x)[0])
    net.train()
    net.dropout = 0.0
    still = net(x)[0]
    net.eval()
    assert ig.equal(still, net(x)[0])
    with pytest.warns(UserWarning, match="one layer only"):
        nn.RNN(3, 8, dropout=0.5)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: nn.LSTM(3, 0), ig.Error, "hidden_size is positive"),
        (lambda: nn.GRU(3, 4, 0), ig.Error, "num_layers is positive"),
        (lambda: nn.LSTM(3, 4, proj_size=4), ig.Error, "proj_size"),
        (lambda: nn.RNN(3, 4, nonlinearity="gelu"), ig.Error, "'tanh' or 'relu', not 'gelu'"),
        (lambda: nn.RNN(3, 4, 2, dropout=1.5), ig.Error, "between 0 and 1"),
        (lambda: nn.LSTM(3, 4)(ig.ones(5, 2, 7)), ig.ShapeError, r"\[t, b, 3\] or \[t, 3\]"),
        (lambda: nn.LSTM(3, 4)(ig.ones(3)), ig.ShapeError, "the input is"),
        (lambda: nn.GRU(3, 4)(ig.ones(5, 2, 3), ig.ones(1, 3, 4)), ig.ShapeError, r"\[1, 2, 4\]"),
        (lambda: nn.GRUCell(3, 4)(ig.ones(2, 5)), ig.ShapeError, r"\[b, 3\] or \[3\]"),
        (lambda: nn.GRUCell(3, 4)(ig.ones(2, 3), ig.ones(2, 5)), ig.ShapeError, r"\[2, 4\]"),
        (lambda: nn.RNNCell(3, 4, nonlinearity="x"), ig.Error, "RNNCell: the nonlinearity"),
    ],
)
def test_errors_say_what_is_wanted(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()
