"""Modules, their hooks and nn.utils beside torch's; averages of weights too."""

import warnings

import numpy as np
import pytest

import intaglio as ig
from intaglio import nn
from intaglio.nn import init, utils
from intaglio.nn.utils import parametrizations, rnn
from intaglio.optim import swa_utils

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]

LIBRARIES = {"ig": (ig, nn), "torch": (torch, torch.nn)}
X = np.random.default_rng(0).standard_normal((5, 6))


def both(build):
    """The same model in both libraries, with torch's values."""
    theirs = build(torch.nn)
    ours = build(nn)
    ours.load_state_dict({k: v.detach().numpy() for k, v in theirs.state_dict().items()})
    return ours, theirs


def close(a, b, **options):
    np.testing.assert_allclose(
        a.detach().numpy(), b.detach().numpy(), **({"rtol": 1e-9, "atol": 1e-11} | options)
    )


def steps(ours, theirs, count=5):
    """Training with equal losses, gradients and states."""
    one = ig.optim.SGD(ours.parameters(), lr=0.05)
    other = torch.optim.SGD(theirs.parameters(), lr=0.05)
    for _ in range(count):
        losses = []
        for lib, model, opt in ((ig, ours, one), (torch, theirs, other)):
            opt.zero_grad()
            loss = (model(lib.tensor(X)) ** 2).mean()
            loss.backward()
            opt.step()
            losses.append(loss)
        close(*losses)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        close(a, b)


def _options(library):
    lib = ig if library is nn else torch
    return {"dtype": lib.float64}


PARAMETRIZED = {
    "weight_norm": lambda u, m: u.parametrizations.weight_norm(m),
    "weight_norm-whole": lambda u, m: u.parametrizations.weight_norm(m, dim=None),
    "weight_norm-columns": lambda u, m: u.parametrizations.weight_norm(m, dim=1),
    "spectral_norm": lambda u, m: u.parametrizations.spectral_norm(m),
    "spectral_norm-steps": lambda u, m: u.parametrizations.spectral_norm(
        m, n_power_iterations=3, dim=1, eps=1e-6
    ),
    "cayley": lambda u, m: u.parametrizations.orthogonal(m, orthogonal_map="cayley"),
    "matrix_exp": lambda u, m: u.parametrizations.orthogonal(m, orthogonal_map="matrix_exp"),
    "householder": lambda u, m: u.parametrizations.orthogonal(m, orthogonal_map="householder"),
    "older-weight_norm": lambda u, m: u.weight_norm(m, dim=1),
    "older-spectral_norm": lambda u, m: u.spectral_norm(m, n_power_iterations=2),
}


@pytest.mark.parametrize("shape", [(6, 4), (6, 6)])
@pytest.mark.parametrize("name", PARAMETRIZED)
def test_parametrizations_train_as_torchs(name, shape):
    def build(library):
        layer = library.Linear(*shape, **_options(library))
        return library.Sequential(PARAMETRIZED[name](library.utils, layer), library.Tanh())

    ours, theirs = both(build)
    steps(ours, theirs)
    ours.eval(), theirs.eval()
    close(ours(ig.tensor(X)), theirs(torch.tensor(X)))
    close(ours[0].weight, theirs[0].weight)


@pytest.mark.parametrize("order", [2, 1, 0.5, 3.0, float("inf"), -float("inf")])
def test_clipping_equals_torchs(order):
    rng = np.random.default_rng(3)
    arrays = [rng.standard_normal(s) for s in [(3, 4), (), (7,)]]
    results = []
    for lib, helpers in ((ig, utils), (torch, torch.nn.utils)):
        ps = [lib.tensor(a).requires_grad_() for a in arrays]
        for p in ps:
            p.grad = lib.tensor(p.detach().numpy() * 2)
        total = helpers.clip_grad_norm_(ps, 0.7, norm_type=order)
        helpers.clip_grad_value_(ps, 0.1)
        results.append([total, *[p.grad for p in ps]])
    for a, b in zip(*results, strict=True):
        close(a, b)


class Recorder:
    """What hooks saw, in order."""

    def __init__(self, library):
        self.seen = []
        self.model = library.Sequential(
            library.Linear(6, 4, **_options(library)),
            library.ReLU(),
            library.Linear(4, 2, **_options(library)),
        )
        for name, module in self.model.named_modules():
            module.register_forward_pre_hook(lambda m, x, n=name: self.note("pre", n, x))
            module.register_forward_hook(lambda m, x, y, n=name: self.note("post", n, (y,)))
            module.register_full_backward_pre_hook(lambda m, dy, n=name: self.note("dpre", n, dy))
            module.register_full_backward_hook(
                lambda m, dx, dy, n=name: self.note("dpost", n, (*dx, *dy))
            )

    def note(self, kind, name, tensors):
        arrays = [None if t is None else t.detach().numpy().copy() for t in tensors]
        self.seen.append((kind, name, arrays))


@pytest.mark.parametrize("wants", [False, True])
def test_hooks_see_what_torchs_see(wants):
    ours, theirs = Recorder(nn), Recorder(torch.nn)
    ours.model.load_state_dict(
        {k: v.detach().numpy() for k, v in theirs.model.state_dict().items()}
    )
    for lib, recorder in ((ig, ours), (torch, theirs)):
        x = lib.tensor(X)
        if wants:
            x.requires_grad_()
        recorder.model(x).sum().backward()
    assert [row[:2] for row in ours.seen] == [row[:2] for row in theirs.seen]
    for (_, _, mine), (_, _, other) in zip(ours.seen, theirs.seen, strict=True):
        for a, b in zip(mine, other, strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_refusals_read_alike():
    messages = []
    for lib, library in LIBRARIES.values():
        model = library.Linear(3, 2)
        given = {"weight": lib.zeros(2, 3), "more": lib.zeros(1)}
        with pytest.raises(RuntimeError) as caught:
            model.load_state_dict(given)
        text = str(caught.value).split(" (test_modules_torch.py")[0]  # our line, where there is one
        messages.append([line.strip() for line in text.split("\n")])
        with pytest.raises(RuntimeError, match="size mismatch for bias"):
            model.load_state_dict({"weight": lib.zeros(2, 3), "bias": lib.zeros(3)})
    assert messages[0][0] == messages[1][0]
    assert messages[0][1:] == messages[1][1:]


@pytest.mark.parametrize("buffers", [False, True])
@pytest.mark.parametrize("kind", ["swa", "ema", "ema-multi"])
def test_averages_equal_torchs(kind, buffers):
    def build(library):
        options = _options(library)
        return library.Sequential(
            library.Linear(6, 3, **options), library.BatchNorm1d(3, **options)
        )

    models = both(build)
    averages = []
    for helpers, model in zip((swa_utils, torch.optim.swa_utils), models, strict=True):
        options = {
            "swa": {},
            "ema": {"avg_fn": helpers.get_ema_avg_fn(0.9)},
            "ema-multi": {"multi_avg_fn": helpers.get_ema_multi_avg_fn(0.8)},
        }[kind]
        averages.append(helpers.AveragedModel(model, use_buffers=buffers, **options))
    for k in range(4):
        for lib, model, average in zip((ig, torch), models, averages, strict=True):
            model(lib.tensor(X + k))
            with lib.no_grad():
                model[0].weight += 0.1
            average.update_parameters(model)
    assert list(averages[0].state_dict()) == list(averages[1].state_dict())
    for a, b in zip(
        averages[0].state_dict().values(), averages[1].state_dict().values(), strict=True
    ):
        close(a, b)
    for lib, helpers, average in zip(
        (ig, torch), (swa_utils, torch.optim.swa_utils), averages, strict=True
    ):
        helpers.update_bn([lib.tensor(X), lib.tensor(X + 1)], average)
    close(averages[0].module[1].running_var, averages[1].module[1].running_var)


@pytest.mark.parametrize("batch_first", [False, True])
def test_packed_sequences_equal_torchs(batch_first):
    lengths = [2, 5, 1, 5]
    rng = np.random.default_rng(0)
    parts = [rng.standard_normal((n, 3)) for n in lengths]
    made = []
    for lib, helpers in ((ig, rnn), (torch, torch.nn.utils.rnn)):
        several = [lib.tensor(p) for p in parts]
        padded = helpers.pad_sequence(several, batch_first, 7.0)
        left = helpers.pad_sequence(several, batch_first, padding_side="left")
        packed = helpers.pack_padded_sequence(padded, lengths, batch_first, enforce_sorted=False)
        back, counts = helpers.pad_packed_sequence(packed, batch_first, -1.0, total_length=6)
        made.append(
            [padded, left, packed.batch_sizes, back, counts, *helpers.unpack_sequence(packed)]
        )
    for a, b in zip(*made, strict=True):
        close(a, b)


def test_gains_and_exact_initialisers_equal_torchs():
    names = [
        "linear",
        "conv1d",
        "conv_transpose3d",
        "sigmoid",
        "tanh",
        "relu",
        "leaky_relu",
        "selu",
    ]
    for name in names:
        assert init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))
    for shape, groups in [((6, 2, 3), 2), ((4, 6, 3, 2), 1), ((6, 3, 1, 2, 4), 3)]:
        ours = init.dirac_(ig.empty(*shape), groups)
        close(ours, torch.nn.init.dirac_(torch.empty(*shape), groups))


def test_folded_batch_norms_equal_torchs():
    def build(library):
        options = _options(library)
        return library.Sequential(
            library.ConvTranspose1d(6, 4, 2, **options), library.BatchNorm1d(4, **options)
        )

    ours, theirs = both(build)
    x = np.stack([X, X + 1]).transpose(0, 2, 1)
    ours(ig.tensor(x)), theirs(torch.tensor(x))
    ours.eval(), theirs.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a = utils.fuse_conv_bn_eval(ours[0], ours[1], transpose=True)
        b = torch.nn.utils.fuse_conv_bn_eval(theirs[0], theirs[1], transpose=True)
    close(a.weight, b.weight), close(a.bias, b.bias)
    assert parametrizations.__all__ == ["orthogonal", "spectral_norm", "weight_norm"]
