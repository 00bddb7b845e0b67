"""Optimizers beside torch's: 50 steps on a random problem, in f64, with options on; their state
goes over from torch and back."""

import numpy as np
import pytest

import intaglio as ig
from intaglio import optim

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

OTHER = {"lr": 0.02}  # the options of the second group
CASES = {
    "sgd": ("SGD", {"lr": 0.05}, OTHER),
    "sgd_momentum": ("SGD", {"lr": 0.05, "momentum": 0.9}, {"momentum": 0.0}),
    "sgd_dampening": (
        "SGD",
        {"lr": 0.05, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.1},
        {"dampening": 0.0},
    ),
    "sgd_nesterov": (
        "SGD",
        {"lr": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01},
        {"nesterov": False},
    ),
    "sgd_maximize": ("SGD", {"lr": 0.001, "maximize": True}, OTHER),
    "adam": ("Adam", {"lr": 0.05}, OTHER),
    "adam_options": (
        "Adam",
        {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1},
        {"betas": (0.5, 0.9)},
    ),
    "adam_amsgrad": ("Adam", {"lr": 0.05, "amsgrad": True}, {"amsgrad": False}),
    "adam_decoupled": (
        "Adam",
        {"lr": 0.05, "decoupled_weight_decay": True, "weight_decay": 0.2, "maximize": True},
        OTHER,
    ),
    "adamw": ("AdamW", {"lr": 0.05}, {"weight_decay": 0.0}),
    "adamw_options": ("AdamW", {"lr": 0.05, "weight_decay": 0.3, "amsgrad": True}, OTHER),
    "adamw_maximize": ("AdamW", {"maximize": True, "betas": (0.7, 0.8)}, OTHER),
    "adamw_eps": ("AdamW", {"lr": 0.02, "eps": 0.1}, OTHER),
    "rmsprop": ("RMSprop", {}, OTHER),
    "rmsprop_centered": ("RMSprop", {"centered": True, "alpha": 0.9}, {"centered": False}),
    "rmsprop_momentum": (
        "RMSprop",
        {"lr": 0.005, "momentum": 0.9, "weight_decay": 0.1},
        {"momentum": 0.0},
    ),
    "rmsprop_all": (
        "RMSprop",
        {"momentum": 0.5, "centered": True, "eps": 1e-3, "maximize": True},
        OTHER,
    ),
    "adagrad": ("Adagrad", {"lr": 0.1}, OTHER),
    "adagrad_decay": ("Adagrad", {"lr": 0.1, "lr_decay": 0.05}, {"lr_decay": 0.0}),
    "adagrad_start": ("Adagrad", {"initial_accumulator_value": 0.3, "weight_decay": 0.1}, OTHER),
    "adagrad_maximize": ("Adagrad", {"maximize": True, "eps": 1e-2}, OTHER),
    "adadelta": ("Adadelta", {}, {"lr": 0.5}),
    "adadelta_rho": ("Adadelta", {"lr": 0.7, "rho": 0.5, "eps": 1e-4}, {"rho": 0.99}),
    "adadelta_decay": ("Adadelta", {"weight_decay": 0.2}, {"weight_decay": 0.0}),
    "adadelta_maximize": ("Adadelta", {"maximize": True}, OTHER),
    "adafactor": ("Adafactor", {}, OTHER),
    "adafactor_options": (
        "Adafactor",
        {"lr": 0.2, "beta2_decay": -0.5, "eps": (1e-4, 0.1), "d": 2.0},
        {"d": 1.0},
    ),
    "adafactor_decay": ("Adafactor", {"lr": 0.3, "weight_decay": 0.1}, {"weight_decay": 0.0}),
    "adafactor_maximize": ("Adafactor", {"maximize": True, "eps": (None, 1.0)}, OTHER),
    "adamax": ("Adamax", {"lr": 0.05}, OTHER),
    "adamax_betas": ("Adamax", {"betas": (0.5, 0.6), "eps": 1e-3}, OTHER),
    "adamax_decay": ("Adamax", {"weight_decay": 0.3}, {"weight_decay": 0.0}),
    "adamax_maximize": ("Adamax", {"maximize": True}, OTHER),
    "nadam": ("NAdam", {"lr": 0.05}, OTHER),
    "nadam_decay": ("NAdam", {"weight_decay": 0.1, "momentum_decay": 0.1}, {"weight_decay": 0.0}),
    "nadam_decoupled": ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}, OTHER),
    "nadam_options": ("NAdam", {"betas": (0.6, 0.9), "eps": 1e-2, "maximize": True}, OTHER),
    "radam": ("RAdam", {"lr": 0.05}, OTHER),
    "radam_short": ("RAdam", {"betas": (0.8, 0.9), "weight_decay": 0.1}, {"betas": (0.9, 0.5)}),
    "radam_decoupled": ("RAdam", {"weight_decay": 0.2, "decoupled_weight_decay": True}, OTHER),
    "radam_maximize": ("RAdam", {"maximize": True, "eps": 1e-2}, OTHER),
    "rprop": ("Rprop", {}, OTHER),
    "rprop_etas": ("Rprop", {"etas": (0.3, 1.7)}, {"etas": (0.9, 1.1)}),
    "rprop_sizes": ("Rprop", {"step_sizes": (1e-3, 0.015)}, OTHER),
    "rprop_maximize": ("Rprop", {"lr": 1e-3, "maximize": True}, OTHER),
    "asgd": ("ASGD", {"lr": 0.05}, OTHER),
    "asgd_mean": ("ASGD", {"lr": 0.05, "t0": 10}, {"t0": 20}),
    "asgd_options": ("ASGD", {"lambd": 0.1, "alpha": 0.5, "weight_decay": 0.1}, OTHER),
    "asgd_maximize": ("ASGD", {"maximize": True, "t0": 3}, OTHER),
}


@pytest.fixture(autouse=True)
def doubles():
    """torch keeps step counts and products in its default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def problem(lib):
    rng = np.random.default_rng(0)
    a, b = lib.tensor(rng.standard_normal((6, 4))), lib.tensor(rng.standard_normal((6, 3)))
    shapes = [(4, 3), (3,), (), (2, 3, 4), (3,)]
    ps = [lib.tensor(rng.standard_normal(s)).requires_grad_() for s in shapes]

    def loss_of(step):
        w, c, scale, cube, late = ps
        d = (a @ w + c) * scale - b
        loss = (d * d).mean() + (cube * cube * cube.sin()).sum()
        if step >= 5:  # a parameter that gets its first gradient later
            loss = loss + (late * late * late.cos()).sum() * 0.1
        return loss

    return ps, loss_of


def make(lib, optimizers, name, options, other):
    ps, loss_of = problem(lib)
    groups = [{"params": ps[:2]}, {"params": ps[2:], **other}]
    return ps, loss_of, getattr(optimizers, name)(groups, **options)


def run(ps, loss_of, opt, first, last):
    losses = []
    for step in range(first, last):
        opt.zero_grad()
        loss = loss_of(step)
        loss.backward()
        if step == 30:
            opt.param_groups[1]["lr"] *= 0.5
        opt.step()
        losses.append(float(loss.item()))
    return losses


def check_parameters(ours, theirs, tolerance=1e-9):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(
            a.detach().numpy(), b.detach().numpy(), rtol=tolerance, atol=tolerance
        )


def check_state(ours, theirs, tolerance=1e-9):
    """The same keys everywhere, the same numbers."""
    assert set(ours) == set(theirs) == {"state", "param_groups"}
    for a, b in zip(ours["param_groups"], theirs["param_groups"], strict=True):
        assert set(a) == set(b)
        for key in a:
            assert (
                np.allclose(*np.broadcast_arrays(a[key], b[key]))
                if key == "lr"
                else (a[key] == b[key] or tuple(a[key]) == tuple(b[key]))
            ), key
    assert set(ours["state"]) == set(theirs["state"])
    for number, values in theirs["state"].items():
        assert set(ours["state"][number]) == set(values)
        for key, value in values.items():
            np.testing.assert_allclose(
                np.asarray(ours["state"][number][key]), np.asarray(value), tolerance, tolerance
            )


@pytest.mark.parametrize("name", CASES)
def test_equals_torch(name):
    ours, theirs = make(ig, optim, *CASES[name]), make(torch, torch.optim, *CASES[name])
    np.testing.assert_allclose(run(*ours, 0, 50), run(*theirs, 0, 50), rtol=1e-9)
    check_parameters(ours[0], theirs[0])
    check_state(ours[2].state_dict(), theirs[2].state_dict())


@pytest.mark.parametrize("name", CASES)
def test_goes_on_with_torchs_state(name):
    theirs = make(torch, torch.optim, *CASES[name])
    run(*theirs, 0, 12)
    ours = make(ig, optim, *CASES[name])
    with ig.no_grad():
        for a, b in zip(ours[0], theirs[0], strict=True):
            a.copy_(ig.tensor(b.detach().numpy()))
    ours[2].load_state_dict(theirs[2].state_dict())
    check_state(ours[2].state_dict(), theirs[2].state_dict(), 0)
    run(*ours, 12, 24)
    run(*theirs, 12, 24)
    check_parameters(ours[0], theirs[0])


@pytest.mark.parametrize("name", ["sgd_momentum", "adam", "adagrad"])
def test_state_before_the_first_step(name):
    ours, theirs = make(ig, optim, *CASES[name]), make(torch, torch.optim, *CASES[name])
    check_state(ours[2].state_dict(), theirs[2].state_dict(), 0)


ALL = sorted({name for name, _, _ in CASES.values()} | {"LBFGS", "Muon"})


@pytest.mark.parametrize("name", ALL)
def test_arguments_are_torchs(name):
    import inspect

    def described(cls):
        return [
            (p.name, p.kind, p.default)
            for p in inspect.signature(cls.__init__).parameters.values()
            if p.name != "ns_dtype"
        ]

    assert described(getattr(optim, name)) == described(getattr(torch.optim, name))


BAD = [
    {"lr": -1.0}, {"eps": -1.0}, {"betas": (1.0, 0.9)},
    {"betas": (0.9, -0.1)}, {"weight_decay": -0.1}, {"momentum": -0.5}, {"alpha": -1.0},
    {"rho": 1.5}, {"lr_decay": -1.0}, {"initial_accumulator_value": -1.0},
    {"momentum_decay": -1.0}, {"etas": (1.2, 0.5)}, {"d": 0.5}, {"beta2_decay": 0.1},
    {"nesterov": True}, {"fused": True, "foreach": True}, {"fused": True, "differentiable": True},
    {"adjust_lr_fn": "no"}, {"foreach": True}, {"capturable": True}, {"differentiable": True},
    {"betas": (0.9, 1.0)},
]  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_bad_arguments_are_refused_as_in_torch(name):
    import inspect

    known = set(inspect.signature(getattr(torch.optim, name)).parameters)
    for options in BAD:
        if not set(options) <= known or (name == "Adafactor" and "eps" in options):
            continue
        outcomes = []
        for lib, optimizers in ((ig, optim), (torch, torch.optim)):
            try:
                getattr(optimizers, name)([lib.zeros((2, 2)).requires_grad_()], **options)
                outcomes.append("taken")
            except (ValueError, RuntimeError):
                outcomes.append("refused")
        assert outcomes[0] == outcomes[1], (name, options)


def minimize(lib, optimizers, options):
    """Four steps on a least squares problem beside Rosenbrock's function."""
    rng = np.random.default_rng(1)
    a, b = lib.tensor(rng.standard_normal((8, 5))), lib.tensor(rng.standard_normal(8))
    x = lib.tensor(rng.standard_normal(5)).requires_grad_()
    y = lib.tensor(rng.standard_normal((2, 2))).requires_grad_()
    opt = optimizers.LBFGS([x, y], **options)

    def closure():
        opt.zero_grad()
        d = a @ x - b
        loss = (d * d).sum() + (100 * (y[1] - y[0] * y[0]) ** 2 + (1 - y[0]) ** 2).sum()
        loss.backward()
        return loss

    losses = [float(opt.step(closure).item()) for _ in range(4)]
    return losses, [x, y], opt.state_dict()["state"][0]


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.1},
        {"max_iter": 7, "history_size": 3, "lr": 0.3},
        {"lr": 0.5, "max_iter": 5, "max_eval": 4},
        {"lr": 0.2, "tolerance_change": 1e-3, "tolerance_grad": 1e-2},
    ],
)
def test_lbfgs_equals_torch(search, options):
    options = {**options, "line_search_fn": search}
    ours, theirs = minimize(ig, optim, options), minimize(torch, torch.optim, options)
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-7)
    check_parameters(ours[1], theirs[1], 1e-6)
    assert ours[2]["func_evals"] == theirs[2]["func_evals"]
    assert ours[2]["n_iter"] == theirs[2]["n_iter"]
    assert set(theirs[2]) - {"al"} == set(ours[2])


def fifty_steps(lib, optimizers, options):
    """Losses of 50 steps on a random problem, and the parameters after them."""
    random = np.random.default_rng(0)
    parts = [random.standard_normal(s) for s in ((4, 3), (3,), (2, 2, 2), (6, 4), (6, 3))]
    w, c, z, a, b = (lib.tensor(part.copy()) for part in parts)
    parameters = [p.requires_grad_() for p in (w, c, z)]
    opt = optimizers.LBFGS(parameters, **options)

    def closure():
        opt.zero_grad()
        d = a @ w + c - b
        loss = (d * d).mean() + 0.1 * (z**4).sum() + 0.05 * (w**2).sum() + (z.sin() * z).sum()
        loss.backward()
        return loss

    return [float(opt.step(closure).item()) for _ in range(50)], parameters


@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.1, "max_iter": 1},
        {"lr": 0.5, "max_iter": 2, "history_size": 5},
        {"lr": 1.0, "max_iter": 3, "line_search_fn": "strong_wolfe"},
        {"lr": 0.2, "max_iter": 4, "max_eval": 5, "tolerance_change": 1e-12},
    ],
)
def test_fifty_steps_of_lbfgs_equal_torchs(options):
    ours, theirs = fifty_steps(ig, optim, options), fifty_steps(torch, torch.optim, options)
    np.testing.assert_allclose(ours[0], theirs[0], rtol=0, atol=1e-9)
    for mine, its in zip(ours[1], theirs[1], strict=True):
        difference = np.abs(mine.detach().numpy() - its.detach().numpy())
        assert difference.max() < 1e-9


def test_lbfgs_goes_on_with_torchs_state():
    def closure_of(lib, opt, x):
        def closure():
            opt.zero_grad()
            loss = ((x * x * x * x).sum() + (x.sin() * x).sum()) * 0.1
            loss.backward()
            return loss

        return closure

    x = torch.linspace(-1, 2, 7).requires_grad_()
    theirs = torch.optim.LBFGS([x], max_iter=3)
    theirs.step(closure_of(torch, theirs, x))
    y = ig.tensor(x.detach().numpy().copy()).requires_grad_()
    ours = optim.LBFGS([y], max_iter=3)
    ours.load_state_dict(theirs.state_dict())
    for _ in range(3):
        theirs.step(closure_of(torch, theirs, x))
        ours.step(closure_of(ig, ours, y))
    check_parameters([y], [x])


@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.02},
        {"lr": 0.02, "nesterov": False, "momentum": 0.8, "weight_decay": 0.0},
        {"lr": 0.02, "adjust_lr_fn": "match_rms_adamw", "ns_steps": 3},
        {"lr": 0.02, "ns_coefficients": (2.0, -1.5, 0.5), "eps": 1e-3, "adjust_lr_fn": "original"},
    ],
)
def test_muon_is_as_near_as_bfloat16(options):
    """torch orthogonalizes in bfloat16: both agree as far as its 8 digits go."""
    rng = np.random.default_rng(3)
    starts = [rng.standard_normal(s).astype(np.float32) for s in ((8, 5), (4, 9))]
    grads = [[rng.standard_normal(s.shape).astype(np.float32) for s in starts] for _ in range(10)]
    ends = []
    for lib, optimizers in ((ig, optim), (torch, torch.optim)):
        ps = [lib.tensor(s.copy()).requires_grad_() for s in starts]
        opt = optimizers.Muon(ps, **options)
        for row in grads:
            for p, g in zip(ps, row, strict=True):
                p.grad = lib.tensor(g.copy())
            opt.step()
        ends.append([p.detach().numpy() for p in ps])
        buffers = [opt.state_dict()["state"][k]["momentum_buffer"] for k in range(2)]
        ends[-1] += [np.asarray(b) for b in buffers]
    for a, b, start in zip(ends[0][:2], ends[1][:2], starts, strict=True):
        assert np.abs(a - b).max() < 0.02 * np.abs(a - start).max()
    for a, b in zip(ends[0][2:], ends[1][2:], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
