"""Schedules beside torch's: 60 steps of every option set, in f64, also with rates changed by
hand."""

import warnings

import pytest

import intaglio as ig
from intaglio import optim
from intaglio.optim import lr_scheduler, swa_utils
from tests.frontend.schedule_table import NAMES, PLATEAU, make, metric

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]


def made(lib, optimizers, kind="SGD"):
    ps = [lib.zeros(3, requires_grad=True), lib.zeros(2, requires_grad=True)]
    options = {"momentum": 0.9} if kind == "SGD" else {}
    groups = [{"params": [ps[0]]}, {"params": [ps[1]], "lr": 0.02}]
    return getattr(optimizers, kind)(groups, lr=0.05, **options)


def numbers(opt):
    found = []
    for group in opt.param_groups:
        found += [float(group["lr"]), *map(float, group.get("betas", ()))]
        found.append(float(group.get("momentum", 0.0)))
    return found


def run(lib, optimizers, schedules, name, kind, by_hand):
    opt = made(lib, optimizers, kind)
    schedule = make(name, schedules, opt)
    seen = [numbers(opt)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for k in range(50):
            opt.step()
            schedule.step(*([metric(k)] if name in PLATEAU else []))
            if by_hand and k in (8, 21):
                opt.param_groups[0]["lr"] = opt.param_groups[0]["lr"] * 0.5
            seen.append(numbers(opt) + list(map(float, schedule.get_last_lr())))
    return seen, schedule, opt


def close(ours, theirs):
    assert len(ours) == len(theirs)
    for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert a == pytest.approx(b, rel=1e-9, abs=1e-12), k


@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("name", NAMES)
def test_equals_torch(name, kind, by_hand):
    ours, one, _ = run(ig, optim, lr_scheduler, name, kind, by_hand)
    theirs, other, _ = run(torch, torch.optim, torch.optim.lr_scheduler, name, kind, by_hand)
    close(ours, theirs)
    if hasattr(other, "last_epoch"):
        assert one.last_epoch == other.last_epoch


@pytest.mark.parametrize("name", [n for n in NAMES if "function" not in n])
def test_torchs_state_continues_here(name):
    _, theirs, opt = run(torch, torch.optim, torch.optim.lr_scheduler, name, "SGD", False)
    own = made(ig, optim)
    schedule = make(name, lr_scheduler, own)
    own.load_state_dict(opt.state_dict())
    schedule.load_state_dict(theirs.state_dict())
    for k in range(50, 55):
        given = [metric(k)] if name in PLATEAU else []
        if name.startswith("onecycle") and theirs.last_epoch >= theirs.total_steps:
            break
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs.step(*given)
        schedule.step(*given)
        assert numbers(own) == pytest.approx(numbers(opt), rel=1e-9, abs=1e-12)
    kept, found = theirs.state_dict(), schedule.state_dict()
    ignored = {"_is_initial", "_get_lr_called_within_step", "mode_worse", "_scale_fn_ref"}
    assert set(kept) - ignored <= set(found)


@pytest.mark.parametrize("name", [n for n in NAMES if "function" not in n])
def test_a_state_continues_in_torch(name):
    _, schedule, opt = run(ig, optim, lr_scheduler, name, "SGD", False)
    other = made(torch, torch.optim)
    theirs = make(name, torch.optim.lr_scheduler, other)
    other.load_state_dict(opt.state_dict())
    theirs.load_state_dict(schedule.state_dict())
    for k in range(50, 55):
        given = [metric(k)] if name in PLATEAU else []
        if name.startswith("onecycle") and theirs.last_epoch >= theirs.total_steps:
            break
        schedule.step(*given)
        theirs.step(*given)
        assert numbers(opt) == pytest.approx(numbers(other), rel=1e-9, abs=1e-12)


def test_a_momentum_that_was_zero_is_cycled():
    weights = []
    for lib, optimizers in ((ig, optim), (torch, torch.optim)):
        p = lib.ones(3, dtype=lib.float64).requires_grad_()
        opt = optimizers.SGD([p], lr=0.1)
        schedule = optimizers.lr_scheduler.OneCycleLR(opt, 0.1, total_steps=10)
        for _ in range(8):
            opt.zero_grad()
            (p * p).sum().backward()
            opt.step()
            schedule.step()
        weights.append(p.tolist())
    assert weights[0] == pytest.approx(weights[1], rel=1e-9)


CLOSED = ["step", "multistep-twice", "constant", "linear", "exponential", "polynomial-power",
          "cosine-low", "lambda", "restarts", "restarts-twice"]  # fmt: skip


@pytest.mark.parametrize("name", CLOSED)
def test_an_epoch_may_be_given(name):
    opts = [made(ig, optim), made(torch, torch.optim)]
    both = [make(name, s, o) for s, o in zip((lr_scheduler, torch.optim.lr_scheduler), opts)]  # noqa: B905
    epochs = [3, 17, 5, 40, 4]
    if name.startswith("restarts"):
        epochs = [0.25, 3, 4.75, 5, 17.5, 36, 2]
    for epoch in epochs:
        for schedule in both:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                schedule.step(epoch)
        assert numbers(opts[0]) == pytest.approx(numbers(opts[1]), rel=1e-9, abs=1e-12), epoch
    for schedule in both:
        schedule.step()
    assert numbers(opts[0]) == pytest.approx(numbers(opts[1]), rel=1e-9, abs=1e-12)


def test_a_schedule_is_continued_by_last_epoch():
    opts = [made(ig, optim), made(torch, torch.optim)]
    for opt in opts:
        for group in opt.param_groups:
            group["initial_lr"] = 0.5
    for name in ("CosineAnnealingLR", "ExponentialLR"):
        both = []
        for lib, opt in zip((lr_scheduler, torch.optim.lr_scheduler), opts, strict=True):
            both.append(getattr(lib, name)(opt, 10 if name[0] == "C" else 0.5, last_epoch=4))
        for _ in range(5):
            for schedule in both:
                schedule.step()
            assert numbers(opts[0]) == pytest.approx(numbers(opts[1]), rel=1e-9)


@pytest.mark.parametrize(
    "options",
    [{"swa_lr": 0.01}, {"swa_lr": [0.3, 0.1], "anneal_epochs": 5, "anneal_strategy": "linear"},
     {"swa_lr": 0.2, "anneal_epochs": 0}],
)  # fmt: skip
def test_swalr_equals_torch(options):
    ours, theirs = made(ig, optim), made(torch, torch.optim)
    one, other = swa_utils.SWALR(ours, **options), torch.optim.swa_utils.SWALR(theirs, **options)
    for _ in range(20):
        assert numbers(ours) == pytest.approx(numbers(theirs), rel=1e-9)
        one.step(), other.step()
