"""Recurrent networks and cells beside torch, from the same weights in f64: results, last states and
all gradients, for every option."""

import numpy as np
import pytest

import intaglio as ig
from intaglio import nn

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

T, B, SIZE, N = 5, 3, 4, 6
NETS = {
    "rnn": ("RNN", {}),
    "rnn_relu": ("RNN", {"nonlinearity": "relu", "num_layers": 2}),
    "rnn_two_ways": ("RNN", {"bidirectional": True, "bias": False}),
    "gru": ("GRU", {}),
    "gru_deep": ("GRU", {"num_layers": 2, "bidirectional": True, "batch_first": True}),
    "gru_no_bias": ("GRU", {"bias": False}),
    "lstm": ("LSTM", {}),
    "lstm_deep": ("LSTM", {"num_layers": 3, "batch_first": True}),
    "lstm_two_ways": ("LSTM", {"num_layers": 2, "bidirectional": True}),
    "lstm_no_bias": ("LSTM", {"bias": False}),
    "lstm_projected": ("LSTM", {"proj_size": 2, "num_layers": 2, "bidirectional": True}),
    "lstm_still": ("LSTM", {"num_layers": 2, "dropout": 0.0}),
}
CELLS = {
    "rnn": ("RNNCell", {}),
    "rnn_relu": ("RNNCell", {"nonlinearity": "relu", "bias": False}),
    "gru": ("GRUCell", {}),
    "lstm": ("LSTMCell", {}),
    "lstm_no_bias": ("LSTMCell", {"bias": False}),
}


def pair(kind, options):
    torch.manual_seed(1)
    theirs = getattr(torch.nn, kind)(SIZE, N, **options).double()
    ours = getattr(nn, kind)(SIZE, N, **options).double()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    return ours, theirs


def flat(made):
    if isinstance(made, tuple | list):
        return [t for part in made for t in flat(part)]
    return [made]


def compare(ours, theirs, arrays, call):
    """Results and gradients of everything, by way of the sum of results times other numbers."""
    xs = [ig.tensor(a.copy()).requires_grad_(True) for a in arrays]
    ts = [torch.tensor(a).requires_grad_(True) for a in arrays]
    made, wanted = flat(call(ours, *xs)), flat(call(theirs, *ts))
    rng = np.random.default_rng(3)
    mine = yours = 0.0
    for a, b in zip(made, wanted, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-8, atol=1e-10)
        factors = rng.standard_normal(tuple(b.shape))
        mine, yours = (
            mine + (a * ig.tensor(factors)).sum(),
            yours + (b * torch.tensor(factors)).sum(),
        )
    mine.backward()
    yours.backward()
    named = dict(theirs.named_parameters())
    pairs = [(n, p.grad, named[n].grad) for n, p in ours.named_parameters()]
    pairs += [(f"operand {k}", x.grad, t.grad) for k, (x, t) in enumerate(zip(xs, ts, strict=True))]
    for name, a, b in pairs:
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-8, atol=1e-10, err_msg=name)


def states(kind, options, batch):
    count = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    sizes = (options.get("proj_size") or N, N) if kind == "LSTM" else (N,)
    rng = np.random.default_rng(2)
    return [rng.standard_normal((count, *batch, size)) for size in sizes]


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("given", [False, True])
def test_nets(name, given):
    kind, options = NETS[name]
    ours, theirs = pair(kind, options)
    x = np.random.default_rng(1).standard_normal(
        (B, T, SIZE) if options.get("batch_first") else (T, B, SIZE)
    )
    hx = states(kind, options, (B,)) if given else []

    def call(module, x, *hx):
        return module(x, *([tuple(hx)] if len(hx) == 2 else hx))

    compare(ours, theirs, [x, *hx], call)


@pytest.mark.parametrize("name", ["gru_deep", "lstm_two_ways", "rnn"])
def test_one_sequence(name):
    kind, options = NETS[name]
    ours, theirs = pair(kind, options)
    x, hx = np.random.default_rng(1).standard_normal((T, SIZE)), states(kind, options, ())

    def call(module, x, *hx):
        return module(x, *([tuple(hx)] if len(hx) == 2 else hx))

    compare(ours, theirs, [x], call)
    compare(*pair(kind, options), [x, *hx], call)


@pytest.mark.parametrize("name", CELLS)
def test_cells(name):
    kind, options = CELLS[name]
    rng = np.random.default_rng(1)
    for batch in ((), (B,)):
        x = rng.standard_normal((*batch, SIZE))
        hx = [rng.standard_normal((*batch, N)) for _ in range(2 if kind == "LSTMCell" else 1)]

        def call(module, x, *hx):
            return module(x, *([tuple(hx)] if len(hx) == 2 else hx))

        compare(*pair(kind, options), [x], call)
        compare(*pair(kind, options), [x, *hx], call)


def test_second_derivatives():
    """The derivative of a gradient's squared length."""
    ours, theirs = pair("LSTM", {})
    x = np.random.default_rng(1).standard_normal((T, B, SIZE))

    def penalty(api, module, x, **options):
        loss = (module(x)[0] ** 2).sum()
        (dx,) = api.autograd.grad(loss, [x], create_graph=True)
        (dx**2).sum().backward()

    penalty(ig, ours, ig.tensor(x).requires_grad_(True))
    with torch.backends.mkldnn.flags(enabled=False):
        penalty(torch, theirs, torch.tensor(x).requires_grad_(True))
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-8, err_msg=name)
