"""Recurrent networks over packed sequences beside torch: results, last states, derivatives; and
compiled, with equal bits."""

import numpy as np
import pytest

import intaglio as ig
from intaglio import nn
from intaglio.nn.utils import rnn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

LENGTHS = {"falling": [5, 5, 3, 1], "any": [3, 5, 1, 5], "equal": [4, 4]}
OPTIONS = [{}, {"bidirectional": True}, {"num_layers": 2, "bidirectional": True, "bias": False}]


def run(lib, nn_, rnn_, module, x, lengths, starts):
    """The packed result's data, the last states and the derivatives."""
    given = lib.tensor(x).requires_grad_()
    states = [lib.tensor(s).requires_grad_() for s in starts]
    packed = rnn_.pack_padded_sequence(
        given, lengths, enforce_sorted=lengths == sorted(lengths)[::-1]
    )
    hx = tuple(states) if len(states) == 2 else (states[0] if states else None)
    made, last = module(packed, hx)
    wide, counts = rnn_.pad_packed_sequence(made, total_length=6)
    parts = [made.data, wide, *(last if isinstance(last, tuple) else [last])]
    total = sum((p * (k + 1.5) * p).sum() for k, p in enumerate(parts))
    found = lib.autograd.grad(total, [given, *states, *module.parameters()])
    return [p.detach() for p in parts], list(found)


@pytest.mark.parametrize("order", LENGTHS)
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_packed(kind, options, order):
    lengths, rng = LENGTHS[order], np.random.default_rng(3)
    theirs = getattr(torch.nn, kind)(3, 4, **options).double()
    ours = getattr(nn, kind)(3, 4, **options).double()
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    count = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    x = rng.standard_normal((5, len(lengths), 3))
    states = 0 if order == "equal" else 2 if kind == "LSTM" else 1
    starts = [rng.standard_normal((count, len(lengths), 4)) for _ in range(states)]
    wanted = run(torch, torch.nn, torch.nn.utils.rnn, theirs, x, lengths, starts)
    found = run(ig, nn, rnn, ours, x, lengths, starts)
    for a, b in zip(sum(found, []), sum(wanted, []), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-8, atol=1e-9)
    if order != "any":
        return

    def step(x):
        packed = rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        made, last = ours(packed)
        return rnn.pad_packed_sequence(made)[0], last[0] if kind == "LSTM" else last

    for a, b in zip(step(ig.tensor(x)), ig.jit(step)(ig.tensor(x)), strict=True):
        assert np.array_equal(a.detach().numpy(), b.detach().numpy())
